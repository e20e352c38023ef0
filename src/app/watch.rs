//! Tells when something has happened where files lie, and the dust has settled.
//!
//! Folders are watched, not files: an editor renames another file over the one that was, and a mounted secret of Kubernetes is a link
//! through a link, of which only the inner one is replaced.
//!
//! ```text
//!   /etc/tidegate/policy.yaml ─▶ ..data/policy.yaml,   /etc/tidegate/..data ─▶ ..2026_11_22   ◀── this one is renamed over
//! ```

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio::time::Instant;

/// Watches the folders in which the way to some files may change.
#[derive(Debug)]
pub(super) struct Watch {
    watcher: RecommendedWatcher,
    /// With what was there when the watch began: a folder may be moved away and another put in its place.
    folders: BTreeMap<PathBuf, FolderId>,
    happened: Arc<Notify>,
    settle: Duration,
    /// Since when something happens, and since when nothing more has.
    stir: Option<Stir>,
}

#[derive(Clone, Copy, Debug)]
struct Stir {
    first: Instant,
    last: Instant,
}

/// Device and inode.
type FolderId = (u64, u64);

/// Where something happens all the time, waiting ends after this many times the time to settle.
const SETTLES_MAX: u32 = 10;

/// Links that are followed on the way to one file; the kernel follows as many.
const LINKS_MAX: usize = 40;

impl Watch {
    /// # Errors
    /// The system has no more watches to give, or none at all.
    pub(super) fn new(settle: Duration) -> notify::Result<Self> {
        let happened = Arc::new(Notify::new());
        let notify = Arc::clone(&happened);
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // An error says that events were lost: something has happened.
            if event.map_or(true, |event| is_change(event.kind)) {
                notify.notify_one();
            }
        })?;
        Ok(Self { watcher, folders: BTreeMap::new(), happened, settle, stir: None })
    }

    /// Watches what leads to `files`, and nothing else; returns how many folders that are.
    ///
    /// # Errors
    /// A folder that cannot be watched; the others are.
    pub(super) fn follow<'a>(&mut self, files: impl Iterator<Item = &'a Path>) -> (usize, Option<notify::Error>) {
        let mut wanted = BTreeMap::new();
        for folder in files.flat_map(folders_on_the_way) {
            if let Some(id) = id_of(&folder) {
                wanted.insert(folder, id);
            }
        }
        for (folder, _) in self.folders.extract_if(.., |folder, id| wanted.get(folder) != Some(id)) {
            // It may be gone, and its watch with it.
            let _ = self.watcher.unwatch(&folder);
        }
        let mut failure = None;
        for (folder, id) in wanted {
            if self.folders.contains_key(&folder) {
                continue;
            }
            match self.watcher.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => drop(self.folders.insert(folder, id)),
                Err(error) => failure = Some(error),
            }
        }
        (self.folders.len(), failure)
    }

    /// Waits until something has happened and nothing more for the time to settle. It may be dropped and called again at any time.
    pub(super) async fn settled(&mut self) {
        loop {
            let Some(stir) = self.stir else {
                self.happened.notified().await;
                let now = Instant::now();
                self.stir = Some(Stir { first: now, last: now });
                continue;
            };
            let calm = (stir.last + self.settle).min(stir.first + self.settle * SETTLES_MAX);
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(calm) => {
                    self.stir = None;
                    return;
                }
                () = self.happened.notified() => self.stir = Some(Stir { last: Instant::now(), ..stir }),
            }
        }
    }
}

/// Looking at a file changes nothing, and looking is what follows an event.
fn is_change(kind: EventKind) -> bool {
    !matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
}

fn id_of(folder: &Path) -> Option<FolderId> {
    let metadata = std::fs::metadata(folder).ok().filter(std::fs::Metadata::is_dir)?;
    Some((metadata.dev(), metadata.ino()))
}

