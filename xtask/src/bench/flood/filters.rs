//! The filters that are compared: this one and its alternatives, set up as their users
//! do.

use std::fmt::{self, Write as _};
use std::fs;
use std::net::Ipv4Addr;
use std::process::Command;

use anyhow::{Context as _, Result};
use aya::Ebpf;
use aya::programs::tc::TcAttachType;

use super::daemon::Daemon;
use super::network::{Lan, Network};
use super::object::{self, Object};
use super::sets::Prefix;
use crate::system::{call, output};

/// Mode of an XDP program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hook {
    Native,
    Generic,
}

impl Hook {
    /// Argument of `monitor run --mode`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }

    fn xdp_filter_name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "skb",
        }
    }
}

/// Memory reads, each of which depends on the previous one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reads {
    /// Number of reads, at most two.
    pub(crate) count: u32,
    /// Number of cache lines from which they read, a power of two.
    pub(crate) lines: u32,
}

impl fmt::Display for Reads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "reads: {} of {} cache lines", self.count, self.lines)
    }
}

/// Hook of nftables: prerouting, before connection tracking, for all interfaces; or
/// ingress, the earliest one, for one interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chain {
    Prerouting,
    Ingress,
}

/// What the daemon records of matched packets, the option `--evidence`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Evidence {
    Counters,
    /// Flows and names. This is the default of the daemon.
    Names,
}

impl Evidence {
    /// Value of the option.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Counters => "counters",
            Self::Names => "names",
        }
    }
}

/// A way to filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FilterKind {
    Nothing,
    DropAll(Hook),
    PassAll(Hook),
    /// Programs that pass everything at each hook of [`OursBoth`](Self::OursBoth).
    PassBoth(Hook),
    /// The same. The one at the LAN passes after these reads.
    ReadsBoth(Hook, Reads),
    /// Passes everything after these reads.
    Reads(Hook, Reads),
    /// This filter at the LAN, with the default evidence.
    Ours(Hook),
    /// This filter on both interfaces of a path: destinations of devices at the LAN,
    /// sources of answers at the WAN, and the gateway's own packets at the WAN's egress.
    OursBoth(Hook, Evidence),
    LpmTrie(Hook),
    /// A tc program (clsact or TCX) with the kernel's LPM trie.
    Tc,
    Nftables(Chain),
    Ipset,
    XdpFilter(Hook),
}

impl FilterKind {
    /// Name in the table.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Nothing => "no filter".to_owned(),
            Self::DropAll(hook) => format!("{} XDP that drops everything", hook.name()),
            Self::PassAll(hook) => format!("{} XDP that passes everything", hook.name()),
            Self::PassBoth(hook) => format!(
                "{} XDP at LAN and WAN, and tc at the WAN, that pass everything",
                hook.name()
            ),
            Self::Reads(hook, reads) => {
                format!("{} XDP that passes everything, {reads}", hook.name())
            }
            Self::ReadsBoth(hook, reads) => {
                format!("{}, {reads}", Self::PassBoth(hook).name())
            }
            Self::Ours(hook) => format!("{} monitor", hook.name()),
            Self::OursBoth(hook, evidence) => format!(
                "{} monitor at LAN and WAN, evidence: {}",
                hook.name(),
                evidence.name()
            ),
            Self::LpmTrie(hook) => format!("{} XDP with LPM_TRIE", hook.name()),
            Self::Tc => "tc-bpf with LPM_TRIE".to_owned(),
            Self::Nftables(Chain::Prerouting) => "nftables interval set".to_owned(),
            Self::Nftables(Chain::Ingress) => "nftables interval set, ingress".to_owned(),
            Self::Ipset => "ipset hash:net".to_owned(),
            Self::XdpFilter(hook) => format!("{} xdp-filter, exact addresses", hook.name()),
        }
    }
}

/// The blocked destinations.
#[derive(Clone, Copy)]
pub(crate) struct Blocked<'a> {
    pub(crate) prefixes: &'a [Prefix],
    /// For xdp-filter, which has exact addresses only.
    pub(crate) addresses: &'a [Ipv4Addr],
}

