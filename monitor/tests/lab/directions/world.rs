//! A phone, a gateway with NAT, and a host on the internet that answers datagrams.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::Mutex,
    thread,
    time::Duration,
};

use monitor::{
    datapath::Reader,
    policy::Direction,
    snapshot::{Count, InterfaceSnapshot, Mode, PolicySnapshot, Snapshot, Verdicts},
};
use nix::sys::socket::{setsockopt, sockopt};
use serde_json::Value;

use crate::support::{
    lab::{Daemon, Lab, Namespace, any_like, poll, sh, text},
    release::kernel_is_at_least,
};

/// Addresses of the host on the internet: counted, dropped, in no policy.
pub(crate) const WATCHED: [&str; 2] = ["198.18.1.10", "2001:db8:51::10"];
pub(crate) const STOPPED: [&str; 2] = ["198.18.2.10", "2001:db8:52::10"];
pub(crate) const OTHER: &str = "198.18.3.10";
/// The gateway's address towards the internet.
pub(crate) const GATEWAY: [&str; 2] = ["203.0.113.1", "2001:db8:77::1"];
pub(crate) const GATEWAY_MAC: &str = "02:00:00:00:77:01";

pub(crate) const PORT: u16 = 4000;

/// Payload of [`ask`].
pub(crate) const QUESTION: &[u8] = b"question";

/// Size of a receive buffer, in bytes: holds all datagrams that arrive while a busy machine
/// does not run the reader.
const RECEIVE_BUFFER: usize = 8 << 20;

/// Numbers of datagrams by far end and length of the payload, in bytes.
#[derive(Default)]
pub(crate) struct Arrivals(Mutex<BTreeMap<(IpAddr, usize), u64>>);

impl Arrivals {
    pub(crate) fn add(&self, far_end: IpAddr, payload: usize) {
        *self
            .0
            .lock()
            .unwrap()
            .entry((far_end, payload))
            .or_default() += 1;
    }

    pub(crate) fn of(&self, far_end: &str, payload: usize) -> u64 {
        let key = (far_end.parse().unwrap(), payload);
        self.0
            .lock()
            .unwrap()
            .get(&key)
            .copied()
            .unwrap_or_default()
    }

    pub(crate) fn all(&self) -> u64 {
        self.0.lock().unwrap().values().sum()
    }
}

/// Policies: the second one drops, or counts too.
pub(crate) fn policies(second: &str) -> String {
    format!(
        "version: 1
policies:
  - name: watched
    action: count
    destinations: [198.18.1.0/24, 2001:db8:51::/48]
  - name: stopped
    action: {second}
    destinations: [198.18.2.0/24, 2001:db8:52::/48]
  - name: of-another
    action: drop
    destinations: [198.18.1.0/24]
    devices: [02:00:00:00:00:99]
"
    )
}

/// A lab with a host on the internet, behind the NAT of the gateway.
pub(crate) struct World {
    pub(crate) lab: Lab,
    pub(crate) internet: Namespace,
    /// Datagrams that arrived at the host.
    pub(crate) arrived: &'static Arrivals,
    /// Mode in which a daemon attaches the filter where packets arrive.
    pub(crate) mode: Mode,
}

impl World {
    pub(crate) fn new(test: &str) -> Self {
        Self::in_mode(test, Mode::Generic)
    }

