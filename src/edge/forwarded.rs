//! Who is behind the HTTP proxies before us: X-Forwarded-For or Forwarded (RFC 7239), read from the right.
//!
//! Each proxy appends whom it took the request from, and anybody may have written what stands before that. So the list is walked from its
//! end, as long as the hop that wrote the entry is trusted; the first that is not is the client. One field is read, the one that the
//! operator's proxies write: the other they may well pass on as the client made it up.
//!
//! Pure. Invariants: nothing of an untrusted peer is looked at; an entry that is no address ends the walk at the last that can be relied
//! upon; time is linear in the length of the fields, which the head's limit bounds.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU16;

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use smallvec::{SmallVec, smallvec};

use super::config::ForwardedField;
use super::networks::{Network, any_contains};

/// Whose word counts, and in which field.
#[derive(Clone, Copy, Debug)]
pub struct Believed<'a> {
    pub trusted: &'a [Network],
    pub field: ForwardedField,
}

/// The hops of a request as far as they can be relied upon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The client, then each proxy it came through, the nearest last: the peer itself. Never empty.
    hops: Hops,
    /// Whether the client spoke TLS, where a trusted proxy says so.
    pub is_tls: Option<bool>,
    /// The port that the client connected to, where one does.
    pub port: Option<NonZeroU16>,
}

/// Most clients come directly, or through one proxy or two.
type Hops = SmallVec<[IpAddr; 3]>;

impl Chain {
    /// The hops of a request from `peer`: nobody before it.
    #[must_use]
    pub fn direct(peer: IpAddr) -> Self {
        Self { hops: smallvec![peer.to_canonical()], is_tls: None, port: None }
    }

    /// The address that limits, policy, logs and hooks are to see.
    #[must_use]
    pub fn client(&self) -> IpAddr {
        self.hops.first().copied().unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED))
    }

    /// Whether somebody stands between the client and us.
    #[must_use]
    pub fn is_proxied(&self) -> bool {
        self.hops.len() > 1
    }

    /// What X-Forwarded-For says towards an upstream server.
    #[must_use]
    pub fn x_forwarded_for(&self) -> String {
        let mut text = String::new();
        for (index, hop) in self.hops.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            let _ = write!(text, "{separator}{hop}"); // a String takes everything
        }
        text
    }
}

