//! Daemons whose start fails.

use std::process::Stdio;

use super::lab::{Lab, text};

/// Starts `monitor run`, which must end by itself with exit code 1. Returns its
/// standard error.
pub(crate) fn refused(lab: &Lab, arguments: &[&str]) -> String {
    let output = lab
        .daemon_command(arguments)
        .stdout(Stdio::piped())
        .output()
        .unwrap();
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    error
}
