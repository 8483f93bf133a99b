//! `report verify`: the proof of a report, by the real binary on a real store.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use std::{fs, path::Path, process::Command, str};

use monitor::report::{Status, verify};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::Value;

use crate::support::story::{PHONE, Story, monitor};

/// Changes of one byte to each file.
const CHANGES: usize = 500;

/// Runs `report verify`. Returns its exit status and output.
fn verified(file: &Path, arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_monitor"))
        .args(["report", "verify"])
        .arg(file)
        .args(arguments)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap(),
        String::from_utf8(text).unwrap(),
    )
}

fn written(story: &Story, format: &str, arguments: &[&str]) -> std::path::PathBuf {
    let file = story.directory.path().join(format!("report.{format}"));
    let output = ["--format", format, "--output", file.to_str().unwrap()];
    story.report(&[&output, arguments].concat());
    file
}

#[test]
fn a_report_of_each_form_verifies_on_its_own() {
    let story = Story::told();
    for format in ["html", "md", "json", "csv", "eve", "case"] {
        let file = written(&story, format, &[]);
        let (status, text) = verified(&file, &[]);
        assert_eq!(status, 0, "{format}: {text}");
        assert!(text.contains("Not a byte was changed since"), "{text}");
        assert!(text.contains("lines of evidence"), "{text}");
        assert!(text.contains("unknown"), "{text}");
    }
    let (_, text) = verified(&story.directory.path().join("report.json"), &[]);
    assert!(
        text.contains("The packets, bytes and drops of 2 devices agree with the lines"),
        "{text}"
    );
}

#[test]
fn a_report_agrees_with_the_store_and_key_of_its_gateway() {
    let story = Story::told();
    let file = written(&story, "json", &[]);
    let directory = story.directory.path();
    let key = monitor(directory, &["report", "key"]);
    let key = String::from_utf8(key.stdout).unwrap();
    let state = ["--state-dir", directory.to_str().unwrap()];
    let (status, text) = verified(&file, &[&state[..], &["--key", key.trim()]].concat());
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("match the log"), "{text}");
    assert!(
        text.contains("that the report's head covers, unchanged"),
        "{text}"
    );
    assert!(!text.contains("Compare it with a copy"), "{text}");

    let other = Story::told();
    written(&other, "json", &[]);
    let other_key = monitor(other.directory.path(), &["report", "key"]);
    let other_key = String::from_utf8(other_key.stdout).unwrap();
    let (status, text) = verified(&file, &["--key", other_key.trim()]);
    assert_eq!(status, 3, "{text}");
    assert!(text.contains("another key than the one given"), "{text}");
}

#[test]
fn a_change_in_the_store_is_found() {
    let story = Story::told();
    let file = written(&story, "json", &[]);
    let directory = story.directory.path();
    let raw = rusqlite::Connection::open(directory.join("evidence.db")).unwrap();
    raw.execute(
        "UPDATE count SET dropped_packets = 1 WHERE dropped_packets > 0",
        [],
    )
    .unwrap();
    drop(raw);
    let state = ["--state-dir", directory.to_str().unwrap()];
    let (status, text) = verified(&file, &state);
    assert_eq!(status, 3, "{text}");
    assert!(text.contains("does not match its hash"), "{text}");
    // The report itself is what was signed.
    assert!(text.contains("Not a byte was changed since"), "{text}");
}

#[test]
fn one_changed_byte_anywhere_is_found() {
    let story = Story::told();
    let mut random = StdRng::seed_from_u64(20_140_731);
    for format in ["html", "md", "json", "csv", "eve", "case"] {
        let file = written(&story, format, &[]);
        let text = fs::read_to_string(&file).unwrap();
        let proof = fs::read_to_string(file.with_extension(format!("{format}.proof"))).ok();
        assert!(verify(&text, proof.as_deref(), None).unwrap().holds());
        for _ in 0..CHANGES {
            let (text, proof) = changed(&mut random, &text, proof.as_deref());
            let (Ok(text), Ok(proof)) = (str::from_utf8(&text), str::from_utf8(&proof)) else {
                continue;
            };
            let proof = (!proof.is_empty()).then_some(proof);
            let holds = verify(text, proof, None).is_ok_and(|found| found.holds());
            assert!(!holds, "{format}");
        }
    }
}

/// Changes, removes or adds one byte of a file or of its proof.
fn changed(random: &mut StdRng, text: &str, proof: Option<&str>) -> (Vec<u8>, Vec<u8>) {
    let proof = proof.unwrap_or_default().as_bytes().to_vec();
    let mut files = (text.as_bytes().to_vec(), proof);
    let file: &mut Vec<u8> = if !files.1.is_empty() && random.random_bool(0.5) {
        &mut files.1
    } else {
        &mut files.0
    };
    let at = random.random_range(0..file.len());
    match random.random_range(0..3) {
        0 => drop(file.remove(at)),
        1 => file.insert(at, random.random_range(b' '..=b'~')),
        _ => file[at] ^= 1 << random.random_range(0..7),
    }
    files
}

