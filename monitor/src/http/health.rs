//! Is the filter in force where it should be?

use crate::snapshot::{InterfaceSnapshot, ReloadSnapshot, Snapshot};

/// The answer, in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Work of the daemon that does not end.
    pub hang: Option<String>,
    /// What keeps the filter from being in force, interface by interface.
    pub problems: Vec<String>,
    /// What the operator should know and what is no such problem.
    pub notes: Vec<String>,
}

impl Health {
    /// Whether the filter is in force everywhere, and the daemon works.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.hang.is_none() && self.problems.is_empty()
    }
}

/// Judges `snapshot` by the `interfaces` on which the filter should be
/// attached. A failed reload is a note only: the generation before it is in force.
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
                "the daemon hangs: {hanging}; the filter in force goes on, and changes have no effect"
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
    match snapshot.interfaces.iter().find(|i| i.name == name) {
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
            "the last reload failed: the policy files as they are now are not in force, what was in force before stays"
        }
    };
    Some(note.to_owned())
}
