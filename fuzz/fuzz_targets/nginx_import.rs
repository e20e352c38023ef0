//! Any text as nginx's configuration: a fault, or what is printed can be read, and never a panic.
//!
//! Seeds: the foreign files in `src/cli/import/tests/golden/nginx_*`.

#![no_main]

use std::io;

use libfuzzer_sys::fuzz_target;
use tidegate::cli::import::nginx;
use tidegate::config::{Request, load};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut included = |_: &str| Ok::<_, io::Error>(vec![("a.conf".to_owned(), "listen 8080; root /srv;".to_owned())]);
    match nginx::import(text, "nginx.conf", &mut included) {
        Ok(imported) => {
            let file = std::env::temp_dir().join(format!("tidegate-nginx-import-{}.yaml", std::process::id()));
            std::fs::write(&file, &imported.yaml).expect("a writable file");
            let loaded = load(Request { file: Some(file), environment: Vec::new() });
            assert!(loaded.is_ok(), "{loaded:?}\n{}", imported.yaml);
        }
        Err(faults) => assert!(!faults.is_empty()),
    }
});
