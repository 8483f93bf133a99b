//! YAML that would be expensive to parse is refused before it is parsed.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use crate::command;

use std::{fmt::Write as _, path::Path, process::Command};

use command::{directory, text};

/// Runs the binary, which must refuse `p.yaml` long before the time limit ends
/// it.
fn refused(folder: &Path, arguments: &[&str], code: i32) -> String {
    let output = Command::new("timeout")
        .args(["100", "prlimit", "--as=4000000000"])
        .arg(env!("CARGO_BIN_EXE_monitor"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    let error = text(&output.stderr).to_owned();
    assert_eq!(output.status.code(), Some(code), "{error}");
    error
}

fn policies(value: &str) -> tempfile::TempDir {
    directory(&[("p.yaml", &format!("version: 1\npolicies: {value}\n"))])
}

#[test]
fn nesting_without_an_end_is_refused_at_its_place() {
    let block: Vec<String> = (1..2000).map(|level| " ".repeat(level) + "a:").collect();
    for (value, place) in [
        ("[".repeat(400_000), "p.yaml:2:266"),
        ("{a: ".repeat(400_000), "p.yaml:2:"),
        ("[{a: ".repeat(400_000), "p.yaml:2:"),
        ("- ".repeat(400_000).replacen("- ", "\n- ", 1), "p.yaml:3:"),
        (format!("\n{}", block.join("\n")), "p.yaml:"),
    ] {
        let files = policies(&value);
        let error = refused(files.path(), &["check", "p.yaml"], 3);
        assert!(error.contains("nested more than 64 levels deep"), "{error}");
        assert!(error.contains(place), "{error}");
        assert!(error.contains("help: close the brackets"), "{error}");
    }
}

/// Text that the first parser cannot read is checked before the second one gets
/// it.
#[test]
fn nesting_behind_a_syntax_error_is_refused_too() {
    let value = format!("\n  - {{name: x, %: [}}\n  - {}", "[".repeat(400_000));
    let files = policies(&value);
    refused(files.path(), &["check", "p.yaml"], 3);
}

#[test]
fn aliases_that_make_a_file_large_are_refused() {
    let text = "y".repeat(1 << 20);
    let copies = "*a, ".repeat(4_000);
    let wide = format!("version: 1\nx: &a \"{text}\"\npolicies: [{copies}]\n");
    let mut deep = "version: 1\nx0: &x0 [lol, lol]\n".to_owned();
    for level in 1..60 {
        let below = level - 1;
        writeln!(deep, "x{level}: &x{level} [*x{below}, *x{below}]").unwrap();
    }
    for text in [&wide, &deep] {
        let files = directory(&[("p.yaml", text)]);
        let error = refused(files.path(), &["check", "p.yaml"], 3);
        assert!(error.contains("with its aliases"), "{error}");
        assert!(error.contains("p.yaml:"), "{error}");
    }
}

#[test]
fn aliases_in_reason_are_read() {
    let text = "version: 1\npolicies:\n  - name: a\n    action: count\n    destinations: &d [203.0.113.0/24]\n  - name: b\n    action: drop\n    destinations: *d\n";
    let files = directory(&[("p.yaml", text)]);
    refused(files.path(), &["check", "p.yaml"], 0);
}

#[test]
fn the_config_file_has_the_same_limits() {
    for (text, message) in [
        (
            format!("interface: {}", "[".repeat(400_000)),
            "c.yaml:1:267: this is nested more than 64 levels deep",
        ),
        (
            format!("# x\nlan: {}", "{lan: ".repeat(150_000)),
            "c.yaml:2:",
        ),
    ] {
        let files = directory(&[("c.yaml", &text)]);
        let error = refused(files.path(), &["check", "--config", "c.yaml"], 1);
        assert!(error.contains(message), "{error}");
    }
}
