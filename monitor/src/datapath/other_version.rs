//! Reads the counters of a version with another layout. The result has sums by
//! name, for the operator to read.
//!
//! The maps are opened with the types of this version. A map of another kind, or
//! with entries of another size, does not open. Then the part that it belongs to is
//! reported as not saved, because a guess at its cells could be wrong. So a cell
//! must not change its meaning without changing the size of its map.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use aya::maps::MapError;
use serde::Serialize;

use super::{
    Error, Filter,
    devices::DeviceTables,
    read::{interfaces, policies},
    state::{InterfaceMaps, PolicyMaps},
};
use crate::snapshot::{InterfaceSnapshot, PolicySnapshot};

/// Counters of another version, as far as this version can read them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OtherVersionCounters {
    /// The other version: the name of the directory in which its maps are pinned, `v` and
    /// its ABI hash.
    pub version: String,
    /// As in a snapshot of this version, without mode and generation.
    pub interfaces: Vec<InterfaceSnapshot>,
    /// As in a snapshot of this version, without action and number of prefixes.
    pub policies: Vec<PolicySnapshot>,
    /// Reasons why counters are missing above, by part: `interfaces`, `policies`,
    /// `devices`.
    pub not_saved: BTreeMap<&'static str, String>,
}

impl Filter {
    /// Reads the counters of other versions, sorted by the names of their
    /// directories.
    pub fn other_versions_counters(&self) -> Result<Vec<OtherVersionCounters>, Error> {
        let others = self.pins.other_versions()?;
        others.iter().map(|version| counters(version)).collect()
    }

    /// Removes the state of other versions. Their filter must no longer be in
    /// force.
    pub fn discard_others(&mut self) -> Result<(), Error> {
        self.pins.discard_others()
    }
}

fn counters(mut directory: &Path) -> Result<OtherVersionCounters, Error> {
    let name = directory.file_name().unwrap_or_default();
    let version = name.to_string_lossy().into_owned();
    let mut not_saved = BTreeMap::new();
    let devices = DeviceTables::new(&mut directory).and_then(|tables| tables.counts());
    let devices = readable("devices", devices, &mut not_saved)?;
    let maps = InterfaceMaps::without_answers(&mut directory);
    let of_interfaces = maps.and_then(|maps| interfaces(&maps, &HashMap::new()));
    let maps = PolicyMaps::new(&mut directory);
    let of_policies = maps.and_then(|maps| policies(&maps, None, devices));
    Ok(OtherVersionCounters {
        version,
        interfaces: readable("interfaces", of_interfaces, &mut not_saved)?,
        policies: readable("policies", of_policies, &mut not_saved)?,
        not_saved,
    })
}

/// Returns the value that was read. If a map has another layout, returns an empty
/// value and adds the reason to `not_saved`.
fn readable<T: Default>(
    part: &'static str,
    result: Result<T, Error>,
    not_saved: &mut BTreeMap<&'static str, String>,
) -> Result<T, Error> {
    match result {
        Err(error) if has_other_layout(&error) => {
            not_saved.insert(part, error.to_string());
            Ok(T::default())
        }
        result => result,
    }
}

/// True if a map is missing, or has another type than this version expects.
fn has_other_layout(error: &Error) -> bool {
    let Error::Map { source, .. } = error else {
        return false;
    };
    match source {
        MapError::InvalidMapType { .. }
        | MapError::InvalidKeySize { .. }
        | MapError::InvalidValueSize { .. } => true,
        MapError::SyscallError(error) => error.io_error.raw_os_error() == Some(libc::ENOENT),
        _ => false,
    }
}
