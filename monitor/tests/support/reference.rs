//! A slow and simple model of the filter: it tries every policy on every
//! packet. It shares no code with the kernel program or the compiler.

mod parse;

use std::{collections::BTreeMap, fmt, net::IpAddr, str::FromStr};

use monitor::policy::{Action, MacAddress};
use monitor_common::Reason;

pub(crate) use parse::parse;

use super::scope::{Device, Scope};

/// Addresses whose first `length` bits are those of `address`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Block {
    pub(crate) address: IpAddr,
    pub(crate) length: u32,
}

/// A destination of a policy, and the holes in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) block: Block,
    pub(crate) except: Vec<Block>,
}

/// A policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    pub(crate) name: String,
    pub(crate) action: Action,
    pub(crate) entries: Vec<Entry>,
    pub(crate) scope: Scope,
    /// NAT64 prefixes of the network; `None` if the policy has `derive: none`.
    pub(crate) derive: Option<&'static [&'static str]>,
    /// A `drop` or `reject` lets TCP segments without data pass.
    pub(crate) allow_handshake: bool,
    pub(crate) change: Change,
}

/// Changes to a policy by an overlay and a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) disabled: bool,
    pub(crate) action: Option<Action>,
    pub(crate) except: Vec<Block>,
    /// Devices for which the policy is paused; an empty vector: all devices.
    pub(crate) paused: Option<Vec<Device>>,
}

/// The values that the filter reads from a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) source: MacAddress,
    pub(crate) sender: IpAddr,
    pub(crate) destination: IpAddr,
    /// Protocol and destination port, if they can be read.
    pub(crate) service: Option<(u8, u16)>,
    /// True if the packet is not a later fragment and its port cannot be read.
    pub(crate) unreadable: bool,
    /// True if the packet is a TCP segment that can carry no byte of a device's data.
    pub(crate) no_data: bool,
}

/// What the kernel does with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    Passed,
    Dropped,
}

/// The result for a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Unparsed(Reason, Verdict),
    Parsed {
        packet: Packet,
        /// Indices of the matching policies, ascending.
        matched: Vec<usize>,
        verdict: Verdict,
    },
}

impl Block {
    pub(crate) fn contains(self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4()
            && leading_bits(self.address, self.length) == leading_bits(address, self.length)
    }

    /// The lowest address: its host bits are zero.
    pub(crate) fn first(self) -> IpAddr {
        let host = width(self.address) - self.length;
        let first = leading_bits(self.address, self.length).checked_shl(host);
        address(self.address.is_ipv4(), first.unwrap_or(0))
    }

    /// The highest address: its host bits are one.
    pub(crate) fn last(self) -> IpAddr {
        let host = width(self.address) - self.length;
        let ones = 1_u128.checked_shl(host).unwrap_or(0).wrapping_sub(1);
        address(self.address.is_ipv4(), number(self.first()) | ones)
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl FromStr for Block {
    type Err = String;

    /// Parses `42.62.48.0/24`, or a single address.
    fn from_str(text: &str) -> Result<Self, String> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address
            .parse()
            .map_err(|error| format!("{text}: {error}"))?;
        let length = match length {
            Some(length) => length.parse().map_err(|error| format!("{text}: {error}"))?,
            None => width(address),
        };
        if length > width(address) {
            return Err(format!("{text}: longer than the address"));
        }
        Ok(Self { address, length })
    }
}

impl Entry {
    /// True if at least one address of the block is outside all holes and
    /// outside `more`.
    fn holds_any(&self, more: &[Block]) -> bool {
        let holes = self.except.iter().chain(more);
        let behind = holes.clone().map(|hole| {
            let last = number(hole.last());
            address(hole.address.is_ipv4(), last.wrapping_add(1))
        });
        let mut candidates = behind.chain([self.block.first()]);
        candidates.any(|address| {
            self.block.contains(address) && !holes.clone().any(|hole| hole.contains(address))
        })
    }

