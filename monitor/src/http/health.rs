//! Judges if the filter is in force on every configured interface, and if the
//! daemon works.

use crate::snapshot::{InterfaceSnapshot, ReloadSnapshot, Snapshot};

/// The result of the health check, as texts for the operator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// The task on which the daemon hangs.
    pub hang: Option<String>,
    /// One text for each interface on which the filter is not in force.
    pub problems: Vec<String>,
    /// Other texts that the operator should read. They do not make the check fail.
    pub notes: Vec<String>,
}

impl Health {
    /// Returns true if the filter is in force on every interface and the daemon
    /// does not hang.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.hang.is_none() && self.problems.is_empty()
    }
}

/// Judges `snapshot` against `interfaces`, on which the filter should be attached.
/// A failed reload is only a note, because the previous generation stays in force.
#[must_use]
pub fn health(snapshot: &Snapshot, interfaces: &[String]) -> Health {
    let mut problems: Vec<_> = interfaces
        .iter()
        .filter_map(|name| problem(snapshot, name))
        .collect();
    if interfaces.is_empty() {
        problems.push("no interface is configured".to_owned());
    }
    let working = snapshot.working.as_ref();
    let (hanging, working) = (
        working.filter(|working| working.hangs()),
        working.filter(|working| !working.hangs()),
    );
    Health {
        hang: hanging.map(|hanging| {
            format!(
                "the daemon hangs: {hanging}; the filter keeps working, but changes have no effect"
            )
        }),
        problems,
        notes: note(snapshot.reload.as_ref())
            .into_iter()
            .chain(snapshot.unconfirmed.as_ref().map(ToString::to_string))
            .chain(working.map(ToString::to_string))
            .collect(),
    }
}

fn problem(snapshot: &Snapshot, name: &str) -> Option<String> {
    // An interface that lost its role keeps the counters of the other direction.
    let mut found = snapshot.interfaces.iter().filter(|one| one.name == name);
    let mut attached = found.clone().filter(|one| one.mode.is_some());
    let without_generation = attached.clone().find(|one| one.generation.is_none());
    match without_generation
        .or(attached.next_back())
        .or(found.next_back())
    {
        None | Some(InterfaceSnapshot { mode: None, .. }) => {
            Some(format!("{name}: the filter is not attached"))
        }
        Some(InterfaceSnapshot {
            generation: None, ..
        }) => Some(format!("{name}: no generation is in force")),
        Some(InterfaceSnapshot {
            mode: Some(_),
            generation: Some(_),
            ..
        }) => None,
    }
}

fn note(reload: Option<&ReloadSnapshot>) -> Option<String> {
    let note = match reload {
        Some(ReloadSnapshot { success: true, .. }) => return None,
        None => "the policy files have not been loaded yet",
        Some(ReloadSnapshot { success: false, .. }) => {
            "the last reload failed: the previous policies stay in force, the current policy files are not loaded"
        }
    };
    Some(note.to_owned())
}
