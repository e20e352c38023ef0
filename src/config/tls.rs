//! What TLS is written as: certificates, whose certificates are believed, and the settings of handshakes.

use super::acme;
use super::written::{Typed, Written};
use crate::edge::{CertificateFiles, CertificateSource, ClientAuthConfig, KeyExchange, TlsConfig, TlsVersion};
use crate::fault::Fault;

/// Reads `tls`; `None` where it is at fault.
pub(super) fn tls(shared: &Written, faults: &mut Vec<Fault>) -> Option<TlsConfig> {
    Layers { own: None, shared }.read(faults)
}

/// Reads the `tls` of a listener; what it leaves out is as `shared` says.
pub(super) fn own(own: &Written, shared: &Written, faults: &mut Vec<Fault>) -> Option<TlsConfig> {
    Layers { own: Some(own), shared }.read(faults)
}

/// A listener's section over the one that all share. A certificate goes with its key, and an authority with what is revoked by it: such keys
/// are taken from one section together.
struct Layers<'a> {
    own: Option<&'a Written>,
    shared: &'a Written,
}

impl<'a> Layers<'a> {
    fn read(&self, faults: &mut Vec<Fault>) -> Option<TlsConfig> {
        let certificates = self.certificates(faults);
        let clients = self.clients(faults);
        let key_exchange = self.key_exchange(faults);
        let defaults = TlsConfig::default();
        Some(TlsConfig {
            certificates: certificates?,
            clients,
            version_min: match self.get("version_min").and_then(Written::as_text) {
                Some("1.3") => TlsVersion::V1_3,
                _ => TlsVersion::V1_2,
            },
            key_exchange,
            tickets: match self.get("tickets").map(|written| &written.typed) {
                Some(Typed::Count(count)) => usize::try_from(*count).unwrap_or(usize::MAX),
                _ => defaults.tickets,
            },
            ticket_rotation: match self.get("ticket_rotation").map(|written| &written.typed) {
                Some(Typed::Duration(rotation)) => *rotation,
                _ => defaults.ticket_rotation,
            },
            http2: match self.get("http2").map(|written| &written.typed) {
                Some(Typed::Flag(flag)) => *flag,
                _ => defaults.http2,
            },
        })
    }

    fn get(&self, key: &str) -> Option<&'a Written> {
        self.own.and_then(|own| own.get(key)).or_else(|| self.shared.get(key))
    }

    /// The listener's own section if it has one of `keys`, or else the shared one.
    fn section_with(&self, keys: &[&str]) -> &'a Written {
        self.own.filter(|own| keys.iter().any(|key| own.get(key).is_some())).unwrap_or(self.shared)
    }

    fn certificates(&self, faults: &mut Vec<Fault>) -> Option<CertificateSource> {
        let section = self.section_with(&["cert", "key", "ocsp"]);
        let is_repeated = self.own.is_some() && std::ptr::eq(section, self.shared);
        let mut ignored = Vec::new();
        // What is wrong in the shared section is told where that is read.
        certificates(section, if is_repeated { &mut ignored } else { faults })
    }

    fn clients(&self, faults: &mut Vec<Fault>) -> Option<ClientAuthConfig> {
        let section = self.section_with(&["client_ca"]);
        let own = self.own.unwrap_or(section);
        // Beside the shared authority a listener may still say whether it asks, and what is revoked.
        let get = |key: &str| own.get(key).or_else(|| section.get(key));
        let asks = get("client_auth").and_then(Written::as_text);
        let Some(authorities) = section.path("client_ca") else {
            let is_moot = |written: &&Written| !matches!(written.as_text(), Some("none" | "refuse"));
            for key in ["client_auth", "crl", "crl_expired"] {
                let allowed = "client_ca as well, with the authorities that sign clients' certificates";
                let found = own.get(key).filter(is_moot);
                faults.extend(
                    found.map(|written| {
                        written.fault("without client_ca no client is asked for a certificate", allowed)
                    }),
                );
            }
            return None;
        };
        if let (None, Some(expired)) =
            (get("crl"), own.get("crl_expired").filter(|written| written.as_text() == Some("allow")))
        {
            faults.push(expired.fault("there is no list that could expire", "crl as well"));
        }
        (asks != Some("none")).then(|| ClientAuthConfig {
            authorities,
            is_required: asks != Some("optional"),
            crls: get("crl").map(paths).unwrap_or_default(),
            allows_expired_crls: get("crl_expired").and_then(Written::as_text) == Some("allow"),
        })
    }

    fn key_exchange(&self, faults: &mut Vec<Fault>) -> Vec<KeyExchange> {
        let Some(written) = self.get("key_exchange") else { return KeyExchange::DEFAULT.to_vec() };
        let mut groups = Vec::new();
        let Typed::List(items) = &written.typed else { return groups };
        for item in items {
            match KeyExchange::ALL.into_iter().find(|group| item.as_text() == Some(group.name())) {
                Some(group) if groups.contains(&group) => faults.push(item.fault("is given twice", "each group once")),
                group => groups.extend(group),
            }
        }
        if items.is_empty() {
            faults.push(written.fault("an empty list", "one group at least"));
        }
        groups
    }
}

fn certificates(tls: &Written, faults: &mut Vec<Fault>) -> Option<CertificateSource> {
    let acme = tls.get("acme").and_then(|acme| acme::wanted(acme, tls.get("cert"), faults));
    match (tls.get("cert"), tls.get("key")) {
        (None, None) if acme.is_some() => {
            let without = |written: &Written| written.fault("an authority issues the certificate", "leave it out");
            faults.extend(tls.get("ocsp").map(without));
            acme.and_then(|section| acme::acme(section, faults)).map(|acme| CertificateSource::Acme(Box::new(acme)))
        }
        (None, None) => {
            let without = |written: &Written| written.fault("no cert beside it", "cert and key as well");
            faults.extend(tls.get("ocsp").map(without));
            tls.path("development_dir").map(|directory| CertificateSource::Development { directory })
        }
        (None, Some(key)) => {
            faults.push(key.fault("no cert beside it", "tls.cert as well"));
            None
        }
        (Some(Written { typed: Typed::List(pairs), .. }), key) => {
            for (key, name) in [(key, "key"), (tls.get("ocsp"), "OCSP response")] {
                let found = format!("tls.cert names each certificate's {name}");
                faults.extend(key.map(|key| key.fault(found, "leave it out")));
            }
            if pairs.is_empty() {
                faults.extend(tls.get("cert").map(|cert| cert.fault("an empty list", "one certificate at least")));
            }
            let files = pairs.iter().filter_map(|pair| certificate_files(pair, pair, faults));
            Some(CertificateSource::Files(files.collect()))
        }
        (Some(cert), _) => certificate_files(tls, cert, faults).map(|files| CertificateSource::Files(vec![files])),
    }
}

fn certificate_files(pair: &Written, place: &Written, faults: &mut Vec<Fault>) -> Option<CertificateFiles> {
    match (pair.path("cert"), pair.path("key")) {
        (Some(certificate), Some(key)) => Some(CertificateFiles { certificate, key, ocsp: pair.path("ocsp") }),
        (None, _) => {
            faults.push(place.fault("no cert", "cert and key, both"));
            None
        }
        (_, None) => {
            faults.push(place.fault("no key beside it", "cert and key, both"));
            None
        }
    }
}

/// One path, or a list of them.
fn paths(written: &Written) -> Vec<std::path::PathBuf> {
    match &written.typed {
        Typed::Path(path) => vec![path.clone()],
        Typed::List(items) => items.iter().flat_map(paths).collect(),
        _ => Vec::new(),
    }
}