/// A filter that is in force.
pub(crate) enum Filter {
    Nothing,
    /// Detached when the object is closed.
    Programs {
        _held: Ebpf,
    },
    Daemon(Daemon),
    /// Removed by these commands.
    Commands(Vec<Command>),
}

impl Filter {
    /// Puts a filter in force on one of the gateway's interfaces.
    pub(crate) fn install(
        kind: FilterKind,
        blocked: Blocked<'_>,
        lan: Lan,
        network: &Network<'_>,
        object: &Object,
    ) -> Result<Self> {
        let to = (&network.gateway, &[lan.interface()][..]);
        let both = [lan.interface(), lan.wan()];
        let pass_egress = |ebpf: &mut Ebpf| {
            let to = (&network.gateway, lan.wan());
            object::attach_tc(ebpf, "pass_all_egress", to, TcAttachType::Egress)
        };
        let ebpf = || object.load(blocked.prefixes.len());
        Ok(match kind {
            FilterKind::Nothing => Self::Nothing,
            FilterKind::DropAll(hook) => programs(ebpf()?, |ebpf| {
                object::attach_xdp(ebpf, "drop_all", to, hook)
            })?,
            FilterKind::PassAll(hook) => programs(ebpf()?, |ebpf| {
                object::attach_xdp(ebpf, "pass_all", to, hook)
            })?,
            FilterKind::PassBoth(hook) => programs(ebpf()?, |ebpf| {
                object::attach_xdp(ebpf, "pass_all", (&network.gateway, &both), hook)?;
                pass_egress(ebpf)
            })?,
            FilterKind::ReadsBoth(hook, reads) => programs(object.load_reading(reads)?, |ebpf| {
                object::attach_xdp(ebpf, "read", to, hook)?;
                object::attach_xdp(ebpf, "pass_all", (&network.gateway, &both[1..]), hook)?;
                pass_egress(ebpf)
            })?,
            FilterKind::Reads(hook, reads) => programs(object.load_reading(reads)?, |ebpf| {
                object::attach_xdp(ebpf, "read", to, hook)
            })?,
            FilterKind::LpmTrie(hook) => programs(ebpf()?, |ebpf| {
                object::fill_trie(ebpf, blocked.prefixes)?;
                object::attach_xdp(ebpf, "lpm_xdp", to, hook)
            })?,
            FilterKind::Tc => programs(ebpf()?, |ebpf| {
                object::fill_trie(ebpf, blocked.prefixes)?;
                let to = (&network.gateway, lan.interface());
                object::attach_tc(ebpf, "lpm_tc", to, TcAttachType::Ingress)
            })?,
            FilterKind::Ours(hook) => {
                let interfaces = [lan.interface().to_owned()];
                let how = (hook, Evidence::Names);
                Self::Daemon(ours(blocked.prefixes, &interfaces, how, network)?)
            }
            FilterKind::OursBoth(hook, evidence) => {
                let interfaces = [
                    format!("{}:lan", lan.interface()),
                    format!("{}:wan", lan.wan()),
                ];
                let how = (hook, evidence);
                Self::Daemon(ours(blocked.prefixes, &interfaces, how, network)?)
            }
            FilterKind::Nftables(chain) => nftables(blocked.prefixes, chain, lan, network)?,
            FilterKind::Ipset => ipset(blocked.prefixes, network)?,
            FilterKind::XdpFilter(hook) => xdp_filter(blocked.addresses, lan, hook, network)?,
        })
    }

    /// Removes the filter.
    pub(crate) fn remove(self, network: &Network<'_>) -> Result<()> {
        match self {
            Self::Nothing | Self::Programs { .. } => Ok(()),
            Self::Daemon(daemon) => daemon.remove(network),
            Self::Commands(commands) => commands
                .into_iter()
                .map(|mut command| output(&mut command).map(drop))
                // Run all commands, also after an error.
                .fold(Ok(()), Result::and),
        }
    }
}

fn programs(mut ebpf: Ebpf, attach: impl FnOnce(&mut Ebpf) -> Result<()>) -> Result<Filter> {
    attach(&mut ebpf)?;
    Ok(Filter::Programs { _held: ebpf })
}

