//! The conditions of all policies → tables for the kernel. For each part of a
//! packet, a table tells the kernel which conditions that part decides.
//!
//! The parts are MAC, source address, service and interface. Values of one part
//! that every condition treats alike form a *class*. A class has two bits for
//! each scope: `within` (this part alone shows that the packet comes from one
//! of the devices) and `except` (this part alone excludes the packet). A packet
//! meets a scope if at least one of its classes has `within` set and none has
//! `except` set.

use std::{
    collections::{BTreeMap, HashMap},
    net::{Ipv4Addr, Ipv6Addr},
};

use monitor_common::ScopeWord;

use crate::{
    address::{Address, Interval, Network},
    policy::{Device, MacPrefix, Scope, Service},
};

/// Index into the scopes of a ruleset.
pub type ScopeIndex = u16;

/// Index of a class.
pub type ClassId = u32;

/// Number of scopes in one word: a bit for each.
const WORD: usize = 32;

/// The scopes of a ruleset, and the classes that decide if a packet meets them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scopes {
    /// Sorted and distinct. Element 0 is met by every packet.
    pub scopes: Vec<Scope>,
    /// Class of each MAC prefix. MACs without a prefix here have class 0.
    pub macs: Vec<Classified<MacPrefix>>,
    /// Class of each IPv4 source network. Sources without a network here have
    /// class 0.
    pub ipv4: Vec<Classified<Network<Ipv4Addr>>>,
    /// Class of each IPv6 source network. Sources without a network here have
    /// class 0.
    pub ipv6: Vec<Classified<Network<Ipv6Addr>>>,
    /// Class of each service, with protocol and port as the address
    /// `0.PROTOCOL.PORT` (the port takes two bytes). Services without a prefix
    /// here have class `no_service`.
    pub services: Vec<Classified<Network<Ipv4Addr>>>,
    /// Class of packets without a readable service, and of services without a
    /// prefix above.
    pub no_service: ClassId,
    /// Class of each interface that a scope names.
    pub interfaces: BTreeMap<String, ClassId>,
    /// Class of all other interfaces.
    pub other_interface: ClassId,
    /// Class of each interface that a scope names, for packets that arrive from the
    /// internet on it. Their devices are not known, because NAT is not undone yet.
    pub wan: BTreeMap<String, ClassId>,
    /// The same of all other interfaces.
    pub other_wan: ClassId,
    /// [`Scopes::words`] words for each class. Bit `s % 32` of word `s / 32` is
    /// for scope `s`.
    pub classes: Vec<Vec<ScopeWord>>,
}

/// A prefix of values of one part of a packet, and the class of the values that
/// it covers and no longer prefix covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Classified<K> {
    /// The prefix.
    pub prefix: K,
    /// The class of its values.
    pub class: ClassId,
}

impl Default for Scopes {
    fn default() -> Self {
        Self::new(&[])
    }
}

impl Scopes {
    /// Compiles `scopes` and the scope of every packet, sorted and without
    /// duplicates.
    pub(super) fn new<'a>(scopes: impl IntoIterator<Item = &'a Scope>) -> Self {
        let mut scopes: Vec<Scope> = scopes.into_iter().cloned().collect();
        scopes.push(Scope::default());
        scopes.sort_unstable();
        scopes.dedup();
        let mut classes = Classes::new(&scopes);
        let devices = Items::of_devices(&scopes);
        let macs = classes.of_keys(devices.macs, |row| row);
        let ipv4 = classes.of_keys(devices.ipv4, |row| row);
        let ipv6 = classes.of_keys(devices.ipv6, |row| row);
        let wanting = classes.row_where(|scope| !scope.services.is_empty());
        let excluded = |row: Row| Row {
            within: vec![false; row.within.len()],
            except: wanting
                .iter()
                .zip(row.within)
                .map(|(wanting, within)| *wanting && !within)
                .collect(),
        };
        let no_service = classes.intern(&excluded(classes.nothing()));
        let services = classes.of_keys(services(&scopes), excluded);
        let (interfaces, other_interface) = classes.of_interfaces(Classes::of_interface);
        let (wan, other_wan) = classes.of_interfaces(Classes::of_wan);
        Self {
            wan,
            other_wan,
            macs,
            ipv4,
            ipv6,
            services,
            no_service,
            interfaces,
            other_interface,
            classes: classes.rows,
            scopes,
        }
    }

    /// The index of `scope`, which must be one of the compiled scopes.
    pub(super) fn index_of(&self, scope: &Scope) -> ScopeIndex {
        let index = self.scopes.binary_search(scope);
        let index = index.expect("every scope of the ruleset was compiled");
        ScopeIndex::try_from(index).expect("there are fewer scopes than policies")
    }

    /// Number of words of a class; 0 if no scope has a condition.
    #[must_use]
    pub fn words(&self) -> usize {
        self.classes.first().map_or(0, Vec::len)
    }

    /// The class of an interface.
    #[must_use]
    pub fn interface_class(&self, name: &str) -> ClassId {
        let named = self.interfaces.get(name);
        named.copied().unwrap_or(self.other_interface)
    }

    /// The class of an interface for packets that arrive from the internet.
    #[must_use]
    pub fn wan_class(&self, name: &str) -> ClassId {
        self.wan.get(name).copied().unwrap_or(self.other_wan)
    }
}

