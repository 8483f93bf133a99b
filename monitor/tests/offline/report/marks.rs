//! Marks on the time line.

use super::*;

#[test]
fn a_mark_divides_the_time_before_from_the_time_after() {
    let story = Story::told();
    let report = json(&story, &[]);
    let marks = report["marks"].as_array().unwrap();
    assert_eq!(marks.len(), 2);
    let comparison = &marks[0]["comparison"];
    let phone = &comparison["devices"][0];
    assert_eq!(
        (&phone["device"], &phone["is_control"]),
        (&PHONE.into(), &false.into())
    );
    let ends = |which: &str| phone[which]["number"].as_u64().unwrap();
    assert_eq!(
        (ends("stayed"), ends("went"), ends("came")),
        (1, 2, 0),
        "{phone}"
    );
    assert_eq!(phone["before"]["packets"], 24 * 7);
    assert_eq!(phone["after"]["packets"], 24 * 2);
    assert_eq!(
        (&phone["before"]["contacts"], &phone["after"]["contacts"]),
        (&69.into(), &23.into())
    );
    let active = |side: &str| phone[side]["active_intervals"].as_u64().unwrap();
    assert_eq!((active("before"), active("after")), (23, 23));
    assert_eq!(phone["before"]["observed_hours"], 2.0);
    // The device sent packets in every interval, so its rate is the same.
    assert_eq!(phone["probability"], 1.0, "{phone}");
    let control = &comparison["devices"][1];
    assert_eq!(
        (&control["device"], &control["is_control"]),
        (&OTHER.into(), &true.into())
    );
    assert_eq!(control["probability"], 1.0);
    assert_eq!(control["stayed"]["number"], 1);
    // The second mark is about all devices, so it has no controls.
    let second = marks[1]["comparison"]["devices"].as_array().unwrap();
    assert!(second.iter().all(|device| device["is_control"] == false));
}

/// Three contacts before and none after are too little, and the report says how much more.
#[test]
fn with_too_little_the_report_says_how_much_would_be_needed() {
    let mut story = Story::new();
    for _ in 0..3 {
        story.pass(20);
        let at = story.now;
        story.write(&[flow(PHONE, SERVER, "range-2014", 1, at)]);
    }
    story.mark("off", MarkKind::SettingChanged, Some(PHONE));
    story.pass(60);
    story.end();
    let report = json(&story, &[]);
    let phone = &report["marks"][0]["comparison"]["devices"][0];
    assert!(phone["probability"].is_null(), "{phone}");
    let text = phone["text"].to_string();
    assert!(text.contains("at least 5 intervals with packets"), "{text}");
    assert!(!text.contains("lower"), "{text}");
}

/// The store merges rows into hours. The copies of the mark still divide them exactly.
#[test]
fn a_mark_divides_rows_that_were_merged_later() {
    let mut story = Story::told_open();
    let later = story.now + jiff::SignedDuration::from_hours(72);
    story.store().compact(later).unwrap();
    story.end();
    let report = json(&story, &[]);
    let phone = &report["marks"][0]["comparison"]["devices"][0];
    assert_eq!(phone["before"]["packets"], 24 * 7, "{phone}");
    assert_eq!(phone["after"]["packets"], 24 * 2, "{phone}");
    assert_eq!(report["marks"][0]["comparison"]["unit"], "hour");
    // Three hours say nothing about a rate.
    assert!(phone["probability"].is_null(), "{phone}");
    assert_eq!(phone["unclear_packets"], 0);
}

#[test]
fn a_mark_without_a_daemon_is_in_events_and_in_the_report() {
    let story = Story::told();
    let mark = [
        "mark",
        "phone lies idle",
        "--kind",
        "idle",
        "--device",
        PHONE,
        "--firmware",
        "V14",
        "--json",
    ];
    let output = story.monitor(&mark);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let marked: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(marked["devices"][0], PHONE);
    assert_eq!(marked["mark"]["kind"], "idle");
    let events = story.monitor(&["events"]);
    let events = String::from_utf8(events.stdout).unwrap();
    assert!(
        events.contains("mark (idle): \"phone lies idle\", firmware \"V14\""),
        "{events}"
    );
    let report = json(&story, &["--since", "2026-11-29T12:00:00Z"]);
    let last = report["marks"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(
        (&last["text"], &last["kind"]),
        (&"phone lies idle".into(), &"idle".into())
    );
}

#[test]
fn a_mark_is_one_clean_line_of_the_past() {
    let story = Story::told();
    for (arguments, expected) in [
        (&["a\nb"][..], 2),
        (&["a\u{202e}b"], 2),
        (&[""], 2),
        (&["text", "--at", "2100-01-01T00:00:00Z"], 1),
        (&["text", "--device", "nobody"], 1),
        (&["text", "--kind", "party"], 2),
    ] {
        let output = story.monitor(&[&["mark"], arguments].concat());
        assert_eq!(output.status.code(), Some(expected), "{arguments:?}");
    }
    let long = "x".repeat(201);
    assert_eq!(story.monitor(&["mark", &long]).status.code(), Some(2));
}

/// The operator can state an earlier time. Every form shows when the mark was set.
#[test]
fn a_backdated_mark_says_when_it_was_set() {
    let story = Story::told();
    assert!(!story.report(&[]).contains("set at"));
    let mark = ["mark", "moved", "--at", "2026-11-29T13:30:00Z"];
    let output = story.monitor(&mark);
    assert!(output.status.success(), "{output:?}");
    let events = String::from_utf8(story.monitor(&["events"]).stdout).unwrap();
    let line = events.lines().find(|line| line.contains("moved")).unwrap();
    assert!(
        line.starts_with("2026-11-29T13:30:00Z") && line.contains(", set at 2"),
        "{line}"
    );
    assert_eq!(events.matches(", set at ").count(), 1, "{events}");
    for format in ["html", "md", "case"] {
        let text = story.report(&["--format", format, "--redact"]);
        assert_eq!(text.matches(" set at 2").count(), 1, "{format}");
        assert!(text.contains("The operator chose that time"), "{format}");
    }
    let report = json(&story, &["--until", "2026-11-29T15:00:00Z"]);
    let marks = report["marks"].as_array().unwrap();
    let own = marks.iter().find(|mark| mark["text"] == "moved").unwrap();
    assert_eq!(own["at"], "2026-11-29T13:30:00Z");
    assert!(own["set"].as_str().unwrap() > "2026-11-29T16", "{own}");
}
