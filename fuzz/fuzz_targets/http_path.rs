//! The path of a request target: whatever is let in leads nowhere but down, for those too who read escaped slashes or parameters in
//! another way; and written again, as it goes to a server behind, it is read as the same.

#![no_main]

use std::path::{Component, Path};

use libfuzzer_sys::fuzz_target;
use tidegate::edge::RequestPath;

fuzz_target!(|raw: &str| {
    if raw.contains(['?', '#']) {
        return; // where the query begins the path has ended
    }
    let Some(path) = RequestPath::read(raw) else { return };
    assert_eq!(path.bytes().first(), Some(&b'/'));
    assert!(!path.bytes().windows(2).any(|two| two == b"//"), "slashes are merged");
    descends(path.bytes());
    if let Some(parted) = path.parted() {
        descends(&parted);
        assert!(!parted.contains(&0));
    }
    if let Some(file) = path.rest(1) {
        let is_below = Path::new(file).components().all(|part| matches!(part, Component::Normal(_)));
        assert!(is_below, "{file:?}");
    }

    let written = path.replaced(0, "");
    assert!(written.is_ascii(), "{written}");
    let again = RequestPath::read(&written).expect("what is written can be read");
    assert_eq!(again.bytes(), path.bytes(), "{written}");
    let below = path.replaced(1, "/base/");
    let below = RequestPath::read(&below).expect("below something it is as sound");
    assert_eq!(below.bytes().strip_prefix(b"/base"), Some(path.bytes()));
});

/// No segment is one that some reader takes for a step up, or for none.
fn descends(path: &[u8]) {
    for segment in path.split(|&byte| byte == b'/') {
        let name = segment.split(|&byte| byte == b';').next().unwrap_or_default();
        assert!(name != b"." && name != b"..", "{:?}", String::from_utf8_lossy(path));
    }
}