/// The two bits of a class for each scope, unpacked.
#[derive(Clone)]
struct Row {
    within: Vec<bool>,
    except: Vec<bool>,
}

/// The classes so far. Equal rows have the same id.
struct Classes<'a> {
    scopes: &'a [Scope],
    rows: Vec<Vec<ScopeWord>>,
    ids: HashMap<Vec<ScopeWord>, ClassId>,
}

impl<'a> Classes<'a> {
    /// Begins with class 0, which has no bits set.
    fn new(scopes: &'a [Scope]) -> Self {
        let mut classes = Self {
            scopes,
            rows: Vec::new(),
            ids: HashMap::new(),
        };
        classes.intern(&classes.nothing());
        classes
    }

    fn row_where(&self, holds: impl Fn(&Scope) -> bool) -> Vec<bool> {
        self.scopes.iter().map(holds).collect()
    }

    fn nothing(&self) -> Row {
        Row {
            within: vec![false; self.scopes.len()],
            except: vec![false; self.scopes.len()],
        }
    }

    fn intern(&mut self, row: &Row) -> ClassId {
        // If the only scope is met by every packet, a class needs no words.
        let scopes = if self.scopes.len() > 1 {
            row.within.len()
        } else {
            0
        };
        let mut words = vec![ScopeWord::default(); scopes.div_ceil(WORD)];
        for scope in 0..scopes {
            let word = &mut words[scope / WORD];
            word.within |= u32::from(row.within[scope]) << (scope % WORD);
            word.except |= u32::from(row.except[scope]) << (scope % WORD);
        }
        if let Some(id) = self.ids.get(&words) {
            return *id;
        }
        let id = ClassId::try_from(self.rows.len()).expect("there are fewer classes than keys");
        self.rows.push(words.clone());
        self.ids.insert(words, id);
        id
    }

    /// The class of each key. Combines the rows of all keys that cover it, and
    /// applies `finish` to the result.
    fn of_keys<K: KeyPrefix>(
        &mut self,
        mut items: Vec<Item<K>>,
        finish: impl Fn(Row) -> Row,
    ) -> Vec<Classified<K>> {
        items.sort_unstable_by_key(|item| item.key);
        let mut open: Vec<(K, Row)> = Vec::new();
        let mut keys = Vec::new();
        for group in items.chunk_by(|a, b| a.key == b.key) {
            let key = group[0].key;
            while open.pop_if(|(outer, _)| !outer.holds(key)).is_some() {}
            let mut row = open
                .last()
                .map_or_else(|| self.nothing(), |(_, row)| row.clone());
            for item in group {
                let side = if item.except {
                    &mut row.except
                } else {
                    &mut row.within
                };
                side[item.scope] = true;
            }
            let class = self.intern(&finish(row.clone()));
            open.push((key, row));
            keys.push(Classified { prefix: key, class });
        }
        keys
    }

    /// The class of each interface that a scope names, and the class of all
    /// others. `of_one` gives the class of one interface.
    fn of_interfaces(
        &mut self,
        of_one: fn(&mut Self, Option<&str>) -> ClassId,
    ) -> (BTreeMap<String, ClassId>, ClassId) {
        let named = self.scopes.iter().flat_map(|scope| {
            let devices = scope.devices.iter().chain(&scope.except_devices);
            let groups = devices.filter_map(|device| match device {
                Device::Interface(name) => Some(name),
                Device::Mac(_) | Device::Ipv4(_) | Device::Ipv6(_) => None,
            });
            scope.interfaces.iter().chain(groups)
        });
        let mut classes = BTreeMap::new();
        for name in named.collect::<Vec<_>>() {
            classes.insert(name.clone(), of_one(self, Some(name)));
        }
        (classes, of_one(self, None))
    }

