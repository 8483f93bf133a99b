//! What the operator is told when the store is opened.

use crate::store::Opened;

/// One message for each thing that the operator should know.
pub(super) fn notes(opened: &Opened) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(damage) = &opened.damaged {
        notes.push(format!(
            "the evidence store was damaged ({}) and is kept as {}; a new one begins",
            damage.why, damage.name
        ));
    }
    if let Some(migration) = &opened.migrated {
        notes.push(format!(
            "the evidence store was migrated from version {} to {}",
            migration.from, migration.to
        ));
    }
    if opened.killed {
        notes.push(
            "the daemon before was killed: names that it learnt in its last seconds may be missing"
                .to_owned(),
        );
    }
    notes
}
