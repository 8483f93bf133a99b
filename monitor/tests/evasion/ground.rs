//! A phone, a gateway and the internet in network namespaces, with or without
//! the real daemon on the gateway, and the sockets that show where a frame
//! arrived.

use std::{collections::BTreeMap, fs, os::fd::OwnedFd};

use serde_json::Value;

use crate::{
    case::{Family, Place, Target, address},
    sockets::{datagram_sockets, echo_request, find_magic, ip_addresses, is_reply, sender},
    support::{
        lab::{Daemon, Lab, Namespace, PHONE_MAC, poll},
        packets::GATEWAY,
        raw::RawSocket,
    },
    wire::marker,
};

/// Where the filter sits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seat {
    Native,
    Generic,
    /// Generic, behind a driver that has taken the outermost tag off the frame.
    Offloaded,
    /// On `wlan0`, which is a port of `br-lan`.
    BridgePort,
    /// On `br-lan`, of which `wlan0` is a port.
    Bridge,
}

impl Seat {
    pub(crate) const ALL: [Self; 5] = [
        Self::Native,
        Self::Generic,
        Self::Offloaded,
        Self::BridgePort,
        Self::Bridge,
    ];

    fn mode(self) -> &'static str {
        if self == Self::Native {
            "native"
        } else {
            "generic"
        }
    }

    fn has_bridge(self) -> bool {
        matches!(self, Self::BridgePort | Self::Bridge)
    }

    /// The interface with the gateway's addresses.
    fn lan(self) -> &'static str {
        if self.has_bridge() { "br-lan" } else { "wlan0" }
    }

    fn filtered(self) -> &'static str {
        if self == Self::Bridge {
            "br-lan"
        } else {
            "wlan0"
        }
    }
}

/// A place at which a packet shows that it was not dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Observer {
    /// A packet socket on the interface right behind the filter.
    Behind,
    /// A raw socket on the gateway: the IP stack delivered the packet there.
    Gateway,
    /// A packet socket on the internet's interface: the gateway forwarded the packet.
    Internet,
    /// A UDP socket on this port, on the gateway or the internet.
    Socket(u16),
    /// A packet to the phone: an IP stack answered, or sent an ICMP error.
    Answer,
}

/// How many packets of each marker each observer saw.
pub(crate) type Seen = BTreeMap<(u32, Observer), u32>;

const POLICIES: &str = "version: 1
policies:
  - name: blocked
    action: drop
    destinations: [42.62.48.0/24, 2001:db8:42::/48]
  - name: no-quic
    action: drop
    services: [udp/443]
    destinations: [198.51.100.0/24, 2001:db8:51::/48]
  - name: closed
    action: drop
    destinations: [203.0.113.0/24, 2001:db8:53::/48]
  - name: names
    action: allow
    services: [udp/53]
    destinations: [203.0.113.0/24, 2001:db8:53::/48]
";

const TARGETS: [Target; 4] = [
    Target::Innocent,
    Target::Dropped,
    Target::Service,
    Target::AllowedService,
];

pub(crate) struct Ground {
    phone: RawSocket,
    behind: RawSocket,
    wan: RawSocket,
    datagrams: Vec<(Observer, Family, OwnedFd)>,
    sentinels: u16,
    /// Number of frames that were sent since the filter was attached.
    sent: u64,
    _daemon: Option<Daemon>,
    _internet: Namespace,
    lab: Lab,
}

impl Ground {
    /// Builds the namespaces. Starts a filter only if `filter` is true.
    pub(crate) fn new(test: &str, seat: Seat, filter: bool) -> Self {
        let lab = Lab::new(test);
        let internet = Namespace::new(format!("{}i", lab.gateway.name));
        if seat.has_bridge() {
            put_into_bridge(&lab);
        }
        connect(&lab, &internet);
        join_phone(&lab, seat.lan());
        route(&lab, &internet);
        silence(&lab, &internet);
        lab.write_policies(POLICIES);
        let phone = if seat == Seat::Offloaded {
            put_behind_bridge(&lab)
        } else {
            "eth0"
        };
        let daemon = filter.then(|| lab.start_on(seat.filtered(), &["--mode", seat.mode()]));
        Self {
            phone: RawSocket::receiver(&lab.phone, phone),
            behind: RawSocket::receiver(&lab.gateway, seat.filtered()),
            wan: RawSocket::receiver(&internet, "wan0"),
            datagrams: datagram_sockets(&lab, &internet),
            sentinels: 0,
            sent: 0,
            _daemon: daemon,
            _internet: internet,
            lab,
        }
    }

