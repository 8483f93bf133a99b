//! The embedded eBPF object. Loads its state maps alone, or its program and maps
//! for one interface.

use std::{
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
};

use aya::{
    Ebpf, EbpfLoader,
    programs::{SchedClassifier, Xdp, loaded_programs},
    util::KernelVersion,
};
use monitor_common::{NEAR_CELLS, POLICY_CELLS, capture::CAPTURE_OFF, evidence::CONNECTION_LINES};

use super::{
    Error,
    constants::{Constants, Numbers},
    hook::Hook,
    table_size::{TableSize, possible_cpus},
};

/// Compiled eBPF object, written by the build script.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/monitor"));

/// SHA-256 of the compiled object, hexadecimal.
#[must_use]
pub fn program_sha256() -> String {
    use sha2::Digest as _;
    hex::encode(sha2::Sha256::digest(OBJECT))
}

/// Name of the XDP program in the object.
const PROGRAM: &str = "monitor";
/// Name of the same program for frames in several buffers.
const PROGRAM_FRAGS: &str = "monitor_frags";
/// Name of the classifier in the object.
const CLASSIFIER: &str = "monitor_egress";

/// True if an XDP program of this name is one of this filter.
pub(super) fn is_own_name(name: &str) -> bool {
    [PROGRAM, PROGRAM_FRAGS].contains(&name)
}

/// Maps that all generations share.
pub(super) mod state {
    pub(in super::super) const INTERFACES: &str = "INTERFACES";
    pub(in super::super) const ANSWERS: &str = "ANSWERS";
    pub(in super::super) const POLICIES: &str = "POLICIES";
    pub(in super::super) const DEVICES: &str = "DEVICES";
    pub(in super::super) const NAMED_DEVICES: &str = "NAMED_DEVICES";
    pub(in super::super) const NEIGHBOURS: &str = "NEIGHBOURS";
    pub(in super::super) const NEAR_DEVICES: &str = "NEAR_DEVICES";
    pub(in super::super) const KNOWN: &str = "KNOWN";
    pub(in super::super) const LEAVING: &str = "LEAVING";
    pub(in super::super) const MOVES: &str = "MOVES";
    pub(in super::super) const PAST: &str = "PAST";
    pub(in super::super) const POLICY_NAMES: &str = "POLICY_NAMES";
    pub(in super::super) const INTERFACE_NAMES: &str = "IFACE_NAMES";
    pub(in super::super) const ALL: [&str; 13] = [
        INTERFACES,
        ANSWERS,
        POLICIES,
        DEVICES,
        NAMED_DEVICES,
        NEIGHBOURS,
        NEAR_DEVICES,
        KNOWN,
        LEAVING,
        MOVES,
        PAST,
        POLICY_NAMES,
        INTERFACE_NAMES,
    ];
}

/// Maps of flows, which all generations that record flows share.
pub(super) mod evidence {
    pub(in super::super) const CONTROL: &str = "EVIDENCE";
    pub(in super::super) const FLOWS: &str = "FLOWS";
    pub(in super::super) const EFFECTIVE: &str = "EFFECTIVE";
    pub(in super::super) const LOSSES: &str = "EV_LOSSES";
    pub(in super::super) const EVENTS: &str = "FLOW_EVENTS";
    pub(in super::super) const CONNECTIONS: &str = "CONNECTIONS";
    pub(in super::super) const SAMPLES: &str = "SAMPLES_RING";
    pub(in super::super) const ALL: [&str; 7] = [
        CONTROL,
        FLOWS,
        EFFECTIVE,
        LOSSES,
        EVENTS,
        CONNECTIONS,
        SAMPLES,
    ];
}

/// Maps of a capture. They are pinned in the directory of the generation whose program copies
/// packets into them.
pub(super) mod capture {
    pub(in super::super) const RING: &str = "CAPTURE_RING";
    pub(in super::super) const LOST: &str = "CAPTURE_LOST";
    pub(in super::super) const LEASE: &str = "CAPTURE_LEASE";
    pub(in super::super) const ALL: [&str; 3] = [RING, LOST, LEASE];
}

