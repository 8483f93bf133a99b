//! `monitor setup`: which interface the devices are on, and why.
//!
//! ```text
//! netlink, lease files ─► Network ─► judge ─► Judgement ─► file
//! ```

mod far;
mod file;
mod names;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use file::{Form, SetupError, with_interfaces};

use crate::doctor::facts::{Families, Link, LinkKind, Network, WirelessKind};

/// Reason for an interface that could be an access point and is none.
const NO_ACCESS_POINT: &str = "by its name it is WiFi, but no access point runs on it now: start hostapd or the hotspot first";

/// What is known about one interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Name of the interface.
    pub name: String,
    /// True if `monitor setup` proposes it.
    pub is_proposed: bool,
    /// Why, as parts of a sentence.
    pub reasons: Vec<String>,
}

/// Judges every interface except loopback. A strong sign is an access point or a DHCP server; every
/// interface with one is proposed. Without a strong sign, names decide between the interfaces that
/// route, and the only one that routes is proposed.
#[must_use]
pub fn judge(network: &Network) -> Vec<Judgement> {
    let far = far::reasons(network);
    let links = network.links.iter().filter(|link| link.name != "lo");
    let mut signs: Vec<_> = links
        .map(|link| (link, sign(network, &far, link)))
        .collect();
    leave_out_upper(network, &mut signs);
    let rivals = Rivals::of(&signs);
    let each = signs.into_iter().map(|(link, sign)| {
        let (is_proposed, reasons) = match sign {
            Sign::Strong(reasons) => (true, reasons),
            Sign::Weak(mut reasons) => {
                let (is_proposed, reason) = rivals.decide(link);
                reasons.push(reason.to_owned());
                (is_proposed, reasons)
            }
            Sign::Against(reason) => (false, vec![reason]),
        };
        Judgement {
            name: link.name.clone(),
            is_proposed,
            reasons,
        }
    });
    each.collect()
}

/// What the proposal cannot know, each as a sentence with the fix.
#[must_use]
pub fn notes(network: &Network) -> Vec<&'static str> {
    let mut notes = Vec::new();
    if network.far_sides.is_empty() {
        notes.push(
            "there is no default route now, so no interface is known to lead to the internet; connect the internet and run this again, or check the proposal",
        );
    }
    if network.dhcp_for_several {
        notes.push(
            "a DHCP server of this machine listens for several interfaces, and does not show for which; add those of your devices that are missing above",
        );
    }
    let forwards = |link: &Link| link.forwards.ipv4 || link.forwards.ipv6;
    if !network.links.iter().any(forwards) {
        notes.push(
            "this machine forwards nothing now, so it is no gateway yet; set net.ipv4.ip_forward=1 (sysctl), or the sharing of NetworkManager or systemd-networkd, and run this again",
        );
    }
    notes
}

/// What speaks for or against an interface.
enum Sign {
    Strong(Vec<String>),
    Weak(Vec<String>),
    Against(String),
}

/// What decides between interfaces with a weak sign.
struct Rivals {
    /// True if an interface has a strong sign.
    strong: bool,
    /// True if one of them has a name of the devices' side.
    named: bool,
    /// Number of interfaces with a weak sign.
    weak: usize,
}

impl Rivals {
    fn of(signs: &[(&Link, Sign)]) -> Self {
        let weak = || {
            signs
                .iter()
                .filter(|(_, sign)| matches!(sign, Sign::Weak(_)))
        };
        Self {
            strong: signs
                .iter()
                .any(|(_, sign)| matches!(sign, Sign::Strong(_))),
            named: weak().any(|(link, _)| names::is_of_devices(&link.name)),
            weak: weak().count(),
        }
    }

    /// True if an interface with a weak sign is proposed, and why.
    fn decide(&self, link: &Link) -> (bool, &'static str) {
        if self.strong {
            let why = "no access point and no DHCP server of its own is on it, and another interface has one";
            (false, why)
        } else if self.weak == 1 {
            (true, "no other interface does")
        } else if names::is_of_devices(&link.name) {
            (true, "OpenWrt gives this name to the devices' side")
        } else if self.named {
            (false, "another interface has a name of the devices' side")
        } else {
            let why = "other interfaces do too: only you can tell which one the devices are on";
            (false, why)
        }
    }
}