fn ours(
    prefixes: &[Prefix],
    interfaces: &[String],
    how: (Hook, Evidence),
    network: &Network<'_>,
) -> Result<Daemon> {
    let folder = Network::runtime_dir().join("policies");
    fs::create_dir_all(&folder).context("the policies' folder")?;
    // A policy needs a prefix. One of the other family costs nothing.
    let list = if prefixes.is_empty() {
        "2001:db8:bad::/48\n".to_owned()
    } else {
        lines(prefixes)
    };
    fs::write(folder.join("blocked.txt"), list).context("the list")?;
    fs::write(
        folder.join("blocked.yaml"),
        "version: 1\npolicies:\n  - name: blocked\n    action: drop\n    destinations: [{list: blocked.txt}]\n",
    )
    .context("the policy")?;
    Daemon::start(network, interfaces, how, &folder)
}

fn lines(prefixes: &[Prefix]) -> String {
    prefixes.iter().fold(String::new(), |mut text, prefix| {
        let _ = writeln!(text, "{prefix}");
        text
    })
}

fn nftables(prefixes: &[Prefix], chain: Chain, lan: Lan, network: &Network<'_>) -> Result<Filter> {
    let mut elements = String::new();
    for prefix in prefixes {
        let _ = write!(elements, "{prefix},");
    }
    let set = if prefixes.is_empty() {
        String::new()
    } else {
        format!("elements = {{ {elements} }}")
    };
    let (family, hook) = match chain {
        Chain::Prerouting => ("ip", "hook prerouting priority raw".to_owned()),
        Chain::Ingress => (
            "netdev",
            format!("hook ingress device {} priority 0", lan.interface()),
        ),
    };
    let file = Network::runtime_dir().join("blocked.nft");
    let rules = format!(
        "table {family} flood {{
  set blocked {{ type ipv4_addr; flags interval; {set} }}
  chain early {{ type filter {hook}; ip daddr @blocked drop; }}
}}
"
    );
    fs::write(&file, rules).with_context(|| file.display().to_string())?;
    output(network.gateway.command("nft").arg("-f").arg(&file))?;
    let mut undo = network.gateway.command("nft");
    undo.args(["delete", "table", family, "flood"]);
    Ok(Filter::Commands(vec![undo]))
}

fn ipset(prefixes: &[Prefix], network: &Network<'_>) -> Result<Filter> {
    let mut text = "create blocked hash:net maxelem 1048576\n".to_owned();
    for prefix in prefixes {
        let _ = writeln!(text, "add blocked {prefix}");
    }
    let file = Network::runtime_dir().join("blocked.ipset");
    fs::write(&file, text).with_context(|| file.display().to_string())?;
    output(
        network
            .gateway
            .command("ipset")
            .arg("restore")
            .arg("-file")
            .arg(&file),
    )?;
    let rule = [
        "PREROUTING",
        "-m",
        "set",
        "--match-set",
        "blocked",
        "dst",
        "-j",
        "DROP",
    ];
    output(
        network
            .gateway
            .command("iptables")
            .args(["-t", "raw", "-A"])
            .args(rule),
    )?;
    let mut rules = network.gateway.command("iptables");
    rules.args(["-t", "raw", "-F"]);
    let mut set = network.gateway.command("ipset");
    set.args(["destroy", "blocked"]);
    Ok(Filter::Commands(vec![rules, set]))
}

fn xdp_filter(
    addresses: &[Ipv4Addr],
    lan: Lan,
    hook: Hook,
    network: &Network<'_>,
) -> Result<Filter> {
    let mut load = network.gateway.command("xdp-filter");
    load.args(["load", lan.interface(), "--mode", hook.xdp_filter_name()]);
    output(load.args(["--policy", "allow", "--features", "ipv4"]))?;
    let mut undo = network.gateway.command("xdp-filter");
    undo.args(["unload", lan.interface()]);
    // xdp-filter does not remove its pin directory.
    let mut tidy = Command::new("rmdir");
    tidy.args(["--ignore-fail-on-non-empty", "/sys/fs/bpf/xdp"]);
    for address in addresses {
        let added = call("xdp-filter", ["ip", &address.to_string(), "--mode", "dst"]);
        if let Err(error) = added {
            return Err(output(&mut undo).err().unwrap_or(error));
        }
    }
    Ok(Filter::Commands(vec![undo, tidy]))
}
