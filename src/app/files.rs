//! The files that a configuration names, as they were when they were last looked at.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::config::Loaded;
use crate::edge::{RouteAction, TlsConfig};

/// What each file holds, by its path: enough to see that it holds something else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Files(BTreeMap<PathBuf, Print>);

/// What one file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Print {
    Sha256([u8; 32]),
    /// There is no such file, or it cannot be read, or it is none: a pipe would be emptied by a look.
    Nothing,
}

impl Files {
    /// Looks at the file at `path`, unless that was done already.
    pub(super) fn note(&mut self, path: &Path) {
        if !self.0.contains_key(path) {
            self.0.insert(path.to_owned(), look_at(path));
        }
    }

    /// Looks at every file that `loaded` names.
    pub(super) fn note_all_of(&mut self, loaded: &Loaded) {
        Self::named_by(loaded).into_iter().for_each(|path| self.note(path));
    }

    /// The files that `loaded` names. The policy's key files are for whoever reads the policy to note.
    pub(super) fn named_by(loaded: &Loaded) -> Vec<&Path> {
        let config = &loaded.config;
        let files = [loaded.file.as_ref(), config.policy.as_ref(), config.admin.token_file.as_ref()];
        let files = files.into_iter().flatten().chain(config.auth.files()).map(PathBuf::as_path);
        files.chain(Self::certificates_of(loaded)).chain(Self::authorities_of(loaded)).collect()
    }

    /// All that TLS is made of.
    fn certificates_of(loaded: &Loaded) -> Vec<&Path> {
        let edge = &loaded.config.edge;
        let own = edge.listeners.iter().filter_map(|listener| listener.tls.as_ref());
        own.chain([&edge.tls]).flat_map(TlsConfig::files).map(PathBuf::as_path).collect()
    }

    /// Whom servers behind are to be vouched for by.
    fn authorities_of(loaded: &Loaded) -> Vec<&Path> {
        let edge = &loaded.config.edge;
        let routes = edge.listeners.iter().filter_map(|listener| listener.routes.as_ref()).flatten();
        let authorities = routes.chain(&edge.routes).filter_map(|route| match &route.action {
            RouteAction::Proxy(proxy) => proxy.ca.as_deref(),
            _ => None,
        });
        authorities.collect()
    }

    /// Forgets the files that `is_kept` does not keep.
    pub(super) fn retain(&mut self, is_kept: impl Fn(&Path) -> bool) {
        self.0.retain(|path, _| is_kept(path));
    }

    /// The same files, looked at now.
    pub(super) fn as_they_are(&self) -> Self {
        Self(self.0.keys().map(|path| (path.clone(), look_at(path))).collect())
    }

    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.keys().map(PathBuf::as_path)
    }

    /// The files that hold something else here than in `other`, or are not in it.
    pub(super) fn differing(&self, other: &Self) -> Vec<&Path> {
        self.0
            .iter()
            .filter(|&(path, print)| other.0.get(path) != Some(print))
            .map(|(path, _)| path.as_path())
            .collect()
    }
}

fn look_at(path: &Path) -> Print {
    digest_of(path).map_or(Print::Nothing, Print::Sha256)
}

fn digest_of(path: &Path) -> io::Result<[u8; 32]> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut file = File::open(path)?;
    let mut digest = Sha256::new();
    let mut bytes = [0; 16 * 1024];
    loop {
        match file.read(&mut bytes)? {
            0 => return Ok(digest.finalize().into()),
            count => digest.update(&bytes[..count]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_content_shows_and_nothing_else_does() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let mut files = Files::default();
        files.note(&path);
        assert_eq!(files.as_they_are(), files, "it is still not there");
        std::fs::write(&path, "1").unwrap();
        let first = files.as_they_are();
        assert_ne!(first, files);
        std::fs::write(&path, "1").unwrap();
        assert_eq!(first.as_they_are(), first, "written again");
        std::fs::write(folder.path().join("other"), "2").unwrap();
        std::fs::rename(folder.path().join("other"), &path).unwrap();
        let second = first.as_they_are();
        assert_eq!(second.differing(&first), [&*path]);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(second.as_they_are(), files);
    }
}
