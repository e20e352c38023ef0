//! Files that only Tidegate should read, and those that run out.

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::super::certificate::expiry;
use super::super::report::{Report, Verdict};
use crate::auth::jwt::KeySource;
use crate::config::Config;
use crate::edge::{CertificateSource, TlsConfig};
use crate::policy;

/// Others may read or change it.
const OTHERS: u32 = 0o006;

pub(super) fn check(config: &Config, now_s: i64, report: &mut Report) {
    secrets(&secret_files(config), report);
    for path in certificates(config) {
        expires(&path, now_s, report);
    }
}

fn secrets(paths: &[PathBuf], report: &mut Report) {
    let mut guarded = 0;
    for path in paths {
        // That it cannot be read is the configuration's fault, and told there.
        let Ok(metadata) = fs::metadata(path) else { continue };
        let mode = metadata.permissions().mode() & 0o777;
        if mode & OTHERS == 0 {
            guarded += 1;
            continue;
        }
        let found = format!("{} is open to every user of this machine (mode {mode:04o})", path.display());
        let why = "Whoever has any account here, or breaks into any service, has this secret.";
        report.fault("secrets", found, why, format!("chmod o-rw {}, and change the secret.", path.display()));
    }
    if guarded > 0 {
        report.ok("secrets", format!("{guarded} files with secrets are closed to other users"));
    }
}

/// Keys, passwords and tokens that the configuration names.
fn secret_files(config: &Config) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for tls in all_tls(config) {
        if let CertificateSource::Files(pairs) = &tls.certificates {
            paths.extend(pairs.iter().map(|pair| pair.key.clone()));
        }
    }
    let auth = &config.auth;
    paths.extend(auth.passwords.clone());
    paths.extend(auth.http.as_ref().and_then(|http| http.token_file.clone()));
    paths.extend(config.admin.token_file.clone());
    if let Some(KeySource::File(path)) = auth.jwt.as_ref().map(|jwt| &jwt.keys) {
        // Public keys are none; those of HS256 make tokens as well.
        let is_secret = fs::read_to_string(path).is_ok_and(|text| text.contains("\"oct\""));
        paths.extend(is_secret.then(|| path.clone()));
    }
    if let Some(policy_file) = &config.policy {
        let named = RefCell::new(Vec::new());
        // Its faults are told elsewhere.
        let _ = policy::load::policy_noting(policy_file, &|path| named.borrow_mut().push(path.to_owned()));
        paths.extend(named.into_inner().into_iter().filter(|path| path != policy_file));
    }
    paths.sort();
    paths.dedup();
    paths
}

fn all_tls(config: &Config) -> impl Iterator<Item = &TlsConfig> {
    let own = config.edge.listeners.iter().filter_map(|listener| listener.tls.as_ref());
    [&config.edge.tls].into_iter().chain(own)
}

fn certificates(config: &Config) -> Vec<PathBuf> {
    let files = all_tls(config).filter_map(|tls| match &tls.certificates {
        CertificateSource::Files(pairs) => Some(pairs),
        CertificateSource::Development { .. } => None,
    });
    let mut paths: Vec<_> = files.flatten().map(|pair| pair.certificate.clone()).collect();
    paths.sort();
    paths.dedup();
    paths
}

/// How long a certificate lasts. One that has run out is a fault of the configuration, which says so.
fn expires(path: &Path, now_s: i64, report: &mut Report) {
    let Ok(der) = CertificateDer::from_pem_file(path) else { return };
    let Ok((_, leaf)) = X509Certificate::from_der(&der) else { return };
    let mut judged = Report::new("");
    expiry(&leaf, now_s, &mut judged);
    for finding in judged.findings.into_iter().filter(|finding| finding.verdict != Verdict::Fault) {
        let found = format!("{}: {}", path.display(), finding.found);
        report.add(finding.check, finding.verdict, found, finding.why, finding.remedy);
    }
}
