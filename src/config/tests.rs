//! Golden files: `tests/config/*.txt` hold what is written, a line of dashes, and the faults that it has.
//!
//! Lines at the top that begin with `$ ` set environment variables. `BLESS=1` writes the faults that were found into the files.

use std::fs;
use std::path::{Path, PathBuf};

use super::schema::{self, Kind};
use super::units::{format_duration, format_size};
use super::{Loaded, Request, environment, load};
use crate::auth::AuthConfig;
use crate::connection::{ConnectionConfig, Revoked};
use crate::edge::{CertificateSource, EdgeConfig, EdgeLimits, OriginRule, PathMatch, RouteAction, Scheme};
use crate::engine::{EngineConfig, QueueFull};
use crate::fault::Fault;
use crate::telemetry::LogConfig;

const DASHES: &str = "----\n";

#[test]
fn faults_are_told_as_the_golden_files_say() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config");
    let mut paths: Vec<PathBuf> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() > 10, "{paths:?}");
    let mut failures = Vec::new();
    for path in paths {
        let golden = fs::read_to_string(&path).unwrap();
        let (input, expected) = golden.split_once(DASHES).unwrap_or((&golden, ""));
        let found = faults_of(input);
        if found != expected {
            failures.push(format!("{}:\nexpected:\n{expected}found:\n{found}", path.display()));
            if std::env::var_os("BLESS").is_some() {
                fs::write(&path, format!("{input}{DASHES}{found}")).unwrap();
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn the_built_in_default_is_what_the_interface_promises() {
    let Loaded { config, file, .. } = load_text(None, &[]).unwrap();

    assert_eq!(file, None);
    let listeners: Vec<_> =
        config.edge.listeners.iter().map(|listener| (listener.scheme, listener.address.to_string())).collect();
    assert_eq!(listeners, [(Scheme::Https, "127.0.0.1:8443".to_owned()), (Scheme::Mqtt, "127.0.0.1:1883".to_owned())]);
    assert_eq!(config.edge.tls.certificates, CertificateSource::Development { directory: "certs/dev".into() });
    let routes: Vec<_> = config.edge.routes.into_iter().map(|route| (route.path, route.action)).collect();
    let prefix = |text: &str| PathMatch::Prefix(text.to_owned());
    let expected = [
        (prefix("/mqtt"), RouteAction::ServeMqtt),
        (prefix("/ws/"), RouteAction::ServeJson),
        (prefix("/"), RouteAction::Demo),
    ];
    assert_eq!(routes, expected);
    assert_eq!(config.admin.listen, "127.0.0.1:9090".parse().ok());
    assert!(config.auth.anonymous);
    assert_eq!(config.policy, None);
}

#[test]
fn defaults_are_those_of_the_modules() {
    let config = load_text(None, &[]).unwrap().config;

    assert_eq!(config.edge.limits, EdgeLimits::default());
    assert_eq!(config.edge.tls, EdgeConfig::default().tls);
    assert_eq!(config.edge.origins, OriginRule::default());
    assert_eq!(config.connection, ConnectionConfig::default());
    assert_eq!(config.engine, EngineConfig::default());
    assert_eq!(config.admin, crate::admin::AdminConfig::default());
    assert_eq!(config.log, LogConfig::default());
    assert_eq!(config.auth, AuthConfig { anonymous: true, ..AuthConfig::default() });
}

#[test]
fn paths_are_relative_to_what_names_them() {
    let text = "auth: {passwords: passwords}\npolicy: /etc/policy.yaml\nroutes: [{path: /, files: public}]\n";
    let environment = [("TIDEGATE_TLS__CERT", "a.pem"), ("TIDEGATE_TLS__KEY", "a.key")];
    let Loaded { config, file, .. } = load_text(Some(text), &environment).unwrap();

    let directory = file.unwrap().parent().unwrap().to_owned();
    assert_eq!(config.auth.passwords, Some(directory.join("passwords")));
    assert_eq!(config.policy, Some("/etc/policy.yaml".into()));
    let RouteAction::Files { root, .. } = &config.edge.routes[0].action else { panic!("{:?}", config.edge.routes) };
    assert_eq!(*root, directory.join("public"));
    let CertificateSource::Files(files) = &config.edge.tls.certificates else { panic!("{:?}", config.edge.tls) };
    assert_eq!(files[0].certificate, Path::new("a.pem"));
}

#[test]
fn a_listener_may_differ() {
    let text = "listen:\n  - https://127.0.0.1:1\n  - url: https://127.0.0.1:2\n    tls: {cert: a.pem, key: a.key}\n    \
                routes: [{path: /, serve: demo}]\n";
    let Loaded { config, file, .. } = load_text(Some(text), &[]).unwrap();

    let [shared, own] = &config.edge.listeners[..] else { panic!("{:?}", config.edge.listeners) };
    assert_eq!((&shared.tls, &shared.routes), (&None, &None));
    assert_eq!(own.routes.as_deref().map(<[_]>::len), Some(1));
    let Some(CertificateSource::Files(files)) = own.tls.as_ref().map(|tls| &tls.certificates) else {
        panic!("{:?}", own.tls)
    };
    assert_eq!(files[0].key, file.unwrap().with_file_name("a.key"));
}

#[test]
fn environment_beats_file_beats_default() {
    let text =
        "listen: [mqtt://127.0.0.1:1]\nengine: {inflight_max: 5, queue_bytes_max: 3MiB, queue_full: drop_oldest}\n";
    let environment = [("TIDEGATE_LISTEN", r#"["http://127.0.0.1:2"]"#), ("TIDEGATE_ENGINE__INFLIGHT_MAX", "7")];
    let config = load_text(Some(text), &environment).unwrap().config;

    assert_eq!(config.edge.listeners.len(), 1);
    assert_eq!(config.edge.listeners[0].url, "http://127.0.0.1:2");
    assert_eq!(config.engine.inflight_max, 7);
    assert_eq!(config.connection.receive_maximum, 7);
    assert_eq!(config.engine.queue_bytes_max, 3 << 20);
    assert_eq!(config.engine.queue_full, QueueFull::DropOldest);
    assert_eq!(config.engine.sessions_max, EngineConfig::default().sessions_max);
}

#[test]
fn what_a_5_0_client_sees_of_a_lost_subscription_is_set() {
    let of = |text: &str| load_text(Some(text), &[]).unwrap().config.connection.revoked;
    assert_eq!(of("listen: [mqtt://127.0.0.1:1]\n"), Revoked::Disconnect);
    assert_eq!(of("listen: [mqtt://127.0.0.1:1]\nmqtt: {revoked: disconnect}\n"), Revoked::Disconnect);
    assert_eq!(of("listen: [mqtt://127.0.0.1:1]\nmqtt: {revoked: keep}\n"), Revoked::Keep);
}

#[test]
fn what_faces_others_starts_with_identity_and_policy_only() {
    let listen = "listen: [mqtt://0.0.0.0:1883]\n";
    let refused = ["", "policy: p\n", "auth: {passwords: p}\n", "auth: {anonymous: true}\n"];
    for text in refused {
        assert!(load_text(Some(&format!("{listen}{text}")), &[]).is_err(), "{text:?}");
    }
    let started = [("policy: p\nauth: {passwords: p}\n", false), ("policy: p\nauth: {anonymous: true}\n", true)];
    for (text, anonymous) in started {
        let config = load_text(Some(&format!("{listen}{text}")), &[]).unwrap().config;
        assert_eq!(config.auth.anonymous, anonymous, "{text:?}");
    }
    let redirect_only = "listen: [{url: http://0.0.0.0, routes: [{path: /, redirect: https://a.example/}]}]\n";
    assert!(load_text(Some(redirect_only), &[]).is_ok());
    let pages_only = "listen: [http://0.0.0.0:80]\nroutes: [{path: /, redirect: https://a.example/}]\n";
    assert!(load_text(Some(pages_only), &[]).is_ok());
}

#[test]
fn what_modules_find_is_placed_where_it_stands() {
    let text = "listen:\n  - url: http://127.0.0.1:1\n    routes:\n      - {path: /, files: nowhere}\n";
    let loaded = load_text(Some(text), &[("TIDEGATE_TLS__CERT", "a"), ("TIDEGATE_TLS__KEY", "b")]).unwrap();
    let keys = ["listen[0].routes[0].files", "listen[0].routes[0].fallback", "listen[1]", "tls.cert", "routes[0]"];
    let found = keys.map(|key| Fault::new("", key, "x", "y")).to_vec();

    let placed: Vec<_> =
        loaded.placed(found).into_iter().map(|fault| (fault.origin, fault.line, fault.column)).collect();
    let file = loaded.file.unwrap().display().to_string();
    let at = |line, column| (file.clone(), Some(line), Some(column));
    let elsewhere = |origin: &str| (origin.to_owned(), None, None);
    assert_eq!(placed, [at(4, 26), at(4, 9), at(2, 3), elsewhere("TIDEGATE_TLS__CERT"), elsewhere("default")]);
}

#[test]
fn a_missing_file_is_a_fault_where_it_was_named() {
    let faults = load(Request { file: Some("no/such.yaml".into()), environment: Vec::new() }).unwrap_err();
    assert!(faults[0].to_string().starts_with("no/such.yaml: cannot be read"), "{faults:?}");
}

#[test]
fn the_minimal_file_is_without_fault() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/minimal.yaml");
    let config = load(Request { file: Some(file), environment: Vec::new() }).unwrap().config;
    assert!(!config.auth.anonymous && config.policy.is_some());
}

#[test]
fn every_prefix_of_a_configuration_is_refused_or_loaded() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/minimal.yaml")).unwrap();
    for (end, _) in text.char_indices() {
        // The answer is free; that there is one, is not.
        let _ = load_text(Some(&text[..end]), &[]);
    }
}

#[test]
fn no_value_of_any_key_is_a_panic() {
    let anything = ["", "1e99", "text", "[[~]]", "{a: b}"];
    schema::walk(schema::ROOT, &mut |path, _| {
        for value in anything {
            // The answer is free; that there is one, is not.
            let _ = load_text(Some(&nested(path, value)), &[]);
        }
    });
}

#[test]
fn every_bound_is_within_what_the_modules_take() {
    schema::walk(schema::ROOT, &mut |path, key| {
        let (min, max) = match key.kind {
            Kind::Count { min, max } => (min.to_string(), max.to_string()),
            Kind::Duration { min, max } => (format_duration(min), format_duration(max)),
            Kind::Size { min, max } => (format_size(min), format_size(max)),
            _ => return,
        };
        let in_file = load_text(Some(&nested(path, &min)), &[]);
        let in_environment = load_text(None, &[(&environment::name_of(path), &max)]);
        for faults in [in_file.err(), in_environment.err()].into_iter().flatten() {
            // The two that bound each other are the exception.
            assert!(faults.iter().all(|fault| fault.found.contains("ping interval")), "{faults:?}");
        }
    });
}

/// Writes `a: {b: value}`.
fn nested(path: &[&str], value: &str) -> String {
    format!("{}: {value}{}\n", path.join(": {"), "}".repeat(path.len() - 1))
}

fn faults_of(input: &str) -> String {
    let is_variable = |line: &&str| line.starts_with("$ ");
    let environment: Vec<(&str, &str)> =
        input.lines().take_while(is_variable).filter_map(|line| line[2..].split_once('=')).collect();
    let text: String = input.split_inclusive('\n').skip(environment.len()).collect();
    match load_text(Some(&text), &environment) {
        Ok(_) => "no fault\n".to_owned(),
        Err(faults) => faults.iter().map(|fault| format!("{fault}\n")).collect(),
    }
}

/// Loads `text` as the file `tidegate.yaml`, which faults name without its directory.
fn load_text(text: Option<&str>, environment: &[(&str, &str)]) -> Result<Loaded, Vec<Fault>> {
    let directory = tempfile::tempdir().unwrap();
    let file = text.map(|text| {
        let file = directory.path().join("tidegate.yaml");
        fs::write(&file, text).unwrap();
        file
    });
    let environment = environment.iter().map(|(name, value)| (name.into(), value.into())).collect();
    let shorten = |mut fault: Fault| {
        if let Ok(name) = Path::new(&fault.origin).strip_prefix(directory.path()) {
            fault.origin = name.display().to_string();
        }
        fault
    };
    load(Request { file, environment }).map_err(|faults| faults.into_iter().map(shorten).collect())
}

#[test]
fn the_defaults_of_a_proxy_are_those_that_the_table_tells() {
    let routes = schema::find(schema::ROOT, "routes").expect("a key of the table");
    let Some(schema::Kind::List(item)) = routes.kind.of_shape(schema::Shape::List) else { panic!("a list") };
    let proxy = item.keys().and_then(|keys| schema::find(keys, "proxy")).expect("a key of the table");
    let told: String = proxy
        .kind
        .keys()
        .expect("a mapping")
        .iter()
        .filter_map(|key| Some(format!(", {}: {}", key.name, key.default?)))
        .collect();
    let routes_of = |proxy: &str| {
        let text = format!("listen: [http://127.0.0.1:80]\nroutes: [{{path: /, proxy: {proxy}}}]\n");
        load_text(Some(&text), &[]).expect("the configuration is sound").config.edge.routes
    };
    let told = routes_of(&format!("{{to: http://127.0.0.1:81{told}}}"));
    assert_eq!(told, routes_of("http://127.0.0.1:81"));
    assert_eq!(told, routes_of("[http://127.0.0.1:81]"));
}
