//! The lab's network: its namespaces, addresses, links and routes.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::netns::Namespace;
use crate::system::{BPFFS, output};

/// MAC of the phone, from a block of the vendor of the 2014 reports.
pub(crate) const PHONE_MAC: &str = "64:cc:2e:00:26:62";

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

/// Addresses of documentation ranges, and one of the range that was reported in 2014.
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

/// The namespaces and directories of a lab.
#[derive(Clone, Debug)]
pub(crate) struct Topology {
    prefix: String,
    pub(crate) phone: Namespace,
    pub(crate) gateway: Namespace,
    pub(crate) internet: Namespace,
}

impl Topology {
    /// Names the namespaces `PREFIX-phone`, `PREFIX-gateway` and `PREFIX-internet`, and makes
    /// none of them.
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

    /// Directory of the daemon's socket, state and log.
    pub(crate) fn runtime_dir(&self) -> PathBuf {
        PathBuf::from("/run").join(&self.prefix)
    }

    /// Pin directory of the daemon.
    pub(crate) fn pin_dir(&self) -> PathBuf {
        PathBuf::from(BPFFS).join(&self.prefix)
    }

    /// The lock that a running lab of this name holds.
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

    /// Makes a veth pair with both ends in namespaces, so that no interface name of the
    /// machine can clash.
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
            // Without GRO: merged packets would count as one.
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
