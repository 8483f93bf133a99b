//! Removes everything with the demonstration's name, also what a killed demonstration left behind.

use std::{fs, io, path::Path};

use anyhow::{Context as _, Result};

use crate::demo::daemon;
use crate::demo::process::output;
use crate::demo::topology::Topology;

/// Removes all, also after an error. Returns all errors.
pub(crate) fn sweep(monitor: &Path, topology: &Topology) -> Vec<anyhow::Error> {
    let mut errors = Vec::new();
    let mut note = |done: Result<()>| errors.extend(done.err());
    for namespace in topology.namespaces() {
        if namespace.exists() {
            note(daemon::kill_leftover(topology, namespace));
        }
    }
    if topology.pin_dir().exists() {
        note(output(&mut daemon::detach(monitor, topology)).map(drop));
    }
    note(remove_dir(&topology.pin_dir()));
    for namespace in topology.namespaces() {
        if namespace.exists() {
            note(namespace.delete());
        }
    }
    note(remove_dir(&topology.runtime_dir()));
    errors
}

fn remove_dir(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", path.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
