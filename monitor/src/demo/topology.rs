//! The demonstration's network: its namespaces, addresses, links and routes. Phones and gateway meet at
//! a bridge, as at the radio of an access point.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::demo::contacts;
use crate::demo::namespace::Namespace;
use crate::demo::process::{BPFFS, output};

/// MAC of the phone, from a block of the vendor of the 2014 reports.
pub(crate) const PHONE_MAC: &str = "64:cc:2e:00:26:62";

/// MAC of the same phone after its second reflash: locally administered, as phones choose
/// it after a reset.
pub(crate) const REFLASHED_MAC: &str = "da:a1:19:00:26:62";

/// MAC of the other phone, of another vendor.
pub(crate) const OTHER_MAC: &str = "84:cf:bf:00:26:63";

/// Address of the phone with its first MAC.
pub(crate) const PHONE_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 168, 50, 10);

/// Address of the phone with its MAC after the second reflash.
pub(crate) const REFLASHED_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 168, 50, 11);

/// Address of the other phone.
pub(crate) const OTHER_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 168, 50, 20);

/// Address of the gateway on the phones' side.
pub(crate) const GATEWAY_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 168, 50, 1);

/// The result that the phone must see for a target with the unchanged policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    Answer,
    Silence,
}

/// A server address on the internet side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) what: &'static str,
    pub(crate) address: IpAddr,
    pub(crate) expected: Expected,
}

impl Target {
    /// Its server.
    pub(crate) fn server(&self) -> SocketAddr {
        SocketAddr::new(self.address, 443)
    }
}

/// Addresses of documentation ranges.
pub(crate) const TARGETS: [Target; 4] = [
    Target {
        what: "innocent",
        address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10)),
        expected: Expected::Answer,
    },
    Target {
        what: "innocent",
        address: IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x10)),
        expected: Expected::Answer,
    },
    Target {
        what: "suspect, dropped",
        address: IpAddr::V4(Ipv4Addr::new(198, 51, 100, 10)),
        expected: Expected::Silence,
    },
    Target {
        what: "suspect, dropped",
        address: IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xbad, 0, 0, 0, 0, 0x10)),
        expected: Expected::Silence,
    },
];

/// The namespaces and directories of a demonstration.
#[derive(Clone, Debug)]
pub(crate) struct Topology {
    prefix: String,
    pub(crate) phone: Namespace,
    /// The other phone.
    pub(crate) other: Namespace,
    /// The bridge between phones and gateway.
    air: Namespace,
    pub(crate) gateway: Namespace,
    pub(crate) internet: Namespace,
}

impl Topology {
    /// Names the namespaces `PREFIX-phone`, `PREFIX-other`, `PREFIX-air`, `PREFIX-gateway` and
    /// `PREFIX-internet`, and makes none of them.
    pub(crate) fn named(prefix: &str) -> Self {
        let namespace = |role: &str| Namespace::new(format!("{prefix}-{role}"));
        Self {
            prefix: prefix.to_owned(),
            phone: namespace("phone"),
            other: namespace("other"),
            air: namespace("air"),
            gateway: namespace("gateway"),
            internet: namespace("internet"),
        }
    }

    pub(crate) fn namespaces(&self) -> [&Namespace; 5] {
        let phones = [&self.phone, &self.other];
        [
            phones[0],
            phones[1],
            &self.air,
            &self.gateway,
            &self.internet,
        ]
    }

    /// Directory of the daemon's socket, state and log.
    pub(crate) fn runtime_dir(&self) -> PathBuf {
        PathBuf::from("/run").join(&self.prefix)
    }

    /// Pin directory of the daemon.
    pub(crate) fn pin_dir(&self) -> PathBuf {
        PathBuf::from(BPFFS).join(&self.prefix)
    }

    /// The lock that a running demonstration of this name holds.
    pub(crate) fn lock_file(&self) -> PathBuf {
        PathBuf::from("/run").join(format!("{}.lock", self.prefix))
    }

    /// Makes the namespaces, their links, addresses and routes.
    pub(crate) fn make(&self) -> Result<()> {
        for namespace in self.namespaces() {
            namespace.add()?;
            namespace.ip("link set lo up")?;
            namespace.enter(without_dad)?;
        }
        self.make_links()?;
        self.address()?;
        self.gateway.enter(|| {
            set("/proc/sys/net/ipv4/ip_forward", "1")?;
            set("/proc/sys/net/ipv6/conf/all/forwarding", "1")
        })?;
        self.route()
    }

