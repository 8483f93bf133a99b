//! `monitor doctor`: what this gateway does not see, and why.

mod canary;

use std::{fs, time::Duration};

use clap::Args;
use monitor::{
    clock::now,
    config::Settings,
    control::{Answer, ControlError, Request, ask_within},
    data::Listing,
    datapath::Reader,
    doctor::{
        self, Diagnosis, Known, diagnose,
        facts::{DaemonFact, PolicyFacts},
    },
    feeds::DiskAndFeeds,
    pipeline::judge_files,
    state_dir::read_runtime,
};
use nix::unistd::geteuid;

use canary::CanaryArgs;

use super::{Common, Outcome, ReachArgs, data, print, print_json, reach::Reach};

/// How long the daemon may take to look.
const LOOKS_WITHIN: Duration = Duration::from_secs(30);

/// Show what this gateway does not see, why, and how to fix it
///
/// Checks interfaces without the filter, other programs, hardware offload, traffic between
/// stations, IPv6, tunnels, policies, lists, data, clock, disk and lost evidence. The exit code
/// is 1 if something is not seen (`blind`), else 0. With a daemon, the daemon looks; without one,
/// this command does, and says what it may not read. As root, it also looks at what the daemon may
/// not read.
///
/// With `--canary`, frames prove it. For at most two minutes, a policy counts packets to two
/// addresses that only this run uses. Three frames on each path must raise its counter. No policy
/// of yours changes, and nothing is dropped. Needs root and the daemon.
#[derive(Args, Debug)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    canary: CanaryArgs,

    #[command(flatten)]
    reach: ReachArgs,
}

/// Prints the findings.
pub(super) fn run(common: &Common, args: &DoctorArgs) -> anyhow::Result<Outcome> {
    let reach = args.reach.reach_or_read(common)?;
    reach.warn_of_other_daemon();
    let diagnosis = read(&reach)?;
    let diagnosis = match args.canary.remarks(&reach)? {
        Some(remarks) => diagnosis.and(remarks),
        None => diagnosis,
    };
    if common.json {
        print_json(&diagnosis.printed())?;
    } else {
        print(&diagnosis.to_string())?;
    }
    Ok(if diagnosis.blind > 0 {
        Outcome::Blind
    } else {
        Outcome::Fine
    })
}

/// The findings of the daemon, or else of this process.
pub(super) fn read(reach: &Reach) -> anyhow::Result<Diagnosis> {
    Ok(match ask(reach)? {
        Asked::Answer(diagnosis) if diagnosis.has_unknown() && sees_the_same(reach) => {
            diagnosis.completed_by(&look(reach, DaemonFact::None))
        }
        Asked::Answer(diagnosis) => *diagnosis,
        Asked::Nobody(daemon) => look(reach, daemon),
    })
}

/// The daemon's answer, or what is known about a daemon that gives none.
enum Asked {
    Answer(Box<Diagnosis>),
    Nobody(DaemonFact),
}

fn ask(reach: &Reach) -> anyhow::Result<Asked> {
    if reach.daemon.is_none() {
        let daemon = reach
            .why_silent()
            .map_or(DaemonFact::None, DaemonFact::Silent);
        return Ok(Asked::Nobody(daemon));
    }
    match ask_within(&reach.settings.socket, &Request::Doctor {}, LOOKS_WITHIN) {
        Ok(Answer::Diagnosis(diagnosis)) => Ok(Asked::Answer(diagnosis)),
        Ok(Answer::Refused(why)) => anyhow::bail!("the daemon refused: {why}"),
        Ok(other) => anyhow::bail!("the daemon gave an unexpected answer: {other:?}"),
        Err(silent @ ControlError::Silent { .. }) => {
            Ok(Asked::Nobody(DaemonFact::Silent(silent.to_string())))
        }
        // It ended meanwhile.
        Err(ControlError::NoDaemon { .. }) => Ok(Asked::Nobody(DaemonFact::None)),
        Err(error) => Err(error.into()),
    }
}

/// True if this command runs as root in the network namespace of the daemon: then it may read
/// what the daemon may not.
fn sees_the_same(reach: &Reach) -> bool {
    let Some(daemon) = reach.daemon.as_ref().filter(|_| geteuid().is_root()) else {
        return false;
    };
    let namespace = |process: &str| fs::read_link(format!("/proc/{process}/ns/net")).ok();
    let own = namespace("self");
    own.is_some() && own == namespace(&daemon.pid.to_string())
}

/// Looks without a daemon.
fn look(reach: &Reach, daemon: DaemonFact) -> Diagnosis {
    let settings = &reach.settings;
    let moment = now();
    let reader = Reader::open(&settings.pin_dir);
    let known = Known {
        // Without one, the check of the interfaces says why.
        snapshot: reader.and_then(|reader| reader.snapshot(None)).ok(),
        policies: policies(settings),
        daemon,
        data: listing(settings),
        clock_synchronised: moment.clock_synchronised,
        far_sides: std::collections::BTreeSet::new(),
    };
    diagnose(&doctor::read(settings, known)).accepted_by(&settings.accepted)
}

/// The policies of the files.
fn policies(settings: &Settings) -> Result<PolicyFacts, String> {
    let moment = now();
    let gateway = settings.gateway().map_err(|error| error.to_string())?;
    let runtime = read_runtime(&settings.state_dir).map_err(|error| error.to_string())?;
    let files = DiskAndFeeds::new(&settings.state_dir);
    let mut loaded = judge_files(&settings.policies, &files, &runtime, &moment, &gateway);
    if let Some(error) = loaded.diagnostics.errors().next() {
        return Err(error.message().to_owned());
    }
    for policy in &mut loaded.policies {
        policy.set_now(&moment);
    }
    Ok(PolicyFacts::of(&loaded.policies, loaded.feeds.len()))
}

fn listing(settings: &Settings) -> Listing {
    if settings.data.is_empty() {
        return Listing {
            sources: Vec::new(),
        };
    }
    data::read(settings).listing(data::today())
}
