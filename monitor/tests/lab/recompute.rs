//! `report verify --replay`: the figures of a report of a running filter, computed again from a
//! capture.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod changed;
mod recording;
mod statements;

use crate::{large_hello::send_tls, support};

use std::{fs, path::Path};

use changed::{differing, each_change_is_named};
use monitor::{
    address::Derivation,
    recompute::{Replayed, recompute},
    report::{Report, Verification},
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use recording::{POLICIES, Recorded, Recording, a_second_begins, send_frames};
use serde_json::{Value, json};
use statements::{figures, read, stated, verify};
use support::lab::{OPEN, poll, text};

const NAME: &str = "secret.example";

/// The blocks of a pcapng file.
fn blocks(file: &[u8]) -> Vec<Vec<u8>> {
    let mut blocks = Vec::new();
    let mut rest = file;
    while rest.len() >= 8 {
        let length = u32::from_le_bytes(rest[4..8].try_into().unwrap()) as usize;
        let (block, after) = rest.split_at(length);
        blocks.push(block.to_vec());
        rest = after;
    }
    blocks
}

#[test]
fn every_figure_of_a_report_follows_from_a_capture() {
    let recording = Recording::begin("recompute", "seen", &["--payload"]);
    send_frames(&recording.lab);
    send_tls(&recording.lab, OPEN[0], NAME);
    let recorded = recording.end();
    let all = recorded.report("all.json", &[]);
    let (code, statements) = recorded.verify(&all, &[]);
    assert_eq!(code, 0, "{statements:#?}");
    for (status, part) in [
        (
            "holds",
            "The log in this report says that the gateway wrote this capture",
        ),
        (
            "holds",
            "The policies in the report have the checksum (64 bits) of the ruleset",
        ),
        ("holds", "has the kernel program that recorded the figures"),
        ("holds", "sentences of the report follow from its figures"),
        ("holds", "whole frames"),
        ("unknown", "packets of other policies"),
        ("unknown", "when the filter was attached"),
    ] {
        stated(&statements, status, part);
    }
    let of_all = figures(&statements);
    let seen = recorded.report("seen.json", &["--policy", "seen"]);
    let (code, statements) = recorded.verify(&seen, &[]);
    assert_eq!(code, 0, "{statements:#?}");
    assert!(
        figures(&statements) > 100 && of_all > 100,
        "{statements:#?}"
    );
    assert!(
        !statements.iter().any(|(_, text)| text.contains("bounds")),
        "{statements:#?}"
    );
    let names = fs::read_to_string(&seen).unwrap();
    assert!(names.contains(NAME), "the gateway learnt no name");

    let changed = each_change_is_named(&seen, &recorded.capture);
    assert!(changed > 100, "only {changed} numbers");
    another_name_is_named(&seen, &recorded.capture);
    other_captures_are_told(&recorded, &all);
    other_policies_are_told(&recorded, &all);
}

/// A name that no packet shows.
fn another_name_is_named(report: &Path, capture: &Path) {
    let value = read(report);
    let derivation = Derivation::default();
    let own: Report = serde_json::from_value(value.clone()).unwrap();
    let mut found = Verification::default();
    let inputs = Recorded::inputs(capture, &derivation);
    let replayed = Replayed::new(&own, inputs, &mut found).unwrap().unwrap();
    let other: Value =
        serde_json::from_str(&value.to_string().replace(NAME, "other.example")).unwrap();
    let named = differing(&replayed, &other);
    assert!(
        named
            .iter()
            .any(|text| text.contains("the name other.example by sni")),
        "{named:?}"
    );
}

fn other_captures_are_told(recorded: &Recorded, report: &Path) {
    let bytes = fs::read(&recorded.capture).unwrap();
    let file = recorded.lab.directory.path().join("other.pcapng");
    // Block 6 is the type of a packet.
    let mut without = blocks(&bytes);
    let packet = without.iter().position(|block| block[0] == 6).unwrap();
    without.remove(packet);
    fs::write(&file, without.concat()).unwrap();
    let (code, statements) = verify(report, &file, &[]);
    assert_eq!(code, 3);
    stated(&statements, "changed", "none has the SHA-256 of this file");
    stated(&statements, "changed", "packets: the report has");

    let own: Report = serde_json::from_value(read(report)).unwrap();
    let derivation = Derivation::default();
    let mut random = StdRng::seed_from_u64(2014);
    for _ in 0..4 {
        let mut changed = bytes.clone();
        let at = random.random_range(0..changed.len());
        changed[at] ^= 1 << random.random_range(0..8);
        fs::write(&file, changed).unwrap();
        let mut found = Verification::default();
        let inputs = Recorded::inputs(&file, &derivation);
        let result = recompute(&own, inputs, &mut found);
        assert!(result.is_err() || !found.holds(), "byte {at}");
    }
    fs::remove_file(file).unwrap();
}

fn other_policies_are_told(recorded: &Recorded, report: &Path) {
    let mut value = read(report);
    // Without the proof, only the figures are compared.
    value["head"] = Value::Null;
    value["proofs"] = json!([]);
    let file = recorded.lab.directory.path().join("bare.json");
    let write = |value: &Value| fs::write(&file, value.to_string()).unwrap();
    write(&value);
    let (code, statements) = recorded.verify(&file, &[]);
    assert_eq!(code, 0, "{statements:#?}");
    stated(&statements, "unknown", "The file carries no proof");
    stated(
        &statements,
        "unknown",
        "Whether the gateway wrote this capture",
    );
    assert!(figures(&statements) > 100);

    value["policy_texts"] = json!({});
    write(&value);
    let (_, statements) = recorded.verify(&file, &[]);
    stated(
        &statements,
        "unknown",
        "do not have the hash of the ruleset",
    );
    stated(&statements, "unknown", "No figure was computed again");
    let directory = recorded.lab.policies();
    let given = ["--policies", directory.to_str().unwrap()];
    let (_, statements) = recorded.verify(&file, &given);
    stated(
        &statements,
        "holds",
        "The policies of --policies have the checksum",
    );
    assert!(figures(&statements) > 100);
    let other = POLICIES.replace("192.0.2.0/24", "192.0.2.0/25");
    let other_file = recorded.lab.directory.path().join("other.yaml");
    fs::write(&other_file, other).unwrap();
    let (code, statements) = recorded.verify(&file, &["--policies", other_file.to_str().unwrap()]);
    assert_eq!(code, 0, "{statements:#?}");
    stated(&statements, "unknown", "they are other policies");
}

/// Packets before and after a reload run under the ruleset of their time. Headers are enough
/// for the figures, and a mark divides the contacts.
#[test]
fn figures_around_a_reload_and_a_mark_follow_from_headers() {
    let recording = Recording::begin("recompute-reload", "seen", &[]);
    let lab = &recording.lab;
    send_frames(lab);
    for _ in 0..2 {
        a_second_begins();
    }
    let mark = lab.monitor(&["mark", "cloud off", "--kind", "idle"]);
    assert!(mark.status.success(), "{}", text(&mark.stderr));
    let before = lab.status()["ruleset"].clone();
    lab.write_policies(&POLICIES.replace("action: drop", "action: count"));
    let reloaded = lab.monitor(&["reload"]);
    assert!(reloaded.status.success(), "{}", text(&reloaded.stderr));
    poll("another ruleset is in force", || {
        lab.status()["ruleset"] != before
    });
    for _ in 0..2 {
        a_second_begins();
    }
    lab.send_udp("198.51.100.10", 5);
    let recorded = recording.end();
    let report = recorded.report("seen.json", &["--policy", "seen"]);
    let value = read(&report);
    assert_eq!(
        value["policy_texts"].as_object().unwrap().len(),
        2,
        "{value:#}"
    );
    assert_eq!(value["marks"].as_array().unwrap().len(), 1);
    let (code, statements) = recorded.verify(&report, &[]);
    assert_eq!(code, 0, "{statements:#?}");
    stated(&statements, "holds", "headers only");
    let held = statements.iter().filter(|(status, text)| {
        status == "holds" && text.contains("The policies in the report have the checksum")
    });
    assert_eq!(held.count(), 2, "{statements:#?}");
    assert!(
        !statements
            .iter()
            .any(|(_, text)| text.contains("near") || text.contains("bounds")),
        "{statements:#?}"
    );
    let changed = each_change_is_named(&report, &recorded.capture);
    assert!(changed > 100, "only {changed} numbers");
    let mut other = value;
    let compared = &mut other["marks"][0]["comparison"]["devices"][0]["after"]["packets"];
    *compared = json!(compared.as_u64().unwrap() + 1);
    let derivation = Derivation::default();
    let own: Report = serde_json::from_value(read(&report)).unwrap();
    let mut found = Verification::default();
    let inputs = Recorded::inputs(&recorded.capture, &derivation);
    let replayed = Replayed::new(&own, inputs, &mut found).unwrap().unwrap();
    let named = differing(&replayed, &other);
    assert!(
        named.iter().any(|text| text.contains("mark of")),
        "{named:?}"
    );
}