/// The folders in which the way to `file` could change: its own, and that of each link on the way, to it and from there. Of what is not
/// there, the nearest folder that is, in which it would appear.
fn folders_on_the_way(file: &Path) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    let mut links_count = 0;
    let mut way = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    'way: loop {
        let mut here = PathBuf::new();
        let mut components = way.components();
        while let Some(component) = components.next() {
            let above = here.clone();
            match component {
                Component::ParentDir => drop(here.pop()),
                component => here.push(component),
            }
            match std::fs::symlink_metadata(&here) {
                Ok(metadata) if metadata.is_symlink() && links_count < LINKS_MAX => {
                    links_count += 1;
                    let Ok(target) = std::fs::read_link(&here) else { return folders };
                    let mut onward = above.join(target);
                    onward.extend(components);
                    folders.push(above);
                    way = onward;
                    continue 'way;
                }
                Ok(metadata) if metadata.is_dir() => {}
                // The file itself, or the first part of the way that is missing.
                _ => {
                    folders.push(above);
                    return folders;
                }
            }
        }
        return folders;
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// A folder without a link on the way to it, so that only the test's own are found.
    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = fs::canonicalize(folder.path()).unwrap();
        (folder, path)
    }

    #[test]
    fn every_folder_in_which_the_way_may_change_is_found() {
        let (_keep, root) = folder();
        fs::create_dir_all(root.join("etc/..2026")).unwrap();
        fs::write(root.join("etc/..2026/policy.yaml"), "").unwrap();
        symlink("..2026", root.join("etc/..data")).unwrap();
        symlink("..data/policy.yaml", root.join("etc/policy.yaml")).unwrap();
        symlink(root.join("etc"), root.join("current")).unwrap();
        let found = |name: &str| folders_on_the_way(&root.join(name));
        let etc = root.join("etc");
        assert_eq!(found("etc/plain"), vec![etc.clone()]);
        assert_eq!(found("etc/policy.yaml"), [etc.clone(), etc.clone(), etc.join("..2026")]);
        assert_eq!(found("current/policy.yaml"), [root.clone(), etc.clone(), etc.clone(), etc.join("..2026")]);
        assert_eq!(found("none/such/file"), vec![root.clone()]);
        assert_eq!(found("etc/../etc/plain"), [etc]);
        symlink("loop", root.join("loop")).unwrap();
        assert!(found("loop").len() <= LINKS_MAX + 1);
    }

    /// Something that takes the place of something else, in each of the ways that there are.
    async fn is_noticed(root: &Path, file: &Path, act: impl FnOnce(&Path)) {
        let mut watch = Watch::new(Duration::from_millis(20)).unwrap();
        let (count, failure) = watch.follow([file].into_iter());
        assert!(count > 0 && failure.is_none(), "{failure:?}");
        act(root);
        tokio::time::timeout(Duration::from_secs(30), watch.settled()).await.expect("it is noticed");
    }

    #[tokio::test]
    async fn whatever_changes_the_file_is_noticed() {
        let (_keep, root) = folder();
        let file = root.join("a/f");
        is_noticed(&root, &file, |root| fs::create_dir(root.join("a")).unwrap()).await;
        is_noticed(&root, &file, |root| fs::write(root.join("a/f"), "1").unwrap()).await;
        is_noticed(&root, &file, |root| fs::write(root.join("a/f"), "2").unwrap()).await;
        fs::write(root.join("a/g"), "3").unwrap();
        is_noticed(&root, &file, |root| fs::rename(root.join("a/g"), root.join("a/f")).unwrap()).await;
        is_noticed(&root, &file, |root| fs::rename(root.join("a"), root.join("b")).unwrap()).await;
        symlink("b", root.join("a")).unwrap();
        fs::create_dir(root.join("c")).unwrap();
        symlink("c", root.join("new")).unwrap();
        is_noticed(&root, &file, |root| fs::rename(root.join("new"), root.join("a")).unwrap()).await;
        is_noticed(&root, &file, |root| fs::write(root.join("c/f"), "4").unwrap()).await;
    }

    #[tokio::test]
    async fn a_folder_put_in_anothers_place_is_watched_from_then_on() {
        let (_keep, root) = folder();
        for name in ["a", "b"] {
            fs::create_dir(root.join(name)).unwrap();
        }
        let file = root.join("a/f");
        let mut watch = Watch::new(Duration::from_millis(20)).unwrap();
        watch.follow([&*file].into_iter());
        fs::rename(root.join("a"), root.join("old")).unwrap();
        fs::rename(root.join("b"), root.join("a")).unwrap();
        tokio::time::timeout(Duration::from_secs(30), watch.settled()).await.expect("the move");
        watch.follow([&*file].into_iter());
        fs::write(&file, "1").unwrap();
        tokio::time::timeout(Duration::from_secs(30), watch.settled()).await.expect("the file in the other folder");
    }

    #[tokio::test]
    async fn what_never_settles_is_looked_at_all_the_same() {
        let mut watch = Watch::new(Duration::from_millis(40)).unwrap();
        let happened = Arc::clone(&watch.happened);
        let busy = tokio::spawn(async move {
            loop {
                happened.notify_one();
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        let begun = Instant::now();
        tokio::time::timeout(Duration::from_secs(30), watch.settled()).await.expect("an end of patience");
        assert!(begun.elapsed() >= Duration::from_millis(40), "{:?}", begun.elapsed());
        busy.abort();
    }

    #[tokio::test]
    async fn a_wait_that_is_given_up_is_taken_up_again() {
        let mut watch = Watch::new(Duration::from_millis(200)).unwrap();
        watch.happened.notify_one();
        assert!(tokio::time::timeout(Duration::from_millis(1), watch.settled()).await.is_err());
        tokio::time::timeout(Duration::from_secs(30), watch.settled()).await.expect("what happened is not forgotten");
    }

    #[test]
    fn looking_is_no_change() {
        assert!(!is_change(EventKind::Access(AccessKind::Open(AccessMode::Any))));
        assert!(!is_change(EventKind::Access(AccessKind::Close(AccessMode::Read))));
        assert!(is_change(EventKind::Access(AccessKind::Close(AccessMode::Write))));
        assert!(is_change(EventKind::Any) && is_change(EventKind::Other));
    }
}