    /// Each frame that was sent must be in one cell of the filter's interface.
    pub(crate) fn check_counted(&self) {
        let sent = self.sent;
        poll("every frame is counted once", || {
            packets(&self.lab.status()["interfaces"][0]) == sent
        });
    }

    /// Sends frames from the phone, and returns what the observers saw. There
    /// may be at most as many frames as a veth pair queues.
    pub(crate) fn send(&mut self, frames: &[Vec<u8>]) -> Seen {
        for frame in frames {
            self.phone.send(frame);
        }
        // The sentinel too.
        self.sent += frames.len() as u64 + 1;
        let mut seen = Seen::new();
        self.await_sentinel(&mut seen);
        while let Some(frame) = self.behind.receive_now() {
            count(&mut seen, find_magic(&frame), Observer::Behind);
        }
        while let Some(frame) = self.wan.receive_now() {
            count(
                &mut seen,
                ip_addresses(&frame).map(|(from, _)| from).and_then(marker),
                Observer::Internet,
            );
        }
        for (observer, family, socket) in &self.datagrams {
            while let Some(from) = sender(socket, *family) {
                count(&mut seen, marker(from), *observer);
            }
        }
        seen
    }

    /// An echo request to the internet, and every frame to the phone up to its
    /// reply. Each queue on the way keeps the order, and the sending thread stays
    /// on one CPU: when the reply is here, everything before it has arrived.
    fn await_sentinel(&mut self, seen: &mut Seen) {
        self.sentinels = self.sentinels.wrapping_add(1);
        self.phone.send(&echo_request(self.sentinels));
        loop {
            let frame = self.phone.receive();
            if is_reply(&frame, self.sentinels) {
                return;
            }
            let to = ip_addresses(&frame).map(|(_, to)| to);
            count(seen, to.and_then(marker), Observer::Answer);
        }
    }
}

fn count(seen: &mut Seen, marker: Option<u32>, observer: Observer) {
    // Frames of the namespaces themselves have no marker.
    if let Some(marker) = marker.filter(|marker| *marker != 0) {
        *seen.entry((marker, observer)).or_default() += 1;
    }
}

fn put_into_bridge(lab: &Lab) {
    let gateway = &lab.gateway;
    gateway.ip("link add br-lan type bridge mcast_snooping 0 stp_state 0 forward_delay 0");
    gateway.ip("address flush dev wlan0");
    gateway.ip("link set wlan0 master br-lan");
    gateway.ip("address add 10.77.0.1/24 dev br-lan");
    gateway.ip("address add fd77::1/64 dev br-lan nodad");
}

/// A bridge in the phone's namespace, which hands frames on with the outermost tag
/// beside them (`skb->vlan_tci`), as some network cards do.
fn put_behind_bridge(lab: &Lab) -> &'static str {
    let phone = &lab.phone;
    phone.ip("link set eth0 address 02:00:00:00:00:03");
    phone.ip(&format!(
        "link add card0 address {PHONE_MAC} type veth peer name port0"
    ));
    phone.ip("link add bridge0 type bridge mcast_snooping 0 stp_state 0 forward_delay 0");
    for switch in ["default", "card0", "port0", "bridge0"] {
        let path = format!("/proc/sys/net/ipv6/conf/{switch}/disable_ipv6");
        phone.run(|| fs::write(path, "1").unwrap());
    }
    for port in ["eth0", "port0"] {
        phone.ip(&format!("link set {port} master bridge0"));
        phone.ip(&format!("link set {port} type bridge_slave learning off"));
    }
    for interface in ["card0", "port0", "bridge0"] {
        phone.ip(&format!("link set {interface} arp off up"));
    }
    "card0"
}

