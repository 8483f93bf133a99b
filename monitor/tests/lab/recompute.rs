//! `report verify --replay`: the figures of a report of a running filter, computed again from a
//! capture.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use crate::{large_hello::send_tls, support};

use std::{fs, path::Path, path::PathBuf, process::Command, thread, time::Duration};

use jiff::Timestamp;
use monitor::{
    address::Derivation,
    recompute::{Inputs, Replayed, recompute},
    report::{Report, Status, Verification},
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};
use support::{
    captured::Capturing,
    lab::{Daemon, Lab, OPEN, binary, poll, text},
    packets::{Fragment, PHONE, Transport, to},
    raw::RawSocket,
};

const POLICIES: &str = "version: 1
policies:
  - name: blocked
    action: drop
    destinations: [198.51.100.0/25, 2001:db8:bad::/48]
  - name: seen
    action: count
    destinations:
      - 192.0.2.0/24
      - {cidr: 198.51.100.0/24, except: [198.51.100.192/26]}
      - 2001:db8::/32
  - name: web
    action: count
    destinations: [203.0.113.0/24]
    services: [tcp/443]
";

const OTHER: [u8; 6] = [0x64, 0xcc, 0x2e, 0x44, 0x55, 0x66];

const NAME: &str = "secret.example";

/// A lab with a capture of a policy, and the begin of the period.
struct Recording {
    daemon: Daemon,
    lab: Lab,
    capturing: Capturing,
    since: Timestamp,
}

/// Files of a recording that ended.
struct Recorded {
    _daemon: Daemon,
    lab: Lab,
    capture: PathBuf,
    since: Timestamp,
    until: Timestamp,
}

/// Waits for the next second of the clock, far from its begin. Reports have whole seconds, and
/// the kernel's ticks differ a little from the clock.
fn a_second_begins() {
    let apart = Duration::from_millis(100);
    thread::sleep(apart);
    let second = Timestamp::now().as_second();
    while Timestamp::now().as_second() == second {
        thread::sleep(Duration::from_millis(10));
    }
    thread::sleep(apart);
}

impl Recording {
    fn begin(name: &str, policy: &str, options: &[&str]) -> Self {
        let lab = Lab::new(name);
        lab.write_policies(POLICIES);
        let daemon = lab.start(&["--mode", "generic"]);
        let since = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
        let capturing = lab.capture(policy, options);
        a_second_begins();
        Self {
            daemon,
            lab,
            capturing,
            since,
        }
    }

    fn end(self) -> Recorded {
        a_second_begins();
        let capture = self.capturing.file.clone();
        let (printed, _) = self.capturing.stop();
        assert_eq!(printed["lost"], 0, "{printed}");
        // The report need not have packets of the second in which it is made.
        a_second_begins();
        Recorded {
            _daemon: self.daemon,
            lab: self.lab,
            capture,
            since: self.since,
            until: Timestamp::from_second(Timestamp::now().as_second() + 3).unwrap(),
        }
    }
}

/// Frames of two devices to addresses of every policy.
fn send_frames(lab: &Lab) {
    let phone = RawSocket::sender(&lab.phone, "eth0");
    let kinds = [
        Transport::Tcp(443),
        Transport::Udp(53),
        Transport::EchoRequest,
        Transport::Other(50),
    ];
    for (source, repeat) in [(PHONE, 3), (OTHER, 2)] {
        for address in ["192.0.2.10", "198.51.100.10", "2001:db8:bad::10"] {
            for kind in kinds {
                for length in 0..repeat {
                    let payload = vec![0x5a; 40 * length];
                    let frame = to(address).source(source).transport(kind);
                    phone.send(&frame.payload(&payload).build());
                }
            }
            let later = to(address).source(source).fragment(Fragment::Later(64));
            phone.send(&later.build());
        }
    }
    // Of no policy of the capture.
    phone.send(&to("198.51.100.200").build());
    phone.send(&to("203.0.113.5").transport(Transport::Tcp(443)).build());
}

impl Recorded {
    fn report(&self, name: &str, arguments: &[&str]) -> PathBuf {
        let file = self.lab.directory.path().join(name);
        let state = self.lab.directory.path().join("state");
        let (since, until) = (self.since.to_string(), self.until.to_string());
        let fixed = ["report", "--format", "json", "--since", &since];
        let mut all = [&fixed[..], &["--until", &until], arguments].concat();
        all.extend(["--output", file.to_str().unwrap()]);
        all.extend(["--state-dir", state.to_str().unwrap()]);
        let output = self.lab.monitor(&all);
        assert!(output.status.success(), "{}", text(&output.stderr));
        file
    }

    fn verify(&self, report: &Path, arguments: &[&str]) -> (i32, Vec<(String, String)>) {
        verify(report, &self.capture, arguments)
    }

    fn inputs<'a>(capture: &'a Path, derivation: &'a Derivation) -> Inputs<'a> {
        Inputs {
            capture,
            derivation,
            given: None,
        }
    }
}

/// Status and text of each statement.
fn verify(report: &Path, capture: &Path, arguments: &[&str]) -> (i32, Vec<(String, String)>) {
    let output = Command::new(binary())
        .args(["report", "verify", "--json"])
        .args([report, Path::new("--replay"), capture])
        .args(arguments)
        .output()
        .unwrap();
    let code = output.status.code().unwrap();
    let errors = text(&output.stderr);
    let found: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{code}: {errors}"));
    let statements = found["statements"].as_array().unwrap().iter();
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    let statements = statements.map(|one| (word(&one["status"]), word(&one["text"])));
    (code, statements.collect())
}

