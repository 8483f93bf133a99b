//! The command line: one thin file per verb.

mod change;
mod check;
mod confirm;
mod detach;
mod explain;
mod feed;
mod forget;
mod reach;
mod reload;
mod replay;
mod run;
mod status;

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand};
use comfy_table::{Table, presets};
use monitor::{
    config::{OneOrMany, Options, Settings},
    policy::Diagnostics,
    printable,
};
use reach::ReachArgs;
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
    /// A policy file, or a directory of them (repeatable) [default: /etc/monitor/policies]
    #[arg(long, global = true, value_name = "DIR")]
    policies: Vec<PathBuf>,
    /// A file of settings (YAML); the command line wins over it
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON on standard output
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Run(run::RunArgs),
    Check(check::Check),
    Explain(explain::Explain),
    Replay(replay::ReplayArgs),
    /// What the filter has seen and done, from the daemon or from the kernel
    Status(ReachArgs),
    /// Read the policies again and put them in force; on an error the old ones stay
    ///
    /// With `--confirm`, what was in force before decides again after that time,
    /// unless `monitor confirm` was called by then: also where this connection,
    /// or the daemon, is gone. What comes into force meanwhile waits with it.
    Reload(reload::Reload),
    /// Keep what `reload --confirm` or `run --confirm` put in force for a while
    ///
    /// For root and the user that runs the daemon. Without a daemon too.
    Confirm(ReachArgs),
    /// Pause a policy for a while: it neither drops, counts nor allows
    ///
    /// For root and the user that runs the daemon. In force when the command
    /// returns, kept over a restart, gone at its time. `monitor status` lists
    /// what stands.
    Pause(change::Pause),
    /// Drop what goes to an address or network, for a while or until undone
    ///
    /// For root and the user that runs the daemon. In force when the command
    /// returns, kept over a restart, gone at its time. An `allow` wins over
    /// it.
    Block(change::ForDestination),
    /// Let pass what goes to an address or network, for a while or until undone
    ///
    /// For root and the user that runs the daemon. In force when the command
    /// returns, kept over a restart, gone at its time. It wins over every
    /// `drop`, of this filter alone.
    Allow(change::ForDestination),
    /// Forget what a device did: its counts move to the `past` of their policies
    ///
    /// For root and the user that runs the daemon. No sum changes, and the
    /// device's places are free. A packet that comes later is counted anew.
    Forget(forget::Forget),
    /// The lists that the daemon fetches: their state, and updates that wait for a look
    #[command(subcommand)]
    Feed(feed::FeedVerb),
    /// Remove the filter, its counters and its pins, and end the daemon
    Detach(ReachArgs),
}

impl Common {
    /// What the config file and the global arguments say.
    fn options(&self) -> anyhow::Result<Options> {
        let file = match &self.config {
            Some(path) => Options::read(path)?,
            None => Options::default(),
        };
        let policies = self
            .policies
            .iter()
            .map(|path| path.to_string_lossy().into_owned());
        let arguments = Options {
            policies: OneOrMany(policies.collect()),
            ..Options::default()
        };
        Ok(arguments.over(file))
    }

    /// What `run` would run with, as far as these say.
    fn settings(&self) -> anyhow::Result<Settings> {
        Ok(self.options()?.settle())
    }
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
            Verb::Check(check) => return check.run(&self.common),
            Verb::Explain(explain) => return explain.run(&self.common),
            Verb::Run(arguments) => run::run(&self.common, arguments)?,
            Verb::Replay(arguments) => replay::run(&self.common, &arguments)?,
            Verb::Status(arguments) => status::run(&self.common, &arguments)?,
            Verb::Reload(arguments) => reload::run(&self.common, &arguments)?,
            Verb::Confirm(arguments) => confirm::run(&self.common, &arguments)?,
            Verb::Pause(arguments) => change::pause(&self.common, arguments)?,
            Verb::Block(arguments) => change::block(&self.common, arguments)?,
            Verb::Allow(arguments) => change::allow(&self.common, arguments)?,
            Verb::Forget(arguments) => forget::run(&self.common, arguments)?,
            Verb::Feed(arguments) => feed::run(&self.common, &arguments)?,
            Verb::Detach(arguments) => detach::run(&self.common, &arguments)?,
        }
        Ok(Outcome::Fine)
    }
}

/// Prints `value` as one JSON document on standard output.
fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    write_out(&format!("{}\n", printable::json(&text)))
}

/// Prints on standard output.
fn print(text: &str) -> anyhow::Result<()> {
    write_out(&printable::text(text))
}

/// Prints a message of whole lines on standard error.
pub(crate) fn tell(message: &str) {
    // Without standard error there is no place to say that.
    let _ = writeln!(stderr(), "{}", printable::text(message));
}

/// A reader that has gone away is no error.
#[expect(clippy::disallowed_methods, reason = "the edge: the text is escaped")]
fn write_out(text: &str) -> anyhow::Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}

/// Prints what is wrong with the policies on standard error.
fn eprint_diagnostics(diagnostics: &Diagnostics) {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let color = stderr().is_terminal() && !no_color;
    let text = diagnostics.render(color);
    let shown = if color {
        printable::coloured(&text)
    } else {
        printable::text(&text)
    };
    // Without standard error there is no place to say that.
    let _ = stderr().write_all(shown.as_bytes());
}

#[expect(
    clippy::disallowed_methods,
    reason = "the edge: callers escape the text"
)]
fn stderr() -> io::Stderr {
    io::stderr()
}

/// A table without borders, readable and easy to cut.
fn table(headers: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(headers);
    table
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn no_argument_is_defined_twice() {
        Cli::command().debug_assert();
    }
}
