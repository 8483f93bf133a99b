//! Builds programs with tests of this project, which then run on other kernels.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::system::cargo_command;

/// The programs that the scenario `tests` runs.
const NAMES: [&str; 3] = ["kernel", "evasion", "lab"];

/// Builds the programs as `make test` does, and returns their paths.
pub(crate) fn build(root: &Path) -> Result<Vec<PathBuf>> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command: Command = cargo_command(cargo);
    command.args([
        "test",
        "--no-run",
        "--profile",
        "checked",
        "--message-format=json",
    ]);
    for name in NAMES {
        command.args(["--test", name]);
    }
    let built = command
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .context("cargo test --no-run")?;
    ensure!(
        built.status.success(),
        "cargo test --no-run: {}",
        built.status
    );
    programs(&String::from_utf8_lossy(&built.stdout))
}

/// The paths of the programs in the messages of cargo.
fn programs(messages: &str) -> Result<Vec<PathBuf>> {
    let messages: Vec<Value> = messages
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let path = |name: &str| {
        let mut messages = messages.iter();
        let path = messages.find_map(|message| {
            let is_it = message["target"]["name"] == name && message["profile"]["test"] == true;
            message["executable"].as_str().filter(|_| is_it)
        });
        let path = path.with_context(|| format!("cargo names no program for the test {name}"))?;
        Ok(PathBuf::from(path))
    };
    NAMES.into_iter().map(path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(name: &str) -> String {
        format!(
            r#"{{"reason":"compiler-artifact","target":{{"name":"{name}"}},"profile":{{"test":true}},"executable":"/t/{name}-1"}}"#
        )
    }

    #[test]
    fn each_program_is_found_in_the_messages_of_cargo() {
        let messages = NAMES.map(message).join("\n");
        let other =
            r#"{"target":{"name":"kernel"},"profile":{"test":false},"executable":"/t/kernel"}"#;
        let found = programs(&format!("{other}\nnot JSON\n{messages}")).unwrap();
        assert_eq!(found[0], Path::new("/t/kernel-1"));
        assert_eq!(found.len(), NAMES.len());
    }

    #[test]
    fn a_program_that_is_missing_is_named() {
        let error = programs(&message("kernel")).unwrap_err();
        assert!(format!("{error:#}").contains("evasion"), "{error:#}");
    }
}
