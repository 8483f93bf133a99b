//! Flows of the kernel → flows with names.

use std::{collections::BTreeMap, net::IpAddr, net::Ipv6Addr};

use monitor_common::{
    MatchSet,
    evidence::{
        FlowCellKey, KIND_IN, KIND_IPV6, KIND_PORT, PORT_HIDDEN, PORT_LATER_FRAGMENT,
        PORT_READABLE, PORT_TOO_MANY_EXTENSIONS, PORT_TRUNCATED,
    },
};

use super::{RawFlow, Ticks};
use crate::{
    datapath::devices::PolicySlot,
    evidence::{self, Direction, Flow, Port},
    policy::{MacAddress, PolicyName},
};

/// What the numbers in a [`FlowCellKey`] stand for.
pub(in crate::datapath) struct Decoder<'a> {
    /// Names of the interfaces by slot.
    pub(in crate::datapath) interfaces: &'a BTreeMap<u32, String>,
    /// Names of the policies by slot.
    pub(in crate::datapath) policies: &'a BTreeMap<PolicySlot, PolicyName>,
    pub(in crate::datapath) ticks: Ticks,
}

impl Decoder<'_> {
    /// The flow with the names of policies and interfaces, and whether the names of its
    /// destination are recorded. `set` is the match set of its key. `None` if the name of a
    /// policy or of the interface is not known.
    pub(in crate::datapath) fn flow(&self, raw: &RawFlow, set: &MatchSet) -> Option<(Flow, bool)> {
        let key = &raw.key;
        let has_names = key.mask & set.names != 0;
        let entries = set.entries.iter().enumerate();
        let applying = entries.filter(|(index, _)| key.mask >> index & 1 != 0);
        let names = applying.map(|(_, entry)| self.policies.get(&entry.policy).cloned());
        let flow = Flow {
            key: evidence::FlowKey {
                device: MacAddress(key.mac),
                interface: self.interfaces.get(&u32::from(key.interface))?.clone(),
                direction: if key.kind & KIND_IN == 0 {
                    Direction::Out
                } else {
                    Direction::In
                },
                destination: address(key.destination, is_ipv6(key)),
                protocol: key.protocol,
                port: port(key),
            },
            policies: names.collect::<Option<_>>()?,
            passed: raw.passed,
            dropped: raw.dropped,
            first: self.ticks.time(raw.first),
            last: self.ticks.time(raw.last),
        };
        Some((flow, has_names))
    }
}

/// True if the packets of a flow are IPv6.
pub(super) fn is_ipv6(key: &FlowCellKey) -> bool {
    key.kind & KIND_IPV6 != 0
}

/// An address of the kernel. Only the kind tells an IPv4 address from an IPv4-mapped one.
pub(super) fn address(bytes: [u8; 16], is_ipv6: bool) -> IpAddr {
    let address = Ipv6Addr::from(bytes);
    match address.to_ipv4_mapped() {
        Some(ipv4) if !is_ipv6 => IpAddr::V4(ipv4),
        _ => IpAddr::V6(address),
    }
}

fn port(key: &FlowCellKey) -> Port {
    match key.kind & KIND_PORT {
        PORT_READABLE => Port::Number(key.port),
        PORT_LATER_FRAGMENT => Port::LaterFragment,
        PORT_TRUNCATED => Port::Truncated,
        PORT_HIDDEN => Port::Hidden,
        PORT_TOO_MANY_EXTENSIONS => Port::TooManyExtensions,
        _ => Port::None,
    }
}
