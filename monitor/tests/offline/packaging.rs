//! Files in `packaging/`, checked by the programs that read them.

use crate::support;

use std::path::Path;

use serde_json::Value;
use support::tools::{check, of_prometheus};

/// The rules are right, each alert fires when it should, and not before.
#[test]
fn the_alert_rules_of_prometheus() {
    let Some(checker) = of_prometheus("promtool") else {
        return;
    };
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/prometheus");
    for (verb, file) in [
        ("check", "monitor.rules.yaml"),
        ("test", "monitor.rules.test.yaml"),
    ] {
        let path = directory.join(file);
        let output = check(&checker, &[verb, "rules", path.to_str().unwrap()]);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{file}: {said}\n{output:?}");
        assert!(said.contains("SUCCESS"), "{file}: {said}");
    }
}

/// Rules and dashboard name only metrics that [docs/metrics.md] describes.
#[test]
fn rules_and_dashboard_use_metrics_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    let known = read("docs/metrics.md");
    let dashboard = read("packaging/grafana/monitor.json");
    let parsed: Value = serde_json::from_str(&dashboard).unwrap();
    assert!(parsed["panels"].as_array().unwrap().len() >= 8);
    let texts = [dashboard, read("packaging/prometheus/monitor.rules.yaml")];
    let mut number = 0;
    for text in texts {
        let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
        for (start, _) in text.match_indices("monitor_") {
            let name: String = text[start..].chars().take_while(|c| is_name(*c)).collect();
            assert!(
                known.contains(&name),
                "{name} is in no line of docs/metrics.md"
            );
            number += 1;
        }
    }
    assert!(number > 15, "{number}");
}
