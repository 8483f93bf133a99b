//! Nanoseconds per packet, by stage of the filter.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use aya::maps::Array;
use aya::programs::Xdp;
use aya::util::nr_cpus;
use aya::{Ebpf, EbpfLoader};
use monitor::compile::Trie;
use monitor_common::evidence::EvidenceControl;
use monitor_common::{MatchEntry, MatchSet, NEAR_CELLS};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::object::{self, Run};
use super::report::Report;
use super::sets::{self, DESTINATIONS, Family, Set};
use super::trie::Loadable;
use crate::system::Tree;

/// Bytes of the smallest Ethernet frame, without the checksum.
const FRAME: usize = 60;
const SIZES: [usize; 4] = [0, 1_000, 10_000, 100_000];

/// The stages of the filter. A measurement includes all stages before it.
const STAGES: [&str; 6] = ["write", "parse", "decide", "interface", "policies", "flows"];

/// Index of the stage that records flows.
const FLOWS: u32 = 5;

/// Buckets of a table of flows in this stage: room for 262,144 flows on each CPU.
const FLOW_BUCKETS: u32 = 1 << 16;

/// Numbers of live flows: multiples of the number of devices. The other cases have as many
/// flows as destinations.
const LIVE_FLOWS: [usize; 2] = [32, 1024];

/// The expected result for all packets of a case.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Innocent,
    Counted,
    Dropped,
}

/// Constants of a program.
#[derive(Clone, Copy)]
struct Constants {
    stage: u32,
    drops: bool,
    /// As in the daemon: without prefixes, nothing is looked up.
    looks_up: bool,
}

struct Case {
    set: String,
    fate: Fate,
    frame: [u8; FRAME],
    /// One program for each stage.
    stages: Vec<Ebpf>,
}

/// Measures the stages with random prefixes and with real tables.
pub(crate) fn measure(tree: &Tree, rounds: usize, report: &mut Report) -> Result<()> {
    let mut cases = cases(tree, &object::path(tree, "packet"))?;
    for _ in 0..rounds {
        for case in &mut cases {
            case.measure(report)?;
        }
    }
    Ok(())
}

fn cases(tree: &Tree, object: &Path) -> Result<Vec<Case>> {
    let ranges = sets::ranges(&tree.root);
    let mut cases = Vec::new();
    let mut random = StdRng::seed_from_u64(6);
    for count in SIZES {
        let set = sets::random(count);
        let innocent = set.outside(sets::anywhere(&mut random))?;
        add(object, &mut cases, &set, &innocent)?;
    }
    for (name, file) in [
        ("CN", "cn-v4.rir-ip.txt"),
        ("whole IPv4 table", "asn-v4-cidr.txt.gz"),
    ] {
        let set = sets::file::<Ipv4Addr>(name, &ranges.join(file), 1)?;
        let innocent = set.outside(sets::anywhere(&mut random))?;
        add(object, &mut cases, &set, &innocent)?;
    }

    for flows in LIVE_FLOWS {
        let mut set = sets::random(1_000);
        set.name = format!("{flows} live flows");
        let hits = set.hits.iter().copied().take(flows);
        set.hits = hits.cycle().take(DESTINATIONS).collect();
        add(object, &mut cases, &set, &[])?;
    }

    let table = |name, file| sets::file::<Ipv6Addr>(name, &ranges.join(file), 1);
    let all = table("whole IPv6 table", "asn-v6-cidr.txt.gz")?;
    let set = table("CN IPv6", "cn-v6.rir-ip.txt")?;
    // Addresses that are routed, but not in CN.
    let innocent = set.outside(sets::inside(&all.prefixes, &mut random))?;
    add(object, &mut cases, &set, &innocent)?;
    let innocent = all.outside(sets::anywhere(&mut random))?;
    add(object, &mut cases, &all, &innocent)?;
    Ok(cases)
}

fn add<A: Family>(
    object: &Path,
    cases: &mut Vec<Case>,
    set: &Set<A>,
    innocent: &[A],
) -> Result<()> {
    let trie = Trie::new(&set.prefixes)?;
    let trie = Loadable::new::<A>(&trie);
    for fate in [Fate::Innocent, Fate::Counted, Fate::Dropped] {
        let destinations = match fate {
            Fate::Innocent if innocent.is_empty() => continue,
            Fate::Innocent => innocent,
            Fate::Counted | Fate::Dropped if set.prefixes.is_empty() => continue,
            Fate::Counted | Fate::Dropped => &set.hits,
        };
        let stages = (0..).zip(STAGES).map(|(stage, _)| {
            let constants = Constants {
                stage,
                drops: fate == Fate::Dropped,
                looks_up: !set.prefixes.is_empty(),
            };
            load(object, constants, &trie, destinations)
        });
        cases.push(Case {
            set: format!("{}, {}", set.name, fate.name()),
            fate,
            frame: frame(A::IPV6),
            stages: stages.collect::<Result<_>>()?,
        });
    }
    Ok(())
}

