//! Begins and ends of captures.

use tempfile::TempDir;

use super::*;
use crate::evidence::{
    captured::{CaptureBegun, CaptureEnd, CaptureFile, CaptureLosses, Captured},
    event::Happening,
};

fn begun(id: &str) -> CaptureBegun {
    CaptureBegun {
        capture: id.to_owned(),
        policy: policy("strict"),
        since: noon().to_string(),
        ends: noon().to_string(),
        payload: false,
        max: 1 << 20,
    }
}

fn captured(id: &str) -> Captured {
    Captured {
        capture: id.to_owned(),
        policy: policy("strict"),
        since: noon().to_string(),
        until: noon().to_string(),
        payload: true,
        packets: u64::MAX,
        bytes: u64::MAX,
        lost: u64::MAX,
        lost_by: CaptureLosses {
            ring_full: u64::MAX,
            file_full: 1,
            not_sent: 1,
        },
        first: Some(noon().to_string()),
        last: Some(noon().to_string()),
        rested_seconds: u64::MAX,
        end: CaptureEnd::PolicyRemoved,
        sha256: Some("0".repeat(64)),
        file: CaptureFile::Incomplete,
    }
}

#[test]
fn a_begin_without_an_end_gets_one_exactly_once() {
    let directory = TempDir::new().unwrap();
    let open = || {
        Store::open(directory.path(), StoreSettings::default(), noon())
            .unwrap()
            .0
    };
    let mut store = open();
    assert_eq!(store.end_captures(noon()).unwrap(), 0);
    let events = [
        Happening::CaptureBegin(begun("a")),
        Happening::Capture(captured("a")),
        Happening::CaptureBegin(begun("b")),
    ];
    for event in &events {
        let written = store.write_capture(event, noon()).unwrap();
        assert!(written.is_some(), "the event has no room: {event:?}");
    }
    drop(store);
    let mut store = open();
    assert_eq!(store.end_captures(noon()).unwrap(), 1);
    assert_eq!(store.end_captures(noon()).unwrap(), 0);
    store.close().unwrap();
    let mut reader = StoreReader::open(directory.path()).unwrap().unwrap();
    let view = reader.view().unwrap();
    let found: Vec<Happening> = view
        .captures(Timestamp::MIN)
        .unwrap()
        .iter()
        .map(|stored| serde_json::from_str(&stored.event.json).unwrap())
        .collect();
    let expected = [&events[..], &[Happening::CaptureNotFinished(begun("b"))]].concat();
    assert_eq!(found, expected);
    let check = view.check_log(0).unwrap();
    // The begin of the log, the loss by the kill, and the four events.
    assert_eq!((&check.wrong[..], check.size), (&[][..], 6));
}
