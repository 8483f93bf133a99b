//! Nanoseconds for each packet, by the stages of the filter's own modules.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use aya::maps::Array;
use aya::programs::{TestRun as _, TestRunOptions, Xdp};
use aya::util::nr_cpus;
use aya::{Ebpf, EbpfLoader};
use monitor::compile::{Prefix, Trie};
use monitor_common::{MatchEntry, MatchSet, NEAR_CELLS};

use super::flood::sets::{self, DESTINATIONS, Sets};
use super::object::{self, Run};
use super::report::Report;
use crate::system::Tree;

/// Runs of all destinations in one round.
const RUNS: u32 = 3;
/// Ethernet and IPv4 with its smallest payload.
const FRAME: usize = 60;
const SIZES: [usize; 4] = [0, 1_000, 10_000, 100_000];

/// What a frame goes through, each with all before it.
const STAGES: [&str; 5] = ["write", "parse", "decide", "interface", "policies"];

/// What becomes of the packets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Innocent,
    Counted,
    Dropped,
}

struct Case {
    set: String,
    fate: Fate,
    /// One for each stage.
    stages: Vec<Ebpf>,
}

/// Measures the stages, over random prefixes and the whole IPv4 table.
pub(crate) fn measure(tree: &Tree, rounds: usize, report: &mut Report) -> Result<()> {
    let sets = Sets::make(100_000, Some(&sets::table(tree)))?;
    let object = object::path(tree, "packet");
    let mut cases = Vec::new();
    for count in SIZES {
        let prefixes = &sets.random[..count];
        add(
            &object,
            &mut cases,
            &format!("random /24 ({count})"),
            prefixes,
            &sets,
        )?;
    }
    let name = format!("whole IPv4 table ({})", sets.table.len());
    add(&object, &mut cases, &name, &sets.table, &sets)?;
    for _ in 0..rounds {
        for case in &mut cases {
            case.measure(report)?;
        }
    }
    Ok(())
}

fn add(
    object: &Path,
    cases: &mut Vec<Case>,
    name: &str,
    prefixes: &[sets::Prefix],
    sets: &Sets,
) -> Result<()> {
    let trie = Trie::new(&compiled(prefixes));
    let inside = sets::inside(prefixes);
    for fate in [Fate::Innocent, Fate::Counted, Fate::Dropped] {
        let destinations = match fate {
            Fate::Innocent => &sets.innocent,
            Fate::Counted | Fate::Dropped if prefixes.is_empty() => continue,
            Fate::Counted | Fate::Dropped => &inside,
        };
        let drops = fate == Fate::Dropped;
        let stages = (0..)
            .zip(STAGES)
            .map(|(stage, _)| load(object, (stage, drops), &trie, destinations));
        cases.push(Case {
            set: format!("{name}, {}", fate.name()),
            fate,
            stages: stages.collect::<Result<_>>()?,
        });
    }
    Ok(())
}

/// Sorted, as the compiler of a ruleset hands them over.
fn compiled(prefixes: &[sets::Prefix]) -> Vec<Prefix<Ipv4Addr>> {
    let sorted: BTreeSet<_> = prefixes.iter().copied().collect();
    let prefix = |prefix: sets::Prefix| Prefix {
        address: prefix.address,
        length: prefix.length,
        match_set: 1,
    };
    sorted.into_iter().map(prefix).collect()
}

/// A program that goes as far as a stage, and drops what it finds or counts it.
fn load(
    path: &Path,
    (stage, drops): (u32, bool),
    trie: &Trie,
    destinations: &[Ipv4Addr],
) -> Result<Ebpf> {
    let count = u32::try_from(destinations.len())?;
    let constants = [
        ("STAGE", stage),
        ("COUNT", count),
        ("HAS_IPV4", 1),
        ("LONGEST_SET", 1),
        ("SKIP_V4", trie.skip),
        ("OUTSIDE_V4", trie.outside),
        ("DIRECT_V4", trie.direct),
        ("FIRST_V4", trie.first),
    ];
    let mut loader = EbpfLoader::new();
    for (global, value) in &constants {
        loader.override_global(global, value, true);
    }
    loader.override_global("COMMON_V4", &trie.common, true);
    loader.map_max_entries("NODES_V4", u32::try_from(trie.nodes.len().max(1))?);
    loader.map_max_entries("LINES_V4", u32::try_from(trie.lines.len().max(1))?);
    loader.map_max_entries("MATCH_SETS", 2);
    let cpus = nr_cpus().map_err(|(path, error)| anyhow::anyhow!("{path}: {error}"))?;
    loader.map_max_entries("NEAR_DEVICES", cpus.get() * NEAR_CELLS);
    loader.map_max_entries("DESTINATIONS", count);
    let mut object = loader
        .load_file(path)
        .with_context(|| path.display().to_string())?;
    let octets: Vec<[u8; 4]> = destinations.iter().map(Ipv4Addr::octets).collect();
    object::fill_array(&mut object, "DESTINATIONS", &octets)?;
    object::fill_mapped(&object, "NODES_V4", &trie.nodes)?;
    object::fill_mapped(&object, "LINES_V4", &trie.lines)?;
    object::fill_array(
        &mut object,
        "MATCH_SETS",
        &[MatchSet::default(), one(drops)],
    )?;
    program(&mut object)?.load().context("load packet")?;
    Ok(object)
}

/// The match set of one policy for every packet.
fn one(drops: bool) -> MatchSet {
    let mut set = MatchSet {
        len: 1,
        unscoped: 1,
        drops: drops.into(),
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
    /// Each stage net of the loop that writes the frames.
    fn measure(&mut self, report: &mut Report) -> Result<()> {
        for (order, chained) in [("overlapped", 0), ("chained", 1)] {
            let mut base = 0.0;
            for (stage, object) in STAGES.iter().zip(&mut self.stages) {
                object::fill_array(object, "RUN", &[Run { first: 0, chained }])?;
                let each = run(program(object)?)?;
                if *stage == STAGES[0] {
                    base = each;
                    continue;
                }
                if *stage != STAGES[1] {
                    ensure_fate(object, self.fate)?;
                }
                let what = format!("{order}, up to {stage}");
                report.add("packet", &self.set, [(&what, "ns")], Ok([each - base]));
            }
        }
        Ok(())
    }
}

/// That every packet of the last run met its fate.
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

/// Nanoseconds for each frame.
fn run(program: &Xdp) -> Result<f64> {
    let options = TestRunOptions {
        data_in: Some(&frame()),
        repeat: RUNS,
        ..TestRunOptions::new()
    };
    let duration = program.test_run(options)?.duration;
    #[expect(clippy::cast_precision_loss, reason = "a power of two")]
    let each = DESTINATIONS as f64;
    Ok(duration.as_secs_f64() * 1e9 / each)
}

/// The fields that the parser reads; the program writes device and destination.
fn frame() -> [u8; FRAME] {
    let mut frame = [0; FRAME];
    frame[6] = 0x64;
    frame[12] = 0x08;
    frame[14] = 0x45;
    frame
}
