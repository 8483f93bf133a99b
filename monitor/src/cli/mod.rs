//! The command line: one thin file per verb.

mod backup;
mod capture;
mod change;
mod check;
mod config;
mod confirm;
mod data;
mod demo;
mod detach;
mod devices;
mod doctor;
mod events;
mod explain;
mod feed;
mod flows;
mod forget;
mod list;
mod manual;
mod mark;
mod names;
mod notify;
mod page;
mod publish;
mod reach;
mod recompute;
mod reload;
mod replay;
mod report;
mod run;
mod select;
mod setup;
mod sign;
mod status;
mod top;
mod verify;

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand};
use comfy_table::{Table, presets};
use monitor::{
    config::{DEFAULT_CONFIG, OneOrMany, Options, Settings},
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

/// Options that every verb takes.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// A policy file, or a directory of them (repeatable) [default: /etc/monitor/policies.d]
    #[arg(long, global = true, value_name = "DIR")]
    policies: Vec<PathBuf>,
    /// Config file (YAML); options on the command line win over it [default:
    /// /etc/monitor/monitor.yaml, if it exists]
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
    /// Show what the filter saw and did, from the daemon or from the kernel
    Status(ReachArgs),
    /// Read the policies again and put them in force; on an error the old ones stay
    ///
    /// With `--confirm`, the old policies come back after that time, unless you
    /// run `monitor confirm` before. The kernel does this by itself, even if your
    /// connection or the daemon is gone. Changes of files made meanwhile go back too.
    Reload(reload::Reload),
    /// Keep the policies that `reload --confirm` or `run --confirm` put in force
    ///
    /// For root and the user that runs the daemon. Works without a daemon too.
    Confirm(ReachArgs),
    /// Pause a policy for a while: it neither drops, counts nor allows
    ///
    /// For root and the user that runs the daemon. The pause is in force when the
    /// command returns, survives a restart, and ends at its time. `monitor status`
    /// lists it.
    Pause(change::Pause),
    /// Drop packets to an address or network, for a while or until you undo it
    ///
    /// For root and the user that runs the daemon. The block is in force when the
    /// command returns, survives a restart, and ends at its time. An `allow` wins
    /// over it. --reject also tells the device.
    Block(change::Block),
    /// Let packets to an address or network pass, for a while or until you undo it
    ///
    /// For root and the user that runs the daemon. The exemption is in force when
    /// the command returns, survives a restart, and ends at its time. It wins over
    /// every `drop` of this filter, but opens no other firewall.
    Allow(change::ForDestination),
    Top(top::TopArgs),
    Flows(flows::FlowsArgs),
    Events(events::EventsArgs),
    Devices(devices::DevicesArgs),
    Report(Box<report::ReportArgs>),
    Mark(mark::MarkArgs),
    Capture(capture::CaptureArgs),
    /// Show the sources of data about address ranges, each with its date and age
    ///
    /// The sources are the files and feeds under `data:` in the config file. With a daemon, the
    /// answer has the sources that the daemon uses.
    Data(ReachArgs),
    Doctor(doctor::DoctorArgs),
    Setup(setup::SetupArgs),
    Demo(demo::DemoArgs),
    Backup(backup::BackupArgs),
    Restore(backup::RestoreArgs),
    Config(config::ConfigArgs),
    /// Forget a device: its evidence is erased, and its counters move to the `past` of its policies
    ///
    /// For root and the user that runs the daemon. No sum changes. The device's
    /// places in the device tables become free. Later packets are counted from 0.
    Forget(forget::Forget),
    /// Show the lists that the daemon downloads, and accept updates that it refused
    #[command(subcommand)]
    Feed(feed::FeedVerb),
    List(list::ListArgs),
    /// Alerts: send a test to their targets
    #[command(subcommand)]
    Notify(notify::NotifyVerb),
    Page(page::PageArgs),
    Detach(detach::DetachArgs),
    #[command(hide = true)]
    Manual(manual::ManualArgs),
}

impl Common {
    /// The options in the config file and in the global arguments.
    fn options(&self) -> anyhow::Result<Options> {
        Ok(self.arguments().over(self.file_options()?))
    }

    /// As [`Self::options`], without the default config file: for a command line that names
    /// another filter than that of the service.
    fn named_options(&self) -> anyhow::Result<Options> {
        if self.config.is_none() {
            return Ok(self.arguments());
        }
        self.options()
    }

