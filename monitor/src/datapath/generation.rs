//! Builds a generation from a ruleset: fills and freezes its maps, and loads one
//! program for each interface.

use std::{
    collections::BTreeMap,
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
};

use aya::{
    Ebpf,
    maps::{Array, MapData, ProgramArray},
    programs::{SchedClassifier, Xdp},
};
use aya_obj::programs::XdpAttachType;
use monitor_common::{
    GenerationPolicy, GenerationRecord, MAX_INTERFACES,
    capture::{CAPTURE_NO_SLOT, CAPTURE_OFF},
};

use super::{
    Error,
    attach::Program,
    capture::CaptureRequest,
    constants::Constants,
    deadline::Deadline,
    devices::PolicySlot,
    evidence::{EvidenceMaps, Ticks},
    hook::{Hook, HookPoint, Instance},
    maps::{self, freeze, read, write},
    object::{self, PinPaths, Sizes, ruleset},
    pins::{self, Pins},
    scopes,
    table_size::TableSize,
    tries::{self, Shape},
};
use crate::{
    at_once::{at_once, is_large},
    compile::{Ruleset, TooLarge, Tries},
    policy::{Direction, EvidenceLevel},
};

/// Description of the generation to build.
pub(super) struct Plan<'a> {
    pub(super) number: u64,
    pub(super) ruleset: &'a Ruleset,
    /// Slot of each policy of the ruleset, in its order.
    pub(super) policy_slots: &'a [PolicySlot],
    /// The programs to load.
    pub(super) instances: &'a [PlannedInstance],
    pub(super) log_packets: bool,
    /// The most that is recorded about matched packets.
    pub(super) evidence: EvidenceLevel,
    /// Time by which the generation must be confirmed; `None` if it needs no
    /// confirmation.
    pub(super) deadline: Option<Deadline>,
    /// By hook: the program that decides if the generation is not confirmed in time.
    pub(super) previous: &'a BTreeMap<HookPoint, OwnedFd>,
    /// The capture that runs, if one runs.
    pub(super) capture: Option<&'a CaptureRequest>,
    /// Shape of the tries of the generation before, if this process built it.
    pub(super) expected: Option<Shape>,
}

/// A program of a generation.
pub(super) struct PlannedInstance {
    pub(super) at: HookPoint,
    /// Interface slot.
    pub(super) slot: u32,
    pub(super) examines: Instance,
    /// True if it reads frames in several buffers.
    pub(super) frags: bool,
    /// True if the driver may refuse the program without `frags`.
    pub(super) may_need_frags: bool,
}

/// A generation that is loaded and pinned, but attached to no interface.
pub(super) struct Generation {
    pub(super) number: u64,
    /// Program of each hook.
    pub(super) programs: BTreeMap<HookPoint, Program>,
    /// Loaded objects whose programs write to the log; empty if packets are not
    /// logged.
    pub(super) loggers: Vec<Ebpf>,
    /// True if at least one interface has a program that decides if the generation
    /// is not confirmed in time.
    pub(super) has_previous: bool,
    pub(super) shape: Shape,
}

/// Builds and pins a generation. On an error, removes all pins of the generation.
pub(super) fn build(pins: &Pins, plan: &Plan<'_>) -> Result<Generation, Error> {
    let directory = pins.generation(plan.number);
    pins::create_directory(&directory)?;
    let built = build_in(pins, &directory, plan);
    if built.is_err() {
        // Report the first error, and ignore errors of the removal.
        let _ = pins::remove_tree(&directory);
    }
    built
}

fn build_in(pins: &Pins, directory: &Path, plan: &Plan<'_>) -> Result<Generation, Error> {
    let state = pins.state();
    let evidence = pins.evidence();
    let paths = PinPaths {
        state: &state,
        evidence: &evidence,
        generation: directory,
    };
    if records(plan, EvidenceLevel::Flows) {
        EvidenceMaps::create(pins)?;
    }
    if let Some(capture) = plan.capture {
        capture.pin(directory)?;
    }
    let (tries, mut early) = tries_and_first_program(directory, plan, &paths)?;
    let shape = Shape::of(&tries);
    let mut generation = Generation {
        number: plan.number,
        programs: BTreeMap::new(),
        loggers: Vec::new(),
        has_previous: !plan.previous.is_empty(),
        shape,
    };
    for planned in plan.instances {
        let at = &planned.at;
        let mut object = match early.take() {
            Some(object) => object,
            None => load(plan, planned, &shape, &paths)?,
        };
        if generation.programs.is_empty() {
            // The interfaces share the maps, so fill them only once.
            fill(&mut object, plan, &tries)?;
            if let Some(capture) = plan.capture {
                capture.let_copy(directory)?;
            }
        }
        let fd = object::program_fd(&mut object, at.hook, planned.frags)?;
        pins::pin(fd.as_fd(), &pins.program(plan.number, at))?;
        if let Some(previous) = plan.previous.get(at) {
            let pin = pins.previous(plan.number, at);
            set_previous(&mut object, planned, previous, &pin)?;
        }
        let mut objects = vec![object];
        let mut with_frags = None;
        if planned.may_need_frags {
            let constants = Constants {
                frags: true,
                ..constants(plan, planned, &shape)
            };
            let sizes = sizes(plan.ruleset, &shape, plan.deadline);
            // Before Linux 5.18, the kernel refuses this program.
            if let Ok(mut object) = object::load_program(at.hook, sizes, constants, Some(&paths)) {
                with_frags = Some(object::program_fd(&mut object, at.hook, true)?);
                objects.push(object);
            }
        }
        let program = Program {
            fd,
            frags: planned.frags,
            with_frags,
        };
        generation.programs.insert(at.clone(), program);
        if plan.log_packets {
            generation.loggers.extend(objects);
        }
    }
    Ok(generation)
}

