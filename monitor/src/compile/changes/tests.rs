//! A reload reads and compiles only what changed. Its result is the same as if everything
//! was read and compiled.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io,
    net::Ipv6Addr,
    path::{Path, PathBuf},
};

use proptest::{collection::vec, prelude::*, sample::Index};

use crate::{
    address::{self, Derivation, Embedding},
    compile::{Earlier, Ruleset, Tries, compile, compile_after},
    policy::{Action, Files, Loaded, load, load_after},
    regular_file::Purpose,
};

/// Files in memory.
struct Memory(BTreeMap<PathBuf, String>);

impl Files for Memory {
    fn read(&self, path: &Path, _: Purpose) -> io::Result<Vec<u8>> {
        let text = self.0.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(text.clone().into_bytes())
    }

    fn is_directory(&self, _: &Path) -> bool {
        false
    }

    fn list(&self, _: &Path) -> io::Result<Vec<PathBuf>> {
        Err(io::ErrorKind::NotADirectory.into())
    }
}

/// A network in a small part of the address space, so that networks overlap.
#[derive(Clone, Copy, Debug)]
enum Network {
    Ipv4(u8, u8),
    Ipv6(u8, u8),
    /// In an embedding, around one, or around everything.
    Special(usize),
}

const SPECIAL: [&str; 13] = [
    "::/0",
    "2002::/16",
    "2002:2a3e::/32",
    "2002:2a3e:3000::/40",
    "64:ff9b::/96",
    "64:ff9b::42.62.48.0/120",
    "3fff:40:402a:3e30::/64",
    "0.0.0.0/0",
    // Neighbours that join to networks of which the first octet is not one number.
    "42.0.0.0/9",
    "42.128.0.0/9",
    "43.0.0.0/8",
    "42.0.0.0/7",
    "9.9.9.9",
];

#[derive(Clone, Debug)]
struct Entry {
    network: Network,
    holes: Vec<u8>,
}

#[derive(Clone, Debug)]
struct Policy {
    action: Action,
    enabled: bool,
    derives: bool,
    entries: Vec<Entry>,
    /// Index of a list that the policy uses too.
    list: Option<Index>,
}

#[derive(Clone, Debug)]
struct Version {
    policies: BTreeMap<u8, Policy>,
    lists: Vec<Vec<Network>>,
}

/// One difference between two versions.
#[derive(Clone, Debug)]
enum Edit {
    AddEntry(Index, Entry),
    RemoveEntry(Index, Index),
    AddHole(Index, Index, u8),
    Action(Index, Action),
    Enable(Index),
    Derive(Index),
    AddPolicy(u8, Policy),
    RemovePolicy(Index),
    AddLine(Index, Index, Network),
    RemoveLine(Index, Index),
    TurnList(Index),
    UseList(Index, Index),
}

fn network() -> impl Strategy<Value = Network> {
    let bits = || (any::<u8>(), 0_u8..=8);
    prop_oneof![
        6 => bits().prop_map(|(address, length)| Network::Ipv4(masked(address, length), length)),
        3 => bits().prop_map(|(address, length)| Network::Ipv6(masked(address, length), length)),
        1 => (0..SPECIAL.len()).prop_map(Network::Special),
    ]
}

fn masked(address: u8, length: u8) -> u8 {
    let mask = u8::MAX.checked_shl(u32::from(8 - length)).unwrap_or(0);
    address & mask
}

fn entry() -> impl Strategy<Value = Entry> {
    let holes = prop_oneof![3 => Just(vec![]), 1 => vec(any::<u8>(), 1..3)];
    (network(), holes).prop_map(|(network, holes)| Entry { network, holes })
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![Just(Action::Allow), Just(Action::Drop), Just(Action::Count)]
}

fn policy() -> impl Strategy<Value = Policy> {
    let list = prop::option::of(any::<Index>());
    let flags = (prop::bool::weighted(0.9), prop::bool::weighted(0.9));
    let parts = (action(), flags, vec(entry(), 1..5), list);
    parts.prop_map(|(action, (enabled, derives), entries, list)| Policy {
        action,
        enabled,
        derives,
        entries,
        list,
    })
}

fn version() -> impl Strategy<Value = Version> {
    let policies = prop::collection::btree_map(0_u8..12, policy(), 1..6);
    let lists = vec(vec(network(), 1..12), 1..4);
    (policies, lists).prop_map(|(policies, lists)| Version { policies, lists })
}

