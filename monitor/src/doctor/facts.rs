//! What the checks look at, as plain data.

use std::collections::BTreeMap;

use crate::{
    control::{Endpoint, WaitingInterface},
    data::Listing,
    datapath::Egress,
    policy::{EvidenceLevel, Role},
    snapshot::{FeedSnapshot, Mode, Snapshot},
};

/// Everything that the checks look at. An `Err` says why a part could not be read.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The interfaces of this network namespace.
    pub links: Result<Vec<Link>, String>,
    /// Indices of the interfaces to which a default route leads or led.
    pub far_sides: Vec<u32>,
    /// Interfaces that run the filter. Empty if it is not attached.
    pub filters: Result<Vec<FilterAt>, String>,
    /// Names of interfaces on which a pin or mark is left, and at whose ingress no filter is
    /// attached.
    pub detached: Vec<String>,
    /// Programs of tc at the ingress of interfaces, by index.
    pub ingress: BTreeMap<u32, Result<Ingress, String>>,
    /// The flowtables of nftables.
    pub flowtables: Result<Vec<Flowtable>, String>,
    /// Indices of the interfaces that may move rules of tc into hardware.
    pub hardware_tc: Result<Vec<u32>, String>,
    /// Loaded kernel modules that forward packets past the network stack.
    pub accelerators: Result<Vec<String>, String>,
    /// Policies of IPsec that let packets out of tunnels.
    pub ipsec: Result<Vec<Ipsec>, String>,
    /// WiFi interfaces that forward frames between stations.
    pub wireless: Result<Vec<Wireless>, String>,
    /// What the filter counted. `None`: there is nothing to read.
    pub snapshot: Option<Snapshot>,
    /// The policies in force, or those of the files if no daemon runs.
    pub policies: Result<PolicyFacts, String>,
    /// The daemon.
    pub daemon: DaemonFact,
    /// The feeds.
    pub feeds: Vec<FeedSnapshot>,
    /// The data about ranges.
    pub data: Listing,
    /// The kernel's features.
    pub kernel: KernelFacts,
    /// Rights that the process lacks.
    pub missing_rights: Result<Vec<&'static str>, String>,
    /// True if the clock is synchronised.
    pub clock_synchronised: bool,
    /// Room of the state directory.
    pub disk: Result<Disk, String>,
    /// The setting of what is recorded.
    pub evidence: EvidenceLevel,
    /// Losses of the last 24 hours by reason, from the store.
    pub losses: Result<BTreeMap<String, u64>, String>,
}

/// The interfaces and what leads where, as `monitor setup` looks at them.
#[derive(Clone, Debug, Default)]
pub struct Network {
    /// The interfaces of this network namespace.
    pub links: Vec<Link>,
    /// Indices of the interfaces to which a default route leads.
    pub far_sides: Vec<u32>,
    /// Access points and mesh points.
    pub wireless: Vec<Wireless>,
    /// How each interface shows that a DHCP server answers on it, by index.
    pub dhcp: BTreeMap<u32, String>,
    /// True if a DHCP server listens on no interface in particular.
    pub dhcp_for_several: bool,
    /// Names of the interfaces that carry PPPoE sessions.
    pub pppoe: Vec<String>,
}

/// An interface.
#[expect(
    clippy::struct_excessive_bools,
    reason = "the kernel says each of them by itself"
)]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Name.
    pub name: String,
    /// Index.
    pub index: u32,
    /// Kind.
    pub kind: LinkKind,
    /// The kernel's word for the kind. Empty for hardware.
    pub word: String,
    /// True if it is up and has a carrier.
    pub is_up: bool,
    /// Index of the bridge, bond or VRF that it belongs to.
    pub controller: Option<u32>,
    /// Index of the interface below it in this network namespace, if all its packets pass
    /// that one.
    pub lower: Option<u32>,
    /// True if its bridge forwards no frames between it and other isolated ports.
    pub is_isolated: bool,
    /// True if its bridge sends frames back through it (hairpin mode).
    pub is_hairpin: bool,
    /// True for a veth whose other end is in another network namespace, as of a container.
    pub leads_elsewhere: bool,
    /// MAC address, if it carries Ethernet frames.
    pub mac: Option<[u8; 6]>,
    /// Number of its VLAN, if it is one.
    pub vlan: Option<u16>,
    /// Number of the hardware switch that it is a port of.
    pub switch: Option<String>,
    /// Id of its XDP program.
    pub program: Option<u32>,
    /// Mode of that program.
    pub mode: Option<Mode>,
    /// Families of its addresses.
    pub addresses: Families,
    /// Families that it forwards.
    pub forwards: Families,
}

