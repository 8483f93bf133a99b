//! The SHA-256 of a capture, and the log.

use std::fs;

use super::*;
use crate::{
    evidence::captured::{CaptureEnd, CaptureFile, CaptureLosses},
    recompute::file::sha256,
};

fn captured(sha256: &str) -> Captured {
    Captured {
        capture: String::new(),
        policy: "seen".parse().unwrap(),
        since: "2026-11-30T12:00:00Z".to_owned(),
        until: "2026-11-30T12:10:00Z".to_owned(),
        payload: false,
        packets: 7,
        bytes: 1_000,
        lost: 0,
        lost_by: CaptureLosses::default(),
        first: None,
        last: None,
        rested_seconds: 0,
        end: CaptureEnd::Time,
        sha256: Some(sha256.to_owned()),
        file: CaptureFile::Written,
    }
}

fn status(sha256: &str, logged: &[Captured]) -> Status {
    status_at(sha256, "2026-11-30T12:05:00Z", logged)
}

fn status_at(sha256: &str, time: &str, logged: &[Captured]) -> Status {
    let mut found = Verification::default();
    Findings::new(&mut found).hash(sha256, &[time.parse().unwrap()], Some(logged));
    found.statements[0].status
}

#[test]
fn a_capture_of_another_time_is_not_called_changed() {
    let logged = [captured(&"0".repeat(64))];
    let other = "1".repeat(64);
    assert_eq!(status(&other, &logged), Status::Changed);
    let later = status_at(&other, "2026-11-30T12:10:01Z", &logged);
    assert_eq!(later, Status::Unknown);
}

#[test]
fn one_changed_byte_of_a_capture_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("c.pcapng");
    let mut bytes: Vec<u8> = (0..4_000_u32)
        .map(|number| number.to_le_bytes()[0])
        .collect();
    fs::write(&path, &bytes).unwrap();
    let logged = [captured(&"0".repeat(64)), captured(&sha256(&path).unwrap())];
    let of = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        status(&sha256(&path).unwrap(), &logged)
    };
    assert_eq!(of(&bytes), Status::Holds);
    for at in 0..bytes.len() {
        bytes[at] ^= 1 << (at % 8);
        assert_eq!(of(&bytes), Status::Changed, "byte {at}");
        bytes[at] ^= 1 << (at % 8);
    }
    assert_eq!(of(&bytes), Status::Holds);
    assert_eq!(of(&bytes[1..]), Status::Changed);
}

#[test]
fn a_log_without_captures_says_nothing() {
    assert_eq!(status(&"0".repeat(64), &[]), Status::Unknown);
    let without = Captured {
        sha256: None,
        ..captured("")
    };
    assert_eq!(status(&"0".repeat(64), &[without]), Status::Unknown);
}
