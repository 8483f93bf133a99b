//! What a version with another layout counted: sums by name, for a person to read.
//!
//! Its maps are opened in the types of this version. A map of another kind or with
//! entries of another size does not open, and the part that it belongs to is named
//! as not saved: a guess at its cells could be wrong. So a cell must not change
//! its meaning without changing the size of its map.

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

/// What another version counted, as far as this version can read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OtherVersionCounters {
    /// Name of the directory that its maps are pinned in.
    pub version: String,
    /// As in a snapshot of this version, without what is in force.
    pub interfaces: Vec<InterfaceSnapshot>,
    /// As in a snapshot of this version, without what is in force.
    pub policies: Vec<PolicySnapshot>,
    /// Why counters are missing above, by part: `interfaces`, `policies`, `devices`.
    pub not_saved: BTreeMap<&'static str, String>,
}

impl Filter {
    /// What other versions counted until now, sorted by their names.
    pub fn other_versions_counters(&self) -> Result<Vec<OtherVersionCounters>, Error> {
        let others = self.pins.other_versions()?;
        others.iter().map(|version| counters(version)).collect()
    }

    /// Removes what other versions left. Their filter must not be in force any
    /// more.
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
    let maps = InterfaceMaps::new(&mut directory);
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

/// What was read; nothing where it has another layout, which `not_saved` then says.
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

/// Whether a map is missing, or is not of the type in which it was opened.
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
