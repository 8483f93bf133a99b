//! `monitor replay`: runs captured frames through the same kernel program.

use std::path::PathBuf;

use clap::Args;
use monitor::{
    capture::Capture, clock::now, datapath::Sandbox, feeds::DiskAndFeeds, guard::Gateway,
    pipeline::compile_files, policy::RuntimeOverlay, replay::ReplayReport,
};

use super::{Common, eprint_diagnostics, print, print_json};

/// Run captured frames through the kernel program and report what the policies would have matched
///
/// The program runs on maps of its own and is attached nowhere, so the filter in
/// force and its counters do not change. Needs the privileges to load a program.
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
}

/// Replays every capture and prints their sum.
pub(super) fn run(common: &Common, args: &ReplayArgs) -> anyhow::Result<()> {
    let settings = common.settings()?;
    // A capture may come from any gateway.
    let gateway = Gateway {
        derivation: settings.derivation.clone(),
        ..Gateway::default()
    };
    let compiled = compile_files(
        &settings.policies,
        &DiskAndFeeds::new(&settings.state_dir),
        &RuntimeOverlay::default(),
        &now(),
        &gateway,
    );
    eprint_diagnostics(&compiled.diagnostics);
    let Some(ruleset) = compiled.ruleset else {
        anyhow::bail!("the policies cannot be used");
    };
    let mut sandbox = Sandbox::new(&ruleset, &args.interface)?;
    let mut report = ReplayReport::new(&ruleset);
    for path in &args.captures {
        for frame in Capture::open(path)? {
            let frame = frame?;
            let outcome = sandbox.run(&frame.data)?;
            report.record(frame.source_mac(), frame.wire_length, &outcome);
        }
    }
    if common.json {
        print_json(&report)
    } else {
        print(&report.to_string())
    }
}