/// Loads a program that runs up to a stage and drops or counts matched packets.
fn load<A: Family>(
    path: &Path,
    constants: Constants,
    trie: &Loadable<'_>,
    destinations: &[A],
) -> Result<Ebpf> {
    let count = u32::try_from(destinations.len())?;
    let Constants {
        stage,
        drops,
        looks_up,
    } = constants;
    let flow_buckets = if stage == FLOWS { FLOW_BUCKETS } else { 0 };
    let constants = [
        ("STAGE".to_owned(), stage),
        ("COUNT".to_owned(), count),
        ("IPV6".to_owned(), A::IPV6.into()),
        (A::name("HAS_IP"), looks_up.into()),
        ("LONGEST_SET".to_owned(), 1),
        ("FLOW_BUCKETS".to_owned(), flow_buckets),
    ];
    let mut loader = EbpfLoader::new();
    for (global, value) in &constants {
        loader.override_global(global, value, true);
    }
    trie.set(&mut loader)?;
    let list = A::name("DESTINATIONS_");
    loader.map_max_entries("MATCH_SETS", 2);
    let cpus = nr_cpus().map_err(|(path, error)| anyhow::anyhow!("{path}: {error}"))?;
    loader.map_max_entries("NEAR_DEVICES", cpus.get() * NEAR_CELLS);
    loader.map_max_entries(&list, count);
    loader.map_max_entries("FLOWS", (2 * flow_buckets * cpus.get()).max(1));
    let mut object = loader
        .load_file(path)
        .with_context(|| path.display().to_string())?;
    let elements: Vec<_> = destinations.iter().map(|it| it.element()).collect();
    object::fill_array(&mut object, &list, &elements)?;
    trie.fill(&object)?;
    let match_sets = [MatchSet::default(), one(drops)];
    object::fill_array(&mut object, "MATCH_SETS", &match_sets)?;
    let control = EvidenceControl {
        epoch: 1,
        secrets: StdRng::seed_from_u64(7).random(),
        ..EvidenceControl::default()
    };
    object::fill_array(&mut object, "EVIDENCE", &[control])?;
    program(&mut object)?.load().context("load packet")?;
    Ok(object)
}

/// A match set of one policy that applies to every packet.
fn one(drops: bool) -> MatchSet {
    let mut set = MatchSet {
        len: 1,
        unscoped: 1,
        drops: drops.into(),
        flows: 1,
        ..MatchSet::default()
    };
    set.entries[0] = MatchEntry {
        policy: 0,
        scope: 0,
    };
    set
}

fn program(object: &mut Ebpf) -> Result<&mut Xdp> {
    let program = object.program_mut("packet").context("no program packet")?;
    Ok(program.try_into()?)
}

impl Fate {
    fn name(self) -> &'static str {
        match self {
            Self::Innocent => "innocent",
            Self::Counted => "counted",
            Self::Dropped => "dropped",
        }
    }
}

impl Case {
    /// Measures each stage, net of the loop that writes the frames. There is no chained
    /// order: the program branches on a result, so the next packet does not wait for it.
    fn measure(&mut self, report: &mut Report) -> Result<()> {
        let run = Run {
            first: 0,
            chained: 0,
        };
        let mut base = 0.0;
        for (stage, object) in STAGES.iter().zip(&mut self.stages) {
            object::fill_array(object, "RUN", &[run])?;
            let each = object::time(program(object)?, &self.frame)?;
            if *stage == STAGES[0] {
                base = each;
                continue;
            }
            if *stage != STAGES[1] {
                ensure_fate(object, self.fate)?;
            }
            let what = format!("up to {stage}");
            report.add("packet", &self.set, [(&what, "ns")], Ok([each - base]));
        }
        Ok(())
    }
}

/// Checks that every packet of the last run had the expected result.
fn ensure_fate(object: &Ebpf, fate: Fate) -> Result<()> {
    let map = object.map("SUM").context("no map SUM")?;
    let sum = Array::<_, u64>::try_from(map)?.get(&0, 0)?;
    let of_each = match fate {
        Fate::Innocent => 1,
        Fate::Counted => 2,
        Fate::Dropped => 3,
    };
    ensure!(
        sum == of_each * u64::try_from(DESTINATIONS)?,
        "not every packet was {}: {sum}",
        fate.name()
    );
    Ok(())
}

/// A frame with the fields that the parser reads. The program writes the device and the
/// destination.
fn frame(ipv6: bool) -> [u8; FRAME] {
    const NO_NEXT_HEADER: u8 = 59;
    let mut frame = [0; FRAME];
    frame[6] = 0x64;
    if ipv6 {
        frame[12..15].copy_from_slice(&[0x86, 0xdd, 0x60]);
        frame[20] = NO_NEXT_HEADER;
    } else {
        frame[12..15].copy_from_slice(&[0x08, 0x00, 0x45]);
    }
    frame
}
