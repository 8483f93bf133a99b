//! Ruleset → generation: maps filled and frozen, one program per interface.

use std::{
    collections::BTreeMap,
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
};

use aya::{
    Ebpf, Pod,
    maps::{Array, MapData, lpm_trie},
};
use monitor_common::{ACTION_ALLOW, ACTION_COUNT, ACTION_DROP, GenerationPolicy, GenerationRecord};

use super::{
    Error,
    object::{self, PinPaths, Sizes, ruleset},
    pins::{self, Pins},
    scopes,
    state::PolicySlot,
    sys,
};
use crate::{
    compile::{Prefix, Ruleset},
    policy::Action,
};

/// Called with the prefixes loaded so far, and all of them.
pub type Progress<'a> = &'a mut dyn FnMut(usize, usize);

/// How often [`Progress`] is called.
const PROGRESS_STEP: usize = 16_384;

/// What to build.
pub(super) struct Plan<'a> {
    pub(super) number: u64,
    pub(super) ruleset: &'a Ruleset,
    /// Slot of each policy of the ruleset, in its order.
    pub(super) policy_slots: &'a [PolicySlot],
    /// Name and slot.
    pub(super) interfaces: &'a [(String, u32)],
    pub(super) log_packets: bool,
}

/// A generation that is loaded and pinned, in force nowhere.
pub(super) struct Generation {
    /// By interface.
    pub(super) programs: BTreeMap<String, OwnedFd>,
    /// The loaded objects whose programs write to the log; empty where none does.
    pub(super) loggers: Vec<Ebpf>,
}

/// Builds and pins a generation; leaves nothing where it fails.
pub(super) fn build(
    pins: &Pins,
    plan: &Plan<'_>,
    progress: Progress<'_>,
) -> Result<Generation, Error> {
    let directory = pins.generation(plan.number);
    pins::create_directory(&directory)?;
    let built = build_in(pins, &directory, plan, progress);
    if built.is_err() {
        // The first error is the one to tell; what it left goes.
        let _ = pins::remove_tree(&directory);
    }
    built
}

fn build_in(
    pins: &Pins,
    directory: &Path,
    plan: &Plan<'_>,
    progress: Progress<'_>,
) -> Result<Generation, Error> {
    let state = pins.state();
    let paths = PinPaths {
        state: &state,
        generation: directory,
    };
    let mut generation = Generation {
        programs: BTreeMap::new(),
        loggers: Vec::new(),
    };
    for (interface, slot) in plan.interfaces {
        let constants = scopes::constants(plan.ruleset, (interface, *slot), plan.log_packets);
        let mut object = object::load_program(sizes(plan.ruleset), constants, Some(&paths))?;
        if generation.programs.is_empty() {
            // The maps are the same for every interface.
            fill(&mut object, plan, progress)?;
        }
        let program = object::program_fd(&mut object)?;
        pins::pin(program.as_fd(), &pins.program(plan.number, interface))?;
        generation.programs.insert(interface.clone(), program);
        if plan.log_packets {
            generation.loggers.push(object);
        }
    }
    Ok(generation)
}

/// Entries of the ruleset maps for this ruleset.
pub(super) fn sizes(ruleset: &Ruleset) -> Sizes {
    let entries = |n: usize| u32::try_from(n.max(1)).expect("the compiler limits the ruleset");
    Sizes {
        prefixes_v4: entries(ruleset.ipv4.len()),
        prefixes_v6: entries(ruleset.ipv6.len()),
        match_sets: entries(ruleset.match_sets.len()),
        policies: entries(ruleset.policies.len()),
        scopes: scopes::sizes(&ruleset.scopes),
    }
}

/// Writes the whole ruleset into the maps of `object`, and freezes them.
pub(super) fn fill(
    object: &mut Ebpf,
    plan: &Plan<'_>,
    progress: Progress<'_>,
) -> Result<(), Error> {
    fill_records(object, plan)?;
    fill_match_sets(object, plan)?;
    scopes::fill(object, &plan.ruleset.scopes)?;
    let total = plan.ruleset.ipv4.len() + plan.ruleset.ipv6.len();
    let mut done = 0;
    let mut step = || {
        done += 1;
        if done % PROGRESS_STEP == 0 || done == total {
            progress(done, total);
        }
    };
    let ipv4 = plan.ruleset.ipv4.iter().map(|p| key(p, p.address.octets()));
    fill_trie(object, ruleset::PREFIXES_V4, ipv4, &mut step)?;
    let ipv6 = plan.ruleset.ipv6.iter().map(|p| key(p, p.address.octets()));
    fill_trie(object, ruleset::PREFIXES_V6, ipv6, &mut step)
}

