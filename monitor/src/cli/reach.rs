//! Finds the filter that a verb is about: through its daemon, or through its pins.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;

use super::{Common, tell};
use monitor::{
    clock::now,
    config::{Options, Settings},
    control::{
        Answer, Check, CheckStatus, ControlError, DaemonIdentity, Request, Status, ask_within,
    },
    datapath::{self, Reader},
    printable,
    snapshot::Unconfirmed,
    state_dir::{Edge, Edges, NotConfirmed},
};

/// How long a daemon may take to identify itself. A daemon that takes longer
/// hangs, is stopped, or is overloaded.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// Options of the verbs that are about a filter in force.
#[derive(Args, Clone, Debug)]
pub(crate) struct ReachArgs {
    /// Control socket of the daemon [default: /run/monitor/monitor.sock]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,

    /// Directory in which the filter is pinned [default: /sys/fs/bpf/monitor]
    #[arg(long, value_name = "DIR")]
    pin_dir: Option<PathBuf>,

    /// State directory of the daemon; read only if no daemon runs [default: /var/lib/monitor]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

/// The place of a filter, and the daemon that holds it.
pub(super) struct Reach {
    pub(super) settings: Settings,
    /// The daemon that holds the filter, if one runs.
    pub(super) daemon: Option<DaemonIdentity>,
    /// Pin directory of the daemon on the socket, if the verb names another one.
    other_pins: Option<PathBuf>,
    /// The error of a daemon that listens on the socket and gave no answer.
    silent: Option<ControlError>,
}

impl ReachArgs {
    /// Finds the filter, for verbs that need an answer if a daemon runs.
    pub(super) fn reach(&self, common: &Common) -> anyhow::Result<Reach> {
        let mut reach = self.reach_or_read(common)?;
        match reach.silent.take() {
            Some(silent) => Err(silent.into()),
            None => Ok(reach),
        }
    }

    /// Asks the daemon on the socket to identify itself. If it gives no answer, a
    /// verb such as `status` can read the kernel. If it has another pin directory
    /// than the verb names, it holds another filter.
    pub(super) fn reach_or_read(&self, common: &Common) -> anyhow::Result<Reach> {
        let options = Options {
            socket: self.socket.clone(),
            pin_dir: self.pin_dir.clone(),
            state_dir: self.state_dir.clone(),
            ..Options::default()
        };
        // The default config file is about the filter of the service.
        let is_another = self.socket.is_some() || self.pin_dir.is_some();
        let common_options = if is_another {
            common.named_options()?
        } else {
            common.options()?
        };
        let options = options.over(common_options);
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

/// Identity of the daemon that answers on `socket`; `None` if no daemon listens.
fn who(socket: &Path) -> Result<Option<DaemonIdentity>, ControlError> {
    match ask_within(socket, &Request::Who {}, ANSWERS_WITHIN) {
        Ok(Answer::Who(who)) => Ok(Some(*who)),
        // A daemon of an older version does not know the question.
        Ok(_) => {
            let status = ask_status(socket)?;
            let interfaces = status.snapshot.interfaces.into_iter();
            let mut interfaces: Vec<_> = interfaces.map(|interface| interface.name).collect();
            interfaces.dedup();
            Ok(status.daemon.map(|daemon| DaemonIdentity {
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

/// The status from the daemon on `socket`.
pub(super) fn ask_status(socket: &Path) -> Result<Status, ControlError> {
    match ask_within(socket, &Request::Status {}, ANSWERS_WITHIN)? {
        Answer::Status(status) => Ok(*status),
        Answer::Refused(why) => Err(ControlError::Refused { why }),
        _ => Err(ControlError::Unexpected {
            path: socket.to_owned(),
        }),
    }
}

impl Reach {
    /// The status from the daemon, otherwise from the pins.
    pub(super) fn status(mut self) -> anyhow::Result<Status> {
        self.warn_of_other_daemon();
        if self.daemon.is_some() {
            match ask_status(&self.settings.socket) {
                Ok(status) => return Ok(status),
                Err(silent @ ControlError::Silent { .. }) => self.silent = Some(silent),
                // The daemon ended after the first request; its pins remain.
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

    /// A check that reports a daemon that gives no answer.
    fn silence(&self) -> Option<Check> {
        let silent = self.silent.as_ref()?;
        let holder = datapath::holder(&self.settings.pin_dir);
        let process =
            holder.map_or_else(String::new, |holder| format!("; {holder} holds the filter"));
        Some(Check {
            id: "daemon".to_owned(),
            status: CheckStatus::Degraded,
            what: "the daemon does not answer; the filter continues, but changed files have no effect"
                .to_owned(),
            why: format!("{silent}{process}"),
            fix: "if the daemon is stopped, continue it with `kill -CONT`; otherwise start it again: the filter stays in force meanwhile".to_owned(),
        })
    }

    /// The trial that was not confirmed, from the state directory.
    fn not_confirmed(&self) -> Option<Unconfirmed> {
        let kept = NotConfirmed::read(&self.settings.state_dir).unwrap_or_else(|error| {
            tell(&format!(
                "note: `status` cannot tell whether the policy files were confirmed: {error}"
            ));
            None
        });
        kept.map(|kept| kept.shown())
    }

    /// Changes by schedule or expiry that were missed because no daemon ran.
    fn missed_edges(&self) -> Vec<Edge> {
        let Settings {
            state_dir, pin_dir, ..
        } = &self.settings;
        match Edges::read(state_dir, pin_dir) {
            Ok(edges) => edges.missed(now().at).cloned().collect(),
            Err(error) => {
                tell(&format!(
                    "note: `status` cannot tell whether changes by schedule were missed: {error}"
                ));
                Vec::new()
            }
        }
    }

    /// Why the daemon gives no answer, if it gives none.
    pub(super) fn why_silent(&self) -> Option<String> {
        self.silent.as_ref().map(ToString::to_string)
    }

    /// Fails without a daemon, for verbs that only a daemon can perform.
    pub(super) fn require_daemon(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.daemon.is_some(),
            "{}; start one with `monitor run`, or name its --socket",
            self.why_no_daemon()
        );
        Ok(())
    }

    /// The reason why there is no daemon to ask.
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

    /// Tells the operator if the daemon on the socket holds another filter. Verbs
    /// that can work without a daemon call it.
    pub(super) fn warn_of_other_daemon(&self) {
        if self.other_pins.is_some() {
            tell(&format!("note: {}", self.why_no_daemon()));
        }
    }
}
