//! Nanoseconds per look-up in the filter's trie and in the kernel's LPM trie.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use aya::maps::{Array, LpmTrie, lpm_trie::Key};
use aya::programs::Xdp;
use aya::{Ebpf, EbpfLoader};
use monitor::compile::Trie;

use super::object::{self, Run};
use super::report::Report;
use super::sets::{self, DESTINATIONS, Family, Set};
use super::trie::Loadable;
use crate::system::Tree;

/// The maps of `Method::Reads`, and the constants with their sizes.
const READS: [(&str, &str); 2] = [
    ("FIRST_LINES", "FIRST_COUNT"),
    ("OTHER_LINES", "OTHER_COUNT"),
];

/// The work for each destination. The numbers are those of the constant METHOD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Nothing,
    Trie,
    Reads,
    LpmTrie,
}

/// A set of prefixes and destinations, loaded into a program for each method.
struct Case {
    set: String,
    /// In the order of [`Method`].
    programs: [Ebpf; 4],
}

/// The destinations of a run, and their order.
#[derive(Clone, Copy)]
struct DestinationOrder {
    inside: bool,
    chained: bool,
}

/// Measures a look-up for each set of prefixes.
pub(crate) fn measure(tree: &Tree, rounds: usize, report: &mut Report) -> Result<()> {
    let object = object::path(tree, "lookup");
    let mut cases = cases(tree, &object)?;
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
    for count in sets::SIZES {
        add::<Ipv4Addr>(&mut cases, object, &sets::random(count))?;
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
        add(&mut cases, object, &set)?;
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
        add(&mut cases, object, &set)?;
    }
    Ok(cases)
}

fn add<A: Family>(cases: &mut Vec<Case>, object: &Path, set: &Set<A>) -> Result<()> {
    let trie = Trie::new(&set.prefixes)?;
    let trie = Loadable::new::<A>(&trie);
    let load = |method| load(object, set, &trie, method);
    cases.push(Case {
        set: set.name.clone(),
        programs: [
            load(Method::Nothing)?,
            load(Method::Trie)?,
            load(Method::Reads)?,
            load(Method::LpmTrie)?,
        ],
    });
    Ok(())
}

fn load<A: Family>(path: &Path, set: &Set<A>, trie: &Loadable<'_>, method: Method) -> Result<Ebpf> {
    let destinations = || set.hits.iter().chain(&set.anywhere);
    let number = |n: usize| u32::try_from(n.max(1)).expect("sets are small");
    let mut loader = EbpfLoader::new();
    let (method_number, ipv6) = (method as u32, u32::from(A::IPV6));
    let count = number(DESTINATIONS);
    let constants = [
        ("METHOD".to_owned(), method_number),
        ("IPV6".to_owned(), ipv6),
        ("COUNT".to_owned(), count),
    ];
    for (global, value) in &constants {
        loader.override_global(global, value, true);
    }
    trie.set(&mut loader)?;
    let reads = trie.cache_lines()?;
    if method == Method::Reads {
        for ((map, global), lines) in READS.iter().zip(&reads) {
            loader.map_max_entries(map, *lines);
            loader.override_global(global, lines, true);
        }
    }
    let [lpm, list] = ["LPM_", "DESTINATIONS_"].map(A::name);
    if method == Method::LpmTrie {
        loader.map_max_entries(&lpm, number(set.prefixes.len()));
    }
    loader.map_max_entries(&list, count * 2);
    let mut object = loader.load_file(path)?;
    match method {
        Method::Nothing | Method::Reads => {}
        Method::Trie => trie.fill(&object)?,
        Method::LpmTrie => fill_lpm(&mut object, &lpm, set)?,
    }
    let elements: Vec<_> = destinations().map(|it| it.element()).collect();
    object::fill_array(&mut object, &list, &elements)?;
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
    fn measure(&mut self, report: &mut Report) -> Result<()> {
        for inside in [true, false] {
            for chained in [false, true] {
                let order = DestinationOrder { inside, chained };
                let [nothing, ours, reads, lpm] = self.programs.each_mut().map(|it| run(it, order));
                let base = nothing?;
                let values = [ours? - base, reads? - base, lpm? - base];
                self.ensure_same_answers(order)?;
                let name = order.name();
                let names = ["trie", "two reads", "LPM_TRIE"].map(|it| format!("{name}: {it}"));
                let names = names.each_ref().map(|name| (&**name, "ns"));
                report.add("look-up", &self.set, names, Ok(values));
            }
        }
        Ok(())
    }

    /// Compares the sums of the match sets that both tries returned.
    fn ensure_same_answers(&self, order: DestinationOrder) -> Result<()> {
        let [_, ours, _, theirs] = self.programs.each_ref().map(|object| -> Result<u64> {
            let map = object.map("SUM").context("no map SUM")?;
            Ok(Array::<_, u64>::try_from(map)?.get(&0, 0)?)
        });
        let (ours, theirs) = (ours?, theirs?);
        let least = if order.inside { DESTINATIONS as u64 } else { 0 };
        ensure!(
            ours == theirs && ours >= least,
            "{}, {}: the tries do not agree",
            self.set,
            order.name()
        );
        Ok(())
    }
}

impl DestinationOrder {
    fn name(self) -> String {
        let to = if self.inside { "inside" } else { "anywhere" };
        let order = if self.chained {
            "chained"
        } else {
            "overlapped"
        };
        format!("{to}, {order}")
    }
}

/// Nanoseconds per destination.
fn run(object: &mut Ebpf, order: DestinationOrder) -> Result<f64> {
    let run = Run {
        first: if order.inside {
            0
        } else {
            u32::try_from(DESTINATIONS)?
        },
        chained: order.chained.into(),
    };
    object::fill_array(object, "RUN", &[run])?;
    object::time(program(object)?, &[0; 64])
}
