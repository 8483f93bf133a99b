//! Which filter a verb is about: that of a daemon, or what is pinned.

use std::path::{Path, PathBuf};

use clap::Args;

use super::Common;
use monitor::{
    clock::now,
    config::{Options, Settings},
    control::{Answer, ControlError, Request, Status, Who, ask},
    datapath::Reader,
    snapshot::Unconfirmed,
    state_dir::{Edge, Edges, NotConfirmed},
};

/// Shared by the verbs that are about a filter in force.
#[derive(Args, Clone, Debug)]
pub(crate) struct ReachArgs {
    /// Where the daemon listens [default: /run/monitor/monitor.sock]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,

    /// Where the filter is pinned [default: /sys/fs/bpf/monitor]
    #[arg(long, value_name = "DIR")]
    pin_dir: Option<PathBuf>,

    /// Where the daemon keeps fetched lists, when schedules change and what was not confirmed; used where none runs [default: /var/lib/monitor]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

/// Where a filter is, and who holds it.
pub(super) struct Reach {
    pub(super) settings: Settings,
    /// The daemon that holds it, where one runs.
    pub(super) daemon: Option<Who>,
    /// What the daemon on the socket holds, where it is not what was asked for.
    other_pins: Option<PathBuf>,
}

impl ReachArgs {
    /// Asks the daemon on the socket. One that holds other pins than those
    /// asked for is somebody else's.
    pub(super) fn reach(&self, common: &Common) -> anyhow::Result<Reach> {
        let options = Options {
            socket: self.socket.clone(),
            pin_dir: self.pin_dir.clone(),
            state_dir: self.state_dir.clone(),
            ..Options::default()
        };
        let options = options.over(common.options()?);
        let pins_named = options.pin_dir.is_some();
        let settings = options.settle();
        let daemon = who(&settings.socket)?;
        let other_pins = daemon
            .as_ref()
            .map(|daemon| daemon.pin_dir.clone())
            .filter(|held| pins_named && *held != settings.pin_dir);
        Ok(Reach {
            settings,
            daemon: daemon.filter(|_| other_pins.is_none()),
            other_pins,
        })
    }
}

/// Which daemon answers on `socket`; `None` where none does.
fn who(socket: &Path) -> anyhow::Result<Option<Who>> {
    match ask(socket, &Request::Who {}) {
        Ok(Answer::Who(who)) => Ok(Some(*who)),
        // A daemon of an older version does not know the question.
        Ok(Answer::Refused(_)) => {
            let status = ask_status(socket)?;
            Ok(status.daemon.map(|daemon| Who {
                pid: daemon.pid,
                version: daemon.version,
                pin_dir: daemon.pin_dir,
                state_dir: daemon.state_dir,
                policies: daemon.policies,
                interfaces: status
                    .snapshot
                    .interfaces
                    .into_iter()
                    .map(|interface| interface.name)
                    .collect(),
            }))
        }
        Ok(other) => anyhow::bail!("the daemon gave an unexpected answer: {other:?}"),
        Err(ControlError::NoDaemon { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn ask_status(socket: &Path) -> anyhow::Result<Status> {
    match ask(socket, &Request::Status {})? {
        Answer::Status(status) => Ok(*status),
        Answer::Refused(why) => anyhow::bail!("the daemon refused: {why}"),
        other => anyhow::bail!("the daemon gave an unexpected answer: {other:?}"),
    }
}

impl Reach {
    /// From the daemon, else from the pins.
    pub(super) fn status(self) -> anyhow::Result<Status> {
        self.warn_of_other_daemon();
        if self.daemon.is_some() {
            return ask_status(&self.settings.socket);
        }
        let reader = Reader::open(&self.settings.pin_dir)?;
        let mut snapshot = reader.snapshot(None)?;
        snapshot.unconfirmed = snapshot.unconfirmed.or_else(|| self.not_confirmed());
        Ok(Status {
            daemon: None,
            missed_edges: self.missed_edges(),
            snapshot,
        })
    }

    /// What a daemon kept that went back. Of another gateway's it says nothing.
    fn not_confirmed(&self) -> Option<Unconfirmed> {
        let kept = NotConfirmed::read(&self.settings.state_dir).unwrap_or_else(|error| {
            eprintln!("note: whether the policy files were confirmed is not known: {error}");
            None
        });
        kept.map(|kept| kept.shown())
    }

    /// What time would have changed, had a daemon been there.
    fn missed_edges(&self) -> Vec<Edge> {
        let Settings {
            state_dir, pin_dir, ..
        } = &self.settings;
        match Edges::read(state_dir, pin_dir) {
            Ok(edges) => edges.missed(now().at).cloned().collect(),
            Err(error) => {
                eprintln!("note: whether schedules were missed is not known: {error}");
                Vec::new()
            }
        }
    }

    /// For verbs that a daemon carries out.
    pub(super) fn require_daemon(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.daemon.is_some(),
            "{}; start one with `monitor run`, or name its --socket",
            self.why_no_daemon()
        );
        Ok(())
    }

    /// Why there is no daemon to ask.
    pub(super) fn why_no_daemon(&self) -> String {
        let socket = self.settings.socket.display();
        match &self.other_pins {
            Some(held) => format!(
                "the daemon on {socket} holds {}, not {}",
                held.display(),
                self.settings.pin_dir.display()
            ),
            None => format!("no daemon answers on {socket}"),
        }
    }

    /// For verbs that do without a daemon.
    pub(super) fn warn_of_other_daemon(&self) {
        if self.other_pins.is_some() {
            eprintln!("note: {}", self.why_no_daemon());
        }
    }
}