    /// The class of an interface for packets that arrive from the internet. Only scopes that
    /// every device meets have `within`. The kernel program lets an `allow` apply without it.
    fn of_wan(&mut self, name: Option<&str>) -> ClassId {
        let row = Row {
            within: self.row_where(|scope| scope.holds_for_every_device(name)),
            except: vec![false; self.scopes.len()],
        };
        self.intern(&row)
    }

    fn of_interface(&mut self, name: Option<&str>) -> ClassId {
        let here = |device: &Device| match device {
            Device::Interface(other) => Some(other.as_str()) == name,
            Device::Mac(_) | Device::Ipv4(_) | Device::Ipv6(_) => false,
        };
        let elsewhere = |scope: &Scope| {
            let mut interfaces = scope.interfaces.iter();
            !scope.interfaces.is_empty() && !interfaces.any(|other| Some(other.as_str()) == name)
        };
        let row = Row {
            within: self
                .row_where(|scope| scope.devices.is_empty() || scope.devices.iter().any(here)),
            except: self
                .row_where(|scope| elsewhere(scope) || scope.except_devices.iter().any(here)),
        };
        self.intern(&row)
    }
}

/// A prefix that a scope names.
struct Item<K> {
    key: K,
    scope: usize,
    except: bool,
}

/// A prefix. It sorts before the prefixes that it covers.
trait KeyPrefix: Copy + Ord {
    fn holds(self, other: Self) -> bool;
}

impl<A: Address> KeyPrefix for Network<A> {
    fn holds(self, other: Self) -> bool {
        self.contains_network(other)
    }
}

impl KeyPrefix for MacPrefix {
    fn holds(self, other: Self) -> bool {
        self.length() <= other.length() && self.contains(other.address())
    }
}

/// The devices that the scopes name, by kind.
#[derive(Default)]
struct Items {
    macs: Vec<Item<MacPrefix>>,
    ipv4: Vec<Item<Network<Ipv4Addr>>>,
    ipv6: Vec<Item<Network<Ipv6Addr>>>,
}

impl Items {
    fn of_devices(scopes: &[Scope]) -> Self {
        let mut items = Self::default();
        for (scope, conditions) in scopes.iter().enumerate() {
            for device in &conditions.devices {
                items.add(device, scope, false);
            }
            for device in &conditions.except_devices {
                items.add(device, scope, true);
            }
        }
        items
    }

    fn add(&mut self, device: &Device, scope: usize, except: bool) {
        match device {
            Device::Mac(key) => self.macs.push(item(*key, scope, except)),
            Device::Ipv4(key) => self.ipv4.push(item(*key, scope, except)),
            Device::Ipv6(key) => self.ipv6.push(item(*key, scope, except)),
            // Interfaces need no prefixes: there are few, and each attached
            // program knows its own.
            Device::Interface(_) => {}
        }
    }
}

fn item<K>(key: K, scope: usize, except: bool) -> Item<K> {
    Item { key, scope, except }
}

fn services(scopes: &[Scope]) -> Vec<Item<Network<Ipv4Addr>>> {
    let mut items = Vec::new();
    for (scope, conditions) in scopes.iter().enumerate() {
        let keys = conditions
            .services
            .iter()
            .flat_map(|service| keys(*service));
        let networks = keys.flat_map(Interval::networks);
        items.extend(networks.map(|key| item(key, scope, false)));
    }
    items
}

/// The pairs of protocol (IANA number) and destination port of a service. They
/// have the form of addresses, so that ranges split into prefixes like address
/// ranges. A protocol without ports covers all ports.
fn keys(service: Service) -> Vec<Interval<Ipv4Addr>> {
    const ICMP: u32 = 1;
    const TCP: u32 = 6;
    const UDP: u32 = 17;
    const ICMPV6: u32 = 58;
    let keys = |protocol: u32, first: u16, last: u16| {
        let key = |port: u16| Ipv4Addr::from_bits(protocol << 16 | u32::from(port));
        Interval::new(key(first), key(last))
    };
    let keys = match service {
        Service::Icmp => [keys(ICMP, 0, u16::MAX), keys(ICMPV6, 0, u16::MAX)],
        Service::Tcp(ports) => [keys(TCP, ports.first(), ports.last()), None],
        Service::Udp(ports) => [keys(UDP, ports.first(), ports.last()), None],
    };
    keys.into_iter().flatten().collect()
}