/// The sum of all `packets` in a part of the status.
fn packets(status: &Value) -> u64 {
    match status {
        Value::Object(fields) => {
            let each = fields.iter().map(|(key, value)| match value.as_u64() {
                Some(count) if key == "packets" => count,
                _ => packets(value),
            });
            each.sum()
        }
        Value::Array(values) => values.iter().map(packets).sum(),
        _ => 0,
    }
}

fn connect(lab: &Lab, internet: &Namespace) {
    let gateway = &lab.gateway;
    gateway.ip(&format!(
        "link add wan0 address 02:00:00:00:01:01 type veth peer name wan0 address 02:00:00:00:01:02 netns {}",
        internet.name
    ));
    for (namespace, last) in [(gateway, 1), (internet, 2)] {
        namespace.ip(&format!("address add 10.78.0.{last}/24 dev wan0"));
        namespace.ip(&format!("address add fd78::{last}/64 dev wan0 nodad"));
        namespace.ip("link set wan0 up");
        let peer = 3 - last;
        for to in [format!("10.78.0.{peer}"), format!("fd78::{peer}")] {
            namespace.ip(&format!(
                "neighbour replace {to} lladdr 02:00:00:00:01:0{peer} dev wan0 nud permanent"
            ));
        }
    }
    internet.ip("route add default via 10.78.0.1");
    internet.ip("-6 route add default via fd78::1");
}

/// Gives the gateway's side its MAC, and both sides lasting neighbours.
fn join_phone(lab: &Lab, lan: &str) {
    let gateway = hex::encode(GATEWAY);
    let pairs: Vec<&str> = (0..gateway.len())
        .step_by(2)
        .map(|at| &gateway[at..at + 2])
        .collect();
    lab.gateway
        .ip(&format!("link set {lan} address {}", pairs.join(":")));
    lab.gateway.ip(&format!("link set {lan} up"));
    for to in ["10.77.0.2", "fd77::2"] {
        lab.gateway.ip(&format!(
            "neighbour replace {to} lladdr {PHONE_MAC} dev {lan} nud permanent"
        ));
    }
    lab.gateway
        .ip(&format!("route add 10.128.0.0/9 via 10.77.0.2 dev {lan}"));
    lab.gateway.ip(&format!(
        "-6 route add fd77:0:0:1::/64 via fd77::2 dev {lan}"
    ));
}

/// Each target has one half of its network behind the gateway, one on it.
fn route(lab: &Lab, internet: &Namespace) {
    for target in TARGETS {
        for family in [Family::Ipv4, Family::Ipv6] {
            let (far, near) = (
                address(target, Place::Internet, family),
                address(target, Place::Gateway, family),
            );
            let (option, length, hop) = match family {
                Family::Ipv4 => ("-4", 32, "10.78.0.2"),
                Family::Ipv6 => ("-6", 128, "fd78::2"),
            };
            lab.gateway.ip(&format!(
                "{option} route add {far}/{length} via {hop} dev wan0"
            ));
            lab.gateway
                .ip(&format!("{option} route add local {near}/{length} dev lo"));
            internet.ip(&format!("{option} route add local {far}/{length} dev lo"));
        }
    }
}

/// The gateway forwards and answers without limits, the phone says nothing.
fn silence(lab: &Lab, internet: &Namespace) {
    let set = |namespace: &Namespace, key: &str, value: &str| {
        let path = format!("/proc/sys/net/{key}");
        namespace.run(|| fs::write(&path, value).unwrap_or_else(|error| panic!("{path}: {error}")));
    };
    for namespace in [&lab.gateway, internet] {
        set(namespace, "ipv4/ip_forward", "1");
        set(namespace, "ipv6/conf/all/forwarding", "1");
        set(namespace, "ipv4/conf/all/rp_filter", "0");
        set(namespace, "ipv4/icmp_ratelimit", "0");
        set(namespace, "ipv6/icmp/ratelimit", "0");
        // Fragments that never become whole stay for 30 seconds.
        for key in ["ipv4/ipfrag", "ipv6/ip6frag"] {
            set(namespace, &format!("{key}_high_thresh"), "1000000000");
        }
    }
    set(&lab.phone, "ipv6/conf/eth0/disable_ipv6", "1");
    lab.phone.ip("link set eth0 arp off");
}
