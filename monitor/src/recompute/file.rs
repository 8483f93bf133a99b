//! The capture file: its SHA-256, its comments and counts, and the time that it covers.

use std::{
    io::{self, Read},
    path::Path,
};

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};

use crate::{
    capture::CaptureNotes,
    evidence::captured::Captured,
    policy::PolicyName,
    regular_file::{Purpose, RegularFile},
};

/// What the first block of a file by `monitor capture` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Subject {
    /// The policy whose packets are in the file.
    pub(super) policy: PolicyName,
    /// True if the file has whole frames, false if it has headers only.
    pub(super) payload: bool,
}

impl Subject {
    /// `None` if the file is not one of `monitor capture`.
    pub(super) fn of(notes: &CaptureNotes) -> Option<Self> {
        let comment = notes.comment.as_deref()?;
        let rest = comment.strip_prefix("packets that policy ")?;
        let (policy, kind) = rest.split_once(" matched, ")?;
        Some(Self {
            policy: policy.parse().ok()?,
            payload: kind.starts_with("whole frames"),
        })
    }
}

/// What the comment of a packet says: true if it was dropped. `None` if it says nothing about
/// this policy.
pub(super) fn verdict(comment: Option<&str>, policy: &PolicyName) -> Option<bool> {
    let rest = comment?.strip_prefix("policy ")?;
    let rest = rest.strip_prefix(policy.as_str())?.strip_prefix(": ")?;
    match rest.split(';').next()? {
        "dropped" => Some(true),
        "passed" => Some(false),
        _ => None,
    }
}

/// The time in which the capture has every packet of its policy, except lost ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) since: Timestamp,
    pub(super) until: Timestamp,
}

impl Window {
    /// The time that the counts at the end of the file state, or that the event in the log
    /// states to the second.
    pub(super) fn of(notes: &CaptureNotes, event: Option<&Captured>) -> Option<Self> {
        let counts = notes.interfaces.iter().filter_map(|one| one.counts);
        let since = counts.clone().filter_map(|counts| counts.since).min();
        let until = counts.filter_map(|counts| counts.until).max();
        let stated = since.zip(until);
        let stated = stated.or_else(|| {
            let second = SignedDuration::from_secs(1);
            let event = event?;
            let since: Timestamp = event.since.parse().ok()?;
            let until: Timestamp = event.until.parse().ok()?;
            Some((
                since.checked_add(second).ok()?,
                until.checked_sub(second).ok()?,
            ))
        });
        let (since, until) = stated?;
        Some(Self { since, until })
    }

    /// True if this second, and with it the first packet of a figure, is after the begin.
    pub(super) fn begins_before(&self, second: Timestamp) -> bool {
        self.since <= second
    }

    /// True if this whole second, and with it the last packet of a figure, is before the end.
    pub(super) fn ends_after(&self, second: Timestamp) -> bool {
        let next = second.checked_add(SignedDuration::from_secs(1));
        next.is_ok_and(|next| next <= self.until)
    }
}

/// Packets that the file says to have lost.
pub(super) fn lost(notes: &CaptureNotes, event: Option<&Captured>) -> u64 {
    let counts = notes.interfaces.iter().filter_map(|one| one.counts);
    let stated = counts
        .map(|counts| counts.lost)
        .fold(0, u64::saturating_add);
    stated.max(event.map_or(0, |event| event.lost))
}

/// SHA-256 of a file, hexadecimal.
///
/// # Errors
///
/// Returns an error if the file cannot be read.
pub(super) fn sha256(path: &Path) -> io::Result<String> {
    let mut file = RegularFile::open(path, Purpose::Capture)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex::encode(hash.finalize())),
            read => hash.update(&buffer[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_name_policy_and_verdict() {
        let policy: PolicyName = "seen".parse().unwrap();
        let of = |comment| verdict(Some(comment), &policy);
        assert_eq!(of("policy seen: passed"), Some(false));
        assert_eq!(of("policy seen: dropped; decided by blocked"), Some(true));
        assert_eq!(of("policy seen: passed; decided by saved"), Some(false));
        assert_eq!(of("policy seen2: passed"), None);
        assert_eq!(of("policy see: passed"), None);
        assert_eq!(of("policy seen: droppedx"), None);
        assert_eq!(verdict(None, &policy), None);
    }

    #[test]
    fn the_section_names_the_policy() {
        let of = |comment: &str| {
            Subject::of(&CaptureNotes {
                comment: Some(comment.to_owned()),
                ..CaptureNotes::default()
            })
        };
        let found = of("packets that policy seen matched, whole frames").unwrap();
        assert_eq!((found.policy.as_str(), found.payload), ("seen", true));
        let found = of("packets that policy a.b matched, headers only").unwrap();
        assert_eq!((found.policy.as_str(), found.payload), ("a.b", false));
        assert_eq!(of("packets that policy / matched, headers only"), None);
        assert_eq!(of("something else"), None);
    }

    #[test]
    fn a_second_is_inside_if_all_of_it_is() {
        let at = |text: &str| -> Timestamp { text.parse().unwrap() };
        let window = Window {
            since: at("2026-11-30T12:00:00.4Z"),
            until: at("2026-11-30T12:10:00.4Z"),
        };
        assert!(!window.begins_before(at("2026-11-30T12:00:00Z")));
        assert!(window.begins_before(at("2026-11-30T12:00:01Z")));
        assert!(window.ends_after(at("2026-11-30T12:09:59Z")));
        assert!(!window.ends_after(at("2026-11-30T12:10:00Z")));
    }
}
