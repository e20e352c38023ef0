//! The PROXY protocol header (`proxy_v1v2`): any bytes, and headers made of any addresses and fields with their length true or not.
//!
//! Nothing panics; the answer does not depend on how the bytes are split; a header ends within its bytes and its bound.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate::edge::proxy_protocol::{HEADER_BYTES_MAX, Progress, parse};

fuzz_target!(|data: &[u8]| {
    let Some((&kind, rest)) = data.split_first() else { return };
    let mut bytes = Vec::new();
    match kind % 4 {
        0 => {}
        1 => bytes.extend(b"PROXY TCP4 "),
        // Signature, then command, family and length as they come.
        2 => bytes.extend(b"\r\n\r\n\0\r\nQUIT\n"),
        // A sound head, so that addresses and fields are reached.
        _ => {
            bytes.extend(b"\r\n\r\n\0\r\nQUIT\n\x21");
            bytes.push([0x00, 0x11, 0x21, 0x31][usize::from(kind >> 2) % 4]);
            bytes.extend(u16::try_from(rest.len()).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    bytes.extend(rest);
    let whole = parse(&bytes);
    // Every prefix of what is short, and some of what is long.
    let step = 1 + bytes.len() / 256;
    for end in (0..bytes.len()).step_by(step) {
        match parse(&bytes[..end]) {
            Ok(Progress::Incomplete) => {}
            decided => assert_eq!(decided, whole, "{end} bytes"),
        }
    }
    if let Ok(Progress::Complete { length, .. }) = whole {
        assert!(length <= bytes.len() && length <= HEADER_BYTES_MAX);
        assert_eq!(parse(&bytes[..length]), whole);
        assert_eq!(parse(&bytes[..length - 1]), Ok(Progress::Incomplete));
    }
    if whole == Ok(Progress::Incomplete) {
        assert!(bytes.len() < HEADER_BYTES_MAX);
    }
});