/// Maps of one generation.
pub(super) mod ruleset {
    pub(in super::super) const NODES_V4: &str = "NODES_V4";
    pub(in super::super) const LINES_V4: &str = "LINES_V4";
    pub(in super::super) const NODES_V6: &str = "NODES_V6";
    pub(in super::super) const LINES_V6: &str = "LINES_V6";
    pub(in super::super) const MATCH_SETS: &str = "MATCH_SETS";
    pub(in super::super) const MACS: &str = "MACS";
    pub(in super::super) const SOURCES_V4: &str = "SOURCES_V4";
    pub(in super::super) const SOURCES_V6: &str = "SOURCES_V6";
    pub(in super::super) const SERVICES: &str = "SERVICES";
    pub(in super::super) const CLASSES: &str = "CLASSES";
    pub(in super::super) const CONFIRMED: &str = "CONFIRMED";
    pub(in super::super) const PREVIOUS: &str = "PREVIOUS";
    pub(in super::super) const PREVIOUS_FRAGS: &str = "PREVIOUS_FRAGS";
    pub(in super::super) const PREVIOUS_EGRESS: &str = "PREVIOUS_EGRESS";
    /// Maps of previous programs, each for one kind of program.
    pub(in super::super) const PREVIOUS_BY_KIND: [&str; 3] =
        [PREVIOUS, PREVIOUS_FRAGS, PREVIOUS_EGRESS];
    pub(in super::super) const ANSWER_LIMITS: &str = "ANSWER_LIMITS";
    pub(in super::super) const ANSWER_DEVICES: &str = "ANSWER_DEVICES";
    pub(in super::super) const GENERATION: &str = "GENERATION";
    pub(in super::super) const POLICIES: &str = "GEN_POLICIES";
    pub(in super::super) const ALL: [&str; 18] = [
        NODES_V4,
        LINES_V4,
        NODES_V6,
        LINES_V6,
        MATCH_SETS,
        MACS,
        SOURCES_V4,
        SOURCES_V6,
        SERVICES,
        CLASSES,
        CONFIRMED,
        PREVIOUS,
        PREVIOUS_FRAGS,
        PREVIOUS_EGRESS,
        ANSWER_LIMITS,
        ANSWER_DEVICES,
        GENERATION,
        POLICIES,
    ];
}

