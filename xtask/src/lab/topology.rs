//! The lab's network: who is in it, with which addresses, and how it is made.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::netns::Namespace;
use crate::system::{BPFFS, output};

/// The phone's MAC address, of a block that the vendor of the case holds.
pub(crate) const PHONE_MAC: &str = "64:cc:2e:00:26:62";

/// What the phone must see of a target while the lab's policies are as they ship.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    Answer,
    Silence,
}

/// An address on the internet side that the phone talks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) what: &'static str,
    pub(crate) address: IpAddr,
    pub(crate) expected: Expected,
}

/// Documentation ranges, and one address of the range that was reported in 2014.
pub(crate) const TARGETS: [Target; 5] = [
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
    Target {
        what: "reported, counted",
        address: IpAddr::V4(Ipv4Addr::new(42, 62, 48, 10)),
        expected: Expected::Answer,
    },
];

/// Everything that bears the lab's name.
#[derive(Clone, Debug)]
pub(crate) struct Topology {
    prefix: String,
    pub(crate) phone: Namespace,
    pub(crate) gateway: Namespace,
    pub(crate) internet: Namespace,
}

impl Topology {
    /// Namespaces `PREFIX-phone`, `PREFIX-gateway` and `PREFIX-internet`; none is made yet.
    pub(crate) fn named(prefix: &str) -> Self {
        let namespace = |role: &str| Namespace::new(format!("{prefix}-{role}"));
        Self {
            prefix: prefix.to_owned(),
            phone: namespace("phone"),
            gateway: namespace("gateway"),
            internet: namespace("internet"),
        }
    }

    pub(crate) fn namespaces(&self) -> [&Namespace; 3] {
        [&self.phone, &self.gateway, &self.internet]
    }

    /// The socket, the state and the log of the lab's daemon.
    pub(crate) fn runtime_dir(&self) -> PathBuf {
        PathBuf::from("/run").join(&self.prefix)
    }

    /// The pins of the lab's daemon.
    pub(crate) fn pin_dir(&self) -> PathBuf {
        PathBuf::from(BPFFS).join(&self.prefix)
    }

    /// Held while a lab of this name runs.
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

    /// Both ends of a pair are made inside: no name of the machine's own can clash.
    fn make_links(&self) -> Result<()> {
        let gateway = self.gateway.name();
        self.phone.ip(&format!(
            "link add eth0 address {PHONE_MAC} type veth peer name wlan0 netns {gateway}"
        ))?;
        self.internet.ip(&format!(
            "link add eth0 type veth peer name wan0 netns {gateway}"
        ))?;
        let ends = [
            (&self.phone, "eth0"),
            (&self.gateway, "wlan0"),
            (&self.gateway, "wan0"),
            (&self.internet, "eth0"),
        ];
        for (namespace, interface) in ends {
            // Merged packets would count as one.
            output(
                namespace
                    .command("ethtool")
                    .args(["-K", interface, "gro", "off", "gso", "off", "tso", "off"]),
            )?;
            namespace.ip(&format!("link set {interface} up"))?;
        }
        Ok(())
    }

    fn address(&self) -> Result<()> {
        self.phone.ip("addr add 192.168.50.10/24 dev eth0")?;
        self.phone.ip("addr add 2001:db8:50::10/64 dev eth0")?;
        self.gateway.ip("addr add 192.168.50.1/24 dev wlan0")?;
        self.gateway.ip("addr add 2001:db8:50::1/64 dev wlan0")?;
        self.gateway.ip("addr add 203.0.113.1/24 dev wan0")?;
        self.gateway.ip("addr add 2001:db8:113::1/64 dev wan0")?;
        self.internet.ip("addr add 203.0.113.2/24 dev eth0")?;
        self.internet.ip("addr add 2001:db8:113::2/64 dev eth0")?;
        TARGETS.iter().try_for_each(|target| {
            self.internet
                .ip(&format!("addr add {} dev lo", target.address))
        })
    }

    fn route(&self) -> Result<()> {
        self.phone.ip("route add default via 192.168.50.1")?;
        self.phone.ip("-6 route add default via 2001:db8:50::1")?;
        self.gateway.ip("route add default via 203.0.113.2")?;
        self.gateway
            .ip("-6 route add default via 2001:db8:113::2")?;
        self.internet
            .ip("route add 192.168.50.0/24 via 203.0.113.1")?;
        self.internet
            .ip("-6 route add 2001:db8:50::/64 via 2001:db8:113::1")
    }
}

/// Duplicate address detection would keep IPv6 silent for the first seconds; a
/// router needs its link-local address, which only this setting reaches.
fn without_dad() -> Result<()> {
    set("/proc/sys/net/ipv6/conf/all/accept_dad", "0")?;
    set("/proc/sys/net/ipv6/conf/default/accept_dad", "0")
}

/// /proc/sys/net is that of the namespace of the thread that opens it.
fn set(sysctl: &str, value: &str) -> Result<()> {
    fs::write(sysctl, value).with_context(|| sysctl.to_owned())
}