/// Builds the tries. If this takes long, the kernel verifies the first program meanwhile, for tries
/// of the expected shape. Returns no program if the kernel refuses it or the shape is another.
fn tries_and_first_program(
    directory: &Path,
    plan: &Plan<'_>,
    paths: &PinPaths<'_>,
) -> Result<(Tries, Option<Ebpf>), Error> {
    let prefixes = plan.ruleset.ipv4.len() + plan.ruleset.ipv6.len();
    let early = plan.instances.first().zip(plan.expected);
    let Some((first, expected)) = early.filter(|_| is_large(prefixes)) else {
        return Ok((tries_of(plan.ruleset)?, None));
    };
    let load = || load(plan, first, &expected, paths).ok();
    let (tries, program) = at_once(prefixes, || tries_of(plan.ruleset), load);
    let tries = tries?;
    if Shape::of(&tries) == expected {
        return Ok((tries, program));
    }
    // The program's maps have the wrong sizes.
    drop(program);
    for map in ruleset::ALL {
        pins::remove(&directory.join(map))?;
    }
    Ok((tries, None))
}

/// The tries of `ruleset`. The ruleset keeps its hash, which the record of the generation needs.
fn tries_of(ruleset: &Ruleset) -> Result<Tries, TooLarge> {
    let prefixes = ruleset.ipv4.len() + ruleset.ipv6.len();
    let (_, tries) = at_once(prefixes, || ruleset.content_hash(), || Tries::new(ruleset));
    tries
}

/// Loads the program of an instance, with maps for tries of this shape.
fn load(
    plan: &Plan<'_>,
    planned: &PlannedInstance,
    shape: &Shape,
    paths: &PinPaths<'_>,
) -> Result<Ebpf, Error> {
    let sizes = sizes(plan.ruleset, shape, plan.deadline);
    let constants = constants(plan, planned, shape);
    object::load_program(planned.at.hook, sizes, constants, Some(paths))
}

fn constants(plan: &Plan<'_>, planned: &PlannedInstance, shape: &Shape) -> Constants {
    let PlannedInstance {
        at, slot, examines, ..
    } = planned;
    Constants {
        frags: planned.frags,
        deadline: plan.deadline.map_or(0, Deadline::nanoseconds),
        generation: plan.number,
        answer_ticks: Ticks::now().per_second(),
        flows: records(plan, EvidenceLevel::Flows).then_some(TableSize::PINNED),
        samples: records(plan, EvidenceLevel::Names)
            && examines.direction == Direction::Out
            && object::can_sample(),
        capture: plan.capture.map_or(CAPTURE_OFF, CaptureRequest::kind),
        capture_slot: capture_slot(plan),
        ..scopes::constants(
            plan.ruleset,
            shape,
            (&at.interface, *slot),
            *examines,
            plan.log_packets,
        )
    }
}

/// Sets `previous` as the program to which the program of an interface can
/// hand over packets (a tail call). Pins `previous` too, because the program must outlive
/// its own generation.
fn set_previous(
    object: &mut Ebpf,
    planned: &PlannedInstance,
    previous: &OwnedFd,
    pin: &Path,
) -> Result<(), Error> {
    pins::pin(previous, pin)?;
    let failed = |source| Error::program("open the previous program", source);
    let (xdp, classifier);
    let (map, program) = match (planned.at.hook, planned.frags) {
        (Hook::Ingress, frags) => {
            xdp = Xdp::from_pin(pin, XdpAttachType::Interface).map_err(failed)?;
            let map = if frags {
                ruleset::PREVIOUS_FRAGS
            } else {
                ruleset::PREVIOUS
            };
            (map, xdp.fd().map_err(failed)?)
        }
        (Hook::Egress, _) => {
            classifier = SchedClassifier::from_pin(pin).map_err(failed)?;
            (ruleset::PREVIOUS_EGRESS, classifier.fd().map_err(failed)?)
        }
    };
    let mut programs: ProgramArray<&mut MapData> = maps::borrow(object, map)?;
    programs.set(planned.slot, program, 0).map_err(write(map))
}

