//! Reports, and marks on the time line.

use jiff::Timestamp;

use super::{Core, flow_filter::FlowsError};
use crate::{
    clock::to_the_second,
    control::{AskedReport, MarkRequest, Marked},
    device_names::NoDevice,
    evidence::{mark::InvalidMark, published::Published},
    merkle::Proven,
    report::{self, Report},
    report_facts::{self, ReportError, ReportFilter},
    store::AskedProof,
};

/// Why a client gets no report.
#[derive(Debug, thiserror::Error)]
pub(in crate::daemon) enum AskError {
    #[error(transparent)]
    Flows(#[from] FlowsError),
    #[error(transparent)]
    Report(#[from] ReportError),
}

/// Why there is no mark.
#[derive(Debug, thiserror::Error)]
pub(in crate::daemon) enum MarkError {
    #[error(transparent)]
    Device(#[from] NoDevice),
    #[error(transparent)]
    Text(#[from] InvalidMark),
    #[error("the time of the mark is in the future")]
    Future,
    #[error("{0}")]
    Store(String),
}

impl Core {
    /// The report that a client asks for, up to this moment.
    pub(in crate::daemon) fn report(&self, asked: &AskedReport) -> Result<Report, AskError> {
        let devices = match &asked.device {
            Some(device) => self.macs_of(device).map_err(FlowsError::from)?,
            None => Vec::new(),
        };
        let policy = asked.policy.as_deref().map(str::parse).transpose();
        let filter = ReportFilter {
            since: asked.since,
            until: asked.until,
            at: asked.at,
            asked_device: asked.device.clone(),
            devices,
            policy: policy.map_err(FlowsError::from)?,
            limit: asked.limit,
        };
        let is_drained = self.evidence.drain();
        let (pins, state) = (&self.settings.pin_dir, &self.settings.state_dir);
        let found = report_facts::read(pins, state, &filter, is_drained)?;
        let names = self.names_by_mac();
        let mut facts = self.evidence.with_book(|book| found.named(book, &names));
        facts.flows = self.with_holders(facts.flows);
        Ok(report::build(&facts))
    }

    /// Proves that a report and its evidence are in the log.
    pub(in crate::daemon) fn prove(&self, asked: AskedProof) -> Result<Proven, MarkError> {
        let is_hash = asked.sha256.len() == 64 && hex::decode(&asked.sha256).is_ok();
        if !is_hash || asked.format.len() > 8 {
            let why = "the request for a proof names no SHA-256, or no form of a report";
            return Err(MarkError::Store(why.to_owned()));
        }
        self.evidence.prove(asked).map_err(MarkError::Store)
    }

    /// Puts a mark on the time line.
    pub(in crate::daemon) fn mark(&self, request: MarkRequest) -> Result<Marked, MarkError> {
        let MarkRequest { mark, device, at } = request;
        mark.check()?;
        let devices = match device {
            Some(device) => self.macs_of(&device)?,
            None => Vec::new(),
        };
        if at.is_some_and(|at| at > Timestamp::now()) {
            return Err(MarkError::Future);
        }
        let marked = self.evidence.mark(mark.clone(), devices.clone(), at);
        let at = marked.map_err(MarkError::Store)?;
        Ok(Marked {
            at: to_the_second(at),
            devices,
            mark,
        })
    }

    /// Notes that an authority stamped a head of the log.
    pub(in crate::daemon) fn published(&self, published: Published) -> Result<(), MarkError> {
        published.check()?;
        self.evidence.published(published).map_err(MarkError::Store)
    }

    /// The policies in force as JSON, if they have this hash.
    pub(in crate::daemon) fn stated_policies(&self, hash: &str) -> Option<String> {
        let state = self.state();
        let policies = state.stage.policies()?;
        let own = format!("{:016x}", policies.ruleset.content_hash());
        (own == hash).then(|| report::policies_to_json(&policies.policies))
    }
}
