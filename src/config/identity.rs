//! Who is asked, and believed, about who a client is: what `auth.jwt` and `auth.http` mean.

use std::time::Duration;

use super::meaning::{count, duration, section, size};
use super::sources::Origin;
use super::written::Written;
use crate::auth::jwt::{KeySource, KeyUrl, Rules};
use crate::auth::{HttpConfig, JwtConfig};
use crate::fault::Fault;
use crate::outgoing::Url;
use crate::outgoing::url::URL_FORM;

/// How often keys are looked at where `auth.jwt.refresh` is unset.
const FILE_REFRESH: Duration = Duration::from_secs(10);
const URL_REFRESH: Duration = Duration::from_secs(300);

pub(super) fn jwt(auth: &Written, faults: &mut Vec<Fault>) -> Option<JwtConfig> {
    let jwt = section(auth, "jwt");
    let Some(keys) = jwt.get("keys") else {
        only_beside(
            jwt,
            &["audience", "issuer", "cookie"],
            "auth.jwt.keys as well",
            "without keys no token is taken",
            faults,
        );
        return None;
    };
    let (source, refresh) = match keys.as_text() {
        Some(text) => (key_url(keys, text, jwt, faults).map(KeySource::Url), URL_REFRESH),
        None => {
            only_beside(jwt, &["ca"], "auth.jwt.keys with a URL, or leave it out", "is for keys of a URL", faults);
            (jwt.path("keys").map(KeySource::File), FILE_REFRESH)
        }
    };
    let refresh = jwt.duration("refresh").unwrap_or(refresh);
    if matches!(&source, Some(KeySource::Url(url)) if url.stale_max <= refresh) {
        let both = [jwt.get("stale_max"), jwt.get("refresh")];
        let written = both.into_iter().flatten().find(|written| written.origin != Origin::Default);
        let found = "keys would be too old before they are fetched again";
        faults.extend(written.map(|written| written.fault(found, "auth.jwt.stale_max longer than auth.jwt.refresh")));
    }
    Some(JwtConfig {
        keys: source?,
        keys_bytes_max: size(jwt, "keys_bytes_max"),
        rules: Rules {
            audience: jwt.text("audience").map(Into::into),
            issuer: jwt.text("issuer").map(Into::into),
            username_claim: jwt.text("username_claim").unwrap_or_default().into(),
            leeway: duration(jwt, "leeway"),
            token_bytes_max: size(jwt, "token_bytes_max"),
        },
        refresh,
    })
}

fn key_url(written: &Written, text: &str, jwt: &Written, faults: &mut Vec<Fault>) -> Option<KeyUrl> {
    let url = url(written, text, faults)?;
    if !url.upstream().is_tls() && !url.upstream().is_local() {
        let found =
            format!("{url} goes over the network in the clear: whoever is on the way could put in keys of their own");
        faults.push(written.fault(found, "https, or a loopback address, or a file"));
    }
    let ca = jwt.path("ca");
    Some(KeyUrl { url, ca, timeout: duration(jwt, "timeout"), stale_max: duration(jwt, "stale_max") })
}

pub(super) fn http(auth: &Written, faults: &mut Vec<Fault>) -> Option<HttpConfig> {
    let http = section(auth, "http");
    let Some(written) = http.get("url") else {
        only_beside(http, &["ca", "token_file"], "auth.http.url as well", "without a URL nobody is asked", faults);
        let jwt = section(auth, "jwt");
        if jwt.get("keys").is_none() {
            only_beside(jwt, &["cookie"], "auth.jwt.keys as well", "without keys no token is taken", faults);
        }
        return None;
    };
    let url = url(written, written.as_text()?, faults)?;
    let is_safe = url.upstream().is_tls() || url.upstream().is_local();
    if !is_safe && http.flag("danger_plain_http") != Some(true) {
        let found = format!("{url} goes over the network in the clear: passwords could be read, and answers forged");
        let allowed = "https, a loopback address or a socket; or auth.http.danger_plain_http: true as well";
        faults.push(written.fault(found, allowed));
    }
    Some(HttpConfig {
        url,
        ca: http.path("ca"),
        token_file: http.path("token_file"),
        timeout: duration(http, "timeout"),
        allow_ttl: duration(http, "allow_ttl"),
        deny_ttl: duration(http, "deny_ttl"),
        stale_max: duration(http, "stale_max"),
        cache_max: count(http, "cache_max"),
        requests_max: count(http, "requests_max"),
        waiting_max: count(http, "waiting_max"),
        answer_bytes_max: size(http, "answer_bytes_max"),
    })
}

/// The URL that a text is.
fn url(written: &Written, text: &str, faults: &mut Vec<Fault>) -> Option<Url> {
    let url = Url::parse(text).map_err(|error| faults.push(written.fault(error.to_string(), URL_FORM)));
    url.ok()
}

/// Refuses keys that say nothing without another one; one fault is enough.
fn only_beside(section: &Written, keys: &[&str], allowed: &str, found: &str, faults: &mut Vec<Fault>) {
    let written = keys.iter().filter_map(|key| section.get(key)).find(|written| written.origin != Origin::Default);
    faults.extend(written.map(|written| written.fault(found, allowed)));
}
