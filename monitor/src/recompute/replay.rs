//! Runs the frames of a capture through the kernel program, and stores what it recorded.

use std::{collections::BTreeMap, path::Path};

use jiff::{SignedDuration, Timestamp};

use super::{
    LONGEST_DRAIN, RecomputeError,
    file::verdict,
    policies::InForce,
    timeline::{INTERVAL, Timed, second},
};
use crate::{
    capture::{Capture, Frame},
    compile::Ruleset,
    datapath::{Examines, FrameOutcome, Sandbox},
    evidence::{Claim, FlowEnd, answers::AnswerSettings, learner::Learner, mark::Mark},
    policy::{Action, Direction, MacAddress, PolicyName},
    store::{Attachment, Drained, Instance, Store, StoreSettings},
};

/// Flows that the kernel program can hold on each CPU.
const TABLE_FLOWS: u32 = 16_384;

/// Frames after which the tables are read. Each frame begins at most one flow.
const FRAMES: usize = 4_096;

/// The most devices whose packets are told apart by time.
const MOST_DEVICES: usize = 4_096;

/// The most programs that are loaded at once. A filter has one for each interface.
const MOST_PROGRAMS: usize = 2 * monitor_common::MAX_INTERFACES as usize;

/// Largest size of the temporary store, in bytes.
const STORE_SIZE: u64 = 4 << 30;

/// Time before and after a mark in which a packet may be on the other side of it: the report
/// has the time of a mark rounded to a second.
const NEAR_MARK: SignedDuration = SignedDuration::from_secs(1);

/// A mark of the report.
pub(super) struct StatedMark {
    pub(super) at: Timestamp,
    pub(super) device: Option<MacAddress>,
    pub(super) mark: Mark,
}

/// How the frames are divided and decided.
pub(super) struct Plan<'a> {
    pub(super) policy: &'a PolicyName,
    pub(super) rulesets: &'a [InForce],
    /// The period without its ends, in seconds.
    pub(super) inner: (i64, i64),
    /// Spans of time, in seconds. No row of the store crosses one of their ends.
    pub(super) ends: [(i64, i64); 3],
    /// Sorted by time.
    pub(super) marks: &'a [StatedMark],
    /// When the filter was attached, as the report states.
    pub(super) attachments: &'a [Attachment],
}

/// What was seen in the frames.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) packets: u64,
    pub(super) first: Option<Timestamp>,
    pub(super) last: Option<Timestamp>,
    /// Packets whose comment states another verdict than the program gives.
    pub(super) other_verdict: u64,
    /// Packets that the policy of the capture does not match.
    pub(super) not_matched: u64,
    /// Packets near a change of the ruleset, of which it is unknown which one decided.
    pub(super) near_change: u64,
    /// Packets of a time whose ruleset is not known.
    pub(super) without_ruleset: u64,
    /// Packets so near a mark that they may be on either side.
    pub(super) near_mark: u64,
    /// Packets that found no room in the tables.
    pub(super) not_recorded: u64,
    /// Packets by time, by device.
    pub(super) timed: BTreeMap<MacAddress, Timed>,
}

/// The kernel programs, and the store of what they recorded.
struct Replay<'a> {
    plan: &'a Plan<'a>,
    store: Store,
    learner: Option<Learner>,
    /// The programs of the ruleset in force, by interface number.
    sandboxes: BTreeMap<u32, Sandbox>,
    ruleset: Option<usize>,
    /// Programs that record nothing, by ruleset and interface number.
    probes: BTreeMap<(usize, u32), Sandbox>,
    /// The part of time to which the frames in the tables belong.
    part: (usize, i64),
    epoch: u64,
    frames: usize,
    marks: usize,
    now: Timestamp,
    seen: Seen,
}

/// What a ruleset does with a frame.
#[derive(PartialEq, Eq)]
struct Probed {
    /// The policies that match, with their actions.
    matched: Vec<(PolicyName, Action)>,
    dropped: bool,
}

/// Name of an interface and direction of its packets, if there is room for one more program.
fn interface<K>(
    programs: &BTreeMap<K, Sandbox>,
    number: u32,
    capture: &Capture,
) -> Result<(String, Direction), RecomputeError> {
    if programs.len() >= MOST_PROGRAMS {
        return Err(RecomputeError::Interfaces);
    }
    let notes = capture.notes();
    let interface = notes.interfaces.into_iter().nth(number as usize);
    let interface = interface.unwrap_or_default();
    Ok((interface.name.unwrap_or_default(), interface.direction))
}

/// Runs the frames into a new store in `directory`.
///
/// # Errors
///
/// Returns an error if the capture, the kernel or the store fails.
pub(super) fn run(
    capture: &mut Capture,
    plan: &Plan<'_>,
    directory: &Path,
) -> Result<Seen, RecomputeError> {
    let begin = Timestamp::from_second(plan.inner.0).unwrap_or(Timestamp::UNIX_EPOCH);
    let settings = StoreSettings {
        size: STORE_SIZE,
        ..StoreSettings::default()
    };
    let (store, _) = Store::open(directory, settings, begin)?;
    let mut replay = Replay {
        plan,
        store,
        learner: None,
        sandboxes: BTreeMap::new(),
        ruleset: None,
        probes: BTreeMap::new(),
        part: (0, 0),
        epoch: 0,
        frames: 0,
        marks: 0,
        now: begin,
        seen: Seen::default(),
    };
    while let Some(frame) = capture.next() {
        replay.run(&frame?, capture)?;
    }
    replay.end()
}

