//! Whether WebSockets may share one HTTP/2 connection with the page (RFC 8441). Nobody suffers without it.

use std::io::{self, Read as _, Write as _};

use super::super::report::Report;
use super::Place;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// SETTINGS without any.
const EMPTY_SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

const SETTINGS: u8 = 4;

const ENABLE_CONNECT_PROTOCOL: u16 = 8;

/// The server's first frame is its SETTINGS, and none is longer unless asked for (RFC 9113 §4.2).
const FRAME_BYTES_MAX: usize = 16_384;

pub(super) fn check(place: &Place<'_>, report: &mut Report) {
    if !place.target.is_tls {
        return;
    }
    match ask(place) {
        Ok(Some(true)) => report.ok("http2", "WebSockets over HTTP/2 are offered"),
        Ok(Some(false)) => report.ok("http2", "spoken, without WebSockets: browsers open them over HTTP/1.1"),
        // A server without HTTP/2 may as well refuse the handshake.
        Ok(None) | Err(_) => report.ok("http2", "not spoken: browsers use HTTP/1.1"),
    }
}

/// Whether the server's settings allow it; `None`: it speaks no HTTP/2.
fn ask(place: &Place<'_>) -> io::Result<Option<bool>> {
    let (mut wire, shown) = place.open_with(&["h2", "http/1.1"])?;
    if shown.alpn.as_deref() != Some("h2") {
        return Ok(None);
    }
    wire.write_all(PREFACE)?;
    wire.write_all(&EMPTY_SETTINGS)?;
    wire.flush()?;
    let mut header = [0; 9];
    wire.read_exact(&mut header)?;
    let [high, middle, low, kind, ..] = header;
    let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
    if kind != SETTINGS || length > FRAME_BYTES_MAX {
        return Ok(None);
    }
    let mut settings = vec![0; length];
    wire.read_exact(&mut settings)?;
    Ok(Some(allows(&settings)))
}

fn allows(settings: &[u8]) -> bool {
    let mut values = settings.as_chunks::<6>().0.iter();
    values.any(|[id_high, id_low, value @ ..]| {
        u16::from_be_bytes([*id_high, *id_low]) == ENABLE_CONNECT_PROTOCOL && u32::from_be_bytes(*value) == 1
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_setting_among_others_says_it() {
        let other = [0, 3, 0, 0, 0, 100];
        assert!(!allows(&other));
        assert!(allows(&[other, [0, 8, 0, 0, 0, 1]].concat()));
        assert!(!allows(&[other, [0, 8, 0, 0, 0, 0]].concat()));
        assert!(!allows(&[0, 8, 0]));
    }
}
