//! Answers in lines that can be compared.

use std::net::SocketAddr;

/// Fields in which servers may not differ.
const FIELDS: [&str; 17] = [
    "allow",
    "content-encoding",
    "content-range",
    "content-type",
    "etag",
    "keep-alive",
    "last-modified",
    "location",
    "refresh",
    "retry-after",
    "set-cookie",
    "trailer",
    "upgrade",
    "vary",
    "www-authenticate",
    "x-end",
    "x-hop",
];

/// What the client saw, a line for each answer. Answers that the server behind has not given are their status alone.
pub fn by_client(bytes: &[u8], is_head: bool, address: SocketAddr) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest = bytes;
    while let Some(end) = rest.windows(4).position(|four| four == b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&rest[..end]).into_owned();
        rest = &rest[end + 4..];
        let mut fields: Vec<(String, String)> = head
            .split("\r\n")
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        fields.sort();
        if !head.starts_with("HTTP/1.") {
            lines.push(format!("no HTTP: {head:?}"));
            continue;
        }
        let status = head.split(' ').nth(1).unwrap_or("?").to_owned();
        let (body, length) = content(&status, &fields, rest, is_head);
        rest = &rest[length..];
        lines.push(line(&status, &fields, &body, address));
    }
    if !rest.is_empty() {
        lines.push(format!("rest {:?}", String::from_utf8_lossy(rest)));
    }
    lines
}

fn line(status: &str, fields: &[(String, String)], body: &str, address: SocketAddr) -> String {
    if !fields.iter().any(|(name, _)| name == "x-app") {
        let own = fields.iter().find(|(name, _)| name == "location");
        let location = own.map(|(_, value)| format!(" to {}", outer(value, address))).unwrap_or_default();
        return format!("{status}{location}");
    }
    let compared = fields.iter().filter(|(name, _)| FIELDS.contains(&name.as_str()));
    let shown: Vec<_> = compared.map(|(name, value)| format!("{name}: {}", outer(value, address))).collect();
    format!("{status} | {} | {body}", shown.join(" | "))
}

/// Addresses of the site itself are as good without their beginning (RFC 9110 §10.2.2).
fn outer(value: &str, address: SocketAddr) -> String {
    let port = format!(":{}", address.port());
    let names = [format!("http://{address}"), format!("http://a.test{port}"), "http://a.test".to_owned()];
    names.iter().find_map(|name| value.strip_prefix(name.as_str())).unwrap_or(value).to_owned()
}

/// The content in words, and its length on the wire.
fn content(status: &str, fields: &[(String, String)], rest: &[u8], is_head: bool) -> (String, usize) {
    let field = |wanted: &str| fields.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
    let shown = |body: &[u8]| match body.len() {
        0..=80 => format!("{:?}", String::from_utf8_lossy(body)),
        length => format!("{length} bytes"),
    };
    if status.starts_with('1') {
        return ("no content".to_owned(), 0);
    }
    if is_head || status == "204" || status == "304" {
        return (format!("no content, length {}", field("content-length").unwrap_or("unknown")), 0);
    }
    if field("transfer-encoding").is_some() {
        let (body, length, is_whole) = unchunked(rest).unwrap_or_default();
        let cut = if is_whole { "" } else { ", cut" };
        return (format!("chunked {}{cut}", shown(&body)), if is_whole { length } else { rest.len() });
    }
    match field("content-length").and_then(|length| length.parse::<usize>().ok()) {
        Some(length) if rest.len() >= length => (shown(&rest[..length]), length),
        Some(length) => (format!("{} of {length}, cut", shown(rest)), rest.len()),
        None => (format!("to the end {}", shown(rest)), rest.len()),
    }
}

/// Chunked content, its length on the wire, and whether it came to its end. `None` if it is none.
pub fn unchunked(bytes: &[u8]) -> Option<(Vec<u8>, usize, bool)> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let Some(line) = bytes[at..].windows(2).position(|two| two == b"\r\n") else { return Some((body, at, false)) };
        let size = std::str::from_utf8(&bytes[at..at + line]).ok()?.split(';').next()?.trim();
        let size = usize::from_str_radix(size, 16).ok()?;
        at += line + 2;
        if size == 0 {
            // Trailers, and the empty line behind them.
            loop {
                let Some(line) = bytes[at..].windows(2).position(|two| two == b"\r\n") else {
                    return Some((body, at, false));
                };
                at += line + 2;
                if line == 0 {
                    return Some((body, at, true));
                }
            }
        }
        let Some(chunk) = bytes.get(at..at + size) else { return Some((body, at, false)) };
        body.extend_from_slice(chunk);
        at += size + 2;
        if at > bytes.len() {
            return Some((body, bytes.len(), false));
        }
    }
}
