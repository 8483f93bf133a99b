//! `monitor replay` on the real captures, compared with two independent readers
//! (`expected.json`) and with the reference model.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use crate::support;

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path, process::Command};

use monitor::{capture::Capture, policy::Action};
use serde_json::Value;
use support::{
    data::{self, Expected},
    kernel::Pair,
    lab::{binary, text},
    packets::{Fragment, Transport, to},
};
use tempfile::TempDir;

#[test]
fn every_ethernet_capture_gives_the_expected_packets_and_bytes() {
    let Some(folder) = data::folder() else { return };
    let policies = cn_policies(&folder);
    println!(
        "{:42} {:>7} {:>7} {:>8} {:>8} {:>9} {:>9}",
        "capture", "packets", "parsed", "matched", "expected", "bytes", "expected"
    );
    let mut compared = 0;
    for expected in data::expectations(&folder) {
        let output = replay(policies.path(), &expected.path(&folder));
        if !expected.is_ethernet() {
            assert_eq!(output.status.code(), Some(1), "{}", expected.file);
            let error = text(&output.stderr);
            let named = expected
                .link_types
                .iter()
                .any(|number| error.contains(&format!("({number})")));
            assert!(error.contains("link type") && named, "{error}");
            continue;
        }
        assert!(
            output.status.success(),
            "{}: {}",
            expected.file,
            text(&output.stderr)
        );
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        compare(&report, &expected);
        compared += 1;
    }
    assert!(compared > 30, "only {compared} captures");
}

fn compare(report: &Value, expected: &Expected) {
    let file = &expected.file;
    let policy = &report["policies"]["cn"];
    println!(
        "{file:42} {:>7} {:>7} {:>8} {:>8} {:>9} {:>9}",
        report["packets"].to_string(),
        report["parsed"].to_string(),
        policy["packets"].to_string(),
        expected.cn_dst_pkts,
        policy["bytes"].to_string(),
        expected.cn_dst_bytes
    );
    assert_eq!(report["packets"], expected.packets, "{file}");
    let unparsed: u64 = report["unparsed"]
        .as_object()
        .unwrap()
        .values()
        .map(|count| count.as_u64().unwrap())
        .sum();
    assert_eq!(
        report["parsed"].as_u64().unwrap() + unparsed,
        expected.packets,
        "{file}"
    );
    assert_eq!(
        report["parsed"],
        expected.outer_v4 + expected.outer_v6,
        "{file}"
    );
    assert_eq!(policy["action"], "count");
    assert_eq!(policy["packets"], expected.cn_dst_pkts, "{file}");
    assert_eq!(policy["bytes"], expected.cn_dst_bytes, "{file}");
    assert_eq!(policy["dropped"], 0, "{file}");
    for (mac, device) in &expected.devices {
        let found = &report["devices"][mac.to_string()];
        let matched = &found["policies"]["cn"];
        assert_eq!(
            matched["packets"].as_u64().unwrap_or(0),
            device.cn_pkts,
            "{file} {mac}"
        );
        assert_eq!(
            matched["bytes"].as_u64().unwrap_or(0),
            device.cn_bytes,
            "{file} {mac}"
        );
        assert!(
            found["packets"].as_u64().unwrap() >= device.ip_pkts,
            "{file} {mac}"
        );
    }
}

/// Compares every single frame, not only the totals.
#[test]
fn kernel_and_model_agree_on_every_captured_frame() {
    let Some(folder) = data::folder() else { return };
    let mut pair = Pair::new(vec![data::cn_policy(&folder, Action::Drop)]);
    let mut frames = 0;
    for expected in data::expectations(&folder) {
        if expected.is_ethernet() {
            for frame in Capture::open(&expected.path(&folder)).unwrap() {
                let frame = frame.unwrap();
                // A test run passes only this much of a long frame to the
                // program.
                pair.check(&frame.data[..frame.data.len().min(3520)]);
                frames += 1;
            }
        }
    }
    pair.check_cells();
    println!("{frames} frames");
    assert!(frames > 3000, "only {frames} frames");
}