/// The hops of a request that came from `peer` with `headers`.
#[must_use]
pub fn chain(peer: IpAddr, headers: &HeaderMap, believed: Believed<'_>) -> Chain {
    let peer = peer.to_canonical();
    if !any_contains(believed.trusted, peer) {
        return Chain::direct(peer);
    }
    match believed.field {
        ForwardedField::XForwardedFor => {
            let entries = || headers.get_all(&X_FORWARDED_FOR).iter().rev().flat_map(plain_entries);
            let hops = walk(peer, believed.trusted, entries().map(node));
            let said = |field: HeaderName| clients_word(headers, &field, hops.len() - 1, || entries().count());
            let is_tls = said(X_FORWARDED_PROTO).and_then(is_tls);
            let digits = said(X_FORWARDED_PORT).filter(|word| word.iter().all(u8::is_ascii_digit));
            let port = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
            Chain { hops, is_tls, port }
        }
        ForwardedField::Forwarded => {
            let mut is_tls = None;
            let elements = headers.get_all(&FORWARDED).iter().rev().flat_map(|value| quoted_entries(value.as_bytes()));
            let nodes = elements.map(|element| {
                let element = Element::parse(element)?;
                let node = element.node?;
                is_tls = element.is_tls;
                Some(node)
            });
            let hops = walk(peer, believed.trusted, nodes);
            Chain { hops, is_tls, port: None }
        }
    }
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const FORWARDED: HeaderName = HeaderName::from_static("forwarded");

/// The hops, client first.
///
/// `nodes` come from the right, each who the hop behind it took the request from, or `None` where it does not say.
fn walk(peer: IpAddr, trusted: &[Network], nodes: impl Iterator<Item = Option<IpAddr>>) -> Hops {
    let mut hops: Hops = smallvec![peer];
    for node in nodes {
        let Some(node) = node else { break };
        hops.push(node);
        if !any_contains(trusted, node) {
            break;
        }
    }
    hops.reverse();
    hops
}

/// The items of a list from its end; empty ones do not count (RFC 9110 §5.6.1).
fn plain_entries(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value.as_bytes().rsplit(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|entry| !entry.is_empty())
}

/// The same where commas within quotes part nothing.
///
/// From the end, so that a quote somebody has left open further to the left cannot swallow what trusted hops have appended.
fn quoted_entries(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(value);
    let entries = std::iter::from_fn(move || {
        let value = rest?;
        let mut is_quoted = false;
        for (at, &byte) in value.iter().enumerate().rev() {
            match byte {
                b'"' if !is_escaped(value, at) => is_quoted = !is_quoted,
                b',' if !is_quoted => {
                    rest = Some(value.get(..at).unwrap_or_default());
                    return value.get(at + 1..);
                }
                _ => {}
            }
        }
        rest = None;
        Some(value)
    });
    entries.map(<[u8]>::trim_ascii).filter(|entry| !entry.is_empty())
}

/// Whether an odd number of backslashes stands before the byte at `at`.
fn is_escaped(value: &[u8], at: usize) -> bool {
    let before = value.get(..at).unwrap_or_default();
    before.iter().rev().take_while(|&&byte| byte == b'\\').count() % 2 == 1
}

/// An address as X-Forwarded-For and Forwarded write it: bare, with a port, an IPv6 address in brackets or not.
fn node(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let address = match bare {
        Some(bare) => IpAddr::V6(bare.parse().ok()?),
        None => match text.parse::<IpAddr>() {
            Ok(address) => address,
            Err(_) => text.parse::<SocketAddr>().ok()?.ip(),
        },
    };
    Some(address.to_canonical())
}

/// What the hop that took the request from the client says in `field`: of the scheme, or of the port.
///
/// One word holds for the whole way, as most proxies hand on what the first one said. Several hold for the client where they can be told
/// apart: one for each entry of X-Forwarded-For, of which the client's is the `client_from_right`th.
fn clients_word<'a>(
    headers: &'a HeaderMap,
    field: &HeaderName,
    client_from_right: usize,
    entry_count: impl Fn() -> usize,
) -> Option<&'a [u8]> {
    let words = || headers.get_all(field).iter().rev().flat_map(plain_entries);
    match words().count() {
        0 => None,
        1 => words().next(),
        count if client_from_right > 0 && count == entry_count() => words().nth(client_from_right - 1),
        _ => None,
    }
}

fn is_tls(word: &[u8]) -> Option<bool> {
    match () {
        () if word.eq_ignore_ascii_case(b"https") || word.eq_ignore_ascii_case(b"wss") => Some(true),
        () if word.eq_ignore_ascii_case(b"http") || word.eq_ignore_ascii_case(b"ws") => Some(false),
        () => None,
    }
}

/// One element of Forwarded (RFC 7239 §4), as far as it is of use here.
struct Element {
    node: Option<IpAddr>,
    is_tls: Option<bool>,
}

impl Element {
    /// `None`: not to the letter, or a parameter is given twice.
    fn parse(element: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(element).ok()?;
        let (mut rest, mut said_node, mut said_proto) = (text, None, None);
        loop {
            let (name, after) = rest.split_once('=')?;
            let (value, after) = parse_value(after)?;
            let said = match name.trim().to_ascii_lowercase().as_str() {
                "for" => Some(&mut said_node),
                "proto" => Some(&mut said_proto),
                _ => None,
            };
            if let Some(said) = said
                && said.replace(value).is_some()
            {
                return None;
            }
            let after = after.trim_start();
            match after.strip_prefix(';') {
                // An empty parameter at the end is allowed (RFC 7239 §4).
                Some(last) if last.trim().is_empty() => break,
                Some(next) => rest = next,
                None if after.is_empty() => break,
                None => return None,
            }
        }
        let node = said_node.and_then(|text: String| node(text.as_bytes()));
        Some(Self { node, is_tls: said_proto.and_then(|word: String| is_tls(word.as_bytes())) })
    }
}

