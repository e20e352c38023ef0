//! Whether those whom Tidegate asks can be reached.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::super::report::{Report, quoted};
use super::kernel::proxies;
use crate::auth::jwt::KeySource;
use crate::config::Config;
use crate::outgoing::{Connector, Trust, Url};

/// Connects to each once, and says nothing.
pub(super) async fn check(config: &Config, timeout: Duration, report: &mut Report) {
    for (name, (url, ca, what)) in all(config) {
        let trust = match url.upstream().is_tls().then(|| Trust::load(ca.as_deref(), &[], "ca")).transpose() {
            Ok(trust) => trust,
            Err(fault) => {
                report.skipped("behind", format!("{name}: {}", fault.found));
                continue;
            }
        };
        match Connector::new(url.upstream().clone(), trust, timeout).connect().await {
            Ok(_) => report.ok("behind", format!("{what} takes connections: {name}")),
            Err(error) => {
                let found = format!("{what} {name} cannot be reached: {}", quoted(&error.to_string()));
                let remedy = "Look whether it runs, and whether its address is what the configuration says.";
                report.fault("behind", found, why(what), remedy);
            }
        }
    }
}

const PROXIED: &str = "the server behind a route,";
const SERVICE: &str = "auth.http";
const KEYS: &str = "auth.jwt.keys";

fn why(what: &str) -> &'static str {
    match what {
        PROXIED => "Requests that go there are answered with 502.",
        SERVICE => "Nobody comes in but those whose answer is still remembered.",
        _ => "Nobody comes in by a token once the keys at hand are too old.",
    }
}

/// Each once, by its name.
fn all(config: &Config) -> BTreeMap<String, (&Url, Option<PathBuf>, &'static str)> {
    let mut all = BTreeMap::new();
    for proxy in proxies(&config.edge) {
        for server in &proxy.to {
            all.insert(server.to_string(), (&server.url, proxy.ca.clone(), PROXIED));
        }
    }
    if let Some(http) = &config.auth.http {
        all.insert(http.url.to_string(), (&http.url, http.ca.clone(), SERVICE));
    }
    if let Some(KeySource::Url(keys)) = config.auth.jwt.as_ref().map(|jwt| &jwt.keys) {
        all.insert(keys.url.to_string(), (&keys.url, keys.ca.clone(), KEYS));
    }
    all
}
