//! The flows of a report, with their names.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::IpText;
use crate::{data::Statements, evidence::NameView};

/// A flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// The MAC, or its pseudonym; `None` for all devices beyond the limits of the store.
    pub device: Option<String>,
    /// Interface whose filter counted the packets.
    pub interface: String,
    /// `out`: the device sent the packets. `in`: they arrived at the WAN, or are answers that
    /// left to the device.
    pub direction: String,
    /// Destination address, or for `in` the source address; `None` for all destinations beyond the limits of the store.
    pub destination: Option<IpText>,
    /// `tcp`, `udp`, `icmp`, `icmpv6` or the protocol number (IANA).
    pub protocol: String,
    /// Destination port; `None` if there is none to read.
    pub port: Option<u16>,
    /// Why the port cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
    /// Every policy that matched; the effective policy is the first.
    pub policies: Vec<String>,
    /// Packets, dropped ones included.
    pub packets: u64,
    /// Bytes of these packets on the wire, layer 2 included.
    pub bytes: u64,
    /// Packets among them that were dropped.
    pub dropped: u64,
    /// Time of the first packet (RFC 3339).
    pub first: String,
    /// Time of the last packet (RFC 3339).
    pub last: String,
    /// Claims about the name of the destination, earliest first.
    pub names: Vec<Name>,
    /// Number of further names.
    pub more_names: u32,
    /// What is stated about the range of the destination; `None` if nothing is.
    pub holder: Option<Statements>,
}

/// A claim about a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Name {
    /// The name.
    pub name: String,
    /// How the name was learnt: a word of [`crate::evidence::NameSource`].
    pub how: String,
    /// When the name was first learnt (RFC 3339).
    pub at: String,
    /// Address of the DNS server that answered, or its pseudonym.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<IpText>,
    /// CNAME chain from the asked name to the owner of the address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<String>,
    /// What is known about Encrypted Client Hello.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ech: Option<String>,
}

/// Flows that are in the sums, but not listed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowsLeftOut {
    /// Number of flows.
    pub flows: u64,
    /// Their packets, dropped ones included.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packets among them that were dropped.
    pub dropped: u64,
}

impl From<NameView> for Name {
    fn from(view: NameView) -> Self {
        Self {
            name: view.name,
            how: view.how,
            at: view.at,
            from: view.from.map(|address: IpAddr| address.to_string()),
            chain: view.chain,
            ech: view.ech,
        }
    }
}
