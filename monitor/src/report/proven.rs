//! Events that the proofs of a report show to be in the log.

use crate::{
    evidence::{captured::Captured, event::Happening},
    merkle::{Checkpoint, Entry, Line, Proven, PublicKey},
};

use super::Report;

/// The captures that ended, as the lines of the log state them that the report carries. `None`
/// if the report has no valid head of a log.
#[must_use]
pub fn captures_in_log(report: &Report) -> Option<Vec<Captured>> {
    let head = report.head.as_ref()?;
    let key: PublicKey = head.key.parse().ok()?;
    let checkpoint = Checkpoint::open(&head.checkpoint, &key).ok()?;
    let proven = Proven {
        head: head.clone(),
        proofs: report.proofs.clone(),
    };
    let in_log = proven
        .proofs
        .iter()
        .filter(|proof| proven.is_in_log(proof, &checkpoint));
    let captures = in_log.filter_map(|proof| match Entry::read(&proof.line).ok()?.line {
        Line::Event { event, .. } => match serde_json::from_str(&event).ok()? {
            Happening::Capture(captured) => Some(captured),
            _ => None,
        },
        _ => None,
    });
    Some(captures.collect())
}
