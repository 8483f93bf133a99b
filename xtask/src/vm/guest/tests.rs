//! Programs with tests of this project, on the emulated machine's kernel: packet tables and
//! tests in network namespaces.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use super::{Guest, fact, seen};

/// A program and its tests to run.
struct Selection {
    /// Name of the program, in front of its hash.
    program: &'static str,
    /// What the tests are, for the table of kernels.
    fact: &'static str,
    /// Words of the command line of the program.
    arguments: &'static [&'static str],
}

/// The tests whose result depends on the kernel. Random rulesets load a program each, which
/// takes too long in the emulated machine.
const SELECTIONS: [Selection; 3] = [
    Selection {
        program: "kernel",
        fact: "tables",
        arguments: &["--skip", "random_rulesets"],
    },
    Selection {
        program: "evasion",
        fact: "evasion",
        arguments: &["no_way_that_was_found"],
    },
    Selection {
        program: "lab",
        fact: "namespaces",
        arguments: &[
            "traffic::",
            "tagged::",
            "handshake::",
            "interfaces::a_bridge",
            "interfaces::an_interface_that_is_deleted",
            "flows::flows_are_exact",
            "flows::a_dns_answer",
            "directions::every_packet",
            "directions::clsact",
        ],
    },
];

pub(super) fn play(guest: &Guest) -> Result<()> {
    // Modules that the machine would load by itself, if it had them where it looks.
    guest.load_modules(&[
        "veth",
        "bridge",
        "br_netfilter",
        "8021q",
        "pppoe",
        "sch_ingress",
        "cls_bpf",
        "dummy",
        "tun",
        "nft_chain_nat",
        "nft_masq",
    ])?;
    let mut failed = Vec::new();
    for selection in &SELECTIONS {
        if let Err(error) = run(guest, selection) {
            fact(selection.fact, "FAILED");
            failed.push(format!("{}: {error:#}", selection.program));
        }
    }
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}

fn run(guest: &Guest, selection: &Selection) -> Result<()> {
    let program = guest
        .programs
        .iter()
        .find(|path| is_named(path, selection.program));
    let program = program.with_context(|| format!("no program {}", selection.program))?;
    let mut command = Command::new(program);
    command
        .args(selection.arguments)
        .arg("--test-threads=4")
        // No backtraces: reading symbols takes long here.
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut child = command.spawn().context("run the program")?;
    let output = child.stdout.take().context("its output")?;
    let mut said = String::new();
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        println!("{line}");
        said.push_str(&line);
        said.push('\n');
    }
    let status = child.wait().context("the program")?;
    let summary = summary(&said)?;
    if !status.success() {
        bail!("{summary}; failed: {}", failures(&said).join(", "));
    }
    ensure!(!summary.starts_with("0 passed"), "no test ran: {said}");
    seen(format!("{}: {summary}", selection.program));
    fact(selection.fact, &summary);
    Ok(())
}

/// True for `NAME-HASH`, as cargo names programs of tests.
fn is_named(path: &Path, name: &str) -> bool {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    file.rsplit_once('-')
        .is_some_and(|(found, _)| found == name)
}

/// The numbers in the last line of a program of tests.
fn summary(said: &str) -> Result<String> {
    let line = said.lines().rfind(|line| line.starts_with("test result: "));
    let line = line.with_context(|| format!("the program of tests has no result: {said}"))?;
    let (_, counts) = line.split_once(". ").context("no counts")?;
    let mut counts = counts.split("; ");
    let (passed, failed) = (
        counts.next().context("passed")?,
        counts.next().context("failed")?,
    );
    Ok(if failed == "0 failed" {
        passed.to_owned()
    } else {
        format!("{passed}, {failed}")
    })
}

/// Names of the tests that failed.
fn failures(said: &str) -> Vec<&str> {
    let each = said.lines().filter_map(|line| {
        let (name, result) = line.strip_prefix("test ")?.split_once(" ... ")?;
        (result == "FAILED").then_some(name)
    });
    each.collect()
}

#[cfg(test)]
mod reading {
    use super::*;

    #[test]
    fn the_result_of_a_program_is_its_last_line() {
        let good = "running 2 tests\ntest a ... ok\n\ntest result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 5 filtered out; finished in 1.00s\n";
        assert_eq!(summary(good).unwrap(), "2 passed");
        let bad = "test a ... ok\ntest b::c ... FAILED\ntest result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s\n";
        assert_eq!(summary(bad).unwrap(), "1 passed, 1 failed");
        assert_eq!(failures(bad), ["b::c"]);
        assert!(summary("Killed\n").is_err());
    }

    #[test]
    fn a_program_is_found_by_its_name_before_the_hash() {
        assert!(is_named(Path::new("/target/kernel-0a1b"), "kernel"));
        assert!(!is_named(Path::new("/target/kernel_x-0a1b"), "kernel"));
    }
}
