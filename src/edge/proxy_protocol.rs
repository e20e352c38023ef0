//! The PROXY protocol, versions 1 and 2: what a proxy that passes bytes on says first of whom they come from.
//!
//! Written after "The PROXY protocol, Versions 1 & 2" of HAProxy (2020/03/05); § is a section of it.
//!
//! Pure: bytes in, one of three answers out; whoever reads the socket decides whom to believe. Invariants: the answer does not depend on
//! how the bytes are split; nothing behind the header is looked at; what is not a header to the letter is none, as whatever follows
//! would be somebody's words under another's name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The longest header that is read: far beyond what addresses need, for what senders put behind them (§2.2.7 has certificates' names).
pub const HEADER_BYTES_MAX: usize = 4096;

/// What the bytes so far come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// All of them are the header's, and there is more of it.
    Incomplete,
    /// The header ends behind `length` bytes.
    Complete { length: usize, source: Source },
}

/// Whom a connection comes from, by the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Never IPv4 mapped into IPv6.
    Address(SocketAddr),
    /// The proxy speaks for itself, as its health checks do (LOCAL), or does not know (UNKNOWN, UNSPEC), or came by a UNIX socket.
    Unsaid,
}

/// Why bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotHeader {
    #[error("neither the signature of PROXY protocol version 1 nor that of version 2")]
    Signature,
    #[error("a version 1 line that is not to the letter")]
    Line,
    #[error("a version 1 line of more than 107 bytes")]
    LineTooLong,
    #[error("a version, command, family or transport that the protocol does not have, or that TCP cannot carry")]
    Kind,
    #[error("a version 2 header of more than {HEADER_BYTES_MAX} bytes")]
    TooLong,
    #[error("a version 2 header too short for its addresses")]
    Addresses,
    #[error("a version 2 field (TLV) that ends behind the header")]
    Field,
}

/// Reads the header at the front of `bytes`.
///
/// # Errors
/// They are none, whatever may follow.
pub fn parse(bytes: &[u8]) -> Result<Progress, NotHeader> {
    match bytes.first() {
        None => Ok(Progress::Incomplete),
        Some(b'P') => parse_line(bytes),
        Some(_) => parse_binary(bytes),
    }
}

/// §2.1: `PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n`.
fn parse_line(bytes: &[u8]) -> Result<Progress, NotHeader> {
    let start = bytes.len().min(LINE_START.len());
    if bytes[..start] != LINE_START[..start] {
        return Err(NotHeader::Signature);
    }
    let head = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
    let Some(end) = memchr::memchr(b'\n', head) else {
        // A line in which a return stands alone will never be one.
        let is_broken = memchr::memchr(b'\r', head).is_some_and(|at| at + 1 < head.len());
        return match () {
            () if is_broken => Err(NotHeader::Line),
            () if head.len() == LINE_BYTES_MAX => Err(NotHeader::LineTooLong),
            () => Ok(Progress::Incomplete),
        };
    };
    let line = head[..end].strip_suffix(b"\r").ok_or(NotHeader::Line)?;
    let line = std::str::from_utf8(line).map_err(|_| NotHeader::Line)?;
    let rest = line.strip_prefix("PROXY ").ok_or(NotHeader::Line)?;
    let source = parse_endpoints(rest).ok_or(NotHeader::Line)?;
    Ok(Progress::Complete { length: end + 1, source })
}

const LINE_START: &[u8] = b"PROXY ";

/// §2.1: the longest line there can be, with its end.
const LINE_BYTES_MAX: usize = 107;

fn parse_endpoints(text: &str) -> Option<Source> {
    if text.contains('\r') {
        return None;
    }
    let (family, rest) = text.split_once(' ').unwrap_or((text, ""));
    if family == "UNKNOWN" {
        // §2.1: what follows is to be ignored.
        return Some(Source::Unsaid);
    }
    let mut words = rest.split(' ');
    let mut next = || words.next();
    let (source, destination) = match family {
        "TCP4" => (IpAddr::V4(next()?.parse().ok()?), IpAddr::V4(next()?.parse().ok()?)),
        "TCP6" => (IpAddr::V6(next()?.parse().ok()?), IpAddr::V6(next()?.parse().ok()?)),
        _ => return None,
    };
    let (source_port, _destination_port) = (parse_port(next()?)?, parse_port(next()?)?);
    let _ = destination;
    words.next().is_none().then(|| address(source, source_port))
}