#[test]
fn captures_add_up_and_drops_are_told_from_counts() {
    let directory = TempDir::new().unwrap();
    let policies = directory.path().join("p.yaml");
    let yaml = "version: 1
policies:
  - {name: seen, action: count, destinations: [198.51.100.0/24]}
  - {name: stopped, action: drop, destinations: [198.51.100.0/25]}
";
    fs::write(&policies, yaml).unwrap();
    let capture = directory.path().join("c.pcap");
    let frames = [
        support::captures::whole(&to("198.51.100.1").build()),
        support::captures::whole(&to("198.51.100.200").build()),
        support::captures::cut(&to("198.51.100.2").build(), 9000),
        support::captures::whole(&[1, 2, 3]),
    ];
    fs::write(&capture, support::captures::plain_pcap(&frames)).unwrap();
    let output = Command::new(binary())
        .args(["replay", "--json", "--policies"])
        .args([&policies, &capture, &capture])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["packets"], 8);
    assert_eq!(report["parsed"], 6);
    assert_eq!(report["unparsed"]["truncated_ethernet"], 2);
    let short = frames[0].data.len() as u64;
    let seen = &report["policies"]["seen"];
    assert_eq!((&seen["packets"], &seen["dropped"]), (&6.into(), &4.into()));
    assert_eq!(seen["bytes"], 2 * (2 * short + 9000));
    let stopped = &report["policies"]["stopped"];
    assert_eq!(
        (&stopped["packets"], &stopped["dropped"]),
        (&4.into(), &4.into())
    );
}

/// Nothing is sent, but counted as on a gateway; with evidence at the times of the capture.
#[test]
fn what_would_be_answered_is_counted() {
    let directory = TempDir::new().unwrap();
    let policies = directory.path().join("p.yaml");
    let yaml = "version: 1
policies:
  - {name: told, action: reject, destinations: [198.51.100.0/24]}
";
    fs::write(&policies, yaml).unwrap();
    let capture = directory.path().join("c.pcap");
    let syn = to("198.51.100.1")
        .transport(Transport::Tcp(443))
        .payload(b"");
    let later = to("198.51.100.1").fragment(Fragment::Later(9));
    let mut frames = vec![support::captures::whole(&syn.build())];
    frames.push(support::captures::whole(&later.build()));
    for _ in 0..149 {
        frames.push(support::captures::whole(&to("198.51.100.2").build()));
    }
    fs::write(&capture, support::captures::plain_pcap(&frames)).unwrap();
    for (option, answers) in [(None, [1, 149, 0, 1]), (Some("--evidence"), [1, 99, 50, 1])] {
        let output = Command::new(binary())
            .args(["replay", "--json"])
            .args(option)
            .arg("--policies")
            .args([&policies, &capture])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let rejected = &report["rejected"];
        let unanswered = &rejected["unanswered"];
        let found = [
            &rejected["resets"],
            &rejected["errors"],
            &unanswered["device_rate"],
            &unanswered["not_answerable"],
        ];
        assert_eq!(found.map(|number| number.as_u64().unwrap()), answers);
        assert_eq!(report["policies"]["told"]["dropped"], 151);
    }
}

fn cn_policies(folder: &Path) -> TempDir {
    let directory = TempDir::new().unwrap();
    let lists: BTreeMap<_, _> = data::CN_LISTS
        .iter()
        .map(|list| (list, folder.join(list)))
        .collect();
    let mut yaml =
        "version: 1\npolicies:\n  - name: cn\n    action: count\n    destinations:\n".to_owned();
    for path in lists.values() {
        writeln!(yaml, "      - {{list: {}}}", path.display()).unwrap();
    }
    fs::write(directory.path().join("cn.yaml"), yaml).unwrap();
    directory
}

fn replay(policies: &Path, capture: &Path) -> std::process::Output {
    Command::new(binary())
        .args(["replay", "--json", "--policies"])
        .args([policies, capture])
        .output()
        .unwrap()
}
