//! Reports of a real store, by the real binary.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use monitor::evidence::{NameSource, mark::MarkKind};
use serde_json::Value;

use crate::support::story::{OTHER, PHONE, SERVER, Story, flow, monitor};

const FORMATS: [&str; 5] = ["html", "md", "csv", "json", "eve"];

fn json(story: &Story, arguments: &[&str]) -> Value {
    let text = story.report(&[&["--format", "json"], arguments].concat());
    serde_json::from_str(&text).unwrap()
}

#[test]
fn the_json_has_every_key_of_its_contract() {
    let story = Story::told();
    let config = story.config();
    let report = json(&story, &["--config", config.to_str().unwrap()]);
    for key in [
        "period",
        "gateway",
        "ruleset",
        "program",
        "coverage",
        "losses",
        "marks",
        "devices",
        "flows",
        "shows",
        "does_not_show",
        "head",
        "proofs",
    ] {
        assert!(report.get(key).is_some(), "{key}");
    }
    assert_eq!(report["answer"].as_array().unwrap().len(), 3);
    let flows = report["flows"].as_array().unwrap();
    let to_server = flows
        .iter()
        .find(|flow| flow["destination"] == SERVER)
        .unwrap();
    assert_eq!(
        (&to_server["packets"], &to_server["dropped"]),
        (&96.into(), &0.into())
    );
    assert_eq!(to_server["names"][0]["how"], "dns");
    let holder = &to_server["holder"];
    assert_eq!(holder["registry"][0]["value"], "APNIC", "{holder}");
    assert!(holder["holder"].is_null(), "{holder}");
    let phone = report["devices"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["device"] == PHONE);
    let policies = phone.unwrap()["policies"].as_array().unwrap();
    assert_eq!(policies[0]["policy"], "blocked");
    assert_eq!(policies[0]["dropped"], 96);
    let timeline = &policies[0]["timeline"];
    let dropped: u64 = timeline["dropped"]
        .as_array()
        .unwrap()
        .iter()
        .map(|n| n.as_u64().unwrap())
        .sum();
    assert_eq!(dropped, 96);
    assert_eq!(policies[1]["others"][0]["device"], OTHER);
    assert_eq!(policies[1]["others"][0]["shared_networks"], 1);
    assert_eq!(report["gateway"]["clock_synchronised"], true);
    assert_eq!(
        report["policy_texts"]["00000000000000aa"][0]["name"],
        "blocked"
    );
}

#[test]
fn equal_stores_give_equal_bytes_in_every_format() {
    let story = Story::told();
    for format in FORMATS {
        let report = || story.report(&["--format", format]);
        assert_eq!(report(), report(), "{format}");
        assert!(report().len() > 500, "{format}");
    }
    let at = json(&story, &["--at", "2026-11-29T18:00:00Z"]);
    assert_eq!(at["period"]["until"], "2026-11-29T18:00:00Z");
}

/// Texts of the network that a terminal, a browser, a spreadsheet or Markdown would run.
fn hostile_names() -> Vec<String> {
    let mut names = vec![
        "<script>alert(1)</script>".to_owned(),
        "\"><img src=x onerror=alert(1)>".to_owned(),
        "a\u{1b}[2Jb\u{7}".to_owned(),
        "evil\u{202e}moc.elgoog".to_owned(),
        "=HYPERLINK(\"http://x\")".to_owned(),
        "@SUM(A1)".to_owned(),
        "a|b`c`](http://x)".to_owned(),
        "two\r\nlines\ttab".to_owned(),
        "www.example.com".to_owned(),
    ];
    names.push("x".repeat(255));
    names
}

#[test]
fn hostile_names_are_clean_in_every_format() {
    let mut story = Story::new();
    for (last, name) in hostile_names().iter().enumerate() {
        story.pass(5);
        let to = format!("42.62.48.{last}");
        let at = story.now;
        story.write(&[flow(PHONE, &to, "range-2014", 1, at)]);
        story.claim(PHONE, &to, NameSource::Sni, name);
        story.fact(PHONE, "host-name", name, "dnsmasq");
        story.fact(PHONE, "model", name, "user-agent");
    }
    story.end();
    for format in FORMATS {
        let text = story.report(&["--format", format]);
        let acts = |c: char| c != '\n' && c != '\r' && monitor::printable::acts(c);
        assert!(!text.contains(acts), "{format}");
        assert!(text.contains(&"x".repeat(255)), "{format}");
        match format {
            "html" => {
                assert!(!text.contains("<script") && !text.contains("<img"));
                assert!(text.contains("&lt;script&gt;"));
            }
            "md" => {
                let markup = outside_code(&text);
                assert!(!markup.contains("<script") && !markup.contains("<img"));
                // A name is code, so no reader makes a link of it.
                assert!(text.contains("`www.example.com`"), "{text}");
            }
            "csv" => {
                let rows = csv_cells(&text);
                let begins = |cell: &String| cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
                assert!(!rows.iter().flatten().any(begins), "{text}");
                assert!(
                    rows.iter()
                        .flatten()
                        .any(|cell| cell.starts_with("'=HYPERLINK"))
                );
                assert!(rows.iter().all(|row| row.len() == rows[0].len()));
            }
            "eve" => {
                for line in text.lines() {
                    serde_json::from_str::<Value>(line).unwrap();
                }
            }
            _ => drop(serde_json::from_str::<Value>(&text).unwrap()),
        }
    }
}

