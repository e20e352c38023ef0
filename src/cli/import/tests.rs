//! Golden files: how the file is imported, the foreign file, a line of dashes, then what is printed, or its faults.
//!
//! `BLESS=1 cargo test --lib cli::import` writes what comes out into the files; read the difference before committing it. Whatever is
//! printed has to be read by this version without a fault.

mod properties;

use std::fmt::Write as _;
use std::path::Path;

use super::*;
use crate::auth::Principal;
use crate::config;
use crate::mqtt::QoS;
use crate::policy::Policy;

const DASHES: &str = "\n----------\n";

#[test]
fn every_file_says_what_comes_out() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/import/tests/golden");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() > 5, "{paths:?}");
    let mut failures = String::new();
    for path in paths {
        let golden = std::fs::read_to_string(&path).unwrap();
        let (input, expected) = golden.split_once(DASHES).unwrap_or((golden.trim_end(), ""));
        let (how, foreign) = input.split_once('\n').unwrap();
        let found = match import(how, &format!("{foreign}\n")) {
            Ok(imported) => {
                assert_eq!(
                    faults_of(how, &imported.yaml),
                    [],
                    "{}
{}",
                    path.display(),
                    imported.yaml
                );
                imported.yaml
            }
            Err(faults) => faults.iter().map(|fault| format!("{fault}\n")).collect(),
        };
        if found != expected {
            writeln!(failures, "{}:\nexpected:\n{expected}\nfound:\n{found}", path.display()).unwrap();
            if std::env::var_os("BLESS").is_some() {
                std::fs::write(&path, format!("{input}{DASHES}{found}")).unwrap();
            }
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

fn import(how: &str, text: &str) -> Result<Imported, Vec<Fault>> {
    match how {
        "mosquitto-conf" => mosquitto::import(text, "mosquitto.conf", &mut included),
        "nginx" => nginx::import(text, "nginx.conf", &mut included_by_nginx),
        "nginx-site" => nginx::import(text, "/etc/nginx/sites-enabled/site", &mut included_by_nginx),
        "mosquitto-acl" => mosquitto_acl::import(text, "aclfile"),
        "emqx" => emqx_acl::import(text, "acl.conf"),
        "hivemq" => hivemq::import(text, "credentials.xml"),
        "auth-plug" => acl_csv::import(text, "acl.csv", Dialect::AuthPlug),
        "go-auth" => acl_csv::import(text, "acl.csv", Dialect::GoAuth),
        "mosquitto" => acl_csv::import(text, "acl.csv", Dialect::Mosquitto),
        _ => panic!("{how:?} is no format"),
    }
}

/// What an `include_dir` of a test holds.
fn included(directory: &str) -> io::Result<Vec<mosquitto::Named>> {
    match directory {
        "conf.d" => Ok(vec![
            ("conf.d/b.conf".to_owned(), "listener 8883\n".to_owned()),
            ("conf.d/a.conf".to_owned(), "allow_anonymous true\ninclude_dir conf.d\n".to_owned()),
        ]),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

/// What the `include`s of a test name.
fn included_by_nginx(pattern: &str) -> io::Result<Vec<nginx::Named>> {
    let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    match pattern {
        "/etc/nginx/snippets/ssl.conf" => Ok(vec![file(
            pattern,
            "ssl_certificate /etc/ssl/a.pem;\nssl_certificate_key /etc/ssl/a.key;\nssl_protocols TLSv1.2 TLSv1.3;\n",
        )]),
        "mime.types" => Ok(vec![file("mime.types", "types { text/html html; }\n")]),
        "conf.d/*.conf" => Ok(vec![
            file("conf.d/b.conf", "server { listen 8081; location / { proxy_pass http://127.0.0.1:2; } }\n"),
            file("conf.d/a.conf", "server { listen 8080; location / { proxy_pass http://127.0.0.1:1; } }\n"),
        ]),
        "loop.conf" => Ok(vec![file("loop.conf", "include loop.conf;\n")]),
        _ if nginx::glob::is_pattern(pattern) => Ok(Vec::new()),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

/// The faults that this version finds in what was printed.
fn faults_of(how: &str, yaml: &str) -> Vec<Fault> {
    if !matches!(how, "mosquitto-conf" | "nginx" | "nginx-site") {
        return Policy::parse(yaml, "printed.yaml").err().unwrap_or_default();
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), yaml).unwrap();
    let request = config::Request { file: Some(file.path().to_owned()), environment: Vec::new() };
    config::load(request).err().unwrap_or_default()
}

/// Whether a printed policy lets `who` publish to a topic, and whether it delivers from it.
fn verdicts(imported: &Imported, who: &Principal, client_id: &str, topic: &str) -> (bool, bool) {
    let policy = Policy::parse(&imported.yaml, "printed.yaml").unwrap();
    let access = policy.bind(who, client_id).unwrap();
    (access.publish(topic, QoS::AtMostOnce, false, 0).allow, access.receive(topic).allow)
}

#[test]
fn the_articles_table_says_the_same_in_each_dialect() {
    let who = Principal::user("client");
    let by = |how: &str, up: u8, down: u8| {
        // Where subscribing is a right of its own, everybody in this table has it.
        let subscribe = if how == "go-auth" { "client,#,4\n" } else { "" };
        let table = format!("client,/p/client/upload,{up}\nclient,/p/client/download,{down}\n{subscribe}");
        let imported = import(how, &table).unwrap();
        ["/p/client/upload", "/p/client/download", "/p/other/upload"]
            .map(|topic| verdicts(&imported, &who, "c1", topic))
    };
    let meant = [(true, true), (false, true), (false, false)];
    assert_eq!(by("auth-plug", 2, 1), meant);
    assert_eq!(by("go-auth", 3, 1), meant);
    assert_eq!(by("mosquitto", 3, 1), meant);
    assert_ne!(by("go-auth", 2, 1), meant, "2 is writing alone there");
}
