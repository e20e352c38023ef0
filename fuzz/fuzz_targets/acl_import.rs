//! Any text as another broker's file: faults, or what is printed can be read, and never a panic.
//!
//! The first byte chooses the format. Seeds: the foreign files in `src/cli/import/tests/golden`.

#![no_main]

use std::io;

use libfuzzer_sys::fuzz_target;
use tidegate::cli::import::acl_csv::{self, Dialect};
use tidegate::cli::import::{emqx_acl, hivemq, mosquitto, mosquitto_acl};
use tidegate::config::{Request, load};
use tidegate::policy::Policy;

fuzz_target!(|data: &[u8]| {
    let Some((format, data)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(data) else { return };
    let imported = match format % 7 {
        0 => mosquitto_acl::import(text, "aclfile"),
        1 => acl_csv::import(text, "acl.csv", Dialect::AuthPlug),
        2 => acl_csv::import(text, "acl.csv", Dialect::GoAuth),
        3 => acl_csv::import(text, "acl.csv", Dialect::Mosquitto),
        4 => emqx_acl::import(text, "acl.conf"),
        5 => hivemq::import(text, "credentials.xml"),
        _ => return configuration(text),
    };
    match imported {
        Ok(imported) => {
            let read = Policy::parse(&imported.yaml, "printed.yaml");
            assert!(read.is_ok(), "{read:?}\n{}", imported.yaml);
        }
        Err(faults) => assert!(!faults.is_empty()),
    }
});

/// A printed configuration is read from a file, as every configuration is.
fn configuration(text: &str) {
    let mut included = |_: &str| Ok::<_, io::Error>(vec![("a.conf".to_owned(), "listener 8883\n".to_owned())]);
    match mosquitto::import(text, "mosquitto.conf", &mut included) {
        Ok(imported) => {
            let file = std::env::temp_dir().join(format!("tidegate-acl-import-{}.yaml", std::process::id()));
            std::fs::write(&file, &imported.yaml).expect("a writable file");
            let loaded = load(Request { file: Some(file), environment: Vec::new() });
            assert!(loaded.is_ok(), "{loaded:?}\n{}", imported.yaml);
        }
        Err(faults) => assert!(!faults.is_empty()),
    }
}
