//! `monitor report verify --replay`: computes the figures of a report again.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use monitor::{
    policy::Moment,
    recompute::{Inputs, recompute},
    report::{NoProof, Report, Status, Verification},
};

use super::{Common, replay::compiled};

/// With what to compute the figures again.
#[derive(Args, Debug)]
pub(super) struct RecomputeArgs {
    /// Also compute the figures of a report as json again: run the packets of this file, which
    /// `monitor capture` wrote, through the kernel program, and name each figure that differs.
    /// The policies come from the report, or from --policies if the report lacks some of their
    /// networks. Needs the privileges to load a program
    #[arg(long, value_name = "CAPTURE")]
    replay: Option<PathBuf>,
}

impl RecomputeArgs {
    /// A report without a proof can still be compared with a capture.
    pub(super) fn without_proof(
        &self,
        verified: Result<Verification, NoProof>,
    ) -> Result<Verification, NoProof> {
        match verified {
            Err(NoProof::Missing) if self.replay.is_some() => {
                let mut found = Verification::default();
                found.push(
                    Status::Unknown,
                    "The file carries no proof, so nothing shows that the gateway made it.",
                );
                Ok(found)
            }
            verified => verified,
        }
    }

    /// Compares the figures with the capture, if one was given.
    pub(super) fn add(
        &self,
        common: &Common,
        text: &str,
        found: &mut Verification,
    ) -> anyhow::Result<()> {
        let Some(capture) = &self.replay else {
            return Ok(());
        };
        let report: Report =
            serde_json::from_str(text).context("--replay needs a report as json")?;
        let settings = common.settings()?;
        let compile = |at| {
            let compiled = compiled(&settings, &Moment::given(at));
            let ruleset = compiled.ruleset;
            ruleset.ok_or_else(|| "`monitor check` names the errors".to_owned())
        };
        let inputs = Inputs {
            capture,
            derivation: &settings.derivation,
            given: common.has_policies().then_some(&compile),
        };
        recompute(&report, inputs, found).context("--replay")
    }
}