/// The text of the statement with this status that has this part.
fn stated<'a>(statements: &'a [(String, String)], status: &str, part: &str) -> &'a str {
    let found = statements
        .iter()
        .find(|(own, text)| own == status && text.contains(part));
    match found {
        Some((_, text)) => text,
        None => panic!("no statement is {status} with `{part}`:\n{statements:#?}"),
    }
}

fn figures(statements: &[(String, String)]) -> u64 {
    let text = stated(statements, "holds", "and are equal");
    text.split(' ').next().unwrap().parse().unwrap()
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// The pointers to all numbers below a value.
fn numbers(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Number(_) => found.push(path.to_owned()),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                numbers(item, &format!("{path}/{index}"), found);
            }
        }
        Value::Object(items) => {
            for (key, item) in items {
                numbers(item, &format!("{path}/{key}"), found);
            }
        }
        _ => {}
    }
}

/// True for numbers that the capture of the policy `seen` gives.
fn is_recomputed(report: &Value, pointer: &str) -> bool {
    let parts: Vec<&str> = pointer.split('/').skip(1).collect();
    let asked = report["period"]["policy"] == "seen";
    match parts[..] {
        ["total", _] | ["devices", _, "sum", _] => asked,
        ["devices", device, "policies", policy, ..] => {
            let index = |text: &str| text.parse::<usize>().unwrap();
            let policies = &report["devices"][index(device)]["policies"];
            policies[index(policy)]["policy"] == "seen"
        }
        ["policies", policy, "packets" | "dropped"] => {
            report["policies"][policy.parse::<usize>().unwrap()]["policy"] == "seen"
        }
        ["flows", flow, "packets" | "bytes" | "dropped" | "port"] => {
            let policies = &report["flows"][flow.parse::<usize>().unwrap()]["policies"];
            policies.as_array().unwrap().contains(&json!("seen"))
        }
        _ => false,
    }
}

/// Figures that differ, by the report as it is after a change.
fn differing(replayed: &Replayed, report: &Value) -> Vec<String> {
    let report: Report = serde_json::from_value(report.clone()).unwrap();
    let mut found = Verification::default();
    replayed.compare(&report, &mut found);
    let changed = found.statements.into_iter();
    let changed = changed.filter(|one| one.status == Status::Changed);
    let texts = changed.map(|one| one.text);
    texts.filter(|text| !text.contains("sentences")).collect()
}

/// Changes each number of the report that the capture gives. The comparison must name it.
fn each_change_is_named(report: &Path, capture: &Path) -> usize {
    let value = read(report);
    let derivation = Derivation::default();
    let inputs = Recorded::inputs(capture, &derivation);
    let own: Report = serde_json::from_value(value.clone()).unwrap();
    let mut found = Verification::default();
    let replayed = Replayed::new(&own, inputs, &mut found).unwrap().unwrap();
    assert_eq!(differing(&replayed, &value), Vec::<String>::new());
    let mut pointers = Vec::new();
    numbers(&value, "", &mut pointers);
    pointers.retain(|pointer| is_recomputed(&value, pointer));
    for pointer in &pointers {
        for change in [1, -1] {
            let mut changed = value.clone();
            let number = changed.pointer_mut(pointer).unwrap();
            let Some(other) = number.as_u64().unwrap().checked_add_signed(change) else {
                continue;
            };
            *number = json!(other);
            let named = differing(&replayed, &changed);
            assert!(!named.is_empty(), "{pointer} {change} is not named");
        }
    }
    each_changed_text_is_named(&replayed, &value);
    pointers.len()
}

fn each_changed_text_is_named(replayed: &Replayed, value: &Value) {
    let seen = |value: &Value| {
        let flows = value["flows"].as_array().unwrap().iter();
        let own = flows.enumerate();
        let own = own.filter(|(_, flow)| {
            flow["policies"]
                .as_array()
                .unwrap()
                .contains(&json!("seen"))
        });
        own.map(|(index, _)| index).collect::<Vec<_>>()
    };
    let early = json!("2026-01-01T00:00:00Z");
    let late = json!("2199-01-01T00:00:00Z");
    for index in seen(value) {
        for (key, other) in [
            ("destination", json!("192.0.2.99")),
            ("protocol", json!("132")),
            ("device", json!("02:00:00:00:00:99")),
            ("interface", json!("wlan7")),
            ("policies", json!(["seen", "web"])),
            ("last", early.clone()),
            ("first", late.clone()),
        ] {
            let mut changed = value.clone();
            changed["flows"][index][key] = other;
            assert!(!differing(replayed, &changed).is_empty(), "{index} {key}");
        }
        let mut removed = value.clone();
        removed["flows"].as_array_mut().unwrap().remove(index);
        assert!(!differing(replayed, &removed).is_empty(), "{index} removed");
    }
    for index in 0..value["devices"].as_array().unwrap().len() {
        let mut removed = value.clone();
        removed["devices"].as_array_mut().unwrap().remove(index);
        let named = differing(replayed, &removed);
        assert!(!named.is_empty(), "device {index} removed");
    }
}

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
