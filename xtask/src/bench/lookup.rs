//! Nanoseconds for each look-up over many destinations, by the filter's trie
//! and by the kernel's, beside each other.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use aya::maps::{Array, LpmTrie, lpm_trie::Key};
use aya::programs::{TestRun as _, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader};
use monitor::compile::Trie;

use crate::bench::sets::{self, DESTINATIONS, Family, Set};
use crate::system::Tree;

const ROUNDS: usize = 9;
/// Runs of all destinations in one round.
const RUNS: u32 = 3;

/// What is done with each destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Nothing,
    Trie,
    LpmTrie,
}

/// One loaded program, and the time that it took in each round.
struct Case {
    set: String,
    chained: bool,
    hits: bool,
    object: Ebpf,
    /// Nanoseconds for each destination.
    rounds: Vec<f64>,
}

/// Measures and prints.
pub(crate) fn run(tree: &Tree) -> Result<()> {
    let object = build(&tree.root)?;
    let ranges = sets::ranges(&tree.root);
    let mut cases = Vec::new();
    for count in [1_000, 10_000, 100_000] {
        add::<Ipv4Addr>(&mut cases, &object, &sets::random(count))?;
    }
    for (name, file, match_sets) in [
        ("CN", "cn-v4.rir-ip.txt", 1),
        ("ipsum", "ipsum.txt.gz", 1),
        ("whole IPv4 table", "asn-v4-cidr.txt.gz", 1),
        (
            "whole IPv4 table, 1000 match sets",
            "asn-v4-cidr.txt.gz",
            1000,
        ),
    ] {
        let set = sets::file::<Ipv4Addr>(name, &ranges.join(file), match_sets)?;
        add(&mut cases, &object, &set)?;
    }
    for (name, file, match_sets) in [
        ("CN IPv6", "cn-v6.rir-ip.txt", 1),
        ("whole IPv6 table", "asn-v6-cidr.txt.gz", 1),
        (
            "whole IPv6 table, 1000 match sets",
            "asn-v6-cidr.txt.gz",
            1000,
        ),
    ] {
        let set = sets::file::<Ipv6Addr>(name, &ranges.join(file), match_sets)?;
        add(&mut cases, &object, &set)?;
    }
    for _ in 0..ROUNDS {
        for case in &mut cases {
            case.measure()?;
        }
    }
    print(&cases);
    Ok(())
}

/// Builds the benchmark's own program; it is in no other object.
fn build(root: &Path) -> Result<PathBuf> {
    let target = root.join("target/bench");
    let arch = std::env::consts::ARCH;
    let flags = format!(
        "target.bpfel-unknown-none.rustflags = ['--cfg', 'bpf_target_arch=\"{arch}\"', '-Clink-arg=--btf', '-Cdebuginfo=2']"
    );
    let built = Command::new("cargo")
        .args(["build", "--quiet", "--release", "--package", "monitor-ebpf"])
        .args(["--features", "bench", "--bin", "lookup"])
        .args(["--target", "bpfel-unknown-none", "-Z", "build-std=core"])
        .args(["--config", &flags, "--target-dir"])
        .arg(&target)
        .env("RUSTC_BOOTSTRAP", "1")
        .current_dir(root)
        .status()
        .context("cargo build")?;
    ensure!(
        built.success(),
        "cargo build of the look-up program: {built}"
    );
    Ok(target.join("bpfel-unknown-none/release/lookup"))
}

fn add<A: Family>(cases: &mut Vec<Case>, object: &Path, set: &Set<A>) -> Result<()> {
    let trie = Trie::new(&set.prefixes);
    println!(
        "{}: skip {}, direct {}, {} nodes, {} values, {} KiB",
        set.name,
        trie.skip,
        trie.direct,
        trie.nodes.len(),
        trie.values.len() * 2,
        (trie.nodes.len() * 16 + trie.values.len() * 8) / 1024
    );
    for chained in [false, true] {
        for hits in [true, false] {
            for method in [Method::Nothing, Method::Trie, Method::LpmTrie] {
                let destinations = if hits { &set.hits } else { &set.anywhere };
                cases.push(Case {
                    set: set.name.clone(),
                    chained,
                    hits,
                    object: load(object, set, &trie, destinations, method, chained)?,
                    rounds: Vec::new(),
                });
            }
        }
    }
    Ok(())
}

