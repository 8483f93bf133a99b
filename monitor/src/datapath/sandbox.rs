//! Runs the same program by `BPF_PROG_TEST_RUN` on maps of its own, for replays and
//! tests. The program is neither attached nor pinned.

use std::collections::BTreeMap;

use aya::{
    Ebpf,
    programs::{TestRun as _, TestRunOptions},
};
use jiff::Timestamp;
use monitor_common::{
    AnswerCounters, Count, DeviceCounters, DeviceKey, InterfaceCounters, PolicyCounters, Reason,
    evidence::EffectiveCounters,
};

use super::{
    Error,
    constants::Constants,
    devices::PolicySlot,
    evidence::Ticks,
    generation::{self, Plan},
    hook::{Hook, Instance},
    object,
    sandbox_flows::{INTERFACE_SLOT, SandboxFlows},
    scopes,
    state::State,
    table_size::TableSize,
    test_run::{LONGEST, SHORTEST},
    tries::Shape,
};
use crate::{
    compile::{PolicyIndex, Ruleset, Tries},
    evidence::{Flow, Sample},
    policy::{Direction, EvidenceLevel},
    snapshot::Answers,
};

/// Return value of a program whose frame goes back through its interface (`enum xdp_action` in
/// `include/uapi/linux/bpf.h`).
const XDP_TX: u32 = 3;

/// Result of running the program on one frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrameOutcome {
    /// The parser rejected the frame.
    Unparsed {
        /// Reason of the rejection.
        reason: Reason,
        /// True if the frame was dropped.
        dropped: bool,
    },
    /// The destination of the frame was looked up.
    Parsed {
        /// Every policy that matched, each once.
        matched: Vec<PolicyIndex>,
        /// True if the frame was dropped.
        dropped: bool,
    },
}

/// The hook whose program a [`Sandbox`] runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Examines {
    /// Packets that arrive from devices.
    #[default]
    LanIngress,
    /// Packets that arrive from the internet.
    WanIngress,
    /// Packets that the gateway itself sends to the internet.
    WanEgress,
}

impl Examines {
    /// The hook at which packets of a direction arrive.
    #[must_use]
    pub const fn arriving(direction: Direction) -> Self {
        match direction {
            Direction::Out => Self::LanIngress,
            Direction::In => Self::WanIngress,
        }
    }

    const fn parts(self) -> (Hook, Instance) {
        match self {
            Self::LanIngress => (Hook::Ingress, Instance::LAN),
            Self::WanIngress => (Hook::Ingress, Instance::WAN),
            Self::WanEgress => (Hook::Egress, Instance::OWN),
        }
    }
}

/// A loaded program and its own maps. Dropping the value frees both.
pub struct Sandbox {
    object: Ebpf,
    state: State,
    recorder: Option<SandboxFlows>,
    hook: Hook,
    direction: Direction,
    policies: Vec<(PolicyIndex, PolicySlot)>,
    interface: InterfaceCounters,
    matched: Vec<PolicyCounters>,
}

/// The cells of a [`Sandbox`], summed over all CPUs.
#[derive(Clone, Debug)]
pub struct SandboxCounters {
    /// Cells of its only interface.
    pub interface: InterfaceCounters,
    /// Answers to packets from its only interface.
    pub answers: AnswerCounters,
    /// Cells of each policy, in the order of the ruleset.
    pub policies: Vec<PolicyCounters>,
    /// Cells of each device, in no order. The policy of a key is its index in the
    /// ruleset.
    pub devices: Vec<(DeviceKey, DeviceCounters)>,
}

impl Sandbox {
    /// Loads the program with `ruleset`, as the program of an interface called
    /// `name`. It records no flows.
    pub fn new(ruleset: &Ruleset, name: &str) -> Result<Self, Error> {
        Self::load(
            ruleset,
            name,
            Examines::LanIngress,
            EvidenceLevel::Counters,
            None,
        )
    }