    fn contains(&self, address: IpAddr) -> bool {
        let in_hole = self.except.iter().any(|hole| hole.contains(address));
        self.block.contains(address) && !in_hole
    }
}

impl Policy {
    /// A policy whose blocks have no holes.
    pub(crate) fn new(name: &str, action: Action, blocks: &[&str]) -> Self {
        let entry = |block: &&str| Entry {
            block: block.parse().unwrap(),
            except: Vec::new(),
        };
        Self {
            name: name.to_owned(),
            action,
            entries: blocks.iter().map(entry).collect(),
            scope: Scope::default(),
            derive: Some(&[]),
            allow_handshake: false,
            change: Change::default(),
        }
    }

    fn matches(&self, packet: &Packet, interface: &str) -> bool {
        let named = readings(packet.destination, self.derive)
            .into_iter()
            .any(|address| {
                let mut entries = self.entries.iter();
                entries.any(|entry| entry.contains(address)) && !self.change.excepts(address)
            });
        let any_service = packet.unreadable && stops(self.action());
        named
            && self.scope.holds(packet, interface, any_service)
            && !self.change.stops(packet, interface)
    }

    /// True if at least one packet exists that this policy drops.
    fn drops(&self) -> bool {
        let paused = self.change.paused.as_ref().is_some_and(Vec::is_empty);
        let rests = self.change.disabled || paused;
        let mut entries = self.entries.iter();
        let any = entries.any(|entry| entry.holds_any(&self.change.except));
        stops(self.action()) && !rests && any
    }

    fn action(&self) -> Action {
        self.change.action.unwrap_or(self.action)
    }
}

impl Change {
    fn stops(&self, packet: &Packet, interface: &str) -> bool {
        let paused = self.paused.as_ref().is_some_and(|devices| {
            let mut each = devices.iter();
            devices.is_empty() || each.any(|device| device.holds(packet, interface))
        });
        self.disabled || paused
    }

    fn excepts(&self, address: IpAddr) -> bool {
        self.except.iter().any(|block| block.contains(address))
    }
}

/// The address itself, and each IPv4 address that it embeds. The octets are
/// taken from the diagrams in RFC 6052, RFC 3056 and RFC 4291.
fn readings(destination: IpAddr, derive: Option<&[&str]>) -> Vec<IpAddr> {
    let mut all = vec![destination];
    let (IpAddr::V6(ipv6), Some(own)) = (destination, derive) else {
        return all;
    };
    let octets = ipv6.octets();
    let read = |at: [usize; 4]| IpAddr::from(at.map(|octet| octets[octet]));
    if octets[..2] == [0x20, 0x02] {
        all.push(read([2, 3, 4, 5]));
    }
    if octets[..12] == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff] {
        all.push(read([12, 13, 14, 15]));
    }
    for text in own.iter().chain(&["64:ff9b::/96"]) {
        let prefix: Block = text.parse().unwrap();
        if prefix.contains(destination) {
            all.push(read(nat64_octets(prefix.length)));
        }
    }
    all
}

/// Octets of the IPv6 address that contain the IPv4 address, for a NAT64 prefix
/// of this length. Octet 8 is never used.
pub(crate) fn nat64_octets(length: u32) -> [usize; 4] {
    match length {
        32 => [4, 5, 6, 7],
        40 => [5, 6, 7, 9],
        48 => [6, 7, 9, 10],
        56 => [7, 9, 10, 11],
        64 => [9, 10, 11, 12],
        96 => [12, 13, 14, 15],
        _ => panic!("/{length} is no NAT64 prefix"),
    }
}

/// Number of bits of an address of this family.
pub(crate) fn width(address: IpAddr) -> u32 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The address as a number.
pub(crate) fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The number as an address; IPv4 takes the low 32 bits.
pub(crate) fn address(ipv4: bool, number: u128) -> IpAddr {
    if ipv4 {
        let low = u32::try_from(number & u128::from(u32::MAX)).unwrap();
        IpAddr::V4(low.into())
    } else {
        IpAddr::V6(number.into())
    }
}

fn leading_bits(address: IpAddr, length: u32) -> u128 {
    number(address)
        .checked_shr(width(address) - length)
        .unwrap_or(0)
}