/// A token or a quoted string at the front of `text`, and what follows it.
fn parse_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ' ', '\t']).unwrap_or(text.len());
        let (value, after) = text.split_at_checked(end)?;
        return (!value.is_empty() && !value.contains('"')).then(|| (value.to_owned(), after));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, quoted.get(at + 1..)?)),
            '\\' => value.push(characters.next()?.1),
            _ => value.push(character),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for &(name, value) in fields {
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
        }
        headers
    }

    fn trusted() -> Vec<Network> {
        ["10.0.0.0/8", "2001:db8:aaaa::/48"].map(|text| Network::parse(text).expect(text)).to_vec()
    }

    fn judge(peer: &str, field: ForwardedField, fields: &[(&'static str, &str)]) -> Chain {
        chain(ip(peer), &headers(fields), Believed { trusted: &trusted(), field })
    }

    fn by_x(peer: &str, values: &[&str]) -> IpAddr {
        let fields: Vec<_> = values.iter().map(|&value| ("x-forwarded-for", value)).collect();
        judge(peer, ForwardedField::XForwardedFor, &fields).client()
    }

    fn by_forwarded(peer: &str, values: &[&str]) -> IpAddr {
        let fields: Vec<_> = values.iter().map(|&value| ("forwarded", value)).collect();
        judge(peer, ForwardedField::Forwarded, &fields).client()
    }

    /// SECURITY A, "XFF spoof": EMQX took the leftmost entry until #18272.
    #[test]
    fn the_rightmost_that_is_not_trusted_is_the_client() {
        let cases: &[(&str, &[&str], &str)] = &[
            ("10.0.0.1", &["203.0.113.7"], "203.0.113.7"),
            ("10.0.0.1", &["1.1.1.1, 203.0.113.7"], "203.0.113.7"),
            ("10.0.0.1", &["1.1.1.1, 203.0.113.7, 10.0.0.3, 10.0.0.2"], "203.0.113.7"),
            ("10.0.0.1", &["1.1.1.1", "203.0.113.7 ,10.0.0.3", "10.0.0.2"], "203.0.113.7"),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["", " , ,"], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.7, , "], "203.0.113.7"),
            // Ports, brackets, mapped addresses.
            ("10.0.0.1", &["203.0.113.7:51234"], "203.0.113.7"),
            ("10.0.0.1", &["[2001:db8::7]:51234, [2001:db8:aaaa::1]"], "2001:db8::7"),
            ("::ffff:10.0.0.1", &["::ffff:203.0.113.7, ::ffff:10.0.0.2"], "203.0.113.7"),
            // What is no address ends it at the last that was.
            ("10.0.0.1", &["203.0.113.7, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.7, nonsense, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &["203.0.113.7, 1.2.3, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["203.0.113.7:99999"], "10.0.0.1"),
            ("10.0.0.1", &["[203.0.113.7]"], "10.0.0.1"),
            ("10.0.0.1", &["\"203.0.113.7\""], "10.0.0.1"),
            ("10.0.0.1", &["\u{fffd}, 198.51.100.1"], "198.51.100.1"),
        ];
        for (peer, values, expected) in cases {
            assert_eq!(by_x(peer, values), ip(expected), "{peer} {values:?}");
        }
    }

    #[test]
    fn nothing_of_an_untrusted_peer_is_looked_at() {
        for field in [ForwardedField::XForwardedFor, ForwardedField::Forwarded] {
            let fields = [
                ("x-forwarded-for", "10.0.0.2"),
                ("forwarded", "for=10.0.0.2;proto=https"),
                ("x-forwarded-proto", "https"),
                ("x-forwarded-port", "443"),
            ];
            assert_eq!(judge("203.0.113.7", field, &fields), Chain::direct(ip("203.0.113.7")));
        }
    }

    #[test]
    fn the_field_that_is_not_read_changes_nothing() {
        let fields = [("x-forwarded-for", "203.0.113.7"), ("forwarded", "for=198.51.100.1;proto=https")];
        let chain = judge("10.0.0.1", ForwardedField::XForwardedFor, &fields);
        assert_eq!((chain.client(), chain.is_tls), (ip("203.0.113.7"), None));
        let chain = judge("10.0.0.1", ForwardedField::Forwarded, &fields);
        assert_eq!((chain.client(), chain.is_tls), (ip("198.51.100.1"), Some(true)));
    }

    #[test]
    fn forwarded_to_the_letter() {
        let cases: &[(&[&str], &str)] = &[
            (&["for=203.0.113.7"], "203.0.113.7"),
            (&["For=\"[2001:db8::7]:4711\""], "2001:db8::7"),
            (&["for=203.0.113.7;proto=http;by=10.0.0.1"], "203.0.113.7"),
            (&["by=10.0.0.1; for=203.0.113.7;"], "203.0.113.7"),
            (&["for=1.1.1.1, for=203.0.113.7;host=\"a, for=9.9.9.9\", for=10.0.0.2"], "203.0.113.7"),
            (&["for=1.1.1.1", "for=203.0.113.7"], "203.0.113.7"),
            // A quote left open by the client swallows nothing.
            (&["for=\", for=203.0.113.7"], "203.0.113.7"),
            (&["for=\"\\", "for=203.0.113.7"], "203.0.113.7"),
            (&["for=203.0.113.7, for=unknown"], "10.0.0.1"),
            (&["for=203.0.113.7, for=_hidden"], "10.0.0.1"),
            (&["for=203.0.113.7, proto=https"], "10.0.0.1"),
            (&["for=203.0.113.7;for=203.0.113.8"], "10.0.0.1"),
            (&["for=203.0.113.7 x"], "10.0.0.1"),
            (&["for"], "10.0.0.1"),
            (&["for="], "10.0.0.1"),
            (&["203.0.113.7"], "10.0.0.1"),
        ];
        for (values, expected) in cases {
            assert_eq!(by_forwarded("10.0.0.1", values), ip(expected), "{values:?}");
        }
    }

    #[test]
    fn the_scheme_is_the_one_that_the_client_spoke() {
        let cases: &[(&[&str], &[&str], Option<bool>)] = &[
            (&["203.0.113.7"], &["https"], Some(true)),
            (&["203.0.113.7"], &["HTTP"], Some(false)),
            (&["203.0.113.7, 10.0.0.2"], &["https"], Some(true)),
            (&["1.1.1.1, 203.0.113.7, 10.0.0.2"], &["x, https, http"], Some(true)),
            (&["1.1.1.1, 203.0.113.7, 10.0.0.2"], &["https", "http", "http"], Some(false)),
            (&["203.0.113.7, 10.0.0.2"], &["https, https, http"], None),
            (&["203.0.113.7"], &["gopher"], None),
            (&["203.0.113.7"], &[], None),
            (&[], &["https"], Some(true)),
        ];
        for (nodes, words, expected) in cases {
            let nodes = nodes.iter().map(|&value| ("x-forwarded-for", value));
            let fields: Vec<_> = nodes.chain(words.iter().map(|&word| ("x-forwarded-proto", word))).collect();
            let chain = judge("10.0.0.1", ForwardedField::XForwardedFor, &fields);
            assert_eq!(chain.is_tls, *expected, "{fields:?}");
        }
        let chain = judge(
            "10.0.0.1",
            ForwardedField::Forwarded,
            &[("forwarded", "for=1.1.1.1;proto=http, for=203.0.113.7;proto=https, for=10.0.0.2")],
        );
        assert_eq!((chain.client(), chain.is_tls), (ip("203.0.113.7"), Some(true)));
    }

    #[test]
    fn the_port_is_the_one_that_the_client_connected_to() {
        let cases: &[(&[&str], &[&str], Option<u16>)] = &[
            (&["203.0.113.7"], &["8443"], Some(8443)),
            (&["1.1.1.1, 203.0.113.7, 10.0.0.2"], &["1, 443, 80"], Some(443)),
            (&["203.0.113.7, 10.0.0.2"], &["1", "443", "80"], None),
            (&["203.0.113.7"], &["0"], None),
            (&["203.0.113.7"], &["65536"], None),
            (&["203.0.113.7"], &["+443"], None),
            (&["203.0.113.7"], &["https"], None),
            (&["203.0.113.7"], &[], None),
        ];
        for (nodes, words, expected) in cases {
            let nodes = nodes.iter().map(|&value| ("x-forwarded-for", value));
            let fields: Vec<_> = nodes.chain(words.iter().map(|&word| ("x-forwarded-port", word))).collect();
            let chain = judge("10.0.0.1", ForwardedField::XForwardedFor, &fields);
            assert_eq!(chain.port.map(NonZeroU16::get), *expected, "{fields:?}");
        }
    }

    #[test]
    fn a_thousand_entries_are_walked() {
        let mut value = "203.0.113.7".to_owned();
        value.push_str(&", 10.0.0.2".repeat(999));
        assert_eq!(by_x("10.0.0.1", &[&value]), ip("203.0.113.7"));
        let values = vec!["10.0.0.2"; 999];
        assert_eq!(by_x("10.0.0.1", &[&["203.0.113.7"], &values[..]].concat()), ip("203.0.113.7"));
        let mut value = "for=203.0.113.7".to_owned();
        value.push_str(&", for=10.0.0.2".repeat(999));
        assert_eq!(by_forwarded("10.0.0.1", &[&value]), ip("203.0.113.7"));
    }

    #[test]
    fn an_upstream_is_told_what_can_be_relied_upon() {
        let fields = [("x-forwarded-for", "1.1.1.1, 203.0.113.7, 10.0.0.2")];
        let chain = judge("10.0.0.1", ForwardedField::XForwardedFor, &fields);
        assert_eq!(chain.x_forwarded_for(), "203.0.113.7, 10.0.0.2, 10.0.0.1");
        assert!(chain.is_proxied());
        let chain = judge("203.0.113.7", ForwardedField::XForwardedFor, &fields);
        assert_eq!(chain.x_forwarded_for(), "203.0.113.7");
        assert!(!chain.is_proxied());
    }

    proptest::proptest! {
        /// Whatever a client writes, what trusted hops append behind it is what counts.
        #[test]
        fn what_stands_to_the_left_changes_nothing(written in "[ -~]{0,60}", is_own_field: bool) {
            let (x, forwarded) = match is_own_field {
                true => (vec![written.clone(), "203.0.113.7, 10.0.0.2".into()], vec![written, "for=203.0.113.7, for=10.0.0.2".into()]),
                false => (vec![format!("{written}, 203.0.113.7, 10.0.0.2")], vec![format!("{written}, for=203.0.113.7, for=10.0.0.2")]),
            };
            let x: Vec<_> = x.iter().map(String::as_str).collect();
            let forwarded: Vec<_> = forwarded.iter().map(String::as_str).collect();
            proptest::prop_assert_eq!(by_x("10.0.0.1", &x), ip("203.0.113.7"));
            proptest::prop_assert_eq!(by_forwarded("10.0.0.1", &forwarded), ip("203.0.113.7"));
        }
    }
}
