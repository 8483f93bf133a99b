//! Marks that say which filters of `clsact` belong to this filter: empty directories beside the
//! pins of links. Such a filter has no object that could be pinned.

use std::{fs, os::unix::fs::MetadataExt as _};

use super::{
    Error,
    hook::HookPoint,
    pins::{self, Pins, create_directory, hook_point, pin_name},
};

/// Between the name of the hook and two numbers: the index of the interface, and the network
/// namespace in which the index means this interface.
const SEPARATOR: &str = "_clsact_";

/// A mark.
pub(super) struct ClsactMark {
    pub(super) at: HookPoint,
    index: u32,
    namespace: u64,
}

impl ClsactMark {
    /// The mark with this name; `None` if the name is not that of a mark.
    pub(super) fn of(name: &str) -> Option<Self> {
        let (hook, numbers) = name.split_once(SEPARATOR)?;
        let (index, namespace) = numbers.split_once('_')?;
        Some(Self {
            at: hook_point(hook)?,
            index: index.parse().ok()?,
            namespace: namespace.parse().ok()?,
        })
    }

    fn name(&self) -> String {
        let (hook, index) = (pin_name(&self.at), self.index);
        format!("{hook}{SEPARATOR}{index}_{}", self.namespace)
    }
}

impl Pins {
    /// Index of the interface at whose hook a filter of `clsact` is ours; `None` if none is.
    /// Returns an error if it is in another network namespace, where this process cannot see it.
    pub(super) fn clsact(&self, at: &HookPoint) -> Result<Option<u32>, Error> {
        let names = pins::names(&self.links())?;
        let mut marks = names.iter().filter_map(|name| ClsactMark::of(name));
        let Some(mark) = marks.find(|mark| mark.at == *at) else {
            return Ok(None);
        };
        if mark.namespace != namespace()? {
            return Err(Error::OtherNamespace {
                interface: at.interface.clone(),
                path: self.links().join(mark.name()),
            });
        }
        Ok(Some(mark.index))
    }

    /// Marks the filter of `clsact` at a hook as ours.
    pub(super) fn mark_clsact(&self, at: &HookPoint, index: u32) -> Result<(), Error> {
        let mark = ClsactMark {
            at: at.clone(),
            index,
            namespace: namespace()?,
        };
        create_directory(&self.links().join(mark.name()))
    }

    /// Removes the marks of a hook.
    pub(super) fn unmark_clsact(&self, at: &HookPoint) -> Result<(), Error> {
        let names = pins::names(&self.links())?.into_iter();
        let marks = names.filter(|name| ClsactMark::of(name).is_some_and(|mark| mark.at == *at));
        let errors = marks.filter_map(|mark| {
            let path = self.links().join(mark);
            pins::removed(&path, fs::remove_dir(&path)).err()
        });
        Error::collect(errors.collect())
    }
}

/// Number of this thread's network namespace.
fn namespace() -> Result<u64, Error> {
    let found = fs::metadata("/proc/thread-self/ns/net");
    let found = found.map_err(|source| Error::system("find the network namespace", source))?;
    Ok(found.ino())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datapath::hook::Hook;

    #[test]
    fn a_mark_is_found_again_by_its_name() {
        let mark = ClsactMark {
            at: HookPoint::new("wan0.7", Hook::Egress),
            index: 12,
            namespace: 4_026_531_840,
        };
        let found = ClsactMark::of(&mark.name()).unwrap();
        assert_eq!(found.at, mark.at);
        assert_eq!((found.index, found.namespace), (12, 4_026_531_840));
        for other in [
            pin_name(&mark.at),
            "00_clsact_x_1".to_owned(),
            String::new(),
        ] {
            assert!(ClsactMark::of(&other).is_none(), "{other}");
        }
    }
}