/// Parses a frame, tries every policy, and decides.
pub(crate) fn judge(policies: &[Policy], interface: &str, frame: &[u8]) -> Outcome {
    let packet = match parse(frame) {
        Ok(packet) => packet,
        Err(reason) => return Outcome::Unparsed(reason, unparsed(policies, reason)),
    };
    let (matched, verdict) = decide(policies, interface, &packet);
    Outcome::Parsed {
        packet,
        matched,
        verdict,
    }
}

/// The verdict on a frame that cannot be parsed. The frame is dropped if some
/// policy can drop and the kernel might still find a packet in the frame.
fn unparsed(policies: &[Policy], reason: Reason) -> Verdict {
    let deliverable = [Reason::VlanDepth, Reason::BadPppoe].contains(&reason);
    if deliverable && policies.iter().any(Policy::drops) {
        Verdict::Dropped
    } else {
        Verdict::Passed
    }
}

fn stops(action: Action) -> bool {
    matches!(action, Action::Drop | Action::Reject)
}

/// The matching policies, ascending, and the verdict. An `allow` wins over
/// every `drop` and `reject`; each of these wins over the others. One that allows the
/// handshake asks for nothing where the packet has no data.
pub(crate) fn decide(
    policies: &[Policy],
    interface: &str,
    packet: &Packet,
) -> (Vec<usize>, Verdict) {
    let matched: Vec<usize> = (0..policies.len())
        .filter(|&index| policies[index].matches(packet, interface))
        .collect();
    let asked = |such: fn(Action) -> bool| {
        matched.iter().any(|&index| {
            let policy = &policies[index];
            let action = policy.action();
            let spares = stops(action) && policy.allow_handshake && packet.no_data;
            such(action) && !spares
        })
    };
    let verdict = if asked(stops) && !asked(|action| action == Action::Allow) {
        Verdict::Dropped
    } else {
        Verdict::Passed
    };
    (matched, verdict)
}

/// A number of packets and of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Total {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
}

/// The address family of an interface's cell, or the reason why the frame was
/// not parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Family {
    Ipv4,
    Ipv6,
    Other(Reason),
}

/// All cells that are not zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cells {
    /// Each packet counts in exactly one of these cells.
    pub(crate) interfaces: BTreeMap<(String, Verdict, Family), Total>,
    /// By policy name. A packet counts for every policy that matches.
    pub(crate) policies: BTreeMap<(String, Verdict), Total>,
    /// By source MAC and policy name.
    pub(crate) devices: BTreeMap<(MacAddress, String, Verdict), Total>,
}

/// The filter on any number of interfaces.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    policies: Vec<Policy>,
    pub(crate) cells: Cells,
}

impl Model {
    pub(crate) fn new(policies: Vec<Policy>) -> Self {
        Self {
            policies,
            cells: Cells::default(),
        }
    }

    /// Puts a new generation in force; the cells keep their values.
    pub(crate) fn replace_policies(&mut self, policies: Vec<Policy>) {
        self.policies = policies;
    }

    /// Processes a frame of `bytes` bytes on the wire; the program sees only
    /// `frame`.
    pub(crate) fn receive(&mut self, interface: &str, frame: &[u8], bytes: u64) -> Verdict {
        let outcome = judge(&self.policies, interface, frame);
        let (family, verdict) = match &outcome {
            Outcome::Unparsed(reason, verdict) => (Family::Other(*reason), *verdict),
            Outcome::Parsed {
                packet, verdict, ..
            } if packet.destination.is_ipv4() => (Family::Ipv4, *verdict),
            Outcome::Parsed { verdict, .. } => (Family::Ipv6, *verdict),
        };
        add(
            &mut self.cells.interfaces,
            (interface.to_owned(), verdict, family),
            bytes,
        );
        if let Outcome::Parsed {
            packet, matched, ..
        } = outcome
        {
            for index in matched {
                let name = &self.policies[index].name;
                add(&mut self.cells.policies, (name.clone(), verdict), bytes);
                add(
                    &mut self.cells.devices,
                    (packet.source, name.clone(), verdict),
                    bytes,
                );
            }
        }
        verdict
    }
}

fn add<K: Ord>(cells: &mut BTreeMap<K, Total>, key: K, bytes: u64) {
    let cell = cells.entry(key).or_default();
    cell.packets += 1;
    cell.bytes += bytes;
}