#[test]
fn a_redacted_report_verifies_and_names_no_device() {
    let story = Story::told();
    for format in ["html", "json"] {
        let file = written(&story, format, &["--redact"]);
        let text = fs::read_to_string(&file).unwrap();
        assert!(!text.contains(PHONE), "{format}");
        let (status, text) = verified(&file, &[]);
        assert_eq!(status, 0, "{text}");
    }
}

#[test]
fn figures_of_another_report_do_not_fit_the_lines() {
    let story = Story::told();
    let file = written(&story, "json", &[]);
    let text = fs::read_to_string(&file).unwrap();
    let figures = [
        ("packets", "packets"),
        ("bytes", "bytes"),
        ("dropped", "dropped packets"),
    ];
    for (figure, what) in figures {
        for of_policy in [false, true] {
            let mut report: Value = serde_json::from_str(&text).unwrap();
            let devices = report["devices"].as_array_mut().unwrap();
            let phone = devices.iter_mut().find(|one| one["device"] == PHONE);
            let phone = phone.unwrap();
            let (sum, name) = if of_policy {
                let own = &mut phone["policies"][0];
                let name = format!(" by {}", own["policy"].as_str().unwrap());
                (own, name)
            } else {
                (&mut phone["sum"], String::new())
            };
            sum[figure] = 1_000_007.into();
            let found = verify(&serde_json::to_string(&report).unwrap(), None, None).unwrap();
            let expected = format!("{PHONE}{name} 1000007 {what}; the lines of the log give");
            assert!(
                found.statements.iter().any(|statement| {
                    statement.status == Status::Changed && statement.text.contains(&expected)
                }),
                "{expected}: {found:?}"
            );
        }
    }
}

#[test]
fn a_file_without_a_proof_is_an_error_that_says_so() {
    let story = Story::told();
    let file = story.directory.path().join("report.txt");
    fs::write(&file, "no report\n").unwrap();
    let (status, text) = verified(&file, &[]);
    assert_eq!(status, 1, "{text}");
    assert!(text.contains("carries no proof"), "{text}");
}

/// Changes a report.
type Change = fn(&mut monitor::report::Report);

/// The report as JSON, changed by `change`, written as the program writes it.
fn rewritten(file: &Path, change: impl FnOnce(&mut monitor::report::Report)) -> String {
    let mut report = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    change(&mut report);
    report.to_json().unwrap()
}

#[test]
fn proofs_cannot_be_removed_added_or_swapped() {
    let story = Story::told();
    let file = written(&story, "json", &[]);
    let same = rewritten(&file, |_| {});
    assert!(verify(&same, None, None).unwrap().holds());
    let changes: [(&str, Change); 6] = [
        ("more lines", |report| {
            report.head.as_mut().unwrap().more_lines = 7;
        }),
        ("without the last", |report| drop(report.proofs.pop())),
        ("without all but the first", |report| {
            report.proofs.truncate(1);
        }),
        ("one twice", |report| {
            report.proofs.push(report.proofs[1].clone());
        }),
        ("swapped", |report| report.proofs.swap(1, 2)),
        ("another hash", |report| {
            report.head.as_mut().unwrap().nodes.push("AA==".to_owned());
        }),
    ];
    for (what, change) in changes {
        let found = verify(&rewritten(&file, change), None, None).unwrap();
        assert!(!found.holds(), "{what}: {found:?}");
    }
}

#[test]
fn numbers_and_texts_of_a_forger_do_no_harm() {
    let story = Story::told();
    let file = written(&story, "json", &[]);
    let large = rewritten(&file, |report| {
        for proof in &mut report.proofs {
            proof.line =
                proof
                    .line
                    .replacen("\"packets\":9", "\"packets\":18446744073709551615", 1);
        }
        report.proofs[1].path.resize(100_000, 0);
    });
    assert!(!verify(&large, None, None).unwrap().holds());
    let forged = rewritten(&file, |report| {
        let head = report.head.as_mut().unwrap();
        head.key = format!("gateway\n  holds    all+00000000+{}", "AQ==");
    });
    let file = file.with_file_name("forged.json");
    fs::write(&file, forged).unwrap();
    let (status, text) = verified(&file, &[]);
    assert_eq!(status, 3, "{text}");
    assert!(!text.contains("\n  holds    all"), "{text}");
}

#[test]
fn a_report_of_another_gateway_does_not_pass_as_this_ones() {
    let (story, other) = (Story::told(), Story::told());
    let file = written(&story, "json", &[]);
    written(&other, "json", &[]);
    let state = ["--state-dir", other.directory.path().to_str().unwrap()];
    let (status, text) = verified(&file, &state);
    assert_eq!(status, 3, "{text}");
    assert!(
        text.contains("another key than that of this gateway"),
        "{text}"
    );
}

#[test]
fn a_report_of_one_policy_carries_nothing_of_the_others() {
    let story = Story::told();
    let file = written(&story, "html", &["--policy", "blocked"]);
    let text = fs::read_to_string(&file).unwrap();
    let proof = text.split_once("monitor-proof").unwrap().1;
    assert!(
        !proof.contains("packets") && !proof.contains("claim"),
        "{proof}"
    );
    let (status, text) = verified(&file, &[]);
    assert_eq!(status, 0, "{text}");
}
