//! The report as JSON-LD, judged by the validator of the CASE community.

use std::path::{Path, PathBuf};

use super::*;
use crate::support::tools;

/// What the validator says of documents; `None` if all is right.
fn complaint(validator: &Path, files: &[PathBuf]) -> Option<String> {
    // Warnings and notes are complaints too. The ontology is a part of the validator.
    let mut arguments = vec!["--built-version", "case-1.4.0"];
    arguments.extend(files.iter().map(|file| file.to_str().unwrap()));
    let output = tools::check(validator, &arguments);
    let said = String::from_utf8_lossy(&output.stdout);
    let warned = String::from_utf8_lossy(&output.stderr);
    // The validator only warns of a class or a property that the ontology does not have.
    let is_unknown = warned.contains("NonExistentCDOConcept");
    let is_right = output.status.success() && said.contains("Conforms: True") && !is_unknown;
    (!is_right).then(|| format!("{said}\n{warned}"))
}

fn file(story: &Story, name: &str, text: &str) -> PathBuf {
    let file = story.directory.path().join(name);
    std::fs::write(&file, text).unwrap();
    file
}

#[test]
fn the_validator_of_case_accepts_the_report() {
    let Some(validator) = tools::case_validate() else {
        return;
    };
    let story = Story::told();
    let config = story.config();
    let arguments = ["--format", "case", "--config", config.to_str().unwrap()];
    let reports = [&[][..], &["--redact"], &["--policy", "silent"]];
    let reports = reports.map(|more| story.report(&[&arguments[..], more].concat()));
    let hostile = super::hostile::hostile_story().report(&["--format", "case"]);
    let captured = super::captures::captured_story().report(&["--format", "case"]);
    let reports = reports.iter().chain([&hostile, &captured]).enumerate();
    let files = reports.map(|(number, text)| file(&story, &format!("{number}.jsonld"), text));
    let files: Vec<_> = files.collect();
    assert_eq!(complaint(&validator, &files), None);
}

/// Each change breaks another kind of rule: a type, a number of values, a name.
#[test]
fn the_validator_of_case_refuses_a_broken_report() {
    let Some(validator) = tools::case_validate() else {
        return;
    };
    let story = Story::told();
    let text = story.report(&["--format", "case"]);
    for (right, wrong) in [
        ("destinationPort\": 443", "destinationPort\": \"443\""),
        ("uco-core:target\"", "uco-core:tag\""),
        (
            "uco-observable:NetworkConnectionFacet",
            "uco-observable:NetFacet",
        ),
    ] {
        assert!(text.contains(right), "{right}");
        let broken = file(&story, "broken.jsonld", &text.replace(right, wrong));
        assert!(complaint(&validator, &[broken]).is_some(), "{wrong}");
    }
}

/// The nodes of a class.
fn nodes<'a>(document: &'a Value, class: &str) -> Vec<&'a Value> {
    let graph = document["@graph"].as_array().unwrap().iter();
    graph.filter(|node| node["@type"] == class).collect()
}

#[test]
fn a_name_is_a_claim_with_its_origin_and_a_holder_is_a_statement() {
    let story = Story::told();
    let config = story.config();
    let text = story.report(&["--format", "case", "--config", config.to_str().unwrap()]);
    let document: Value = serde_json::from_str(&text).unwrap();
    let flows = json(&story, &["--config", config.to_str().unwrap()]);
    let flows = flows["flows"].as_array().unwrap().len();
    let connections = nodes(&document, "uco-observable:NetworkConnection");
    assert_eq!(connections.len(), flows);
    assert!(
        connections
            .iter()
            .all(|node| node.get("uco-core:name").is_none())
    );
    let domains: Vec<_> = nodes(&document, "uco-observable:DomainName");
    assert_eq!(domains.len(), 3, "{domains:?}");
    let claims = nodes(&document, "uco-observable:ObservableRelationship");
    for kind in [
        "Claimed_By_DNS_Answer",
        "Claimed_By_TLS_Hello",
        "Claimed_By_QUIC_Hello",
        "Asked_For_In_Request",
    ] {
        let of_kind = claims
            .iter()
            .filter(|node| node["uco-core:kindOfRelationship"] == kind);
        let of_kind: Vec<_> = of_kind.collect();
        assert!(!of_kind.is_empty(), "{kind}");
        for claim in of_kind {
            assert!(
                claim["uco-core:description"]
                    .to_string()
                    .contains("It is a claim")
            );
        }
    }
    let said = nodes(&document, "uco-core:Annotation");
    let said: Vec<_> = said
        .iter()
        .map(|node| node["uco-core:statement"].to_string())
        .collect();
    let is_said = |text: &str| said.iter().any(|one| one.contains(text));
    assert!(
        is_said("registry: APNIC (a registry, not the holder)"),
        "{said:?}"
    );
    assert!(is_said("CNNIC is a registry, not a holder"), "{said:?}");
    let record = nodes(&document, "case-investigation:ProvenanceRecord");
    let record = record[0]["uco-core:description"].to_string();
    assert!(
        record.contains("Not shown: An address is not content."),
        "{record}"
    );
    assert!(record.contains("Lost in the hour"), "{record}");
    let events = nodes(&document, "uco-core:Event");
    assert_eq!(events.len(), 2);
    let devices = nodes(&document, "uco-observable:Device");
    assert!(
        devices
            .iter()
            .any(|node| node.to_string().contains("MACAddressFacet"))
    );
}

#[test]
fn a_capture_is_an_action_whose_result_is_a_file_with_its_hash() {
    let story = super::captures::captured_story();
    let text = story.report(&["--format", "case", "--policy", "range-2014"]);
    let document: Value = serde_json::from_str(&text).unwrap();
    let files = nodes(&document, "uco-observable:File");
    // The bytes of the other two captures are not known.
    let [file] = files[..] else {
        panic!("{files:?}");
    };
    let content = &file["uco-core:hasFacet"][0];
    assert_eq!(content["uco-observable:sizeInBytes"], 1234);
    let hash = &content["uco-observable:hash"][0];
    assert_eq!(hash["uco-types:hashValue"]["@value"], "5".repeat(64));
    let actions = nodes(&document, "case-investigation:InvestigativeAction");
    let (captures, run): (Vec<_>, Vec<_>) = actions.into_iter().partition(|node| {
        let name = node["uco-core:name"].as_str().unwrap();
        name.starts_with("Capture of packets")
    });
    assert_eq!(captures.len(), 3);
    let results = captures
        .iter()
        .filter_map(|node| node.get("uco-action:result"));
    let results: Vec<_> = results.collect();
    assert_eq!(results, [&serde_json::json!([{"@id": file["@id"]}])]);
    let parts = run[0]["uco-action:subaction"].to_string();
    let record = &nodes(&document, "case-investigation:ProvenanceRecord")[0];
    assert!(
        record["uco-core:object"]
            .to_string()
            .contains(file["@id"].as_str().unwrap())
    );
    for capture in captures {
        assert!(parts.contains(capture["@id"].as_str().unwrap()), "{parts}");
    }
}

#[test]
fn a_redacted_document_has_no_mac_facet() {
    let story = Story::told();
    let text = story.report(&["--format", "case", "--redact"]);
    assert!(!text.contains("MACAddress"), "{text}");
    let document: Value = serde_json::from_str(&text).unwrap();
    assert!(!nodes(&document, "uco-observable:Device").is_empty());
}
