//! What outlives the process: the account and the certificate, each in one file, and a lock.
//!
//! ```text
//! storage/acme-v02.api.letsencrypt.org-directory/account.json      who we are there, with the key
//!                                                certificate.pem   private key, then the chain, leaf first
//!                                                lock              held by whoever orders
//! ```
//!
//! Key and chain are one file, so that no crash leaves one without the other. A folder for each directory: what a staging server has
//! issued is nothing in production.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::AcmeConfig;
use crate::edge::development_certificate;

/// The folder of one directory.
#[derive(Clone, Debug)]
pub(super) struct Store {
    folder: PathBuf,
}

/// Nobody else orders while this lives.
pub(super) struct Lock(#[expect(dead_code, reason = "closing it unlocks it")] File);

impl Store {
    pub(super) fn new(config: &AcmeConfig) -> Self {
        let target = config.directory.target().map_or("", |target| target.path());
        let name = format!("{}{target}", config.directory.authority()).to_ascii_lowercase();
        let is_kept = |byte: char| byte.is_ascii_alphanumeric() || byte == '.';
        let name: String = name.chars().map(|byte| if is_kept(byte) { byte } else { '-' }).collect();
        Self { folder: config.storage.join(name.trim_matches(['-', '.'])) }
    }

    /// The file with the certificate's key and chain, whether it is there or not.
    pub(super) fn certificate(&self) -> PathBuf {
        self.folder.join("certificate.pem")
    }

    fn account_file(&self) -> PathBuf {
        self.folder.join("account.json")
    }

    pub(super) fn account(&self) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.account_file()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some),
        }
    }

    pub(super) fn keep_account(&self, json: &str) -> io::Result<()> {
        development_certificate::write(&self.account_file(), json, 0o600)
    }

    pub(super) fn forget_account(&self) -> io::Result<()> {
        fs::remove_file(self.account_file())
    }

    pub(super) fn keep_certificate(&self, pem: &str) -> io::Result<()> {
        development_certificate::write(&self.certificate(), pem, 0o600)
    }

    /// The lock, unless another process has it.
    pub(super) fn try_lock(&self) -> io::Result<Option<Lock>> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let file =
            File::options().create(true).truncate(false).write(true).mode(0o600).open(self.folder.join("lock"))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// Tries whether files can be made in `storage`, or, where it is not there yet, in the nearest folder above it that is.
pub(super) fn try_writing(storage: &Path) -> io::Result<()> {
    let storage = std::path::absolute(storage)?;
    let mut folder = storage.as_path();
    while !folder.try_exists()? {
        folder = folder.parent().ok_or(io::ErrorKind::NotFound)?;
    }
    let file = folder.join(format!(".tidegate-{}", std::process::id()));
    File::options().create(true).truncate(false).write(true).mode(0o600).open(&file)?;
    fs::remove_file(file)
}

/// What a stored certificate says of itself.
pub(super) struct Stored {
    pub(super) not_before_s: u64,
    pub(super) not_after_s: u64,
    names: Vec<String>,
    /// Of all of the leaf.
    pub(super) digest: [u8; 32],
}

impl Stored {
    /// `None`: there is none that can be read.
    pub(super) fn read(path: &Path) -> Option<Self> {
        let leaf = CertificateDer::from_pem_file(path).ok()?;
        let (_, certificate) = X509Certificate::from_der(&leaf).ok()?;
        let seconds = |timestamp: i64| u64::try_from(timestamp).unwrap_or(0);
        let end_entity = webpki::EndEntityCert::try_from(&leaf).ok()?;
        Some(Self {
            not_before_s: seconds(certificate.validity().not_before.timestamp()),
            not_after_s: seconds(certificate.validity().not_after.timestamp()),
            names: end_entity.valid_dns_names().map(str::to_ascii_lowercase).collect(),
            digest: Sha256::digest(&leaf).into(),
        })
    }

    pub(super) fn is_for(&self, domains: &[String]) -> bool {
        domains.iter().all(|domain| self.names.contains(domain))
    }
}