/// §2.1: decimal, from 0 to 65535, nothing before it.
fn parse_port(text: &str) -> Option<u16> {
    let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    is_decimal.then(|| text.parse().ok())?
}

/// §2.2: signature, version and command, family and transport, length, addresses, fields.
fn parse_binary(bytes: &[u8]) -> Result<Progress, NotHeader> {
    let start = bytes.len().min(SIGNATURE.len());
    if bytes[..start] != SIGNATURE[..start] {
        return Err(NotHeader::Signature);
    }
    let command = match bytes.get(12) {
        Some(0x20) => Command::Local,
        Some(0x21) => Command::Proxy,
        Some(_) => return Err(NotHeader::Kind),
        None => return Ok(Progress::Incomplete),
    };
    let family = match bytes.get(13) {
        // §2.2: with LOCAL the family is to be ignored.
        Some(_) if command == Command::Local => Family::Unspecified,
        Some(0x00) => Family::Unspecified,
        Some(0x11) => Family::V4,
        Some(0x21) => Family::V6,
        Some(0x31) => Family::Unix,
        Some(_) => return Err(NotHeader::Kind),
        None => return Ok(Progress::Incomplete),
    };
    let &[high, low, ..] = bytes.get(14..).unwrap_or_default() else { return Ok(Progress::Incomplete) };
    let rest_length = usize::from(u16::from_be_bytes([high, low]));
    let length = BINARY_HEAD_BYTES + rest_length;
    if length > HEADER_BYTES_MAX {
        return Err(NotHeader::TooLong);
    }
    if rest_length < family.address_bytes() {
        return Err(NotHeader::Addresses);
    }
    let Some(rest) = bytes.get(BINARY_HEAD_BYTES..length) else { return Ok(Progress::Incomplete) };
    let (addresses, fields) = rest.split_at_checked(family.address_bytes()).ok_or(NotHeader::Addresses)?;
    // What comes with an unspecified family or with LOCAL is to be ignored whatever it is.
    if !matches!(family, Family::Unspecified) {
        check_fields(fields)?;
    }
    Ok(Progress::Complete { length, source: family.source(addresses).ok_or(NotHeader::Addresses)? })
}

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

const BINARY_HEAD_BYTES: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    Local,
    Proxy,
}

/// §2.2: of a stream; datagrams do not come this way.
#[derive(Clone, Copy, Debug)]
enum Family {
    Unspecified,
    V4,
    V6,
    Unix,
}

impl Family {
    /// Of source and destination together.
    fn address_bytes(self) -> usize {
        match self {
            Self::Unspecified => 0,
            Self::V4 => 12,
            Self::V6 => 36,
            Self::Unix => 216,
        }
    }

    fn source(self, addresses: &[u8]) -> Option<Source> {
        let port = |at: usize| Some(u16::from_be_bytes(addresses.get(at..at + 2)?.try_into().ok()?));
        Some(match self {
            Self::Unspecified | Self::Unix => Source::Unsaid,
            Self::V4 => {
                let source: [u8; 4] = addresses.get(..4)?.try_into().ok()?;
                address(IpAddr::V4(Ipv4Addr::from(source)), port(8)?)
            }
            Self::V6 => {
                let source: [u8; 16] = addresses.get(..16)?.try_into().ok()?;
                address(IpAddr::V6(Ipv6Addr::from(source)), port(32)?)
            }
        })
    }
}

/// §2.2.x: each a type, a length and so many bytes; nothing in them is of use here, but they have to be whole.
fn check_fields(mut fields: &[u8]) -> Result<(), NotHeader> {
    while !fields.is_empty() {
        let &[_type, high, low, ref rest @ ..] = fields else { return Err(NotHeader::Field) };
        let length = usize::from(u16::from_be_bytes([high, low]));
        fields = rest.get(length..).ok_or(NotHeader::Field)?;
    }
    Ok(())
}