    pub(crate) fn in_mode(test: &str, mode: Mode) -> Self {
        let lab = Lab::new(test);
        lab.write_policies(&policies("drop"));
        let internet = Namespace::new(format!("{}-i", lab.gateway.name));
        let (inside, outside) = (&lab.gateway, &internet);
        sh(&format!(
            "ip link add wan0 netns {} address {GATEWAY_MAC} type veth peer name eth0 netns {}",
            inside.name, outside.name
        ));
        for (namespace, interface, last) in [(inside, "wan0", 1), (outside, "eth0", 2)] {
            namespace.ip(&format!("address add 203.0.113.{last}/24 dev {interface}"));
            namespace.ip(&format!(
                "address add 2001:db8:77::{last}/64 dev {interface} nodad"
            ));
            let off = format!("ethtool -K {interface} gro off gso off tso off");
            sh(&format!(
                "nsenter --net=/run/netns/{} {off}",
                namespace.name
            ));
            namespace.ip(&format!("link set {interface} up"));
        }
        inside.ip("route add default via 203.0.113.2");
        inside.ip("-6 route add default via 2001:db8:77::2");
        for address in WATCHED.into_iter().chain(STOPPED).chain([OTHER]) {
            let length = if address.contains(':') {
                "128 nodad"
            } else {
                "32"
            };
            outside.ip(&format!("address add {address}/{length} dev lo"));
        }
        let rules = "add table ip nat; \
            add chain ip nat post { type nat hook postrouting priority 100; }; \
            add rule ip nat post oifname wan0 masquerade; \
            add table ip6 nat; \
            add chain ip6 nat post { type nat hook postrouting priority 100; }; \
            add rule ip6 nat post oifname wan0 masquerade";
        let inside_of = format!("nsenter --net=/run/netns/{}", inside.name);
        sh(&format!("{inside_of} nft '{rules}'"));
        sh(&format!(
            "{inside_of} sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1"
        ));
        for (from, to) in [
            (&lab.phone, WATCHED[0]),
            (&lab.phone, WATCHED[1]),
            (inside, "203.0.113.2"),
            (inside, "2001:db8:77::2"),
        ] {
            sh(&format!(
                "nsenter --net=/run/netns/{} ping -n -c 1 -w 10 {to}",
                from.name
            ));
        }
        let arrived: &'static Arrivals = Box::leak(Box::default());
        for address in WATCHED.into_iter().chain(STOPPED).chain([OTHER]) {
            echo(&internet, address, arrived);
        }
        Self {
            lab,
            internet,
            arrived,
            mode,
        }
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Daemon {
        let mut all = vec!["--mode", self.mode.name(), "--interface", "wan0:wan"];
        all.extend(arguments);
        self.lab.start_on("wlan0:lan", &all)
    }

    /// Runs a shell command on the gateway.
    pub(crate) fn inside(&self, command: &str) {
        let namespace = &self.lab.gateway.name;
        sh(&format!("nsenter --net=/run/netns/{namespace} {command}"));
    }

    /// The filters at the egress of an interface, as `tc` lists them.
    pub(crate) fn filters(&self, interface: &str) -> String {
        let mut command = self.lab.gateway.command("tc");
        command.args(["filter", "show", "dev", interface, "egress"]);
        text(&command.output().unwrap().stdout)
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        // A filter of `clsact` can be seen in the gateway's namespace only.
        self.lab.gateway.run(|| {
            let reader = Reader::open(&self.lab.pin_dir).unwrap();
            reader.snapshot(None).unwrap()
        })
    }

    /// A snapshot, and the kernel's counts at the same moment: received on the LAN, received
    /// and sent on the WAN.
    pub(crate) fn settled(&self) -> (Snapshot, [Count; 3]) {
        let read = || {
            [("wlan0", "rx"), ("wan0", "rx"), ("wan0", "tx")]
                .map(|(name, which)| self.link(name, which))
        };
        let mut found = None;
        poll("no packet comes between two reads", || {
            let before = read();
            let snapshot = self.snapshot();
            // The kernel and the filter count a packet one after the other.
            let is_same = read() == before && self.snapshot() == snapshot;
            found = is_same.then_some((snapshot, before));
            found.is_some()
        });
        found.unwrap()
    }

    /// Loads the policy file on all hooks.
    pub(crate) fn reload(&self, second: &str, more: &[&str]) {
        self.lab.write_policies(&policies(second));
        let reload = self.lab.monitor(&[&["reload"], more].concat());
        assert!(reload.status.success(), "{}", text(&reload.stderr));
    }

    /// The kernel's count of packets that an interface of the gateway received or sent.
    fn link(&self, interface: &str, which: &str) -> Count {
        let output = self
            .lab
            .gateway
            .command("ip")
            .args(["-s", "-j", "link", "show", "dev", interface])
            .output();
        let links: Value = serde_json::from_slice(&output.unwrap().stdout).unwrap();
        let [packets, bytes] =
            ["packets", "bytes"].map(|key| links[0]["stats64"][which][key].as_u64().unwrap());
        // In native mode, a veth counts bytes without the Ethernet header (`veth_xdp_rcv`).
        let left_out = match (self.mode, which) {
            (Mode::Native, "rx") => ETHERNET,
            _ => 0,
        };
        Count {
            packets,
            bytes: bytes + left_out * packets,
        }
    }
}

/// Answers every datagram that arrives at an address.
fn echo(namespace: &Namespace, address: &str, arrived: &'static Arrivals) {
    let ip: IpAddr = address.parse().unwrap();
    let socket = namespace.run(|| UdpSocket::bind(SocketAddr::from((ip, PORT))).unwrap());
    widen(&socket);
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            arrived.add(ip, length);
            let _ = socket.send_to(&buffer[..length], from);
        }
    });
}