/// Number of entries of each ruleset map. The kernel refuses a map with 0 entries,
/// so an empty map gets 1 entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) match_sets: u32,
    pub(super) policies: u32,
    /// Entries of each map of previous programs: one for each interface slot if the generation
    /// has a deadline, else 1.
    pub(super) previous: u32,
    /// Name and entries of each map of the tries.
    pub(super) tries: [(&'static str, u32); 4],
    /// Name and entries of each map of the scopes.
    pub(super) scopes: [(&'static str, u32); 5],
}

/// Loads the state maps without a program. Opens the maps that are pinned under
/// `state_pins`, and creates and pins the missing ones.
pub(super) fn load_state(state_pins: &Path) -> Result<Ebpf, Error> {
    require_kernel()?;
    let mut loader = EbpfLoader::new();
    loader
        .map_max_entries(state::NEAR_DEVICES, near_cells()?)
        .map_max_entries(ruleset::ANSWER_DEVICES, 1)
        .map_max_entries(capture::RING, SMALLEST_RING);
    for map in state::ALL {
        loader.map_pin_path(map, state_pins.join(map));
    }
    loader.load(OBJECT).map_err(Error::load)
}

/// Loads the evidence maps without a program, as [`load_state`]. Opens the maps that are
/// pinned under `pins`, and creates and pins the missing ones.
pub(super) fn load_evidence(pins: &Path) -> Result<Ebpf, Error> {
    require_kernel()?;
    let mut loader = EbpfLoader::new();
    size_evidence(&mut loader, TableSize::PINNED)?;
    loader
        .map_max_entries(ruleset::ANSWER_DEVICES, 1)
        .map_max_entries(capture::RING, SMALLEST_RING);
    for map in evidence::ALL {
        loader.map_pin_path(map, pins.join(map));
    }
    loader.load(OBJECT).map_err(Error::load)
}

fn size_evidence(loader: &mut EbpfLoader<'_>, flows: TableSize) -> Result<(), Error> {
    loader
        .map_max_entries(evidence::FLOWS, flows.elements()?)
        .map_max_entries(evidence::EFFECTIVE, POLICY_CELLS)
        .map_max_entries(evidence::CONNECTIONS, possible_cpus()? * CONNECTION_LINES);
    Ok(())
}

/// Size in bytes of a ring buffer that is not used: one page of the largest size that Linux
/// has on any machine of 64 bits.
const SMALLEST_RING: u32 = 64 << 10;

/// Elements of the array of near cells: [`NEAR_CELLS`] for each possible CPU. If
/// the CPU numbers have gaps, the highest numbers can lie beyond the array. Those
/// CPUs count in the device tables.
fn near_cells() -> Result<u32, Error> {
    Ok(possible_cpus()? * NEAR_CELLS)
}

/// Directories in which a load opens pinned maps, and pins the maps that it
/// creates.
pub(super) struct PinPaths<'a> {
    pub(super) state: &'a Path,
    /// Used only if the program records flows.
    pub(super) evidence: &'a Path,
    pub(super) generation: &'a Path,
}

/// Loads the maps and the program for one hook of an interface. Without `pins`, the maps
/// belong to the returned object alone.
pub(super) fn load_program(
    hook: Hook,
    sizes: Sizes,
    constants: Constants,
    pins: Option<&PinPaths<'_>>,
) -> Result<Ebpf, Error> {
    require_kernel()?;
    let values = Numbers::new(constants);
    let mut loader = EbpfLoader::new();
    values.set(&mut loader);
    size_maps(&mut loader, sizes, constants)?;
    if let Some(pins) = pins {
        set_pins(&mut loader, pins, constants);
    }
    let mut object = loader.load(OBJECT).map_err(Error::load)?;
    let result = match hook {
        Hook::Ingress => program_of(&mut object, constants.frags).load(),
        Hook::Egress => classifier(&mut object).load(),
    };
    result.map_err(|source| Error::program("load the program", source))?;
    Ok(object)
}

fn size_maps(loader: &mut EbpfLoader<'_>, sizes: Sizes, constants: Constants) -> Result<(), Error> {
    if constants.capture == CAPTURE_OFF {
        loader.map_max_entries(capture::RING, SMALLEST_RING);
    }
    if !constants.has_rejects {
        loader.map_max_entries(ruleset::ANSWER_DEVICES, 1);
    }
    loader
        .map_max_entries(state::NEAR_DEVICES, near_cells()?)
        .map_max_entries(ruleset::MATCH_SETS, sizes.match_sets)
        .map_max_entries(ruleset::POLICIES, sizes.policies)
        .map_max_entries(ruleset::PREVIOUS, sizes.previous)
        .map_max_entries(ruleset::PREVIOUS_FRAGS, sizes.previous)
        .map_max_entries(ruleset::PREVIOUS_EGRESS, sizes.previous);
    for (map, entries) in sizes.tries.into_iter().chain(sizes.scopes) {
        loader.map_max_entries(map, entries);
    }
    if let Some(flows) = constants.flows {
        return size_evidence(loader, flows);
    }
    for ring in [evidence::EVENTS, evidence::SAMPLES] {
        loader.map_max_entries(ring, SMALLEST_RING);
    }
    Ok(())
}

fn set_pins(loader: &mut EbpfLoader<'_>, pins: &PinPaths<'_>, constants: Constants) {
    if constants.capture != CAPTURE_OFF {
        for map in capture::ALL {
            loader.map_pin_path(map, pins.generation.join(map));
        }
    }
    if constants.flows.is_some() {
        for map in evidence::ALL {
            loader.map_pin_path(map, pins.evidence.join(map));
        }
    }
    for map in state::ALL {
        loader.map_pin_path(map, pins.state.join(map));
    }
    for map in ruleset::ALL {
        loader.map_pin_path(map, pins.generation.join(map));
    }
}

/// The classifier of a loaded object.
pub(super) fn classifier(object: &mut Ebpf) -> &mut SchedClassifier {
    object
        .program_mut(CLASSIFIER)
        .and_then(|program| program.try_into().ok())
        .expect("the embedded object holds one classifier of this name")
}

/// The XDP program of a loaded object, for frames in one buffer.
pub(super) fn program(object: &mut Ebpf) -> &mut Xdp {
    program_of(object, false)
}

fn program_of(object: &mut Ebpf, frags: bool) -> &mut Xdp {
    let name = if frags { PROGRAM_FRAGS } else { PROGRAM };
    object
        .program_mut(name)
        .and_then(|program| program.try_into().ok())
        .expect("the embedded object holds one XDP program of each name")
}

/// Duplicates the descriptor of the program of a loaded object.
pub(super) fn program_fd(object: &mut Ebpf, hook: Hook, frags: bool) -> Result<OwnedFd, Error> {
    let failed = |source| Error::Program {
        operation: "take the program",
        source,
    };
    let fd = match hook {
        Hook::Ingress => program_of(object, frags).fd(),
        Hook::Egress => classifier(object).fd(),
    };
    let fd = fd.map_err(failed)?;
    fd.as_fd()
        .try_clone_to_owned()
        .map_err(|source| Error::system("duplicate a descriptor", source))
}

/// Opens the loaded program with this id. The kernel allows it only with
/// `CAP_SYS_ADMIN`.
pub(super) fn program_by_id(id: u32) -> Result<OwnedFd, Error> {
    for program in loaded_programs() {
        let program = program.map_err(Error::find)?;
        if program.id() == id {
            let fd = program.fd().map_err(Error::find)?;
            return fd
                .as_fd()
                .try_clone_to_owned()
                .map_err(|source| Error::system("duplicate a descriptor", source));
        }
    }
    Err(Error::system(
        "find the program in force",
        std::io::ErrorKind::NotFound.into(),
    ))
}

/// True if the kernel lets a program copy payload (Linux 5.18, commit 3f364222d032).
pub(super) fn can_sample() -> bool {
    KernelVersion::current().is_ok_and(|found| found >= KernelVersion::new(5, 18, 0))
}

/// Returns an error if the kernel does not let a program copy whole frames, as [`can_sample`].
pub(super) fn require_copies() -> Result<(), Error> {
    if can_sample() {
        return Ok(());
    }
    let found = KernelVersion::current();
    Err(Error::KernelTooOld {
        feature: "a capture with --payload",
        needs: "5.18",
        found: found.map_or_else(|error| error.to_string(), |found| found.to_string()),
    })
}

/// Returns an error before Linux 5.9. That version brought links that attach XDP
/// programs, and the replacement of a link's program (commits aa8d3a716b59 and
/// 026a4c28e1db).
fn require_kernel() -> Result<(), Error> {
    let found = KernelVersion::current().map_err(|error| {
        Error::system(
            "read the kernel version",
            std::io::Error::other(error.to_string()),
        )
    })?;
    if found < KernelVersion::new(5, 9, 0) {
        return Err(Error::KernelTooOld {
            feature: "attaching XDP by a link",
            needs: "5.9",
            found: found.to_string(),
        });
    }
    Ok(())
}