fn load<A: Family>(
    path: &Path,
    set: &Set<A>,
    trie: &Trie,
    destinations: &[A],
    method: Method,
    chained: bool,
) -> Result<Ebpf> {
    let number = |n: usize| u32::try_from(n.max(1)).expect("sets are small");
    let family = if A::IPV6 { "V6" } else { "V4" };
    let name = |prefix: &str| format!("{prefix}_{family}");
    let mut loader = EbpfLoader::new();
    let (method_number, ipv6, chained) = (method as u32, u32::from(A::IPV6), u32::from(chained));
    let count = number(destinations.len());
    let constants = [
        ("METHOD".to_owned(), method_number),
        ("IPV6".to_owned(), ipv6),
        ("CHAINED".to_owned(), chained),
        ("COUNT".to_owned(), count),
        (name("SKIP"), trie.skip),
        (name("OUTSIDE"), trie.outside),
        (name("DIRECT"), trie.direct),
    ];
    for (global, value) in &constants {
        loader.override_global(global, value, true);
    }
    let common = name("COMMON");
    loader.override_global(&common, &trie.common, true);
    let (nodes, values, lpm) = (name("NODES"), name("VALUES"), name("LPM"));
    if method == Method::Trie {
        loader.map_max_entries(&nodes, number(trie.nodes.len()));
        loader.map_max_entries(&values, number(trie.values.len()));
    }
    if method == Method::LpmTrie {
        loader.map_max_entries(&lpm, number(set.prefixes.len()));
    }
    let list = if A::IPV6 {
        "DESTINATIONS"
    } else {
        "DESTINATIONS_V4"
    };
    loader.map_max_entries(list, count);
    let mut object = loader.load_file(path)?;
    match method {
        Method::Nothing => {}
        Method::Trie => {
            let mut map: Array<_, monitor_common::trie::Node> = map(&mut object, &nodes)?;
            for (index, node) in (0..).zip(&trie.nodes) {
                map.set(index, node, 0)?;
            }
            let mut map: Array<_, u64> = self::map(&mut object, &values)?;
            for (index, value) in (0..).zip(&trie.values) {
                map.set(index, value, 0)?;
            }
        }
        Method::LpmTrie => fill_lpm(&mut object, &lpm, set)?,
    }
    let halves = |address: &A| {
        let bytes = (address.to_number() << (128 - u32::from(A::BITS))).to_be_bytes();
        let half = |at: usize| {
            bytes[at..at + 8]
                .iter()
                .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
        };
        [half(0), half(8)]
    };
    if A::IPV6 {
        let mut map: Array<_, [u64; 2]> = map(&mut object, list)?;
        for (index, address) in (0..).zip(destinations) {
            map.set(index, &halves(address), 0)?;
        }
    } else {
        let mut map: Array<_, u64> = map(&mut object, list)?;
        for (index, address) in (0..).zip(destinations) {
            map.set(index, &(halves(address)[0] >> 32), 0)?;
        }
    }
    program(&mut object)?.load()?;
    Ok(object)
}

fn fill_lpm<A: Family>(object: &mut Ebpf, name: &str, set: &Set<A>) -> Result<()> {
    let each = set.prefixes.iter();
    if A::IPV6 {
        let mut map: LpmTrie<_, [u8; 16], u32> = map(object, name)?;
        for prefix in each {
            let octets = prefix.address.to_number().to_be_bytes();
            map.insert(
                &Key::new(prefix.length.into(), octets),
                &prefix.match_set,
                0,
            )?;
        }
    } else {
        let mut map: LpmTrie<_, [u8; 4], u32> = map(object, name)?;
        for prefix in each {
            let octets = u32::try_from(prefix.address.to_number())?.to_be_bytes();
            map.insert(
                &Key::new(prefix.length.into(), octets),
                &prefix.match_set,
                0,
            )?;
        }
    }
    Ok(())
}

fn map<'a, T>(object: &'a mut Ebpf, name: &str) -> Result<T>
where
    T: TryFrom<&'a mut aya::maps::Map, Error = aya::maps::MapError>,
{
    let map = object
        .map_mut(name)
        .with_context(|| format!("no map {name}"))?;
    Ok(T::try_from(map)?)
}

fn program(object: &mut Ebpf) -> Result<&mut Xdp> {
    let program = object.program_mut("lookup").context("no program lookup")?;
    Ok(program.try_into()?)
}

impl Case {
    fn measure(&mut self) -> Result<()> {
        let mut options = TestRunOptions::new();
        let frame = [0; 64];
        options.data_in = Some(&frame);
        options.repeat = RUNS;
        let result = program(&mut self.object)?.test_run(options)?;
        let duration: Duration = result.duration;
        #[expect(clippy::cast_precision_loss, reason = "a power of two")]
        let each = DESTINATIONS as f64;
        self.rounds.push(duration.as_secs_f64() * 1e9 / each);
        Ok(())
    }

    fn median(&self) -> f64 {
        let mut rounds = self.rounds.clone();
        rounds.sort_by(f64::total_cmp);
        rounds[rounds.len() / 2]
    }

    fn spread(&self, base: f64) -> String {
        let least = self.rounds.iter().copied().fold(f64::MAX, f64::min) - base;
        let most = self.rounds.iter().copied().fold(0.0, f64::max) - base;
        format!("{least:.1}–{most:.1}")
    }
}

fn print(cases: &[Case]) {
    println!(
        "\nns for each look-up, net of the loop; {ROUNDS} rounds: median (least–most)\n{:<44} {:<10} {:<9} {:>22} {:>24} {:>7}",
        "prefixes", "looked up", "", "trie", "LPM_TRIE", "ratio"
    );
    for three in cases.chunks(3) {
        let [nothing, trie, lpm] = three else {
            continue;
        };
        let base = nothing.median();
        let net = |case: &Case| case.median() - base;
        println!(
            "{:<44} {:<10} {:<9} {:>6.1} {:>15} {:>8.1} {:>15} {:>7.1}",
            trie.set,
            if trie.hits { "inside" } else { "anywhere" },
            if trie.chained { "chained" } else { "overlap" },
            net(trie),
            trie.spread(base),
            net(lpm),
            lpm.spread(base),
            net(lpm) / net(trie)
        );
    }
}
