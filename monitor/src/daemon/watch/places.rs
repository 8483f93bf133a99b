//! Finds the directory entries that lead to a path: the names in it, and the symbolic links
//! and their targets on the way. If one of them changes, the path may lead to another file.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use notify::{
    EventKind,
    event::{AccessKind, AccessMode},
};

use crate::policy::is_policy_file;

/// Maximum number of symbolic links, as in the kernel (`path_resolution(7)`).
const MAX_LINKS: usize = 40;

/// The entries and directories to watch for a set of paths.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Places {
    /// The paths, the directories above them, and the links and their targets on the way.
    /// None of these paths contains a link as a part before the last.
    entries: BTreeSet<PathBuf>,
    /// The paths that are directories. A policy file may appear in them.
    folders: BTreeSet<PathBuf>,
    /// The directories to watch, so that every change of an entry is noticed.
    pub(super) directories: BTreeSet<PathBuf>,
}

impl Places {
    /// Finds the entries for `paths`. Follows every symbolic link on the way.
    pub(super) fn of(paths: &BTreeSet<PathBuf>) -> Self {
        let mut places = Self::default();
        for path in paths {
            if let Ok(path) = std::path::absolute(path) {
                places.follow(&path);
            }
        }
        places
    }

    fn follow(&mut self, path: &Path) {
        let mut at = PathBuf::from("/");
        let mut left = parts(path);
        let mut links = 0;
        let mut missing = false;
        while let Some(part) = left.pop() {
            if part == ".." {
                at.pop();
                continue;
            }
            // If `part` is `/`, from an absolute target, it replaces the whole path.
            at.push(part);
            self.entries.insert(at.clone());
            if let Ok(target) = fs::read_link(&at) {
                links += 1;
                if links > MAX_LINKS {
                    return;
                }
                self.watch_parent(&at);
                at.pop();
                left.extend(parts(&target));
            } else if !missing && fs::symlink_metadata(&at).is_err() {
                missing = true;
                self.watch_parent(&at);
            }
        }
        if at.is_dir() {
            self.folders.insert(at.clone());
            self.directories.insert(at.clone());
        }
        if !missing {
            self.watch_parent(&at);
        }
    }

    fn watch_parent(&mut self, entry: &Path) {
        self.directories.extend(entry.parent().map(Path::to_owned));
    }

    /// Returns true if `event` may change the policies.
    pub(super) fn concern(&self, event: &notify::Event) -> bool {
        let decides = |changed: &PathBuf| {
            let in_folder = changed
                .parent()
                .is_some_and(|parent| self.folders.contains(parent));
            self.entries.contains(changed) || in_folder && is_policy_file(changed)
        };
        event.need_rescan() || is_change(event.kind) && event.paths.iter().any(decides)
    }
}

/// Returns the parts of a path, the last part first, without `.`.
fn parts(path: &Path) -> Vec<OsString> {
    let parts = path.components().rev();
    parts
        .map(|part| part.as_os_str().to_owned())
        .filter(|part| part != ".")
        .collect()
}

/// Returns true if an event of this kind is a change. The kernel also reports reading, which
/// is none.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        EventKind::Any
        | EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_)
        | EventKind::Other => true,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use notify::event::{CreateKind, ModifyKind};

    use super::*;

    fn modified(path: &Path) -> notify::Event {
        notify::Event::new(EventKind::Modify(ModifyKind::Any)).add_path(path.to_owned())
    }

    #[test]
    fn a_change_of_each_link_and_target_on_the_way_counts() {
        let base = tempfile::tempdir().unwrap();
        let base = base.path().canonicalize().unwrap();
        fs::create_dir_all(base.join("versions/2")).unwrap();
        fs::create_dir(base.join("etc")).unwrap();
        symlink("../versions/2", base.join("etc/now")).unwrap();
        fs::write(base.join("versions/2/p.yaml"), "").unwrap();
        symlink("now/p.yaml", base.join("etc/p.yaml")).unwrap();
        let places = Places::of(&BTreeSet::from([base.join("etc/p.yaml")]));
        for entry in ["etc/p.yaml", "etc/now", "versions/2", "versions/2/p.yaml"] {
            let path = base.join(entry);
            assert!(places.concern(&modified(&path)), "{entry}");
        }
        assert!(!places.concern(&modified(&base.join("versions/1"))));
        let watched = ["etc", "versions/2"].map(|name| base.join(name));
        assert_eq!(places.directories, BTreeSet::from(watched));
    }

    #[test]
    fn files_that_are_not_policies_or_lists_do_not_count() {
        let base = tempfile::tempdir().unwrap();
        let base = base.path().canonicalize().unwrap();
        let places = Places::of(&BTreeSet::from([base.clone(), base.join("list.txt")]));
        for (name, counts) in [
            ("p.yaml", true),
            ("p.yml", true),
            ("list.txt", true),
            (".p.yaml.swp", false),
            (".p.yaml", false),
            ("p.yaml~", false),
            ("4913", false),
        ] {
            assert_eq!(
                places.concern(&modified(&base.join(name))),
                counts,
                "{name}"
            );
        }
        let read = EventKind::Access(AccessKind::Open(AccessMode::Any));
        assert!(!places.concern(&notify::Event::new(read).add_path(base.join("p.yaml"))));
    }

    #[test]
    fn the_nearest_existing_directory_of_a_missing_path_is_watched() {
        let base = tempfile::tempdir().unwrap();
        let base = base.path().canonicalize().unwrap();
        let places = Places::of(&BTreeSet::from([base.join("a/b/p.yaml")]));
        assert_eq!(places.directories, BTreeSet::from([base.clone()]));
        let made = notify::Event::new(EventKind::Create(CreateKind::Folder));
        assert!(places.concern(&made.add_path(base.join("a"))));
    }

    #[test]
    fn a_loop_of_links_ends() {
        let base = tempfile::tempdir().unwrap();
        let link = base.path().canonicalize().unwrap().join("link");
        symlink("link", &link).unwrap();
        let places = Places::of(&BTreeSet::from([link.clone()]));
        assert!(places.concern(&modified(&link)));
    }
}