    /// The options in the config file.
    fn file_options(&self) -> anyhow::Result<Options> {
        Ok(match self.config_file() {
            Some(path) => Options::read(&path)?,
            None => Options::default(),
        })
    }

    /// The config file that the command line names, else the default one if it exists.
    fn config_file(&self) -> Option<PathBuf> {
        let default = || Some(PathBuf::from(DEFAULT_CONFIG)).filter(|path| path.exists());
        self.config.clone().or_else(default)
    }

    /// The options in the global arguments.
    fn arguments(&self) -> Options {
        let policies = self
            .policies
            .iter()
            .map(|path| path.to_string_lossy().into_owned());
        Options {
            policies: OneOrMany(policies.collect()),
            ..Options::default()
        }
    }

    /// True if the command line names policies.
    fn has_policies(&self) -> bool {
        !self.policies.is_empty()
    }

    /// The settings that these options give, with the defaults of `run`.
    fn settings(&self) -> anyhow::Result<Settings> {
        Ok(self.options()?.settle())
    }
}

/// The result of a verb that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Success.
    Fine,
    /// `check` found errors.
    CheckFoundErrors,
    /// `report verify` found changes.
    ReportChanged,
    /// `doctor` found something that the gateway does not see.
    Blind,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Fine => Self::SUCCESS,
            Outcome::Blind => Self::FAILURE,
            Outcome::CheckFoundErrors | Outcome::ReportChanged => Self::from(3),
        }
    }
}

impl Cli {
    /// Runs the verb on the command line.
    ///
    /// # Errors
    ///
    /// The verb failed.
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
            Verb::Top(arguments) => top::run(&self.common, &arguments)?,
            Verb::Flows(arguments) => flows::run(&self.common, &arguments)?,
            Verb::Events(arguments) => events::run(&self.common, &arguments)?,
            Verb::Devices(arguments) => devices::run(&self.common, &arguments)?,
            Verb::Doctor(arguments) => return doctor::run(&self.common, &arguments),
            Verb::Report(arguments) => return report::run(&self.common, &arguments),
            Verb::Mark(arguments) => mark::run(&self.common, arguments)?,
            Verb::Capture(arguments) => capture::run(&self.common, arguments)?,
            Verb::Data(arguments) => data::run(&self.common, &arguments)?,
            Verb::Forget(arguments) => forget::run(&self.common, arguments)?,
            Verb::Feed(arguments) => feed::run(&self.common, &arguments)?,
            Verb::Notify(arguments) => notify::run(&self.common, arguments)?,
            Verb::Page(arguments) => page::run(&self.common, &arguments)?,
            Verb::List(arguments) => list::run(&self.common, &arguments)?,
            Verb::Setup(arguments) => setup::run(&self.common, &arguments)?,
            Verb::Backup(arguments) => backup::backup(&self.common, &arguments)?,
            Verb::Restore(arguments) => backup::restore(&self.common, &arguments)?,
            Verb::Demo(arguments) => demo::run(&arguments)?,
            Verb::Config(arguments) => config::run(&self.common, arguments)?,
            Verb::Manual(arguments) => manual::run(&arguments)?,
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
    // If standard error is closed, there is no place left for a message.
    let _ = writeln!(stderr(), "{}", printable::text(message));
}

/// Writes to standard output. A closed pipe is no error.
fn write_out(text: &str) -> anyhow::Result<()> {
    write_on(text).map(drop)
}

/// Writes whole lines to standard output at once. Returns false if the reader is gone.
#[expect(clippy::disallowed_methods, reason = "the edge: the text is escaped")]
fn write_on(text: &str) -> anyhow::Result<bool> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        result => Ok(result.map(|()| true)?),
    }
}

/// Prints the diagnostics of the policies on standard error.
fn eprint_diagnostics(diagnostics: &Diagnostics) {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let color = stderr().is_terminal() && !no_color;
    let text = diagnostics.render(color);
    let shown = if color {
        printable::coloured(&text)
    } else {
        printable::text(&text)
    };
    // If standard error is closed, there is no place left for a message.
    let _ = stderr().write_all(shown.as_bytes());
}

#[expect(
    clippy::disallowed_methods,
    reason = "the edge: callers escape the text"
)]
fn stderr() -> io::Stderr {
    io::stderr()
}

/// A table without borders, easy to read and to split with `cut`.
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