fn key<A, K: Pod>(prefix: &Prefix<A>, octets: K) -> (lpm_trie::Key<K>, u32) {
    let key = lpm_trie::Key::new(u32::from(prefix.length), octets);
    (key, prefix.match_set)
}

fn fill_trie<K: Pod>(
    object: &mut Ebpf,
    name: &'static str,
    prefixes: impl Iterator<Item = (lpm_trie::Key<K>, u32)>,
    step: &mut dyn FnMut(),
) -> Result<(), Error> {
    let mut trie: lpm_trie::LpmTrie<&mut MapData, K, u32> = object::map_mut(object, name)?;
    for (key, match_set) in prefixes {
        trie.insert(&key, &match_set, 0).map_err(write(name))?;
        step();
    }
    freeze(object, name)
}

fn fill_match_sets(object: &mut Ebpf, plan: &Plan<'_>) -> Result<(), Error> {
    let sets: Vec<_> = (0..plan.ruleset.match_sets.len())
        .map(|id| scopes::match_set(plan.ruleset, id, plan.policy_slots))
        .collect();
    sys::array_fill(object::map_fd(object, ruleset::MATCH_SETS), &sets)
        .map_err(|source| Error::system("fill map MATCH_SETS", source))?;
    freeze(object, ruleset::MATCH_SETS)
}

fn fill_records(object: &mut Ebpf, plan: &Plan<'_>) -> Result<(), Error> {
    let mut policies: Array<&mut MapData, GenerationPolicy> =
        object::map_mut(object, ruleset::POLICIES)?;
    for (index, (policy, slot)) in (0..).zip(plan.ruleset.policies.iter().zip(plan.policy_slots)) {
        let prefixes = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let record = GenerationPolicy {
            slot: u32::from(*slot),
            action: action_code(policy.action),
            prefixes_v4: prefixes(policy.prefixes.v4),
            prefixes_v6: prefixes(policy.prefixes.v6),
        };
        policies
            .set(index, &record, 0)
            .map_err(write(ruleset::POLICIES))?;
    }
    freeze(object, ruleset::POLICIES)?;
    let mut generation: Array<&mut MapData, GenerationRecord> =
        object::map_mut(object, ruleset::GENERATION)?;
    let record = GenerationRecord {
        ruleset_hash: plan.ruleset.content_hash(),
        policies: plan.ruleset.policies.len() as u64,
    };
    generation
        .set(0, &record, 0)
        .map_err(write(ruleset::GENERATION))?;
    freeze(object, ruleset::GENERATION)
}

/// What a pinned generation says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Description {
    pub(super) record: GenerationRecord,
    pub(super) policies: Vec<GenerationPolicy>,
}

/// Reads the records of a pinned generation.
pub(super) fn describe(pins: &Pins, number: u64) -> Result<Description, Error> {
    let directory = pins.generation(number);
    let generation: Array<MapData, GenerationRecord> =
        object::open_map(&directory, ruleset::GENERATION)?;
    let record = generation.get(&0, 0).map_err(read(ruleset::GENERATION))?;
    let policies: Array<MapData, GenerationPolicy> =
        object::open_map(&directory, ruleset::POLICIES)?;
    let count = usize::try_from(record.policies).unwrap_or(usize::MAX);
    let policies = policies
        .iter()
        .take(count)
        .collect::<Result<_, _>>()
        .map_err(read(ruleset::POLICIES))?;
    Ok(Description { record, policies })
}

/// The action of a record.
pub(super) fn action(code: u32) -> Option<Action> {
    [Action::Allow, Action::Drop, Action::Count]
        .into_iter()
        .find(|action| action_code(*action) == code)
}

const fn action_code(action: Action) -> u32 {
    match action {
        Action::Allow => ACTION_ALLOW,
        Action::Drop => ACTION_DROP,
        Action::Count => ACTION_COUNT,
    }
}

pub(super) fn freeze(object: &Ebpf, map: &'static str) -> Result<(), Error> {
    sys::map_freeze(object::map_fd(object, map))
        .map_err(|source| Error::system(format!("freeze map {map}"), source))
}

pub(super) fn write(map: &'static str) -> impl Fn(aya::maps::MapError) -> Error {
    move |source| Error::Map {
        operation: "write",
        map,
        source,
    }
}

fn read(map: &'static str) -> impl Fn(aya::maps::MapError) -> Error {
    move |source| Error::Map {
        operation: "read",
        map,
        source,
    }
}