fn edit() -> impl Strategy<Value = Edit> {
    let one = any::<Index>;
    let two = || (any::<Index>(), any::<Index>());
    prop_oneof![
        3 => (one(), entry()).prop_map(|(policy, entry)| Edit::AddEntry(policy, entry)),
        3 => two().prop_map(|(policy, entry)| Edit::RemoveEntry(policy, entry)),
        1 => (two(), any::<u8>()).prop_map(|((policy, entry), hole)| Edit::AddHole(policy, entry, hole)),
        1 => (one(), action()).prop_map(|(policy, action)| Edit::Action(policy, action)),
        1 => one().prop_map(Edit::Enable),
        1 => one().prop_map(Edit::Derive),
        1 => (0_u8..12, policy()).prop_map(|(name, policy)| Edit::AddPolicy(name, policy)),
        1 => one().prop_map(Edit::RemovePolicy),
        3 => (two(), network()).prop_map(|((list, line), network)| Edit::AddLine(list, line, network)),
        3 => two().prop_map(|(list, line)| Edit::RemoveLine(list, line)),
        1 => one().prop_map(Edit::TurnList),
        1 => two().prop_map(|(policy, list)| Edit::UseList(policy, list)),
    ]
}

impl Version {
    fn apply(&mut self, edit: &Edit) {
        let count = self.policies.len();
        let policy = |index: &Index| *self.policies.keys().nth(index.index(count)).unwrap();
        match edit {
            Edit::AddEntry(index, entry) => {
                let name = policy(index);
                let entries = &mut self.policies.get_mut(&name).unwrap().entries;
                entries.insert(entries.len() / 2, entry.clone());
            }
            Edit::RemoveEntry(index, entry) => {
                let name = policy(index);
                let entries = &mut self.policies.get_mut(&name).unwrap().entries;
                if entries.len() > 1 {
                    entries.remove(entry.index(entries.len()));
                }
            }
            Edit::AddHole(index, entry, hole) => {
                let name = policy(index);
                let entries = &mut self.policies.get_mut(&name).unwrap().entries;
                let entry = entry.index(entries.len());
                entries[entry].holes.push(*hole);
            }
            Edit::Action(index, action) => {
                let name = policy(index);
                self.policies.get_mut(&name).unwrap().action = *action;
            }
            Edit::Enable(index) => {
                let name = policy(index);
                let enabled = &mut self.policies.get_mut(&name).unwrap().enabled;
                *enabled = !*enabled;
            }
            Edit::Derive(index) => {
                let name = policy(index);
                let derives = &mut self.policies.get_mut(&name).unwrap().derives;
                *derives = !*derives;
            }
            Edit::AddPolicy(name, policy) => {
                self.policies.insert(*name, policy.clone());
            }
            Edit::RemovePolicy(index) => {
                let name = policy(index);
                if count > 1 {
                    self.policies.remove(&name);
                }
            }
            Edit::AddLine(list, line, network) => {
                let list = list.get_mut(&mut self.lists);
                list.insert(line.index(list.len()), *network);
            }
            Edit::RemoveLine(list, line) => {
                let list = list.get_mut(&mut self.lists);
                if list.len() > 1 {
                    list.remove(line.index(list.len()));
                }
            }
            Edit::TurnList(list) => list.get_mut(&mut self.lists).reverse(),
            Edit::UseList(index, list) => {
                let name = policy(index);
                self.policies.get_mut(&name).unwrap().list = Some(*list);
            }
        }
    }

    fn files(&self) -> Memory {
        let mut yaml = "version: 1\npolicies:\n".to_owned();
        for (name, policy) in &self.policies {
            let mut destinations: Vec<String> = policy.entries.iter().map(show_entry).collect();
            if let Some(list) = policy.list {
                let list = list.index(self.lists.len());
                // In the middle, so that the policy's own entries are before and after it.
                destinations.insert(destinations.len() / 2, format!("{{list: {list}.txt}}"));
            }
            writeln!(
                yaml,
                "  - {{name: p{name:02}, action: {}, enabled: {}, {}destinations: [{}]}}",
                policy.action,
                policy.enabled,
                if policy.derives { "" } else { "derive: none, " },
                destinations.join(", ")
            )
            .unwrap();
        }
        let mut files = BTreeMap::from([(PathBuf::from("p.yaml"), yaml)]);
        for (number, list) in self.lists.iter().enumerate() {
            let lines: Vec<String> = list.iter().map(|network| line(*network)).collect();
            files.insert(format!("{number}.txt").into(), lines.join("\n"));
        }
        Memory(files)
    }
}

fn show(network: Network) -> String {
    match network {
        Network::Ipv4(address, bits) => format!("42.62.{address}.0/{}", 16 + bits),
        Network::Ipv6(address, bits) => format!("2400:3200:0:{address:x}::/{}", 56 + bits),
        Network::Special(index) => SPECIAL[index].to_owned(),
    }
}

/// A line of a list. Some have a comment, or a comment before them.
fn line(network: Network) -> String {
    let network = show(network);
    match network.len() % 4 {
        0 => format!("{network} # x"),
        1 => format!("# x\n\n{network}"),
        _ => network,
    }
}

