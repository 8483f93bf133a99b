//! The kernel objects and pins of a lab's filter.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use aya::{
    maps::MapInfo,
    programs::{ProgramInfo, loaded_programs},
};
use monitor_common::ABI_HASH;

use super::{
    kernel_ids::{map_exists, program_exists},
    lab::Lab,
};

/// Programs and maps by id, and names of files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Objects {
    pub(crate) programs: BTreeSet<u32>,
    pub(crate) maps: BTreeSet<u32>,
    /// Paths below the pin directory, with the numbers of generations removed.
    pub(crate) pins: BTreeSet<String>,
    /// Paths below the state directory. The files of SQLite come and go while it works.
    pub(crate) files: BTreeSet<String>,
}

impl Objects {
    /// All pinned objects, and every program that uses the lab's counters.
    pub(crate) fn of(lab: &Lab) -> Self {
        let mut objects = Self {
            files: below(&lab.directory.path().join("state"))
                .into_iter()
                .filter(|name| !name.starts_with("evidence.db"))
                .collect(),
            ..Self::default()
        };
        for pin in below(&lab.pin_dir) {
            let path = lab.pin_dir.join(&pin);
            objects.pins.insert(without_number(&pin));
            // The kernel accepts a program where a map is expected and the
            // reverse, so the names decide.
            let name = path.file_name().unwrap().to_str().unwrap();
            if name.starts_with("prog_") {
                let program = ProgramInfo::from_pin(&path);
                objects.programs.extend(program.map(|program| program.id()));
            } else if !pin.starts_with("links") {
                objects
                    .maps
                    .extend(MapInfo::from_pin(&path).map(|map| map.id()));
            }
        }
        let counters = state(lab).join("INTERFACES");
        if let Ok(counters) = MapInfo::from_pin(counters) {
            objects.add_users_of(counters.id());
        }
        objects
    }

    fn add_users_of(&mut self, map: u32) {
        for program in loaded_programs().flatten() {
            // A program that is freed in the meantime has no maps.
            let maps = program.map_ids().ok().flatten().unwrap_or_default();
            if maps.contains(&map) {
                self.programs.insert(program.id());
                self.maps.extend(maps);
            }
        }
    }

    /// The objects without their ids, which differ after every start.
    fn shape(&self) -> (usize, usize, &BTreeSet<String>, &BTreeSet<String>) {
        (
            self.programs.len(),
            self.maps.len(),
            &self.pins,
            &self.files,
        )
    }

    /// What `self` has more or less than `reference`.
    fn differences(&self, reference: &Self) -> String {
        let names = |of: &Self| of.pins.union(&of.files).cloned().collect::<BTreeSet<_>>();
        let (found, expected) = (names(self), names(reference));
        format!(
            "programs {:?} instead of {} in number, maps {:?} instead of {} in number, left over: \
             {:?}, missing: {:?}",
            self.programs,
            reference.programs.len(),
            self.maps,
            reference.maps.len(),
            found.difference(&expected).collect::<Vec<_>>(),
            expected.difference(&found).collect::<Vec<_>>(),
        )
    }
}

/// Waits until the lab has the same objects as `reference`, apart from ids.
/// Panics with `when` and the differences if it does not.
pub(crate) fn assert_like(lab: &Lab, reference: &Objects, when: &str) -> Objects {
    let mut found = Objects::default();
    let like = settled(|| {
        found = Objects::of(lab);
        found.shape() == reference.shape()
    });
    assert!(like, "{when}: {}", found.differences(reference));
    found
}

/// Waits until the kernel has freed all of them. If it does not, the function panics; the message
/// names the objects that are left, and the processes that have them open.
pub(crate) fn assert_gone(objects: &Objects) {
    let mut left = (BTreeSet::new(), BTreeSet::new());
    let gone = settled(|| {
        left = (
            those(&objects.programs, program_exists),
            those(&objects.maps, map_exists),
        );
        left.0.is_empty() && left.1.is_empty()
    });
    let (programs, maps) = left;
    assert!(
        gone,
        "the kernel still has the programs {programs:?} and the maps {maps:?}; open in: {:?}",
        holders(&programs, &maps)
    );
}

/// The ids for which `exists` is true.
fn those(ids: &BTreeSet<u32>, exists: impl Fn(u32) -> bool) -> BTreeSet<u32> {
    ids.iter().copied().filter(|id| exists(*id)).collect()
}

/// The processes that have one of the programs or maps open, with the lines of
/// `/proc/PID/fdinfo/FD` that say so. A link counts as its program.
fn holders(programs: &BTreeSet<u32>, maps: &BTreeSet<u32>) -> Vec<String> {
    let is_one = |line: &str| {
        let Some((key, id)) = line.split_once(':') else {
            return false;
        };
        let ids = match key {
            "prog_id" => programs,
            "map_id" => maps,
            _ => return false,
        };
        id.trim().parse().is_ok_and(|id| ids.contains(&id))
    };
    let mut holders = Vec::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
        let files = fs::read_dir(process.path().join("fdinfo"));
        for file in files.into_iter().flatten().flatten() {
            let lines = fs::read_to_string(file.path()).unwrap_or_default();
            let found = lines.lines().filter(|line| is_one(line));
            holders.extend(
                found.map(|line| format!("{} ({}): {line}", process.path().display(), name.trim())),
            );
        }
    }
    holders
}

/// The directory in which the lab's counters are pinned.
pub(crate) fn state(lab: &Lab) -> PathBuf {
    lab.pin_dir.join(format!("v{ABI_HASH:016x}"))
}

/// True as soon as `done` is true, false after two minutes. The kernel frees programs and maps
/// some time after their last user ends: after an RCU grace period, in a work queue that waits for
/// a lock of all network namespaces. On a busy machine this takes many seconds.
fn settled(mut done: impl FnMut() -> bool) -> bool {
    for _ in 0..1200 {
        if done() {
            return true;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    false
}

/// Relative paths of all files and directories below; empty if `directory` is
/// missing.
fn below(directory: &Path) -> Vec<String> {
    let mut names = Vec::new();
    let mut open = vec![PathBuf::new()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(directory.join(&next)).into_iter().flatten() {
            let entry = entry.unwrap();
            let path = next.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                open.push(path.clone());
            }
            names.push(path.to_str().unwrap().to_owned());
        }
    }
    names
}

fn without_number(pin: &str) -> String {
    let parts = pin.split('/').map(|part| match part.strip_prefix("gen-") {
        Some(_) => "gen-N",
        None => part,
    });
    parts.collect::<Vec<_>>().join("/")
}
