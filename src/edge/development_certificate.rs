//! A certificate for localhost, made on first start, so that a browser page works over TLS before anybody has thought of certificates.
//!
//! A small authority signs a leaf, and its private key is thrown away: who trusts `ca.pem` trusts this one leaf, and nobody can sign
//! another one with what lies on the disk. Made again when it is about to expire, or damaged.

use std::fs;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, SanType,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use tracing::info;

use super::config::CertificateFiles;
use crate::fault::Fault;

/// Where a development certificate lies.
#[derive(Clone, Debug)]
pub(crate) struct DevelopmentCertificate {
    /// The authority's certificate, to be trusted by browsers and clients.
    pub(crate) ca: PathBuf,
    pub(crate) files: CertificateFiles,
}

/// Public certificates may be valid for about this long; browsers hold private ones to similar bounds.
const VALID_FOR: Duration = Duration::from_secs(397 * 24 * 3600);

/// Made again when less than this is left.
const LEFT_MIN: Duration = Duration::from_secs(14 * 24 * 3600);

/// The certificate in `directory`, made if there is none that is valid for a while yet.
///
/// # Errors
/// The folder cannot be written.
pub(crate) fn ensure(directory: &Path) -> Result<DevelopmentCertificate, Fault> {
    let certificate = DevelopmentCertificate {
        ca: directory.join("ca.pem"),
        files: CertificateFiles {
            certificate: directory.join("server.pem"),
            key: directory.join("server.key"),
            ocsp: None,
        },
    };
    let now = SystemTime::now();
    if is_valid(&certificate, now) {
        return Ok(certificate);
    }
    make(directory, &certificate, now).map_err(|error| {
        let found = format!("no development certificate can be made: {error}");
        Fault::new(
            directory.display().to_string(),
            "tls",
            found,
            "a folder that can be written, or tls.cert and tls.key",
        )
    })?;
    info!(ca = %certificate.ca.display(), "Made a development certificate");
    Ok(certificate)
}

/// Whether the files are whole, belong together, and are good for `localhost` for some time from `now` on.
fn is_valid(certificate: &DevelopmentCertificate, now: SystemTime) -> bool {
    check(certificate, now).is_some()
}

fn check(certificate: &DevelopmentCertificate, now: SystemTime) -> Option<()> {
    let ca = CertificateDer::from_pem_file(&certificate.ca).ok()?;
    let leaf = CertificateDer::from_pem_file(&certificate.files.certificate).ok()?;
    let key = PrivateKeyDer::from_pem_file(&certificate.files.key).ok()?;
    let anchor = webpki::anchor_from_trusted_cert(&ca).ok()?;
    let end_entity = webpki::EndEntityCert::try_from(&leaf).ok()?;
    let usage = webpki::KeyUsage::server_auth();
    for at in [now, now + LEFT_MIN] {
        let at = UnixTime::since_unix_epoch(at.duration_since(UNIX_EPOCH).ok()?);
        let anchors = std::slice::from_ref(&anchor);
        end_entity.verify_for_usage(webpki::ALL_VERIFICATION_ALGS, anchors, &[], at, usage, None, None).ok()?;
    }
    end_entity.verify_is_valid_for_subject_name(&ServerName::try_from("localhost").ok()?).ok()?;
    let key = aws_lc_rs::sign::any_supported_type(&key).ok()?;
    CertifiedKey::new(vec![leaf.clone()], key).keys_match().ok()
}

fn make(directory: &Path, certificate: &DevelopmentCertificate, now: SystemTime) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let (ca, leaf, key) = sign(now).map_err(io::Error::other)?;
    write(&certificate.files.key, &key, 0o600)?;
    write(&certificate.files.certificate, &leaf, 0o644)?;
    write(&certificate.ca, &ca, 0o644)
}

/// The authority's certificate, the leaf's certificate and the leaf's private key, as PEM.
fn sign(now: SystemTime) -> Result<(String, String, String), rcgen::Error> {
    let ca_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut ca = params("Tidegate development authority", now);
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let ca_certificate = ca.self_signed(&ca_key)?;

    let leaf_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut leaf = params("Tidegate development", now);
    leaf.subject_alt_names = vec![
        SanType::DnsName("localhost".try_into()?),
        SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        SanType::IpAddress(IpAddr::V6(Ipv6Addr::LOCALHOST)),
    ];
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf.use_authority_key_identifier_extension = true;
    let leaf_certificate = leaf.signed_by(&leaf_key, &Issuer::new(ca, ca_key))?;
    Ok((ca_certificate.pem(), leaf_certificate.pem(), leaf_key.serialize_pem()))
}

fn params(common_name: &str, now: SystemTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let since_epoch = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    // Clocks differ.
    params.not_before = epoch + since_epoch.saturating_sub(Duration::from_secs(3600));
    params.not_after = epoch + since_epoch + VALID_FOR;
    params
}

/// Writes a file whole or not at all, readable for whom `mode` says from the start.
pub(super) fn write(path: &Path, content: &str, mode: u32) -> io::Result<()> {
    let mut temporary = path.to_path_buf();
    temporary.add_extension("new");
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let mut file = options.open(&temporary)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    match path.parent() {
        // What was renamed is so for good once its folder is written.
        Some(folder) => fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> (tempfile::TempDir, DevelopmentCertificate) {
        let directory = tempfile::tempdir().expect("a folder");
        let certificate = ensure(&directory.path().join("dev")).expect("the folder can be written");
        (directory, certificate)
    }

    #[test]
    fn is_made_once_and_kept() {
        let (directory, certificate) = made();
        let before = fs::read(&certificate.files.certificate).expect("the certificate is there");
        ensure(&directory.path().join("dev")).expect("it is there");
        assert_eq!(fs::read(&certificate.files.certificate).expect("the certificate is there"), before);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(&certificate.files.key).expect("the key is there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn is_made_again_when_damaged_or_expiring() {
        let (directory, certificate) = made();
        let now = SystemTime::now();
        assert!(is_valid(&certificate, now));
        assert!(!is_valid(&certificate, now + VALID_FOR));
        assert!(!is_valid(&certificate, now + VALID_FOR - LEFT_MIN + Duration::from_secs(60)));
        for path in [&certificate.ca, &certificate.files.certificate, &certificate.files.key] {
            fs::write(path, "-----BEGIN NOTHING-----").expect("the folder can be written");
            assert!(!is_valid(&certificate, now), "{}", path.display());
            ensure(&directory.path().join("dev")).expect("the folder can be written");
            assert!(is_valid(&certificate, now), "{}", path.display());
        }
    }

    #[test]
    fn says_which_folder_cannot_be_written() {
        let fault = ensure(Path::new("/dev/null/certs")).expect_err("no folder can be there");
        assert_eq!(fault.origin, "/dev/null/certs");
    }
}