/// Enlarges the receive buffer.
pub(crate) fn widen(socket: &UdpSocket) {
    setsockopt(socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).unwrap();
}

pub(crate) fn interface<'a>(
    snapshot: &'a Snapshot,
    name: &str,
    direction: Direction,
) -> &'a InterfaceSnapshot {
    let mut interfaces = snapshot.interfaces.iter();
    let found = interfaces.find(|one| one.name == name && one.direction == direction);
    found.unwrap_or_else(|| panic!("{name} {direction:?} in {:?}", snapshot.interfaces))
}

pub(crate) fn policy<'a>(snapshot: &'a Snapshot, name: &str) -> &'a PolicySnapshot {
    let mut policies = snapshot.policies.iter();
    policies.find(|policy| policy.name == name).unwrap()
}

pub(crate) fn packets(verdicts: Verdicts) -> (u64, u64) {
    (verdicts.passed.packets, verdicts.dropped.packets)
}

/// All packets of an interface in one direction.
pub(crate) fn all(one: &InterfaceSnapshot) -> Verdicts {
    let mut all = one.unparsed_sum();
    all += one.ipv4;
    all += one.ipv6;
    all.passed += one.not_confirmed;
    all
}

/// Packets of the devices of a policy by MAC.
pub(crate) fn of_device(policy: &PolicySnapshot, mac: &str) -> Verdicts {
    let mut devices = policy.devices.iter();
    let device = devices.find(|device| device.mac.to_string() == mac);
    device.map_or_else(Verdicts::default, |device| device.matched)
}

/// How this kernel attaches the program of the WAN's egress: TCX came with Linux 6.6.
pub(crate) fn egress_mode() -> Mode {
    if kernel_is_at_least([6, 6]) {
        Mode::Tcx
    } else {
        Mode::Clsact
    }
}

/// Length of an Ethernet header, bytes.
const ETHERNET: u64 = 14;

/// Frames of datagrams from or to an address: Ethernet, IP, UDP and a payload.
pub(crate) fn frames(address: &str, packets: u64, payload: usize) -> Count {
    const UDP: u64 = 8;
    let network = if address.contains(':') { 40 } else { 20 };
    let length = ETHERNET + network + UDP + u64::try_from(payload).unwrap();
    Count {
        packets,
        bytes: packets * length,
    }
}

/// Sends datagrams from one namespace to an address, and returns how many were answered.
pub(crate) fn ask(from: &Namespace, address: &str, datagrams: u64) -> u64 {
    ask_with(from, address, datagrams, QUESTION)
}

/// Like [`ask`], with another payload.
pub(crate) fn ask_with(from: &Namespace, address: &str, datagrams: u64, payload: &[u8]) -> u64 {
    from.run(|| {
        let socket = UdpSocket::bind((any_like(address), 0)).unwrap();
        let quiet = Some(Duration::from_millis(300));
        socket.set_read_timeout(quiet).unwrap();
        for _ in 0..datagrams {
            // A dropped datagram of the gateway itself may be an error.
            let _ = socket.send_to(payload, (address, PORT));
        }
        let mut buffer = [0; 2048];
        let mut answers = 0;
        while answers < datagrams && socket.recv_from(&mut buffer).is_ok() {
            answers += 1;
        }
        answers
    })
}