    /// As [`Self::new`], for another hook.
    pub fn at(ruleset: &Ruleset, name: &str, examines: Examines) -> Result<Self, Error> {
        Self::load(ruleset, name, examines, EvidenceLevel::Counters, None)
    }

    /// As [`Self::new`], but records flows, with room for about `flows` flows on each CPU, at
    /// least 2,048.
    /// Each run states time and length of its packet.
    pub fn recording(
        ruleset: &Ruleset,
        name: &str,
        examines: Examines,
        flows: u32,
    ) -> Result<Self, Error> {
        let tables = TableSize::for_flows(flows);
        Self::load(ruleset, name, examines, EvidenceLevel::Names, Some(tables))
    }

    fn load(
        ruleset: &Ruleset,
        name: &str,
        examines: Examines,
        evidence: EvidenceLevel,
        flows: Option<TableSize>,
    ) -> Result<Self, Error> {
        let tries = Tries::new(ruleset)?;
        let shape = Shape::of(&tries);
        let (hook, instance) = examines.parts();
        let constants = Constants {
            flows,
            samples: flows.is_some()
                && instance.direction == Direction::Out
                && object::can_sample(),
            replay: flows.is_some(),
            // Only a program that records is told the time of each packet.
            answer_ticks: flows.map_or(0, |_| Ticks::MICROSECONDS.per_second()),
            ..scopes::constants(ruleset, &shape, (name, INTERFACE_SLOT), instance, false)
        };
        let sizes = generation::sizes(ruleset, &shape, None);
        let mut object = object::load_program(hook, sizes, constants, None)?;
        let policy_slots: Vec<PolicySlot> = (0..).take(ruleset.policies.len()).collect();
        let plan = Plan {
            number: 0,
            ruleset,
            policy_slots: &policy_slots,
            instances: &[],
            log_packets: false,
            evidence,
            deadline: None,
            previous: &BTreeMap::new(),
            capture: None,
            expected: None,
        };
        generation::fill(&mut object, &plan, &tries)?;
        let state = State::take(&mut object)?;
        let recorder = match flows {
            Some(_) => Some(SandboxFlows::new(&mut object, ruleset, name)?),
            None => None,
        };
        Ok(Self {
            object,
            state,
            recorder,
            hook,
            direction: instance.direction,
            policies: (0..).zip(policy_slots).collect(),
            interface: InterfaceCounters::default(),
            matched: vec![PolicyCounters::default(); ruleset.policies.len()],
        })
    }

    /// Runs the program on one frame and derives the outcome from the kernel's
    /// counters.
    pub fn run(&mut self, frame: &[u8]) -> Result<FrameOutcome, Error> {
        if frame.len() < SHORTEST {
            // The kernel refuses such short frames. The program would reject them
            // for the same reason.
            return Ok(FrameOutcome::Unparsed {
                reason: Reason::TruncatedEthernet,
                dropped: false,
            });
        }
        self.test_run(frame)?;
        self.outcome()
    }

    /// As [`Self::run`], but returns the frame that goes back to the sender, if one does. Nothing
    /// is sent.
    pub fn answer(&mut self, frame: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        if frame.len() < SHORTEST {
            return Ok(None);
        }
        self.test_run(frame)
    }

    fn test_run(&mut self, frame: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let mut after = vec![0; LONGEST];
        let mut options = TestRunOptions::new();
        options.data_in = Some(&frame[..frame.len().min(LONGEST)]);
        options.data_out = Some(&mut after);
        let run = match self.hook {
            Hook::Ingress => object::program(&mut self.object).test_run(options),
            Hook::Egress => object::classifier(&mut self.object).test_run(options),
        };
        let result = run.map_err(|source| Error::program("run the program on a frame", source))?;
        after.truncate(result.data_size_out as usize);
        let returns = self.hook == Hook::Ingress && result.return_value == XDP_TX;
        Ok(returns.then_some(after))
    }

    /// As [`Self::run`], at the time `at`, of a frame that had `length` bytes on the wire.
    ///
    /// # Errors
    ///
    /// As for [`Self::run`].
    pub fn run_at(
        &mut self,
        frame: &[u8],
        at: Timestamp,
        length: u64,
    ) -> Result<FrameOutcome, Error> {
        if let Some(recorder) = &self.recorder {
            recorder.state_packet(at, length);
        }
        self.run(frame)
    }