impl Link {
    /// True if devices on this interface can use this machine as their router.
    #[must_use]
    pub const fn routes(&self) -> bool {
        (self.forwards.ipv4 && self.addresses.ipv4) || (self.forwards.ipv6 && self.addresses.ipv6)
    }
}

/// Address families.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Families {
    /// IPv4.
    pub ipv4: bool,
    /// IPv6.
    pub ipv6: bool,
}

/// Kind of an interface, as far as it decides about what the filter sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinkKind {
    /// Hardware, or something that looks like it.
    #[default]
    Plain,
    /// A bridge.
    Bridge,
    /// Several interfaces that act as one.
    Bond,
    /// An interface on another one, such as a VLAN.
    Stacked,
    /// The end of a tunnel.
    Tunnel,
    /// No packets of devices come in here.
    Internal,
}

impl LinkKind {
    /// The kind for the kernel's word.
    #[must_use]
    pub fn of(word: &str) -> Self {
        match word {
            "bridge" => Self::Bridge,
            "bond" | "team" => Self::Bond,
            "vlan" | "macvlan" | "macvtap" | "ipvlan" | "ipvtap" => Self::Stacked,
            "wireguard" | "tun" | "gre" | "gretap" | "ip6gre" | "ip6gretap" | "erspan"
            | "ip6erspan" | "ipip" | "sit" | "ip6tnl" | "vti" | "vti6" | "xfrm" | "vxlan"
            | "geneve" | "gtp" | "amt" | "bareudp" | "ppp" | "ovpn" => Self::Tunnel,
            "dummy" | "ifb" | "nlmon" | "vrf" | "vcan" | "vxcan" => Self::Internal,
            _ => Self::Plain,
        }
    }
}

/// An interface that runs the filter at its ingress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterAt {
    /// Name of its counters. A renamed interface keeps the name of before.
    pub name: String,
    /// Index of the interface.
    pub index: u32,
    /// Id of the program.
    pub program: u32,
    /// Role of the interface.
    pub role: Role,
    /// The filter at its egress. An `Err` says why it could not be read.
    pub egress: Result<Egress, String>,
}

/// What runs at the ingress of an interface after XDP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ingress {
    /// Kinds of the filters of tc, such as `flower`, sorted.
    pub filters: Vec<String>,
    /// Number of filters that hardware executes.
    pub in_hardware: usize,
    /// Number of programs that are attached by links (TCX).
    pub linked: u32,
}

impl Ingress {
    /// True if nothing runs there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.filters.is_empty() && self.linked == 0
    }
}

/// A flowtable of nftables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flowtable {
    /// Name of its table.
    pub table: String,
    /// Name.
    pub name: String,
    /// Names of its interfaces.
    pub interfaces: Vec<String>,
    /// True if hardware may forward its flows (`flags offload`).
    pub in_hardware: bool,
}

/// A policy of IPsec (XFRM) that forwards packets out of a tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ipsec {
    /// The network from which the packets come.
    pub source: String,
    /// True if that network is a whole address family: the tunnel leads to the internet.
    pub is_everything: bool,
}

/// A WiFi interface that forwards frames between stations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wireless {
    /// Index of the interface.
    pub index: u32,
    /// Name.
    pub name: String,
    /// The reason why it forwards them.
    pub kind: WirelessKind,
}

/// What a WiFi interface is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WirelessKind {
    /// A mesh point.
    Mesh,
    /// An access point.
    AccessPoint(Isolation),
}

/// What is known about `ap_isolate` of an access point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// A file says that it is on.
    On(String),
    /// A file says that it is off, or does not name it.
    Off(String),
    /// No file that the process can read says anything.
    Unknown(String),
}

/// The policies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PolicyFacts {
    /// Number of policies that have an effect now.
    pub active: usize,
    /// Number of those that name IPv6 destinations. Prefixes that are derived from IPv4
    /// destinations do not count.
    pub with_ipv6: usize,
    /// Number of lists that the policies download.
    pub feeds: usize,
}

/// What is known about the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DaemonFact {
    /// It answers.
    Answers {
        /// Its places of metrics and page.
        endpoints: Vec<Endpoint>,
        /// Interfaces that it cannot filter.
        waiting: Vec<WaitingInterface>,
    },
    /// It gives no answer, for this reason.
    Silent(String),
    /// None runs.
    None,
}

/// Features of the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelFacts {
    /// Version.
    pub version: String,
    /// True if programs can copy payload (Linux 5.18).
    pub copies: bool,
    /// True if classifiers are attached by links (TCX, Linux 6.6).
    pub has_tcx: bool,
    /// False if the kernel interprets programs, and does not compile them.
    pub compiles: bool,
}

/// Room of the state directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disk {
    /// Bytes that the process can still write.
    pub free: u64,
    /// Size of the store, with its log.
    pub store: u64,
    /// The setting `store.size`.
    pub most: u64,
}
