//! What a chain of certificates is worth: for the name, at this time, to whom.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, RootCertStore};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::report::{Report, quoted};
use super::tls::Shown;

const DAY_S: i64 = 24 * 3600;

/// Whoever renews by itself has done so earlier.
const LEFT_MIN_S: i64 = 14 * DAY_S;

/// "TLS feature" (RFC 7633): a client is to refuse the certificate without a staple.
const MUST_STAPLE: &str = "1.3.6.1.5.5.7.1.24";

/// Judges what a server has shown; whether a careful client would go on.
pub fn judge(
    shown: &Shown,
    host: &str,
    roots: &Result<RootCertStore, String>,
    now_s: i64,
    report: &mut Report,
) -> bool {
    let faults_before = report.count(super::report::Verdict::Fault);
    let chain: Vec<_> =
        shown.chain.iter().filter_map(|der| X509Certificate::from_der(der).ok().map(|(_, parsed)| parsed)).collect();
    let (Some(leaf_der), Some(leaf)) = (shown.chain.first(), chain.first()) else {
        report.fault("certificate", "cannot be read", "No client will accept it.", "Show an X.509 certificate.");
        return false;
    };
    name(leaf_der, leaf, host, report);
    let valid_at_s = expiry(leaf, now_s, report);
    match roots {
        Ok(roots) => trust(shown, &chain, host, roots, valid_at_s, report),
        Err(found) => report.skipped("chain", format!("nobody to believe: {found}")),
    }
    staple(leaf, &shown.ocsp, report);
    roots.is_ok() && report.count(super::report::Verdict::Fault) == faults_before
}

fn name(der: &CertificateDer<'_>, leaf: &X509Certificate<'_>, host: &str, report: &mut Report) {
    let names = names(leaf);
    let end_entity = webpki::EndEntityCert::try_from(der);
    let is_for_host = match (end_entity, ServerName::try_from(host)) {
        (Ok(leaf), Ok(name)) => leaf.verify_is_valid_for_subject_name(&name).is_ok(),
        _ => false,
    };
    if is_for_host {
        return report.ok("name", format!("the certificate is for {host}"));
    }
    let found = match names.is_empty() {
        true => format!("the certificate is for no name at all, and not for {host}"),
        false => format!("the certificate is for {}, not for {host}", names.join(", ")),
    };
    let why = "Every client refuses it; browsers say ERR_CERT_COMMON_NAME_INVALID, a WebSocket only closes with 1006.";
    let remedy = format!("Get a certificate with {host} among its subject alternative names, or use one of its names.");
    report.fault("name", found, why, remedy);
}

fn names(leaf: &X509Certificate<'_>) -> Vec<String> {
    use x509_parser::extensions::GeneralName;
    let extension = leaf.subject_alternative_name().ok().flatten();
    let general = extension.iter().flat_map(|extension| &extension.value.general_names);
    let shown = general.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(quoted(name)),
        GeneralName::IPAddress(bytes) => address(bytes),
        _ => None,
    });
    shown.take(5).collect()
}

fn address(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|bytes| std::net::IpAddr::from(bytes).to_string());
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(|bytes| std::net::IpAddr::from(bytes).to_string())).ok()
}

/// Judges the validity; a time at which the rest of the chain can be judged nevertheless.
pub fn expiry(leaf: &X509Certificate<'_>, now_s: i64, report: &mut Report) -> i64 {
    let (not_before_s, not_after_s) = (leaf.validity().not_before.timestamp(), leaf.validity().not_after.timestamp());
    let until = quoted(&leaf.validity().not_after.to_string());
    if now_s > not_after_s {
        let found = format!("the certificate expired {} ago, at {until}", days(now_s - not_after_s));
        let why = "Every client refuses it; a browser's WebSocket only closes with 1006.";
        let remedy = "Renew it, have the server read it again, and find out why renewal did not run.";
        report.fault("expiry", found, why, remedy);
        return not_after_s;
    }
    if now_s < not_before_s {
        let found = format!("the certificate is not valid yet, for {}", days(not_before_s - now_s));
        let why = "Clients whose clock is right refuse it.";
        report.fault("expiry", found, why, "Set the clock of whoever is wrong: this machine, or the one that made it.");
        return not_before_s;
    }
    let (left_s, lifetime_s) = (not_after_s - now_s, not_after_s - not_before_s);
    let found = format!("the certificate has {} left, until {until}", days(left_s));
    if left_s < LEFT_MIN_S.min(lifetime_s / 4) {
        let why = "What renews by itself has done so by then; this one seems to be forgotten.";
        report.warning("expiry", found, why, "Renew it now, and look at what should have.");
    } else {
        report.ok("expiry", found);
    }
    now_s
}