fn address(ip: IpAddr, port: u16) -> Source {
    Source::Address(SocketAddr::new(ip.to_canonical(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(bytes: &[u8]) -> Option<(usize, Source)> {
        match parse(bytes) {
            Ok(Progress::Complete { length, source }) => Some((length, source)),
            _ => None,
        }
    }

    fn from(text: &str) -> Source {
        Source::Address(text.parse().expect("an address"))
    }

    /// A version 2 header.
    fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([command, family]);
        bytes.extend(u16::try_from(rest.len()).expect("short").to_be_bytes());
        bytes.extend(rest);
        bytes
    }

    const V4: [u8; 12] = [203, 0, 113, 7, 10, 0, 0, 1, 0xDC, 0x04, 0x01, 0xBB];

    #[test]
    fn lines_to_the_letter() {
        let cases = [
            ("PROXY TCP4 203.0.113.7 10.0.0.1 56324 443\r\n", from("203.0.113.7:56324")),
            ("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", from("255.255.255.255:65535")),
            ("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", from("0.0.0.0:0")),
            ("PROXY TCP6 2001:db8::7 ::1 56324 443\r\n", from("[2001:db8::7]:56324")),
            ("PROXY TCP6 ::ffff:203.0.113.7 ::1 56324 443\r\n", from("203.0.113.7:56324")),
            ("PROXY UNKNOWN\r\n", Source::Unsaid),
            ("PROXY UNKNOWN ffff::1 and whatever else\r\n", Source::Unsaid),
            (
                "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
                from("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"),
            ),
        ];
        for (line, expected) in cases {
            assert_eq!(complete(line.as_bytes()), Some((line.len(), expected)), "{line:?}");
            assert_eq!(complete(format!("{line}\x10").as_bytes()), Some((line.len(), expected)), "{line:?}");
        }
    }

    #[test]
    fn lines_that_are_not() {
        let cases = [
            "PROXY TCP4 203.0.113.7 10.0.0.1 56324 443\n",
            "PROXY TCP4 203.0.113.7 10.0.0.1 56324 443 \r\n",
            "PROXY  TCP4 203.0.113.7 10.0.0.1 56324 443\r\n",
            "PROXY TCP4 203.0.113.7 10.0.0.1 056324 443\r\n",
            "PROXY TCP4 203.0.113.7 10.0.0.1 +563 443\r\n",
            "PROXY TCP4 203.0.113.7 10.0.0.1 65536 443\r\n",
            "PROXY TCP4 203.0.113.07 10.0.0.1 56324 443\r\n",
            "PROXY TCP4 203.0.113.7 ::1 56324 443\r\n",
            "PROXY TCP6 203.0.113.7 10.0.0.1 56324 443\r\n",
            "PROXY TCP6 fe80::1%eth0 ::1 56324 443\r\n",
            "PROXY TCP4 203.0.113.7 10.0.0.1 56324\r\n",
            "PROXY TCP4 203.0.113.7 10.0.0.1 56324 \r\n",
            "PROXY UDP4 203.0.113.7 10.0.0.1 56324 443\r\n",
            "PROXY TCP4 203.0.113.7 10.0.0.1 56324\r443\r\n",
            "PROXY UNKNOWN \r \r\n",
            "PROXY TCP4 203.0.113.7 10.0.0.1 56324 443\r\r\n",
            "PROXY tcp4 203.0.113.7 10.0.0.1 56324 443\r\n",
            "PROXY \r\n",
            "PROXY UNKNOWNX\r\n",
            "proxy UNKNOWN\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "POST / HTTP/1.1\r\n",
            "GET / HTTP/1.1\r\n",
        ];
        for line in cases {
            assert!(parse(line.as_bytes()).is_err(), "{line:?}: {:?}", parse(line.as_bytes()));
        }
        assert_eq!(parse(&[b"PROXY UNKNOWN ".as_slice(), &[b'x'; 92]].concat()), Ok(Progress::Incomplete));
        assert_eq!(parse(&[b"PROXY UNKNOWN ".as_slice(), &[b'x'; 93]].concat()), Err(NotHeader::LineTooLong));
        assert_eq!(parse(b"PROXY UNKNOWN \xff\r\n"), Err(NotHeader::Line));
    }

    #[test]
    fn binary_headers() {
        let mut v6 = [0; 36];
        v6[..16].copy_from_slice(&"2001:db8::7".parse::<Ipv6Addr>().expect("an address").octets());
        v6[32..34].copy_from_slice(&56324_u16.to_be_bytes());
        let fields = [&V4[..], &[0x04, 0, 0], &[0x20, 0, 3, 1, 2, 3]].concat();
        let cases = [
            (binary(0x21, 0x11, &V4), from("203.0.113.7:56324")),
            (binary(0x21, 0x11, &fields), from("203.0.113.7:56324")),
            (binary(0x21, 0x21, &v6), from("[2001:db8::7]:56324")),
            (binary(0x21, 0x31, &[b'/'; 216]), Source::Unsaid),
            (binary(0x21, 0x00, &[]), Source::Unsaid),
            (binary(0x21, 0x00, b"ignored"), Source::Unsaid),
            (binary(0x20, 0x00, &[]), Source::Unsaid),
            (binary(0x20, 0x11, &V4), Source::Unsaid),
            (binary(0x20, 0xFF, b"ignored"), Source::Unsaid),
        ];
        for (header, expected) in cases {
            assert_eq!(complete(&header), Some((header.len(), expected)), "{header:x?}");
        }
    }

    /// SECURITY A, "XFF spoof / PROXY from anyone": EMQX #17330 read behind the header.
    #[test]
    fn a_field_that_ends_behind_the_header_is_refused() {
        for fields in [&[0x04][..], &[0x04, 0], &[0x04, 0, 1], &[0x04, 0, 0, 0x20, 0xFF, 0xFF, 1]] {
            let header = binary(0x21, 0x11, &[&V4[..], fields].concat());
            assert_eq!(parse(&header), Err(NotHeader::Field), "{fields:x?}");
            assert_eq!(parse(&[&header[..], &[0; 70_000]].concat()), Err(NotHeader::Field), "{fields:x?}");
        }
    }

    #[test]
    fn binary_headers_that_are_none() {
        for (command, family) in
            [(0x11, 0x11), (0x31, 0x11), (0x22, 0x11), (0x2F, 0), (0x21, 0x12), (0x21, 0x41), (0x21, 0x01)]
        {
            assert_eq!(parse(&binary(command, family, &V4)), Err(NotHeader::Kind), "{command:x} {family:x}");
        }
        assert_eq!(parse(&binary(0x21, 0x11, &V4[..11])), Err(NotHeader::Addresses));
        assert_eq!(parse(&binary(0x21, 0x21, &[0; 35])), Err(NotHeader::Addresses));
        assert_eq!(parse(&binary(0x21, 0x31, &[0; 215])), Err(NotHeader::Addresses));
        // Refused by what it claims, before any of it has come.
        assert_eq!(parse(&binary(0x21, 0x00, &[0; 4081])[..16]), Err(NotHeader::TooLong));
        assert!(complete(&binary(0x21, 0x00, &[0; 4080])).is_some());
        assert_eq!(parse(b"\r\n\r\n\0\r\nQUIT\r"), Err(NotHeader::Signature));
        assert_eq!(parse(&[0x16, 3, 1]), Err(NotHeader::Signature));
    }

    fn headers() -> impl proptest::strategy::Strategy<Value = Vec<u8>> {
        use proptest::prelude::*;
        prop_oneof![
            any::<(Ipv4Addr, Ipv4Addr, u16, u16)>()
                .prop_map(|(a, b, c, d)| format!("PROXY TCP4 {a} {b} {c} {d}\r\n").into_bytes()),
            any::<(Ipv6Addr, Ipv6Addr, u16, u16)>()
                .prop_map(|(a, b, c, d)| format!("PROXY TCP6 {a} {b} {c} {d}\r\n").into_bytes()),
            (
                proptest::collection::vec(any::<u8>(), 0..300),
                0x20_u8..0x22,
                prop_oneof![Just(0_u8), Just(0x11), Just(0x21)]
            )
                .prop_map(|(rest, command, family)| binary(command, family, &rest)),
            proptest::collection::vec(any::<u8>(), 0..64),
            ("PROXY [A-Z46]{0,8} [0-9a-f:. ]{0,100}\r?\n?").prop_map(String::into_bytes),
        ]
    }

    proptest::proptest! {
        /// However the bytes come, the answer is that of all of them; and while it is open, every byte is the header's.
        #[test]
        fn splits_change_nothing(header in headers(), rest in proptest::collection::vec(proptest::num::u8::ANY, 0..40)) {
            let whole = parse(&[&header[..], &rest].concat());
            let all = [&header[..], &rest].concat();
            let first = (0..=all.len()).map(|end| parse(&all[..end])).find(|so_far| *so_far != Ok(Progress::Incomplete));
            match first {
                Some(decided) => proptest::prop_assert_eq!(decided, whole),
                None => proptest::prop_assert_eq!(whole, Ok(Progress::Incomplete)),
            }
            if let Ok(Progress::Complete { length, .. }) = whole {
                proptest::prop_assert!(length <= all.len() && length <= HEADER_BYTES_MAX);
                proptest::prop_assert_eq!(parse(&all[..length]), whole);
                proptest::prop_assert_eq!(parse(&all[..length - 1]), Ok(Progress::Incomplete));
            }
        }
    }
}