/// The text of Markdown without its code spans, whose content is no markup.
fn outside_code(text: &str) -> String {
    let mut outside = String::new();
    for line in text.lines() {
        let mut rest = line;
        while let Some(begin) = rest.find('`') {
            outside.push_str(&rest[..begin]);
            let after = rest[begin..].trim_start_matches('`');
            let fence = &rest[begin..rest.len() - after.len()];
            // The first run of the same length ends the span.
            let runs = after.match_indices(fence);
            let mut ends = runs.filter(|(at, _)| {
                let is_longer = after[at + fence.len()..].starts_with('`');
                !is_longer && !after[..*at].ends_with('`')
            });
            let end = ends.next().map_or(after.len(), |(at, _)| at + fence.len());
            rest = &after[end..];
        }
        outside.push_str(rest);
        outside.push('\n');
    }
    outside
}

/// The cells of a CSV text (RFC 4180).
fn csv_cells(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut letters = text.chars().peekable();
    while let Some(c) = letters.next() {
        match c {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                cell.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut cell)),
            '\r' if !quoted => {}
            '\n' if !quoted => {
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            c => cell.push(c),
        }
    }
    rows
}

#[test]
fn the_html_needs_no_other_file_and_runs_nothing() {
    let story = Story::told();
    let html = story.report(&["--format", "html"]);
    for forbidden in [
        "<script",
        "<link",
        "<img",
        "<iframe",
        "@import",
        "url(http",
        "src=",
        "javascript:",
        "http-equiv",
    ] {
        assert!(!html.contains(forbidden), "{forbidden}");
    }
    let references = html.match_indices("href=\"").map(|(at, _)| &html[at + 6..]);
    for reference in references {
        assert!(reference.starts_with('#'), "{}", &reference[..40]);
    }
    assert!(html.contains("@media print") && html.contains("prefers-color-scheme: dark"));
    assert_eq!(html.matches("<svg class=\"timeline\"").count(), 3);
}

/// An EVE line of a report equals that of `monitor events` for the same flow and name.
#[test]
fn eve_lines_are_those_of_events() {
    let story = Story::told();
    let report = story.report(&["--format", "eve"]);
    let events = story.monitor(&["events", "--format", "eve"]);
    let events = String::from_utf8(events.stdout).unwrap();
    let names = |text: &str| {
        let lines = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let lines = lines.filter(|line| line["event_type"] == "tls" || line["event_type"] == "dns");
        lines.map(|line| line.to_string()).collect::<Vec<_>>()
    };
    assert!(!names(&report).is_empty());
    assert_eq!(names(&report), names(&events));
    let alert: Value = serde_json::from_str(report.lines().next().unwrap()).unwrap();
    let same = events
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut same = same.filter(|line| line["flow_id"] == alert["flow_id"]);
    assert_eq!(
        same.next().unwrap()["alert"]["signature"],
        alert["alert"]["signature"]
    );
}

/// Forms in which a text could stand in a report.
fn forms(original: &str) -> Vec<String> {
    let plain = original.replace([':', '-'], "");
    let percent = original
        .replace(':', "%3A")
        .replace('@', "%40")
        .replace(' ', "%20");
    let mut forms = vec![original.to_owned(), percent, original.replace(':', "-")];
    if plain.len() >= 8 {
        forms.push(plain);
    }
    let lower: Vec<_> = forms.iter().map(|form| form.to_lowercase()).collect();
    forms.extend(lower);
    // Base64 at the three possible offsets, without the digits that neighbours change.
    for offset in 0..3 {
        let padded = format!("{}{original}", "\0".repeat(offset));
        let digits = base64(padded.as_bytes());
        let (from, to) = ((offset * 8).div_ceil(6), padded.len() * 8 / 6);
        forms.push(digits[from..to].to_owned());
    }
    forms
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let chunks = bytes.chunks(3).flat_map(|chunk| {
        let number = chunk
            .iter()
            .fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte));
        let number = number << (8 * (3 - chunk.len()));
        [18, 12, 6, 0].map(|shift| char::from(DIGITS[(number >> shift & 63) as usize]))
    });
    chunks.collect()
}

/// Everything private in the story.
const ORIGINALS: [&str; 19] = [
    PHONE,
    OTHER,
    "annas-phone",
    "kitchen tablet",
    "gateway-of-anna",
    "192.168.77.1",
    "192.168.77.23",
    "fd77::1",
    "2001:db8:77:1:66cc:2eff:fe11:2233",
    "66cc:2eff:fe11:2233",
    "anna@mail.example",
    "sim of anna",
    "cloud backup off",
    "what anna wrote",
    "Redmi Note",
    "wlx64cc2e112233",
    "anna-1234.dns",
    "annas-tv",
    "2001:db8:77:2::5",
];