/// Leaves out an interface on top of another one whose sign is as strong: the packets would be
/// counted twice.
fn leave_out_upper(network: &Network, signs: &mut [(&Link, Sign)]) {
    let with = |strong: bool| {
        let found = signs.iter().filter(|(_, sign)| match sign {
            Sign::Strong(_) => true,
            Sign::Weak(_) => !strong,
            Sign::Against(_) => false,
        });
        found.map(|(link, _)| link.index).collect::<Vec<_>>()
    };
    let (strong, any) = (with(true), with(false));
    for (link, sign) in signs {
        let rivals = match sign {
            Sign::Strong(_) => &strong,
            Sign::Weak(_) => &any,
            Sign::Against(_) => continue,
        };
        let mut below = link.lower.and_then(|index| at(network, index));
        // The kernel allows a few interfaces on top of each other.
        for _ in 0..network.links.len() {
            let Some(lower) = below else { break };
            if rivals.contains(&lower.index) {
                *sign = Sign::Against(format!(
                    "its packets come in through {}, and the filter there reads VLAN tags: filter one of the two, not both",
                    lower.name
                ));
                break;
            }
            below = lower.lower.and_then(|index| at(network, index));
        }
    }
}

fn sign(network: &Network, far: &BTreeMap<u32, String>, link: &Link) -> Sign {
    if let Some(reason) = against(network, far, link) {
        return Sign::Against(reason);
    }
    let mut reasons = Vec::new();
    if let Some(kind) = wireless(network, link) {
        reasons.push(format!("it is a WiFi {kind}"));
        if let Some(bridge) = controller(network, link) {
            reasons.push(format!(
                "a default route leads to its bridge {}, so the filter belongs on this port",
                bridge.name
            ));
        }
    }
    for port in &network.links {
        if port.controller == Some(link.index)
            && let Some(kind) = wireless(network, port)
        {
            reasons.push(format!("its port {} is a WiFi {kind}", port.name));
        }
    }
    reasons.extend(network.dhcp.get(&link.index).cloned());
    if !reasons.is_empty() {
        return Sign::Strong(reasons);
    }
    if names::is_of_provider(&link.name) {
        return Sign::Against("by its name it leads to the provider".to_owned());
    }
    if !link.routes() {
        return Sign::Against(why_no_router(link));
    }
    let mut reasons = vec!["this machine routes for it".to_owned()];
    reasons.extend(names::is_wireless(&link.name).then(|| NO_ACCESS_POINT.to_owned()));
    Sign::Weak(reasons)
}

/// Why no device can use this machine as its router on an interface, and how to change that.
fn why_no_router(link: &Link) -> String {
    if names::is_wireless(&link.name) {
        return NO_ACCESS_POINT.to_owned();
    }
    let why = if !link.is_up {
        "it is down, or nothing is connected"
    } else if link.addresses == Families::default() {
        "it has no address of this machine"
    } else {
        "this machine does not forward its packets (sysctl net.ipv4.ip_forward)"
    };
    format!("no access point and no DHCP server is on it, and {why}")
}

/// Why the filter does not belong on an interface, whatever speaks for it.
fn against(network: &Network, far: &BTreeMap<u32, String>, link: &Link) -> Option<String> {
    if let Some(reason) = far.get(&link.index) {
        return Some(reason.clone());
    }
    if let Some(bridge) = controller(network, link) {
        if !far.contains_key(&bridge.index) {
            return Some(format!(
                "it is a port of {}: filter one of the two, not both",
                bridge.name
            ));
        }
        if wireless(network, link).is_none() {
            let hint = if names::is_wireless(&link.name) {
                format!("; {NO_ACCESS_POINT}")
            } else {
                String::new()
            };
            return Some(format!(
                "it is a port of {}, to which a default route leads{hint}",
                bridge.name
            ));
        }
    }
    if names::is_for_guests(&link.name) {
        return Some("by its name it belongs to containers or virtual machines".to_owned());
    }
    match link.kind {
        LinkKind::Tunnel => {
            Some("it is the end of a tunnel: its packets have no MAC of a device".to_owned())
        }
        LinkKind::Internal => Some("no packets of devices come in there".to_owned()),
        _ => None,
    }
}

/// The bridge or bond that an interface belongs to.
fn controller<'a>(network: &'a Network, link: &Link) -> Option<&'a Link> {
    at(network, link.controller?).filter(|other| other.word != "vrf")
}

fn at(network: &Network, index: u32) -> Option<&Link> {
    network.links.iter().find(|link| link.index == index)
}

fn wireless(network: &Network, link: &Link) -> Option<&'static str> {
    let found = network
        .wireless
        .iter()
        .find(|found| found.index == link.index)?;
    Some(match found.kind {
        WirelessKind::AccessPoint(_) => "access point",
        WirelessKind::Mesh => "mesh point",
    })
}
