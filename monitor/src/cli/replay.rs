//! `monitor replay`: runs captured frames through the same kernel program.

use std::path::PathBuf;

use clap::Args;
use monitor::{
    capture::{Capture, Frame},
    clock::now,
    compile::Ruleset,
    config::Settings,
    datapath::{self, Examines, FrameOutcome, Sandbox},
    evidence::FlowsView,
    feeds::DiskAndFeeds,
    guard::Gateway,
    pipeline::{Compiled, compile_files},
    policy::{Direction, Moment, RuntimeOverlay},
    replay::ReplayReport,
    replay_evidence::EvidenceReplay,
    snapshot::Answers,
};
use serde::Serialize;

use super::{Common, data, eprint_diagnostics, explain::direction, print, print_json};

/// Run captured frames through the kernel program and report what the policies would have matched
///
/// The program runs on maps of its own and is attached nowhere, so the filter in
/// force and its counters do not change. What a `reject` would have answered is counted
/// and not sent, with its rate limits only under --evidence. Needs the privileges to load
/// a program.
#[derive(Args, Debug)]
pub(crate) struct ReplayArgs {
    /// pcap or pcapng files of Ethernet frames; `-` is standard input
    #[arg(required = true, value_name = "CAPTURE")]
    captures: Vec<PathBuf>,
    /// Interface on which the frames arrived, for policies with `interfaces`
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    interface: String,
    /// Direction of the frames: `out` from devices, or `in` as they arrive at an interface
    /// with the role `wan`
    #[arg(long, value_name = "out|in", value_parser = direction, default_value = "out", hide_default_value = true)]
    direction: Direction,
    /// Also show the flows of matched packets and the names of their destinations, as the
    /// daemon would have recorded them
    #[arg(long)]
    evidence: bool,
}

/// The policies of the settings, for a capture or a report that may come from any gateway.
pub(super) fn compiled(settings: &Settings, moment: &Moment) -> Compiled {
    let gateway = Gateway {
        derivation: settings.derivation.clone(),
        ..Gateway::default()
    };
    compile_files(
        &settings.policies,
        &DiskAndFeeds::new(&settings.state_dir),
        &RuntimeOverlay::default(),
        moment,
        &gateway,
    )
}

/// Replays every capture and prints their sum.
pub(super) fn run(common: &Common, args: &ReplayArgs) -> anyhow::Result<()> {
    let settings = common.settings()?;
    let compiled = compiled(&settings, &now());
    eprint_diagnostics(&compiled.diagnostics);
    let Some(ruleset) = compiled.ruleset else {
        anyhow::bail!("the policies cannot be used");
    };
    let mut report = ReplayReport::new(&ruleset);
    let mut runner = Runner::new(&ruleset, args)?;
    for path in &args.captures {
        for frame in Capture::open(path)? {
            let frame = frame?;
            let outcome = runner.run(&frame)?;
            report.record(frame.source_mac(), frame.wire_length, &outcome);
        }
    }
    report.set_rejected(runner.answers()?);
    let evidence = runner.end()?;
    let evidence =
        evidence.map(|evidence| data::with_holders(&settings, &compiled.policies, evidence));
    if common.json {
        print_json(&WithEvidence { report, evidence })
    } else {
        print(&report.to_string())?;
        evidence.map_or(Ok(()), |evidence| print(&format!("\n{evidence}")))
    }
}

/// The report, and the evidence if it was asked for.
#[derive(Serialize)]
struct WithEvidence {
    #[serde(flatten)]
    report: ReplayReport,
    #[serde(flatten)]
    evidence: Option<FlowsView>,
}

/// Runs frames, with or without evidence.
enum Runner {
    Counts(Box<Sandbox>),
    Evidence(Box<EvidenceReplay>),
}

impl Runner {
    fn new(ruleset: &Ruleset, args: &ReplayArgs) -> Result<Self, datapath::Error> {
        if args.evidence {
            let replay = EvidenceReplay::new(ruleset, &args.interface, args.direction)?;
            return Ok(Self::Evidence(Box::new(replay)));
        }
        let sandbox = Sandbox::at(ruleset, &args.interface, Examines::arriving(args.direction))?;
        Ok(Self::Counts(Box::new(sandbox)))
    }

    fn run(&mut self, frame: &Frame) -> Result<FrameOutcome, datapath::Error> {
        match self {
            Self::Counts(sandbox) => sandbox.run(&frame.data),
            Self::Evidence(replay) => replay.run(frame),
        }
    }

    /// What the program would have answered.
    fn answers(&self) -> Result<Answers, datapath::Error> {
        match self {
            Self::Counts(sandbox) => sandbox.answers(),
            Self::Evidence(replay) => replay.answers(),
        }
    }

    fn end(self) -> Result<Option<FlowsView>, datapath::Error> {
        match self {
            Self::Counts(_) => Ok(None),
            Self::Evidence(replay) => replay.end().map(Some),
        }
    }
}