impl Generation {
    /// Keeps the program with `frags` at a hook, because the driver refused the other one.
    pub(super) fn keep_with_frags(&self, pins: &Pins, at: &HookPoint) -> Result<(), Error> {
        let pin = pins.program(self.number, at);
        pins::remove(&pin)?;
        match &self.programs[at].with_frags {
            Some(program) => pins::pin(program.as_fd(), &pin),
            None => Ok(()),
        }
    }
}

/// Policy slot of the capture.
fn capture_slot(plan: &Plan<'_>) -> u32 {
    let mut policies = plan.ruleset.policies.iter().zip(plan.policy_slots);
    let policy = plan.capture.map(|capture| &capture.policy);
    let found = policies.find(|(found, _)| Some(&found.name) == policy);
    found.map_or(CAPTURE_NO_SLOT, |(_, slot)| u32::from(*slot))
}

/// True if `level` is recorded of at least one policy.
fn records(plan: &Plan<'_>, level: EvidenceLevel) -> bool {
    let mut policies = plan.ruleset.policies.iter();
    policies.any(|policy| policy.evidence.min(plan.evidence) >= level)
}

/// Number of entries that each ruleset map needs for this ruleset.
pub(super) fn sizes(ruleset: &Ruleset, shape: &Shape, deadline: Option<Deadline>) -> Sizes {
    let entries = |n: usize| u32::try_from(n.max(1)).expect("the compiler limits them");
    Sizes {
        match_sets: entries(ruleset.match_sets.len()),
        policies: entries(ruleset.policies.len()),
        previous: deadline.map_or(1, |_| MAX_INTERFACES),
        tries: shape.sizes,
        scopes: scopes::sizes(&ruleset.scopes),
    }
}

/// Writes the whole ruleset into the maps of `object`, and freezes them.
pub(super) fn fill(object: &mut Ebpf, plan: &Plan<'_>, tries: &Tries) -> Result<(), Error> {
    fill_records(object, plan)?;
    scopes::fill(object, &plan.ruleset.scopes)?;
    let sets: Vec<_> = (0..plan.ruleset.match_sets.len())
        .map(|id| scopes::match_set(plan.ruleset, id, plan.policy_slots, plan.evidence))
        .collect();
    maps::fill(object, ruleset::MATCH_SETS, &sets)?;
    tries::fill_all(object, tries)
}

fn fill_records(object: &mut Ebpf, plan: &Plan<'_>) -> Result<(), Error> {
    let mut policies: Array<&mut MapData, GenerationPolicy> =
        maps::borrow(object, ruleset::POLICIES)?;
    for (index, (policy, slot)) in (0..).zip(plan.ruleset.policies.iter().zip(plan.policy_slots)) {
        let prefixes = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let record = GenerationPolicy {
            slot: u32::from(*slot),
            action: policy.action.code(),
            prefixes_v4: prefixes(policy.prefixes.v4),
            prefixes_v6: prefixes(policy.prefixes.v6),
        };
        policies
            .set(index, &record, 0)
            .map_err(write(ruleset::POLICIES))?;
    }
    freeze(object, ruleset::POLICIES)?;
    let mut generation: Array<&mut MapData, GenerationRecord> =
        maps::borrow(object, ruleset::GENERATION)?;
    let record = GenerationRecord {
        ruleset_hash: plan.ruleset.content_hash(),
        policies: plan.ruleset.policies.len() as u64,
        deadline: plan.deadline.map_or(0, Deadline::nanoseconds),
        within: plan
            .deadline
            .map_or(0, |deadline| deadline.within().as_secs()),
    };
    generation
        .set(0, &record, 0)
        .map_err(write(ruleset::GENERATION))?;
    freeze(object, ruleset::GENERATION)
}

/// Records of a pinned generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Description {
    pub(super) record: GenerationRecord,
    pub(super) policies: Vec<GenerationPolicy>,
}

/// Reads the records of a pinned generation.
pub(super) fn describe(pins: &Pins, number: u64) -> Result<Description, Error> {
    let directory = pins.generation(number);
    let record = record(pins, number)?;
    let policies: Array<MapData, GenerationPolicy> = maps::open(&directory, ruleset::POLICIES)?;
    let count = usize::try_from(record.policies).unwrap_or(usize::MAX);
    let policies = policies
        .iter()
        .take(count)
        .collect::<Result<_, _>>()
        .map_err(read(ruleset::POLICIES))?;
    Ok(Description { record, policies })
}

/// Reads the record of a pinned generation.
pub(super) fn record(pins: &Pins, number: u64) -> Result<GenerationRecord, Error> {
    let generation: Array<MapData, GenerationRecord> =
        maps::open(&pins.generation(number), ruleset::GENERATION)?;
    generation.get(&0, 0).map_err(read(ruleset::GENERATION))
}
