//! Three network namespaces: a generator, the gateway, a sink.

use std::collections::HashMap;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::daemon;
use crate::netns::Namespace;
use crate::system::{BPFFS, Tree, output};

/// Source MAC of the generator.
pub(crate) const PHONE_MAC: [u8; 6] = [0x64, 0xcc, 0x2e, 0x11, 0x22, 0x33];
/// MAC of both interfaces of the gateway towards the generator.
pub(crate) const GATEWAY_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x01];
/// MAC of both interfaces of the sink.
const SINK_MAC: &str = "02:00:00:00:00:03";
/// Source address of the generator.
pub(crate) const PHONE: [u8; 4] = [192, 168, 50, 10];
/// Address of the sink that answers pings.
pub(crate) const PINGED: &str = "10.77.0.2";

const PREFIX: &str = "monitor-flood";

/// A path through the gateway: an interface towards the generator, and one towards the
/// sink. There are two paths, so that two filters can be compared in turns and both stay in
/// force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lan {
    First,
    Second,
}

impl Lan {
    /// Name of the interface in the generator's and in the gateway's namespace.
    pub(crate) fn interface(self) -> &'static str {
        match self {
            Self::First => "flood0",
            Self::Second => "flood1",
        }
    }

    /// The other path.
    pub(crate) fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }

    /// Name of the gateway's interface towards the sink.
    pub(crate) fn wan(self) -> &'static str {
        match self {
            Self::First => "wan0",
            Self::Second => "wan1",
        }
    }

    /// Name of the sink's interface.
    pub(crate) fn sink(self) -> &'static str {
        match self {
            Self::First => "eth0",
            Self::Second => "eth1",
        }
    }
}

/// Received packets by interface of the gateway.
#[derive(Clone, Debug)]
pub(crate) struct Counters(HashMap<String, u64>);

impl Counters {
    pub(crate) fn received(&self, lan: Lan) -> Result<u64> {
        self.0
            .get(lan.interface())
            .copied()
            .with_context(|| format!("/proc/net/dev has no {}", lan.interface()))
    }
}

/// The network namespaces. Dropping the value removes them.
pub(crate) struct Network<'a> {
    pub(crate) tree: &'a Tree,
    pub(crate) generator: Namespace,
    pub(crate) gateway: Namespace,
    pub(crate) sink: Namespace,
    _lock: File,
}

impl<'a> Network<'a> {
    /// Removes what an earlier run left behind, and makes the namespaces.
    pub(crate) fn make(tree: &'a Tree) -> Result<Self> {
        let namespace = |role: &str| Namespace::new(format!("{PREFIX}-{role}"));
        let network = Self {
            tree,
            generator: namespace("gen"),
            gateway: namespace("gw"),
            sink: namespace("sink"),
            _lock: lock()?,
        };
        if let Some(error) = network.sweep().into_iter().next() {
            return Err(error.context("the leftovers of an earlier run"));
        }
        fs::create_dir(Self::runtime_dir()).context("the run's folder")?;
        network.build().context("the benchmark's network")?;
        Ok(network)
    }

    /// Directory of policies, rules, sockets and logs.
    pub(crate) fn runtime_dir() -> PathBuf {
        PathBuf::from("/run").join(PREFIX)
    }

    /// Pin directory of the daemon.
    pub(crate) fn pin_dir() -> PathBuf {
        PathBuf::from(BPFFS).join(PREFIX)
    }

    /// Counters of the network namespace of the calling thread, which must be the gateway's.
    pub(crate) fn counters() -> Result<Counters> {
        let text = fs::read_to_string("/proc/thread-self/net/dev").context("/proc/net/dev")?;
        Ok(Counters(text.lines().filter_map(received).collect()))
    }

    fn build(&self) -> Result<()> {
        for namespace in self.namespaces() {
            namespace.add()?;
            namespace.ip("link set lo up")?;
            namespace.enter(|| {
                // Only the packets of the benchmark must be counted.
                set("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1")?;
                set("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1")?;
                set("/proc/sys/net/ipv4/conf/all/rp_filter", "0")?;
                set("/proc/sys/net/ipv4/conf/default/rp_filter", "0")
            })?;
        }
        self.gateway
            .enter(|| set("/proc/sys/net/ipv4/ip_forward", "1"))?;
        for (lan, subnet) in [(Lan::First, 50), (Lan::Second, 51)] {
            self.make_lan(lan, subnet)?;
        }
        for (lan, subnet) in [(Lan::First, 77), (Lan::Second, 78)] {
            self.make_wan(lan, subnet)?;
        }
        self.make_routes()
    }