#[test]
fn a_redacted_report_has_no_original_in_any_format() {
    let mut story = Story::told_open();
    // The same host as the phone, as a destination, by another network.
    let at = story.now;
    story.write(&[
        flow(OTHER, "192.168.77.23", "range-2014", 1, at),
        flow(
            OTHER,
            "2001:db8:99::66cc:2eff:fe11:2233",
            "range-2014",
            1,
            at,
        ),
    ]);
    let mut by_adapter = flow(PHONE, SERVER, "range-2014", 1, at);
    by_adapter.key.interface = "wlx64cc2e112233".to_owned();
    let of_line = flow(OTHER, "2001:db8:77:2::5", "range-2014", 1, at);
    story.write(&[by_adapter, of_line]);
    for name in [
        "annas-phone.lan",
        "192.168.77.23:8080",
        "annas-tv.fritz.box",
    ] {
        story.claim(OTHER, "192.168.77.23", NameSource::HttpHost, name);
        story.claim(OTHER, "42.62.48.200", NameSource::HttpHost, name);
    }
    story.end();
    let config = story.config();
    for format in FORMATS {
        let arguments = ["--format", format, "--config", config.to_str().unwrap()];
        let open = story.report(&arguments);
        let redacted = story.report(&[&arguments[..], &["--redact"]].concat());
        let lower = redacted.to_lowercase();
        for original in ORIGINALS {
            for form in forms(original) {
                let is_base64 = !form.contains(['-', ':', ' ', '.', '%', '@']);
                let found = if is_base64 {
                    redacted.contains(&form)
                } else {
                    lower.contains(&form.to_lowercase())
                };
                assert!(!found, "{format}: {original} as {form}");
            }
        }
        assert!(open.contains(PHONE), "{format}");
        assert!(redacted.contains("device-"), "{format}");
        // The far side stays.
        assert!(
            redacted.contains(SERVER) && redacted.contains("api.cloud.example"),
            "{format}"
        );
        // Another report has other pseudonyms.
        assert_ne!(
            redacted,
            story.report(&[&arguments[..], &["--redact"]].concat()),
            "{format}"
        );
    }
    let key = story.directory.path().join("key");
    let with_key = [
        "--format",
        "json",
        "--redact",
        "--pseudonym-key",
        key.to_str().unwrap(),
    ];
    let first = story.report(&with_key);
    assert_eq!(std::fs::read(&key).unwrap().len(), 32);
    assert_eq!(first, story.report(&with_key));
    std::fs::write(&key, "short").unwrap();
    let output = story.monitor(&[&["report"], &with_key[..]].concat());
    assert!(!output.status.success());
}

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

#[test]
fn a_period_without_packets_says_how_long_the_gateway_watched() {
    let story = Story::told();
    let silent = json(&story, &["--policy", "silent", "--since", "2h"]);
    let answer = silent["answer"].to_string();
    assert!(answer.contains("the store has no packet"), "{answer}");
    let shows = silent["shows"].to_string();
    assert!(
        shows.contains("no packet of the policy silent from the 2 hours"),
        "{shows}"
    );
    assert_eq!(silent["flows"], Value::Array(Vec::new()));
    let one = json(&story, &["--device", OTHER]);
    assert!(
        one["flows"]
            .as_array()
            .unwrap()
            .iter()
            .all(|flow| flow["device"] == OTHER)
    );
    let subjects = one["devices"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["is_subject"] == true);
    assert_eq!(subjects.count(), 1);
    let limited = json(&story, &["--limit", "1"]);
    assert_eq!(limited["flows"].as_array().unwrap().len(), 3);
    assert_eq!(limited["flows_left_out"]["packets"], 24);
}

/// An output that is no regular file stays as it is.
#[test]
fn only_a_regular_file_is_replaced() {
    let story = Story::told();
    let target = story.directory.path().join("target");
    let link = story.directory.path().join("link");
    std::fs::write(&target, "kept").unwrap();
    std::os::unix::fs::symlink(&target, &link).unwrap();
    for path in [&link, &story.directory.path().to_owned()] {
        let output = story.monitor(&["report", "--output", path.to_str().unwrap()]);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains("not a regular file"), "{error}");
    }
    assert!(link.is_symlink());
    let output = story.monitor(&["report", "--output", target.to_str().unwrap()]);
    assert!(output.status.success());
    assert_ne!(std::fs::read_to_string(&target).unwrap(), "kept");
}

#[test]
fn without_a_store_the_verbs_say_so() {
    let directory = tempfile::tempdir().unwrap();
    for arguments in [&["report"][..], &["mark", "text"]] {
        let output = monitor(directory.path(), arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains("no evidence is stored"), "{error}");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