/// As an operator says it: days, or hours below two of them.
fn days(seconds: i64) -> String {
    match seconds / DAY_S {
        0 | 1 => format!("{} hours", seconds / 3600),
        days => format!("{days} days"),
    }
}

fn trust(
    shown: &Shown,
    chain: &[X509Certificate<'_>],
    host: &str,
    roots: &RootCertStore,
    at_s: i64,
    report: &mut Report,
) {
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots.clone()), Arc::new(aws_lc_rs::default_provider()));
    let (Ok(verifier), Ok(name)) = (verifier.build(), ServerName::try_from(host)) else {
        return report.skipped("chain", "nobody to believe: no authority is known here");
    };
    let Some((leaf, intermediates)) = shown.chain.split_first() else { return };
    let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(u64::try_from(at_s).unwrap_or(0)));
    match verifier.verify_server_cert(leaf, intermediates, &name, &[], at) {
        Ok(_) => sound(chain, report),
        Err(rustls::Error::InvalidCertificate(error)) => match error {
            // That is judged by itself, and comes after the chain.
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => sound(chain, report),
            CertificateError::UnknownIssuer => not_trusted(chain, report),
            CertificateError::BadSignature => broken("signed by an authority of the same name and another key", report),
            other => broken(&other.to_string(), report),
        },
        Err(other) => broken(&other.to_string(), report),
    }
}

fn broken(error: &str, report: &mut Report) {
    let why = "Careful clients refuse it.";
    report.fault("chain", format!("the chain does not hold: {}", quoted(error)), why, "Have it issued again.");
}

fn sound(chain: &[X509Certificate<'_>], report: &mut Report) {
    let is_in_order = chain.windows(2).all(|pair| pair[0].issuer() == pair[1].subject());
    if is_in_order {
        return report.ok("chain", format!("complete, with {} sent", sent(chain.len())));
    }
    let why = "TLS 1.2 demands each to be signed by the next; some clients of devices give up.";
    let remedy = "Put the server's own first, then whoever signed it, and so on; leave out what does not belong.";
    report.warning("chain", "complete, but not in order", why, remedy);
}

fn not_trusted(chain: &[X509Certificate<'_>], report: &mut Report) {
    let Some(leaf) = chain.first() else { return };
    if leaf.issuer() == leaf.subject() {
        let why = "No browser accepts it, and for a WebSocket it does not even ask.";
        let remedy =
            "Use a certificate of an authority that clients know; for tests, --ca with the certificate itself.";
        return report.fault("chain", "the certificate is signed by itself (self-signed)", why, remedy);
    }
    let mut top = leaf;
    // Each step takes another one, so there are no more steps than certificates.
    for _ in chain {
        let Some(next) = chain.iter().find(|next| next.subject() == top.issuer() && next.subject() != top.subject())
        else {
            break;
        };
        top = next;
    }
    let issuer = quoted(&top.issuer().to_string());
    if top.issuer() == top.subject() {
        let found = format!("the chain ends at “{issuer}”, which is not trusted here");
        let why = "Only clients that were told of this authority accept it.";
        return report.fault("chain", found, why, "If it is an authority of your own, name it with --ca FILE.");
    }
    let sent = sent(chain.len());
    let found = format!("missing intermediate: the server sends {sent}, and not that of “{issuer}”");
    let why = "A browser may remember or fetch it; mosquitto, paho, MQTT.js in Node and phones refuse the connection.";
    let remedy = "Use the file with the whole chain (fullchain.pem): the server's own first, then each that signed the \
                  one before. If this is an authority of your own that clients know, name it with --ca FILE.";
    report.fault("chain", found, why, remedy);
}

fn sent(count: usize) -> String {
    match count {
        1 => "only its own certificate".to_owned(),
        count => format!("{count} certificates"),
    }
}

fn staple(leaf: &X509Certificate<'_>, ocsp: &[u8], report: &mut Report) {
    let must_staple = leaf.extensions().iter().any(|extension| extension.oid.to_id_string() == MUST_STAPLE);
    match (ocsp.is_empty(), must_staple) {
        (false, _) => report.ok("staple", format!("an OCSP response of {} bytes is stapled", ocsp.len())),
        (true, false) => {}
        (true, true) => report.fault(
            "staple",
            "the certificate asks to be stapled, and no OCSP response is sent",
            "Firefox refuses it (MOZILLA_PKIX_ERROR_REQUIRED_TLS_FEATURE_MISSING).",
            "Turn stapling on, or get a certificate without must-staple.",
        ),
    }
}
