//! The command line: one thin file per verb.

mod check;
mod explain;

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand};
use monitor::policy::Diagnostics;
use serde::Serialize;

/// An eBPF packet filter and blocker for Linux WiFi gateways.
#[derive(Debug, Parser)]
#[command(version, about)]
pub(crate) struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    verb: Verb,
}

/// What every verb takes.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// A policy file, or a directory of them; may be given several times.
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        default_value = "/etc/monitor/policies"
    )]
    policies: Vec<PathBuf>,
    /// The daemon's configuration file.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON on standard output.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Check(check::Check),
    Explain(explain::Explain),
}

/// How a verb ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Done.
    Fine,
    /// `check` found errors.
    CheckFoundErrors,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Fine => Self::SUCCESS,
            Outcome::CheckFoundErrors => Self::from(3),
        }
    }
}

impl Cli {
    /// Runs the verb that was asked for.
    ///
    /// # Errors
    ///
    /// What the verb was asked for could not be done.
    pub(crate) fn run(self) -> anyhow::Result<Outcome> {
        match self.verb {
            Verb::Check(check) => check.run(&self.common),
            Verb::Explain(explain) => explain.run(&self.common),
        }
    }
}

/// Prints `value` as one JSON document on standard output.
fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    print(&format!("{text}\n"))
}

/// Prints on standard output; a reader that has gone away is no error.
fn print(text: &str) -> anyhow::Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}

/// Prints what is wrong with the policies on standard error.
fn eprint_diagnostics(diagnostics: &Diagnostics) {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let color = io::stderr().is_terminal() && !no_color;
    eprint!("{}", diagnostics.render(color));
}