    /// Makes veth pairs with both ends in namespaces, so that no interface name of the
    /// machine can clash.
    fn make_links(&self) -> Result<()> {
        let (air, gateway) = (self.air.name(), self.gateway.name());
        // The bridge comes first, so that no port has the interface index of its peer. The
        // kernel reports the carrier of such a port up to a second late (`linkwatch_urgent_event`
        // in net/core/link_watch.c), and meanwhile the bridge does not use it.
        self.air.ip("link add bridge type bridge")?;
        self.air.ip("link set bridge up")?;
        let phones = [
            (&self.phone, PHONE_MAC, "phone"),
            (&self.other, OTHER_MAC, "other"),
        ];
        for (phone, mac, port) in phones {
            phone.ip(&format!(
                "link add eth0 address {mac} type veth peer name {port} netns {air}"
            ))?;
        }
        self.gateway.ip(&format!(
            "link add wlan0 type veth peer name gateway netns {air}"
        ))?;
        self.internet.ip(&format!(
            "link add eth0 type veth peer name wan0 netns {gateway}"
        ))?;
        let ports = ["phone", "other", "gateway"];
        for port in ports {
            self.air.ip(&format!("link set {port} master bridge"))?;
        }
        let ends = [
            (&self.phone, "eth0"),
            (&self.other, "eth0"),
            (&self.gateway, "wlan0"),
            (&self.gateway, "wan0"),
            (&self.internet, "eth0"),
        ];
        let ports = ports.map(|port| (&self.air, port));
        ends.into_iter()
            .chain(ports)
            .try_for_each(|(namespace, interface)| bring_up(namespace, interface))
    }

    fn address(&self) -> Result<()> {
        let phones = [
            (&self.phone, PHONE_ADDRESS, "2001:db8:50::10"),
            (&self.other, OTHER_ADDRESS, "2001:db8:50::20"),
        ];
        for (phone, v4, v6) in phones {
            phone.ip(&format!("addr add {v4}/24 dev eth0"))?;
            phone.ip(&format!("addr add {v6}/64 dev eth0"))?;
        }
        self.gateway
            .ip(&format!("addr add {GATEWAY_ADDRESS}/24 dev wlan0"))?;
        self.gateway.ip("addr add 2001:db8:50::1/64 dev wlan0")?;
        self.gateway.ip("addr add 203.0.113.1/24 dev wan0")?;
        self.gateway.ip("addr add 2001:db8:113::1/64 dev wan0")?;
        self.internet.ip("addr add 203.0.113.2/24 dev eth0")?;
        self.internet.ip("addr add 2001:db8:113::2/64 dev eth0")?;
        let targets = TARGETS.iter().map(|target| target.address);
        let reported = contacts::ALL.iter().map(|contact| contact.address.into());
        targets
            .chain(reported)
            .try_for_each(|address: IpAddr| self.internet.ip(&format!("addr add {address} dev lo")))
    }

    fn route(&self) -> Result<()> {
        for phone in [&self.phone, &self.other] {
            phone.ip(&format!("route add default via {GATEWAY_ADDRESS}"))?;
            phone.ip("-6 route add default via 2001:db8:50::1")?;
        }
        self.gateway.ip("route add default via 203.0.113.2")?;
        self.gateway
            .ip("-6 route add default via 2001:db8:113::2")?;
        self.internet
            .ip("route add 192.168.50.0/24 via 203.0.113.1")?;
        self.internet
            .ip("-6 route add 2001:db8:50::/64 via 2001:db8:113::1")
    }

    /// Gives the phone the MAC and the addresses that it has after its second reflash. While
    /// the link is down, the kernel drops the link-local address of the first MAC.
    pub(crate) fn change_mac(&self) -> Result<()> {
        for words in [
            "addr flush dev eth0",
            &format!("link set dev eth0 address {REFLASHED_MAC}"),
            "link set eth0 down",
            "link set eth0 up",
            &format!("addr add {REFLASHED_ADDRESS}/24 dev eth0"),
            "addr add 2001:db8:50::11/64 dev eth0",
            &format!("route add default via {GATEWAY_ADDRESS}"),
            "-6 route add default via 2001:db8:50::1",
        ] {
            self.phone.ip(words)?;
        }
        Ok(())
    }
}

fn bring_up(namespace: &Namespace, interface: &str) -> Result<()> {
    // Without GRO: merged packets would count as one.
    let mut command = namespace.command("ethtool");
    command.args(["-K", interface, "gro", "off", "gso", "off", "tso", "off"]);
    output(&mut command)?;
    namespace.ip(&format!("link set {interface} up"))
}

/// Switches duplicate address detection off, which would delay IPv6 for seconds. No other
/// setting affects the link-local address, which a router needs.
fn without_dad() -> Result<()> {
    set("/proc/sys/net/ipv6/conf/all/accept_dad", "0")?;
    set("/proc/sys/net/ipv6/conf/default/accept_dad", "0")
}

/// Writes a setting. /proc/sys/net shows the network namespace of the calling thread.
fn set(sysctl: &str, value: &str) -> Result<()> {
    fs::write(sysctl, value).with_context(|| sysctl.to_owned())
}
