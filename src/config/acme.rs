//! What `tls.acme` means.

use rustls::pki_types::DnsName;

use super::meaning::duration;
use super::sources::Origin;
use super::written::Written;
use crate::edge::{AcmeChallenge, AcmeConfig, EdgeConfig, ExternalAccount, Scheme};
use crate::fault::Fault;
use crate::outgoing::Url;

/// Authorities take no more in one certificate.
const DOMAINS_MAX: usize = 100;

/// The section, if a certificate is to be issued; with `cert` beside it, or with nothing to issue one for, it is at fault.
pub(super) fn wanted<'a>(acme: &'a Written, cert: Option<&Written>, faults: &mut Vec<Fault>) -> Option<&'a Written> {
    let written = said(acme)?;
    if cert.is_some() {
        let found = "tls.cert is there too, and only one of them can be shown";
        faults.push(written.fault(found, "tls.cert or tls.acme; a listener's own tls may name a cert beside tls.acme"));
        return None;
    }
    if acme.items("domains").is_empty() {
        faults.push(written.fault("no names to have a certificate for", "tls.acme.domains with one name at least"));
        return None;
    }
    Some(acme)
}

/// What an operator writes only who wants a certificate issued: a key without a default.
fn said(acme: &Written) -> Option<&Written> {
    let eab = acme.get("eab");
    let of_eab = |key| eab.and_then(|eab| eab.get(key));
    let agreed = acme.get("agree_to_terms").filter(|_| acme.flag("agree_to_terms") == Some(true));
    let keys = ["domains", "contact", "ca"].iter().find_map(|key| acme.get(key));
    keys.or(of_eab("kid")).or(of_eab("key_file")).or(agreed)
}

/// Reads `tls.acme`; `None` where it is at fault.
pub(super) fn acme(acme: &Written, faults: &mut Vec<Fault>) -> Option<AcmeConfig> {
    if acme.flag("agree_to_terms") != Some(true) {
        let place = acme.get("agree_to_terms").filter(is_written).or(acme.get("domains"));
        let found = "the authority's terms of service are not agreed to, and it issues nothing without that";
        faults.extend(place.map(|place| place.fault(found, "tls.acme.agree_to_terms: true")));
    }
    let domains = domains(acme, faults);
    let contact = contact(acme, faults);
    let directory = directory(acme, faults);
    let eab = external_account(acme, faults);
    Some(AcmeConfig {
        directory: directory?,
        domains,
        contact,
        challenge: match acme.text("challenge") {
            Some("http-01") => AcmeChallenge::Http01,
            _ => AcmeChallenge::TlsAlpn01,
        },
        storage: acme.path("storage")?,
        ca: acme.path("ca"),
        eab,
        renew_before: duration(acme, "renew_before"),
        retry: duration(acme, "retry"),
    })
}

fn domains(acme: &Written, faults: &mut Vec<Fault>) -> Vec<String> {
    let mut domains: Vec<String> = Vec::new();
    for item in acme.items("domains") {
        let Some(text) = item.as_text() else { continue };
        let domain = text.to_ascii_lowercase();
        if domain.starts_with("*.") {
            let allowed = "each name by itself: a wildcard can be proven by DNS only";
            faults.push(item.fault(format!("{text} is a wildcard"), allowed));
        } else if !is_public_name(&domain) {
            faults.push(item.fault(format!("{text:?}"), "a host name such as app.example"));
        } else if domains.contains(&domain) {
            faults.push(item.fault("is given twice", "each name once"));
        } else {
            domains.push(domain);
        }
    }
    if let (Some(written), true) = (acme.get("domains"), domains.len() > DOMAINS_MAX) {
        faults.push(written.fault(format!("{} names", domains.len()), format!("{DOMAINS_MAX} at the most")));
    }
    domains
}

/// Whether it is a name of DNS, and no address. Private authorities know names of a single label.
fn is_public_name(domain: &str) -> bool {
    let is_address = domain.parse::<std::net::IpAddr>().is_ok();
    !is_address && !domain.ends_with('.') && DnsName::try_from(domain).is_ok()
}

fn contact(acme: &Written, faults: &mut Vec<Fault>) -> Vec<String> {
    let mut contact = Vec::new();
    for item in acme.items("contact") {
        let Some(text) = item.as_text() else { continue };
        match text.strip_prefix("mailto:").is_some_and(|address| address.contains('@')) {
            true => contact.push(text.to_owned()),
            false => faults.push(item.fault(format!("{text:?}"), "mailto: and an address")),
        }
    }
    contact
}

fn directory(acme: &Written, faults: &mut Vec<Fault>) -> Option<Url> {
    let written = acme.get("directory")?;
    let allowed = "an https URL such as https://acme-v02.api.letsencrypt.org/directory";
    match Url::parse(written.as_text()?) {
        Ok(url) if url.upstream().is_tls() => Some(url),
        Ok(url) => {
            faults.push(written.fault(format!("{url} is not https"), allowed));
            None
        }
        Err(error) => {
            faults.push(written.fault(error.to_string(), allowed));
            None
        }
    }
}

fn external_account(acme: &Written, faults: &mut Vec<Fault>) -> Option<ExternalAccount> {
    let eab = acme.get("eab")?;
    match (eab.text("kid"), eab.path("key_file")) {
        (Some(kid), Some(key_file)) => Some(ExternalAccount { kid: kid.to_owned(), key_file }),
        (None, None) => None,
        _ => {
            let found = "half of an account";
            let place = eab.get("kid").or(eab.get("key_file")).unwrap_or(eab);
            faults.push(place.fault(found, "tls.acme.eab.kid and tls.acme.eab.key_file, both"));
            None
        }
    }
}

fn is_written(written: &&Written) -> bool {
    written.origin != Origin::Default
}

/// Names a challenge that could never be met.
pub(super) fn listeners(root: &Written, edge: &EdgeConfig, faults: &mut Vec<Fault>) {
    let Some(acme) = edge.acme() else { return };
    let (scheme, name) = match acme.challenge {
        AcmeChallenge::TlsAlpn01 => (Scheme::Https, "https"),
        AcmeChallenge::Http01 => (Scheme::Http, "http"),
    };
    if !edge.listeners.is_empty() && !edge.listeners.iter().any(|listener| listener.scheme == scheme) {
        let section = root.get("tls").and_then(|tls| tls.get("acme"));
        let written = |key| section.and_then(|acme| acme.get(key));
        let place = written("challenge").filter(is_written).or(written("domains"));
        let found = format!("no {name} listener could answer the challenge {}", acme.challenge.name());
        faults.extend(
            place.map(|place| place.fault(found, format!("a listener of {name} as well, or the other challenge"))),
        );
    }
}
