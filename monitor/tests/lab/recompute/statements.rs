//! What `report verify --replay` says.

use std::{fs, path::Path, process::Command};

use serde_json::Value;

use crate::support::lab::{binary, text};

/// Status and text of each statement.
pub(super) fn verify(
    report: &Path,
    capture: &Path,
    arguments: &[&str],
) -> (i32, Vec<(String, String)>) {
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
pub(super) fn stated<'a>(statements: &'a [(String, String)], status: &str, part: &str) -> &'a str {
    let found = statements
        .iter()
        .find(|(own, text)| own == status && text.contains(part));
    match found {
        Some((_, text)) => text,
        None => panic!("no statement is {status} with `{part}`:\n{statements:#?}"),
    }
}

pub(super) fn figures(statements: &[(String, String)]) -> u64 {
    let text = stated(statements, "holds", "and are equal");
    text.split(' ').next().unwrap().parse().unwrap()
}

pub(super) fn read(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}