    /// What the program recorded since the last call, and clears its tables. Empty if the
    /// program records nothing.
    pub fn take_flows(&mut self) -> Result<Vec<Flow>, Error> {
        let flows = self.take_flows_with_names()?.into_iter();
        Ok(flows.map(|(flow, _)| flow).collect())
    }

    /// As [`Self::take_flows`], each with whether the names of its destination are recorded.
    pub fn take_flows_with_names(&mut self) -> Result<Vec<(Flow, bool)>, Error> {
        match &self.recorder {
            Some(recorder) => recorder.take(),
            None => Ok(Vec::new()),
        }
    }

    /// Reads the payload samples since the last call.
    pub fn take_samples(&mut self, each: impl FnMut(Sample<'_>)) {
        if let Some(recorder) = &mut self.recorder {
            recorder.take_samples(each);
        }
    }

    /// Counters of each policy as the effective policy, in the order of the ruleset. Empty
    /// if the program records no flows.
    pub fn effective(&self) -> Result<Vec<EffectiveCounters>, Error> {
        let Some(recorder) = &self.recorder else {
            return Ok(Vec::new());
        };
        let slots = self.policies.iter();
        slots
            .map(|(_, slot)| recorder.effective(*slot, self.direction))
            .collect()
    }

    /// Derives the outcome of the last run from the counters that changed.
    fn outcome(&mut self) -> Result<FrameOutcome, Error> {
        let before = self.interface;
        self.interface = self.state.interfaces.counters(INTERFACE_SLOT)?;
        let after = &self.interface;
        for reason in Reason::ALL {
            let changed = |cells: fn(&InterfaceCounters) -> &[Count; Reason::ALL.len()]| {
                cells(&before)[reason as usize] != cells(after)[reason as usize]
            };
            let dropped = changed(|counters| &counters.unparsed_dropped);
            if dropped || changed(|counters| &counters.unparsed_passed) {
                return Ok(FrameOutcome::Unparsed { reason, dropped });
            }
        }
        let dropped =
            before.dropped_ipv4 != after.dropped_ipv4 || before.dropped_ipv6 != after.dropped_ipv6;
        let mut matched = Vec::new();
        for ((index, slot), before) in self.policies.iter().zip(&mut self.matched) {
            let after = self.state.policies.counters(*slot, self.direction)?;
            if after != *before {
                matched.push(*index);
                *before = after;
            }
        }
        Ok(FrameOutcome::Parsed { matched, dropped })
    }

    /// Answers so far. Nothing was sent.
    pub fn answers(&self) -> Result<Answers, Error> {
        let answers = self.state.interfaces.answers(INTERFACE_SLOT)?;
        Ok(Answers::from(&answers))
    }

    /// Number of instructions that the verifier checked before it accepted the
    /// program. Its limit is 1,000,000. `None` before Linux 5.16.
    pub fn verified_instructions(&mut self) -> Result<Option<u32>, Error> {
        let info = match self.hook {
            Hook::Ingress => object::program(&mut self.object).info(),
            Hook::Egress => object::classifier(&mut self.object).info(),
        };
        info.map(|info| info.verified_instruction_count())
            .map_err(|source| Error::program("examine the program", source))
    }

    /// Reads everything counted so far, in the same cells that a running filter
    /// has.
    pub fn counters(&self) -> Result<SandboxCounters, Error> {
        let policies = self
            .policies
            .iter()
            .map(|(_, slot)| self.state.policies.counters(*slot, self.direction))
            .collect::<Result<_, _>>()?;
        Ok(SandboxCounters {
            interface: self.state.interfaces.counters(INTERFACE_SLOT)?,
            answers: self.state.interfaces.answers(INTERFACE_SLOT)?,
            policies,
            devices: self.state.devices.counts()?.devices.into_iter().collect(),
        })
    }
}