    fn make_lan(&self, lan: Lan, subnet: u8) -> Result<()> {
        let (name, gateway) = (lan.interface(), self.gateway.name());
        let (phone, own) = (mac(PHONE_MAC), mac(GATEWAY_MAC));
        self.generator.ip(&format!(
            "link add {name} address {phone} type veth peer name {name} address {own} netns {gateway}"
        ))?;
        // A veth accepts XDP frames only if its receiver has GRO or an XDP program.
        output(
            self.gateway
                .command("ethtool")
                .args(["-K", name, "gro", "on"]),
        )?;
        // With segmentation on, pings would bypass the ring, but only without an XDP
        // program (`veth_skb_is_eligible_for_gro` in `drivers/net/veth.c`).
        output(
            self.generator
                .command("ethtool")
                .args(["-K", name, "tso", "off"]),
        )?;
        for (namespace, last) in [(&self.gateway, 1), (&self.generator, 10)] {
            namespace.ip(&format!("addr add 192.168.{subnet}.{last}/24 dev {name}"))?;
            namespace.ip(&format!("link set {name} up"))?;
        }
        // `ip netns exec` mounts the /sys of the namespace.
        output(
            Command::new("ip")
                .args(["netns", "exec", gateway, "sh", "-c"])
                .arg(format!("echo 1 > /sys/class/net/{name}/threaded")),
        )?;
        self.gateway.ip(&format!(
            "neigh add 192.168.{subnet}.10 lladdr {phone} dev {name} nud permanent"
        ))?;
        self.generator.ip(&format!(
            "neigh add 192.168.{subnet}.1 lladdr {own} dev {name} nud permanent"
        ))
    }

    fn make_wan(&self, lan: Lan, subnet: u8) -> Result<()> {
        let (wan, sink, own) = (lan.wan(), lan.sink(), mac(GATEWAY_MAC));
        self.sink.ip(&format!(
            "link add {sink} address {SINK_MAC} type veth peer name {wan} address {own} netns {}",
            self.gateway.name()
        ))?;
        for (namespace, interface, address, neighbour, lladdr) in [
            (&self.gateway, wan, 1, 2, SINK_MAC),
            (&self.sink, sink, 2, 1, &*own),
        ] {
            namespace.ip(&format!(
                "addr add 10.{subnet}.0.{address}/24 dev {interface}"
            ))?;
            namespace.ip(&format!("link set {interface} up"))?;
            namespace.ip(&format!(
                "neigh add 10.{subnet}.0.{neighbour} lladdr {lladdr} dev {interface} nud permanent"
            ))?;
        }
        Ok(())
    }

    /// Sends packets from each path's interface to that path's sink. Each path has a routing
    /// table and a rule, so that both paths take the same time.
    fn make_routes(&self) -> Result<()> {
        for (lan, subnet) in [(Lan::First, 77), (Lan::Second, 78)] {
            self.gateway.ip(&format!(
                "route add default via 10.{subnet}.0.2 dev {} table {subnet}",
                lan.wan()
            ))?;
            self.gateway
                .ip(&format!("rule add iif {} lookup {subnet}", lan.interface()))?;
        }
        self.sink.ip("route add default via 10.77.0.1")?;
        self.generator.ip("route add default via 192.168.50.1")
    }

    fn namespaces(&self) -> [&Namespace; 3] {
        [&self.generator, &self.gateway, &self.sink]
    }

    /// Removes all, also after an error. Returns all errors.
    fn sweep(&self) -> Vec<anyhow::Error> {
        let mut errors = Vec::new();
        let mut note = |done: Result<()>| errors.extend(done.err());
        if self.gateway.exists() {
            note(daemon::kill_leftover(self));
        }
        if Self::pin_dir().exists() {
            note(daemon::detach(self));
        }
        note(remove_dir(&Self::pin_dir()));
        for namespace in self.namespaces() {
            if namespace.exists() {
                note(namespace.delete());
            }
        }
        note(remove_dir(&Self::runtime_dir()));
        errors
    }
}

impl Drop for Network<'_> {
    fn drop(&mut self) {
        for error in self.sweep() {
            eprintln!("xtask: removing: {error:#}");
        }
    }
}

/// Locks out a second benchmark, which would remove the namespaces of this one.
fn lock() -> Result<File> {
    let path = format!("/run/{PREFIX}.lock");
    let file = File::create(&path).with_context(|| path.clone())?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!("another benchmark is running ({path} is locked)"),
        Err(TryLockError::Error(error)) => Err(error).context(path),
    }
}

fn remove_dir(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", path.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes a setting. /proc/sys/net shows the network namespace of the calling thread.
fn set(sysctl: &str, value: &str) -> Result<()> {
    fs::write(sysctl, value).with_context(|| sysctl.to_owned())
}

fn mac(address: [u8; 6]) -> String {
    address.map(|byte| format!("{byte:02x}")).join(":")
}

/// Parses a line of /proc/net/dev: interface and received packets.
fn received(line: &str) -> Option<(String, u64)> {
    let (name, numbers) = line.split_once(':')?;
    let packets = numbers.split_whitespace().nth(1)?.parse().ok()?;
    Some((name.trim().to_owned(), packets))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_the_second_number_of_an_interface() {
        let line = "flood0: 600 10 0 3 0 0 0 0 1200 20 0 0 0 0 0 0";
        assert_eq!(received(line), Some(("flood0".to_owned(), 10)));
        assert_eq!(received("Inter-|   Receive  |  Transmit"), None);
    }

    #[test]
    fn macs_are_written_as_ip_reads_them() {
        assert_eq!(mac(PHONE_MAC), "64:cc:2e:11:22:33");
    }
}
