//! Which filter a verb is about: that of a daemon, or what is pinned.

use std::path::PathBuf;

use clap::Args;

use super::{Common, tell};
use monitor::{
    clock::now,
    config::{Options, Settings},
    control::{Answer, ControlError, Request, Status, ask},
    datapath::Reader,
    printable,
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
    /// The status of the daemon that holds it, where one runs.
    pub(super) daemon: Option<Box<Status>>,
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
        let daemon = match ask(&settings.socket, &Request::Status {}) {
            Ok(Answer::Status(status)) => Some(status),
            Ok(Answer::Refused(why)) => anyhow::bail!("the daemon refused: {why}"),
            Ok(other) => anyhow::bail!("the daemon gave an unexpected answer: {other:?}"),
            Err(ControlError::NoDaemon { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let held = daemon.as_ref().and_then(|status| status.daemon.as_ref());
        let other_pins = held
            .map(|daemon| daemon.pin_dir.clone())
            .filter(|held| pins_named && *held != settings.pin_dir);
        Ok(Reach {
            settings,
            daemon: daemon.filter(|_| other_pins.is_none()),
            other_pins,
        })
    }
}

impl Reach {
    /// From the daemon, else from the pins.
    pub(super) fn status(self) -> anyhow::Result<Status> {
        self.warn_of_other_daemon();
        if let Some(status) = self.daemon {
            return Ok(*status);
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
            tell(&format!(
                "note: whether the policy files were confirmed is not known: {error}"
            ));
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
                tell(&format!(
                    "note: whether schedules were missed is not known: {error}"
                ));
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
        let socket = printable::path(&self.settings.socket);
        match &self.other_pins {
            Some(held) => format!(
                "the daemon on {socket} holds {}, not {}",
                printable::path(held),
                printable::path(&self.settings.pin_dir)
            ),
            None => format!("no daemon answers on {socket}"),
        }
    }

    /// For verbs that do without a daemon.
    pub(super) fn warn_of_other_daemon(&self) {
        if self.other_pins.is_some() {
            tell(&format!("note: {}", self.why_no_daemon()));
        }
    }
}
