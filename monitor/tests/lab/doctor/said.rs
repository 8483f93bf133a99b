//! What `monitor doctor` says.

use std::{path::Path, process::Output};

use serde_json::Value;

use crate::support::lab::{Lab, text};

/// What `doctor --json` said.
pub(super) struct Said(pub(super) Value);

/// Command and options for a gateway whose daemon cannot be asked.
pub(super) fn words_alone(lab: &Lab) -> [String; 6] {
    let state = lab.directory.path().join("state");
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    [
        "doctor".to_owned(),
        "--json".to_owned(),
        "--state-dir".to_owned(),
        path(&state),
        "--policies".to_owned(),
        path(&lab.policies()),
    ]
}

impl Said {
    /// Reads the answer. The exit code must fit.
    pub(super) fn of(output: &Output) -> Self {
        let answer: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", text(&output.stderr)));
        let blind = answer["checks"].as_array().unwrap().iter();
        let blind = blind
            .filter(|found| found["status"] == "blind" && found["accepted"].is_null())
            .count();
        assert_eq!(answer["blind"], blind, "{answer:#}");
        assert_eq!(
            output.status.code(),
            Some(i32::from(blind > 0)),
            "{answer:#}"
        );
        Self(answer)
    }

    /// Asks the daemon.
    pub(super) fn by(lab: &Lab) -> Self {
        Self::of(&lab.monitor(&["doctor", "--json"]))
    }

    /// What the command says on the gateway without a daemon.
    pub(super) fn alone(lab: &Lab) -> Self {
        let words = words_alone(lab);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Self::of(&lab.monitor_inside(&words))
    }

    pub(super) fn has(&self, check: &str, status: &str, what: &str) -> bool {
        let mut found = self.0["checks"].as_array().unwrap().iter();
        found.any(|found| {
            found["id"] == check
                && found["status"] == status
                && found["what"].as_str().unwrap().contains(what)
        })
    }

    pub(super) fn finding(&self, what: &str) -> Option<&Value> {
        let mut found = self.0["checks"].as_array().unwrap().iter();
        found.find(|found| found["what"].as_str().unwrap().starts_with(what))
    }

    pub(super) fn is_fine(&self, check: &str) -> bool {
        let found = self.0["checks"].as_array().unwrap().iter();
        let mut own = found.filter(|found| found["id"] == check).peekable();
        assert!(own.peek().is_some(), "{check} says nothing: {:#}", self.0);
        own.all(|found| found["status"] == "ok")
    }
}

/// Panics unless the daemon says this now, and the metric agrees.
pub(super) fn says(lab: &Lab, check: &str, status: &str, what: &str) {
    let said = Said::by(lab);
    assert!(said.has(check, status, what), "{what}: {:#}", said.0);
    let is_blind = u8::from(status == "blind");
    let sample = format!("\nmonitor_blind{{check=\"{check}\"}} {is_blind}\n");
    let metrics = lab.metrics();
    assert!(metrics.contains(&sample), "{sample}{metrics}");
}

/// Panics unless the daemon finds nothing with this check now.
pub(super) fn is_fine(lab: &Lab, check: &str) {
    let said = Said::by(lab);
    assert!(said.is_fine(check), "{check}: {:#}", said.0);
    let sample = format!("\nmonitor_blind{{check=\"{check}\"}} 0\n");
    assert!(lab.metrics().contains(&sample), "{sample}");
}