/// The entry without exceptions that do not lie inside it or would leave nothing.
fn show_entry(Entry { network, holes }: &Entry) -> String {
    let inside = |hole: &&u8, address: u8, bits: u8| bits < 7 && masked(**hole, bits) == address;
    let holes: Vec<String> = match network {
        Network::Ipv4(address, bits) => holes
            .iter()
            .filter(|hole| inside(hole, *address, *bits))
            .map(|hole| format!("42.62.{hole}.128/25"))
            .collect(),
        Network::Ipv6(address, bits) => holes
            .iter()
            .filter(|hole| inside(hole, *address, *bits))
            .map(|hole| format!("\"2400:3200:0:{hole:x}:8000::/65\""))
            .collect(),
        Network::Special(_) => vec![],
    };
    let network = show(*network);
    format!("{{cidr: \"{network}\", except: [{}]}}", holes.join(", "))
}

fn derivations() -> [Derivation; 4] {
    let own = |prefixes: [(&str, u8); 2]| {
        Derivation::with(prefixes.map(|(text, length)| {
            let address: Ipv6Addr = text.parse().unwrap();
            Embedding::nat64(address::Network::new(address, length).unwrap()).unwrap()
        }))
    };
    [
        Derivation::none(),
        Derivation::default(),
        own([("3fff:96::", 96), ("3fff:40:4000::", 40)]),
        // One in the other.
        own([("3fff:32::", 32), ("3fff:32:2a3e:3000::", 96)]),
    ]
}

fn compiled(loaded: &Loaded, derivation: &Derivation) -> Ruleset {
    let errors = loaded.diagnostics.render(false);
    assert!(!loaded.diagnostics.has_errors(), "{errors}");
    compile(&loaded.policies, derivation).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_reload_of_what_changed_equals_a_reload_of_everything(
        first in version(),
        steps in vec(vec(edit(), 0..4), 1..5),
        derivation in 0_usize..4,
    ) {
        let derivation = &derivations()[derivation];
        let mut version = first;
        let paths = [PathBuf::from("p.yaml")];
        let mut before = load(&paths, &version.files());
        let mut ruleset = compiled(&before, derivation);
        prop_assert!(Tries::new(&ruleset).is_ok());
        for edits in steps {
            for edit in &edits {
                version.apply(edit);
            }
            let files = version.files();
            let whole = load(&paths, &files);
            let after = load_after(&paths, &files, &[], &before.known);
            prop_assert_eq!(&after.policies, &whole.policies);
            prop_assert_eq!(&after.lists, &whole.lists);
            prop_assert_eq!(after.diagnostics.render(false), whole.diagnostics.render(false));
            let expected = compiled(&whole, derivation);
            let earlier = Earlier { policies: &before.policies, ruleset: &ruleset };
            let found = compile_after(&after.policies, derivation, Some(earlier)).unwrap();
            prop_assert_eq!(&found, &expected, "{:?}", edits);
            prop_assert_eq!(found.content_hash(), expected.content_hash());
            prop_assert_eq!(Tries::new(&found), Tries::new(&expected));
            (before, ruleset) = (after, found);
        }
    }
}

#[test]
fn a_reload_shares_all_parts_without_a_change() {
    let list = |changed: &str| {
        let line = |number| match number {
            500 => changed.to_owned(),
            _ => format!("9.{}.{}.0/24", number / 250, number % 250),
        };
        let lines: Vec<String> = (0..1000).map(line).collect();
        let yaml =
            "version: 1\npolicies:\n  - {name: p, action: count, destinations: [{list: l.txt}]}\n";
        let files = [("p.yaml", yaml.to_owned()), ("l.txt", lines.join("\n"))];
        Memory(files.map(|(path, text)| (path.into(), text)).into())
    };
    let paths = [PathBuf::from("p.yaml")];
    let derivation = Derivation::default();
    let before = load(&paths, &list("9.2.0.0/24"));
    let ruleset = compiled(&before, &derivation);
    let tries = Tries::new(&ruleset).unwrap();
    let after = load_after(&paths, &list("9.2.0.0/25"), &[], &before.known);
    let earlier = Earlier {
        policies: &before.policies,
        ruleset: &ruleset,
    };
    let found = compile_after(&after.policies, &derivation, Some(earlier)).unwrap();
    let (new, all) = found.ipv4.parts_not_in(&ruleset.ipv4);
    assert!(new <= 2 && all > 100, "{new} of {all}");
    assert!(found.ipv4.runs.get().is_some() && found.ipv6.runs.get().is_some());
    let whole = compiled(&after, &derivation);
    assert_eq!(Tries::new(&found), Tries::new(&whole));
    assert_ne!(Tries::new(&found), Ok(tries), "the change has an effect");
}
