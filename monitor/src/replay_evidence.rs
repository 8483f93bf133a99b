//! The evidence of a capture: its frames run through the kernel programs and the parsers of
//! the daemon, in the capture's own time.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::{
    capture::Frame,
    compile::Ruleset,
    datapath::{DnsCopies, Error, Examines, FrameOutcome, Sandbox},
    device_book::DeviceBook,
    evidence::{
        Claim, Flow, FlowEnd, FlowKey, FlowRow, FlowsView, NotRecorded,
        answers::AnswerSettings,
        learner::{Learner, StatedModel, join},
    },
    policy::{Direction, PolicyName},
    snapshot::Answers,
};

/// Flows that the kernel program can hold on each CPU.
const TABLE_FLOWS: u32 = 16_384;

/// Frames after which the tables are read. Each frame begins at most one flow.
const FRAMES: usize = 4096;

/// Runs frames and collects flows and names.
pub struct EvidenceReplay {
    sandbox: Sandbox,
    copies: DnsCopies,
    learner: Option<Learner>,
    flows: BTreeMap<(FlowKey, Vec<PolicyName>), Flow>,
    claims: BTreeMap<FlowEnd, Vec<Claim>>,
    models: Vec<StatedModel>,
    /// Time of the last frame that has one.
    now: Timestamp,
    /// Frames since the tables were read.
    frames: usize,
}

impl EvidenceReplay {
    /// Loads both kernel programs.
    pub fn new(ruleset: &Ruleset, interface: &str, direction: Direction) -> Result<Self, Error> {
        Ok(Self {
            sandbox: Sandbox::recording(
                ruleset,
                interface,
                Examines::arriving(direction),
                TABLE_FLOWS,
            )?,
            copies: DnsCopies::replay()?,
            learner: None,
            flows: BTreeMap::new(),
            claims: BTreeMap::new(),
            models: Vec::new(),
            now: Timestamp::UNIX_EPOCH,
            frames: 0,
        })
    }

    /// Runs a frame in both directions: as one that a device sent, and as one that goes to a
    /// device.
    pub fn run(&mut self, frame: &Frame) -> Result<FrameOutcome, Error> {
        let at = frame.at.unwrap_or(self.now);
        self.now = at;
        let learner = self
            .learner
            .get_or_insert_with(|| Learner::new(AnswerSettings::default(), at));
        let length = u64::from(frame.wire_length);
        let outcome = self.sandbox.run_at(&frame.data, at, length)?;
        self.sandbox.take_samples(|sample| learner.sample(&sample));
        self.copies.run_at(&frame.data, at)?;
        self.copies.read(|copy| learner.copy(&copy));
        self.frames += 1;
        if self.frames >= FRAMES {
            self.read_tables()?;
        }
        Ok(outcome)
    }

    fn read_tables(&mut self) -> Result<(), Error> {
        self.frames = 0;
        let Some(learner) = &mut self.learner else {
            return Ok(());
        };
        for (flow, has_names) in self.sandbox.take_flows_with_names()? {
            learner.flow(&flow, has_names);
            let key = (flow.key.clone(), flow.policies.clone());
            match self.flows.get_mut(&key) {
                Some(known) => known.join(&flow),
                None => drop(self.flows.insert(key, flow)),
            }
        }
        for (end, claims) in learner.take_claims() {
            let known = self.claims.entry(end).or_default();
            for claim in claims {
                join(known, claim);
            }
        }
        self.models.extend(learner.take_models());
        Ok(())
    }

    /// What the program would have answered so far, within its rate limits.
    pub fn answers(&self) -> Result<Answers, Error> {
        self.sandbox.answers()
    }

    /// The flows of all frames, with their names.
    pub fn end(mut self) -> Result<FlowsView, Error> {
        self.read_tables()?;
        let mut not_recorded = NotRecorded::default();
        for counters in self.sandbox.effective()? {
            not_recorded.add_effective(&counters);
        }
        let claims = self.claims;
        let row = |flow: Flow| {
            let names = claims.get(&flow.key.end()).cloned().unwrap_or_default();
            FlowRow::new(flow, names)
        };
        let rows = self.flows.into_values().map(row);
        let models = self.models.into_iter();
        let models = models.map(|stated| {
            let how = stated.source.word().to_owned();
            (stated.device, stated.model, how)
        });
        let view = FlowsView::new(rows, not_recorded, usize::MAX).with_models(models);
        let view = view.with_heads(|mac| DeviceBook::default().head(mac, None, None));
        let Some(learner) = self.learner else {
            return Ok(view);
        };
        let without = view.devices_without_names().into_iter();
        let absences: Vec<_> = without
            .map(|device| (device, learner.absence(device, self.now)))
            .collect();
        Ok(view.with_absences(absences))
    }
}
