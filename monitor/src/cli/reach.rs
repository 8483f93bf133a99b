//! Which filter a verb is about: that of a daemon, or what is pinned.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;

use super::{Common, tell};
use monitor::{
    clock::now,
    config::{Options, Settings},
    control::{Answer, Check, CheckStatus, ControlError, Request, Status, Who, ask_within},
    datapath::{self, Reader},
    printable,
    snapshot::Unconfirmed,
    state_dir::{Edge, Edges, NotConfirmed},
};

/// How long a daemon may take to say who it is. One that needs longer hangs, is
/// stopped, or is overloaded.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

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
    /// A daemon listens on the socket and gave no answer.
    silent: Option<ControlError>,
}

impl ReachArgs {
    /// For verbs that need an answer where a daemon runs.
    pub(super) fn reach(&self, common: &Common) -> anyhow::Result<Reach> {
        let mut reach = self.reach_or_read(common)?;
        match reach.silent.take() {
            Some(silent) => Err(silent.into()),
            None => Ok(reach),
        }
    }

    /// Asks the daemon on the socket which daemon it is. `status` reads the kernel
    /// where the daemon gives no answer. A daemon with other pins than the verb names
    /// is another filter's.
    pub(super) fn reach_or_read(&self, common: &Common) -> anyhow::Result<Reach> {
        let options = Options {
            socket: self.socket.clone(),
            pin_dir: self.pin_dir.clone(),
            state_dir: self.state_dir.clone(),
            ..Options::default()
        };
        let options = options.over(common.options()?);
        let pins_named = options.pin_dir.is_some();
        let settings = options.settle();
        let (daemon, silent) = match who(&settings.socket) {
            Ok(daemon) => (daemon, None),
            Err(silent @ ControlError::Silent { .. }) => (None, Some(silent)),
            Err(error) => return Err(error.into()),
        };
        let other_pins = daemon
            .as_ref()
            .map(|daemon| daemon.pin_dir.clone())
            .filter(|held| pins_named && *held != settings.pin_dir);
        Ok(Reach {
            settings,
            daemon: daemon.filter(|_| other_pins.is_none()),
            other_pins,
            silent,
        })
    }
}

/// Which daemon answers on `socket`; `None` where no daemon listens there.
fn who(socket: &Path) -> Result<Option<Who>, ControlError> {
    match ask_within(socket, &Request::Who {}, ANSWERS_WITHIN) {
        Ok(Answer::Who(who)) => Ok(Some(*who)),
        // A daemon of an older version does not know the question.
        Ok(_) => {
            let status = ask_status(socket)?;
            let interfaces = status.snapshot.interfaces.into_iter();
            let interfaces: Vec<_> = interfaces.map(|interface| interface.name).collect();
            Ok(status.daemon.map(|daemon| Who {
                pid: daemon.pid,
                version: daemon.version,
                pin_dir: daemon.pin_dir,
                state_dir: daemon.state_dir,
                policies: daemon.policies,
                interfaces,
            }))
        }
        Err(ControlError::NoDaemon { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn ask_status(socket: &Path) -> Result<Status, ControlError> {
    match ask_within(socket, &Request::Status {}, ANSWERS_WITHIN)? {
        Answer::Status(status) => Ok(*status),
        Answer::Refused(why) => Err(ControlError::Refused { why }),
        _ => Err(ControlError::Unexpected {
            path: socket.to_owned(),
        }),
    }
}

impl Reach {
    /// From the daemon, else from the pins.
    pub(super) fn status(mut self) -> anyhow::Result<Status> {
        self.warn_of_other_daemon();
        if self.daemon.is_some() {
            match ask_status(&self.settings.socket) {
                Ok(status) => return Ok(status),
                Err(silent @ ControlError::Silent { .. }) => self.silent = Some(silent),
                // The daemon ended between the two questions: its pins are left.
                Err(ControlError::NoDaemon { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let reader = Reader::open(&self.settings.pin_dir).map_err(|error| match &self.silent {
            Some(silent) => anyhow::Error::from(error).context(silent.to_string()),
            None => error.into(),
        })?;
        let mut snapshot = reader.snapshot(None)?;
        snapshot.unconfirmed = snapshot.unconfirmed.or_else(|| self.not_confirmed());
        Ok(Status {
            daemon: None,
            checks: self.silence().into_iter().collect(),
            missed_edges: self.missed_edges(),
            snapshot,
        })
    }

    /// That the daemon gives no answer, where one runs.
    fn silence(&self) -> Option<Check> {
        let silent = self.silent.as_ref()?;
        let holder = datapath::holder(&self.settings.pin_dir);
        let process =
            holder.map_or_else(String::new, |holder| format!("; {holder} holds the filter"));
        Some(Check {
            id: "daemon".to_owned(),
            status: CheckStatus::Degraded,
            what: "the daemon does not answer; the filter goes on, and changed files have no effect"
                .to_owned(),
            why: format!("{silent}{process}"),
            fix: "let it go on with `kill -CONT` where it is stopped, else start it anew: the filter stays in force meanwhile".to_owned(),
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
