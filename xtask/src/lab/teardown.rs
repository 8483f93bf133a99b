//! Removes everything with the lab's name, also what a killed lab left behind.

use std::{fs, io, path::Path};

use anyhow::{Context as _, Result};

use crate::lab::daemon;
use crate::lab::topology::Topology;
use crate::system::{Tree, output};

/// Removes all, also after an error. Returns all errors.
pub(crate) fn sweep(tree: &Tree, topology: &Topology) -> Vec<anyhow::Error> {
    let mut errors = Vec::new();
    let mut note = |done: Result<()>| errors.extend(done.err());
    for namespace in topology.namespaces() {
        if namespace.exists() {
            note(daemon::kill_leftover(topology, namespace));
        }
    }
    if topology.pin_dir().exists() {
        note(output(&mut daemon::detach(tree, topology)).map(drop));
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
