//! Changes each figure of a report that a capture gives. The comparison must name it.

use std::path::Path;

use monitor::{
    address::Derivation,
    recompute::Replayed,
    report::{Report, Status, Verification},
};
use serde_json::{Value, json};

use super::{recording::Recorded, statements::read};

/// The pointers to all numbers below a value.
pub(super) fn numbers(value: &Value, path: &str, found: &mut Vec<String>) {
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
pub(super) fn is_recomputed(report: &Value, pointer: &str) -> bool {
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
pub(super) fn differing(replayed: &Replayed, report: &Value) -> Vec<String> {
    let report: Report = serde_json::from_value(report.clone()).unwrap();
    let mut found = Verification::default();
    replayed.compare(&report, &mut found);
    let changed = found.statements.into_iter();
    let changed = changed.filter(|one| one.status == Status::Changed);
    let texts = changed.map(|one| one.text);
    texts.filter(|text| !text.contains("sentences")).collect()
}

/// Changes each number of the report that the capture gives. The comparison must name it.
pub(super) fn each_change_is_named(report: &Path, capture: &Path) -> usize {
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

pub(super) fn each_changed_text_is_named(replayed: &Replayed, value: &Value) {
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
