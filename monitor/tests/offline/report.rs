//! Reports of a real store, by the real binary.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use serde_json::Value;

use crate::support::story::{OTHER, PHONE, SERVER, Story};

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
