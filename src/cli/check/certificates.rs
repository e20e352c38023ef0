//! When certificates are valid. That they can be read and fit their keys, the edge finds out itself.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};

use crate::edge::TlsConfig;
use crate::fault::Fault;

/// The faults of those certificates that are not valid at `now`.
pub(super) fn validity_faults(tls: &TlsConfig, now: SystemTime) -> Vec<Fault> {
    match tls {
        // Made anew when its time is over.
        TlsConfig::Development { .. } => Vec::new(),
        TlsConfig::Files(pairs) => pairs.iter().filter_map(|pair| validity_fault(&pair.certificate, now)).collect(),
    }
}

/// The fault of the first certificate in the file, if time is its only trouble.
fn validity_fault(path: &Path, now: SystemTime) -> Option<Fault> {
    let certificate = CertificateDer::from_pem_file(path).ok()?;
    let certificate = webpki::EndEntityCert::try_from(&certificate).ok()?;
    let since_epoch = now.duration_since(UNIX_EPOCH).ok()?;
    // Without an authority to trust the verification always fails, but it looks at the certificate itself first.
    let verified = certificate.verify_for_usage(
        webpki::ALL_VERIFICATION_ALGS,
        &[],
        &[],
        UnixTime::since_unix_epoch(since_epoch),
        webpki::KeyUsage::server_auth(),
        None,
        None,
    );
    let days_to = |at: UnixTime| at.as_secs().abs_diff(since_epoch.as_secs()) / (24 * 3_600);
    let found = match verified.err()? {
        webpki::Error::CertExpired { not_after, .. } => format!("has expired, {} days ago", days_to(not_after)),
        webpki::Error::CertNotValidYet { not_before, .. } => {
            format!("is not valid yet, for {} days", days_to(not_before))
        }
        _ => return None,
    };
    Some(Fault::new(path.display().to_string(), "tls.cert", found, "a certificate that is valid now"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::CertificateParams;

    use super::*;
    use crate::edge::CertificateFiles;

    const DAY: Duration = Duration::from_secs(24 * 3_600);

    #[test]
    fn tells_what_is_not_valid_now() {
        let directory = tempfile::tempdir().unwrap();
        let files =
            CertificateFiles { certificate: directory.path().join("c.pem"), key: directory.path().join("c.key") };
        let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2025, 1, 1);
        params.not_after = rcgen::date_time_ymd(2025, 12, 31);
        let key = rcgen::KeyPair::generate().unwrap();
        std::fs::write(&files.certificate, params.self_signed(&key).unwrap().pem()).unwrap();
        let tls = TlsConfig::Files(vec![files]);

        let new_year = UNIX_EPOCH + DAY * 20_089; // 2025-01-01
        let faults_at = |now| validity_faults(&tls, now).into_iter().map(|fault| fault.found).collect::<Vec<String>>();
        assert_eq!(faults_at(new_year - DAY * 3), ["is not valid yet, for 3 days"]);
        assert!(faults_at(new_year + DAY * 100).is_empty());
        assert_eq!(faults_at(new_year + DAY * 400), ["has expired, 36 days ago"]);
    }
}
