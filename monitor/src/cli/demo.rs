//! `monitor demo`: the demonstration in network namespaces.

use std::{env, path::PathBuf};

use anyhow::Context as _;
use clap::Args;
use monitor::demo;
/// Show what the filter does, with two phones and an internet in network namespaces
///
/// Tells the story of 2014 with the real daemon and real packets, and writes a report of it. In a
/// terminal the phones then go on until Ctrl-C, so that you can look at the page and change a
/// policy. Needs root, and changes nothing outside of its own namespaces. Other filters of this
/// machine stay as they are.
#[derive(Args, Debug)]
pub(crate) struct DemoArgs {
    /// Directory of the report
    #[arg(long, value_name = "DIR", default_value = ".")]
    report_dir: PathBuf,
}

/// Runs the demonstration with this program.
pub(crate) fn run(arguments: &DemoArgs) -> anyhow::Result<()> {
    let monitor = env::current_exe().context("the path of this program")?;
    demo::run(&monitor, &arguments.report_dir)
}