impl Replay<'_> {
    fn run(&mut self, frame: &Frame, capture: &Capture) -> Result<(), RecomputeError> {
        let at = frame.at.ok_or(RecomputeError::NoTime)?;
        self.seen.packets += 1;
        self.seen.first = Some(self.seen.first.map_or(at, |first| first.min(at)));
        self.seen.last = Some(self.seen.last.map_or(at, |last| last.max(at)));
        self.reach(at)?;
        let Some(place) = self.place(frame, at, capture)? else {
            self.seen.without_ruleset += 1;
            return Ok(());
        };
        let Some(ruleset) = self.plan.rulesets[place].found.ruleset() else {
            self.seen.without_ruleset += 1;
            return Ok(());
        };
        if self.ruleset != Some(place) {
            self.retire()?;
            self.ruleset = Some(place);
        }
        let outcome = self.decide(frame, at, ruleset, capture)?;
        self.note(frame, at, ruleset, &outcome);
        self.frames += 1;
        if self.frames >= FRAMES {
            self.drain()?;
        }
        Ok(())
    }

    /// Writes the marks until a time, and the flows of the part of time before it.
    fn reach(&mut self, at: Timestamp) -> Result<(), RecomputeError> {
        while let Some(mark) = self.plan.marks.get(self.marks)
            && mark.at <= at
        {
            self.drain()?;
            self.write_mark(mark)?;
            self.marks += 1;
        }
        let near = |mark: &StatedMark| mark.at.duration_since(at).abs() <= NEAR_MARK;
        self.seen.near_mark += u64::from(self.plan.marks.iter().any(near));
        let second = second(at);
        let ends = self
            .plan
            .ends
            .iter()
            .flat_map(|(since, until)| [since, until]);
        let number = ends.filter(|end| **end <= second).count();
        let part = (number, second.div_euclid(INTERVAL));
        if part != self.part {
            self.drain()?;
            self.part = part;
        }
        self.now = at;
        Ok(())
    }

    fn write_mark(&mut self, mark: &StatedMark) -> Result<(), RecomputeError> {
        let set = mark.mark.set.unwrap_or(mark.at);
        // The report has both times to the second.
        let is_now = set.duration_since(mark.at).abs() <= NEAR_MARK;
        let now = if is_now { mark.at } else { set };
        self.store
            .write_mark(&mark.mark, mark.device, mark.at, now, true)?;
        Ok(())
    }

    /// The ruleset that was in force; the first one for earlier times. The daemon notes a change
    /// some seconds late, so near a change both rulesets are tried.
    fn place(
        &mut self,
        frame: &Frame,
        at: Timestamp,
        capture: &Capture,
    ) -> Result<Option<usize>, RecomputeError> {
        let rulesets = self.plan.rulesets;
        let later = rulesets.partition_point(|ruleset| ruleset.since <= at);
        let by_time = (!rulesets.is_empty()).then(|| later.saturating_sub(1));
        let near = (1..rulesets.len()).find(|place| {
            let after = rulesets[*place].since.duration_since(at).as_secs();
            (-1..=LONGEST_DRAIN).contains(&after)
        });
        let Some(new) = near.filter(|new| self.ruleset.is_none_or(|own| own < *new)) else {
            // What was in force later is not followed by what was in force before.
            return Ok(by_time.max(self.ruleset.filter(|_| near.is_some())));
        };
        let old = self.probe(frame, new - 1, capture)?;
        let found = self.probe(frame, new, capture)?;
        let (Some(old), Some(found)) = (old, found) else {
            self.seen.near_change += 1;
            return Ok(by_time);
        };
        if old == found {
            return Ok(Some(new - 1));
        }
        let stated = verdict(frame.comment.as_deref(), self.plan.policy);
        let agrees = |probed: &Probed| {
            let mut matched = probed.matched.iter();
            let has_policy = matched.any(|(name, _)| name == self.plan.policy);
            has_policy && stated == Some(probed.dropped)
        };
        match (agrees(&old), agrees(&found)) {
            (true, false) => Ok(Some(new - 1)),
            (false, true) => Ok(Some(new)),
            _ => {
                self.seen.near_change += 1;
                Ok(by_time)
            }
        }
    }

    /// What the program of a ruleset does with a frame, without recording it.
    fn probe(
        &mut self,
        frame: &Frame,
        place: usize,
        capture: &Capture,
    ) -> Result<Option<Probed>, RecomputeError> {
        let Some(ruleset) = self.plan.rulesets[place].found.ruleset() else {
            return Ok(None);
        };
        let key = (place, frame.interface);
        if !self.probes.contains_key(&key) {
            self.probes
                .retain(|(other, _), _| other.abs_diff(place) <= 1);
            let (name, direction) = interface(&self.probes, frame.interface, capture)?;
            let sandbox = Sandbox::at(ruleset, &name, Examines::arriving(direction))?;
            self.probes.insert(key, sandbox);
        }
        let Some(sandbox) = self.probes.get_mut(&key) else {
            return Ok(None);
        };
        let (matched, dropped) = match sandbox.run(&frame.data)? {
            FrameOutcome::Parsed { matched, dropped } => (matched, dropped),
            FrameOutcome::Unparsed { dropped, .. } => (Vec::new(), dropped),
        };
        let policies = matched.into_iter();
        let policies = policies.filter_map(|index| ruleset.policies.get(usize::from(index)));
        Ok(Some(Probed {
            matched: policies.map(|one| (one.name.clone(), one.action)).collect(),
            dropped,
        }))
    }

    fn decide(
        &mut self,
        frame: &Frame,
        at: Timestamp,
        ruleset: &Ruleset,
        capture: &Capture,
    ) -> Result<FrameOutcome, RecomputeError> {
        if !self.sandboxes.contains_key(&frame.interface) {
            let (name, direction) = interface(&self.sandboxes, frame.interface, capture)?;
            let examines = Examines::arriving(direction);
            let sandbox = Sandbox::recording(ruleset, &name, examines, TABLE_FLOWS)?;
            self.sandboxes.insert(frame.interface, sandbox);
        }
        let sandbox = self.sandboxes.get_mut(&frame.interface);
        let sandbox = sandbox.ok_or(RecomputeError::Interfaces)?;
        let learner = self
            .learner
            .get_or_insert_with(|| Learner::new(AnswerSettings::default(), at));
        let outcome = sandbox.run_at(&frame.data, at, frame.wire_length.into())?;
        sandbox.take_samples(|sample| learner.sample(&sample));
        Ok(outcome)
    }

    /// Counts the frame by time, and compares its comment with the outcome.
    fn note(&mut self, frame: &Frame, at: Timestamp, ruleset: &Ruleset, outcome: &FrameOutcome) {
        let policy = self.plan.policy;
        let own = ruleset
            .policies
            .binary_search_by_key(&policy, |one| &one.name);
        let own = own.ok().and_then(|index| u16::try_from(index).ok());
        let matched = match outcome {
            FrameOutcome::Parsed { matched, dropped } => {
                let is_own = own.is_some_and(|own| matched.contains(&own));
                is_own.then_some(*dropped)
            }
            FrameOutcome::Unparsed { .. } => None,
        };
        let Some(dropped) = matched else {
            self.seen.not_matched += 1;
            return;
        };
        let stated = verdict(frame.comment.as_deref(), policy);
        let differs = stated.is_some_and(|stated| stated != dropped);
        self.seen.other_verdict += u64::from(differs);
        if let Some(device) = frame.source_mac() {
            let timed = &mut self.seen.timed;
            // The store has no further devices either.
            if timed.len() < MOST_DEVICES || timed.contains_key(&device) {
                let own = timed.entry(device).or_default();
                own.add(at, dropped, self.plan.inner);
            }
        }
    }

    /// Writes the flows in the tables, and what was learnt.
    fn drain(&mut self) -> Result<(), RecomputeError> {
        self.frames = 0;
        let Some(learner) = &mut self.learner else {
            return Ok(());
        };
        let mut flows = Vec::new();
        for sandbox in self.sandboxes.values_mut() {
            for (flow, has_names) in sandbox.take_flows_with_names()? {
                learner.flow(&flow, has_names);
                flows.push(flow);
            }
        }
        let claims = learner.take_claims().into_iter();
        let claims: Vec<(FlowEnd, Claim)> = claims
            .flat_map(|(end, claims)| claims.into_iter().map(move |claim| (end.clone(), claim)))
            .collect();
        if !flows.is_empty() {
            self.epoch += 1;
            // Rows of different instances stay apart, so that no row crosses an end of the
            // period.
            let instance = Instance {
                token: self.part.0 as u64 + 1,
                boot: None,
            };
            let drained = Drained {
                instance,
                epoch: self.epoch,
                flows: &flows,
            };
            self.store.write_drained(&drained, self.now)?;
        }
        if !claims.is_empty() {
            self.store.write_claims(&claims, self.now)?;
        }
        Ok(())
    }

    /// Ends the programs of a ruleset.
    fn retire(&mut self) -> Result<(), RecomputeError> {
        self.drain()?;
        for sandbox in std::mem::take(&mut self.sandboxes).into_values() {
            for counters in sandbox.effective()? {
                let full = counters.full_passed.packets + counters.full_dropped.packets;
                self.seen.not_recorded += full;
            }
        }
        Ok(())
    }

    fn end(mut self) -> Result<Seen, RecomputeError> {
        self.retire()?;
        for mark in self.plan.marks.iter().skip(self.marks) {
            self.write_mark(mark)?;
        }
        self.store
            .write_attachments(self.plan.attachments, self.now)?;
        self.store.close()?;
        Ok(self.seen)
    }
}
