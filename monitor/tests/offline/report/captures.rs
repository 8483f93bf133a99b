//! Captures in a report.

use monitor::evidence::{
    captured::{CaptureBegun, CaptureEnd, CaptureFile, CaptureLosses, Captured},
    event::Happening,
};

use super::*;

/// A story with three captures of a policy. The first has its file, the client of the second
/// closed the connection, and the daemon did not finish the third. A fourth capture is of another
/// policy.
pub(super) fn captured_story() -> Story {
    let mut story = Story::told_open();
    let next = |story: &mut Story, id: &str, policy: &str| {
        story.pass(10);
        CaptureBegun {
            capture: id.to_owned(),
            policy: policy.parse().unwrap(),
            since: story.now.to_string(),
            ends: (story.now + jiff::SignedDuration::from_mins(10)).to_string(),
            payload: false,
            max: 1 << 20,
        }
    };
    for (id, sha256, file, not_sent) in [
        ("a", Some("5".repeat(64)), CaptureFile::Written, 0),
        ("b", None, CaptureFile::Unknown, 4),
    ] {
        let begin = next(&mut story, id, "range-2014");
        capture(&mut story, &Happening::CaptureBegin(begin.clone()));
        story.pass(5);
        let until = story.now.to_string();
        let end = Captured {
            capture: id.to_owned(),
            policy: begin.policy,
            since: begin.since.clone(),
            until: until.clone(),
            payload: false,
            packets: 7,
            bytes: 1234,
            lost: 3 + not_sent,
            lost_by: CaptureLosses {
                ring_full: 3,
                file_full: 0,
                not_sent,
            },
            first: Some(begin.since),
            last: Some(until),
            rested_seconds: 60,
            end: CaptureEnd::Time,
            sha256,
            file,
        };
        capture(&mut story, &Happening::Capture(end));
    }
    let begin = next(&mut story, "c", "range-2014");
    capture(&mut story, &Happening::CaptureBegin(begin.clone()));
    capture(&mut story, &Happening::CaptureNotFinished(begin));
    let other = next(&mut story, "d", "silent");
    capture(&mut story, &Happening::CaptureBegin(other));
    story.end();
    story
}

fn capture(story: &mut Story, what: &Happening) {
    let now = story.now;
    story.store().write_capture(what, now).unwrap().unwrap();
}

#[test]
fn captures_of_the_period_are_in_the_report_with_what_is_known_of_their_files() {
    let story = captured_story();
    let report = json(&story, &["--policy", "range-2014"]);
    let captures = report["captures"].as_array().unwrap();
    assert_eq!(captures.len(), 3, "{captures:?}");
    assert_eq!(captures[0]["sha256"], "5".repeat(64));
    let known = |index: usize| {
        let one = &captures[index];
        serde_json::json!([one["packets"], one["lost"], one["file"]])
    };
    assert_eq!(known(0), serde_json::json!([7, 3, "written"]));
    assert_eq!(known(1), serde_json::json!([7, 7, "unknown"]));
    assert_eq!(known(2), serde_json::json!([null, null, "unknown"]));
    for format in ["html", "md"] {
        let text = story.report(&["--format", format]);
        for said in [
            "Captures of packets",
            &"5".repeat(64),
            "3 without room in the kernel, 4 not taken by the client",
            "For 60 s of this time the policy rested",
            "the daemon was killed before its end",
        ] {
            assert!(text.contains(said), "{format}: {said}");
        }
    }
    let earlier = json(&story, &["--until", "2026-11-29T13:00:00Z"]);
    assert_eq!(earlier.get("captures"), None);
    let all = json(&story, &[]);
    assert_eq!(all["captures"].as_array().unwrap().len(), 4);
}
