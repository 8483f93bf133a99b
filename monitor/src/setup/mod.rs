//! `monitor setup`: which interface the devices are on, and why.
//!
//! ```text
//! netlink, lease files ─► Network ─► judge ─► Judgement ─► file
//! ```

mod file;
#[cfg(test)]
mod tests;

pub use file::{Form, SetupError, with_interfaces};

use crate::doctor::facts::{Link, LinkKind, Network, WirelessKind};

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
/// interface with one is proposed. Without a strong sign, the only interface that routes is
/// proposed.
#[must_use]
pub fn judge(network: &Network) -> Vec<Judgement> {
    let signs = network.links.iter().filter(|link| link.name != "lo");
    let signs: Vec<_> = signs.map(|link| (link, sign(network, link))).collect();
    let any_strong = signs
        .iter()
        .any(|(_, sign)| matches!(sign, Sign::Strong(_)));
    let routers = signs
        .iter()
        .filter(|(_, sign)| matches!(sign, Sign::Weak(_)));
    let only_router = routers.count() == 1;
    let each = signs.into_iter().map(|(link, sign)| {
        let (is_proposed, reasons) = match sign {
            Sign::Strong(reasons) => (true, reasons),
            Sign::Weak(mut reasons) => {
                reasons.push(if any_strong {
                    "no access point and no DHCP server is on it, and another interface has one"
                        .to_owned()
                } else if only_router {
                    "no other interface does".to_owned()
                } else {
                    "other interfaces do too: only you can tell which one the devices are on"
                        .to_owned()
                });
                (!any_strong && only_router, reasons)
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

/// What speaks for or against an interface.
enum Sign {
    Strong(Vec<String>),
    Weak(Vec<String>),
    Against(String),
}

fn sign(network: &Network, link: &Link) -> Sign {
    if let Some(reason) = against(network, link) {
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
    if link.routes() {
        return Sign::Weak(vec!["this machine routes for it".to_owned()]);
    }
    Sign::Against(
        "no access point and no DHCP server is on it, and this machine does not route for it"
            .to_owned(),
    )
}

/// Why the filter does not belong on an interface, whatever speaks for it.
fn against(network: &Network, link: &Link) -> Option<String> {
    let is_far = |index| network.far_sides.contains(&index);
    if is_far(link.index) {
        return Some(
            "a default route leads there: behind address translation the devices cannot be told apart".to_owned(),
        );
    }
    let far = network
        .links
        .iter()
        .find(|other| is_far(other.index) && other.lower == Some(link.index));
    if let Some(far) = far {
        return Some(format!(
            "it carries {}, to which a default route leads",
            far.name
        ));
    }
    if let Some(bridge) = controller(network, link) {
        if !is_far(bridge.index) {
            return Some(format!(
                "it is a port of {}: filter one of the two, not both",
                bridge.name
            ));
        }
        if wireless(network, link).is_none() {
            return Some(format!(
                "it is a port of {}, to which a default route leads",
                bridge.name
            ));
        }
    }
    if is_for_guests(&link.name) {
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
    let index = link.controller?;
    network.links.iter().find(|other| other.index == index)
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

/// Names of bridges and ports that Docker, Podman, libvirt, LXC and Kubernetes make.
fn is_for_guests(name: &str) -> bool {
    const PREFIXES: [&str; 9] = [
        "docker", "podman", "virbr", "vnet", "lxcbr", "lxdbr", "veth", "cni", "cali",
    ];
    let is_docker_network = name
        .strip_prefix("br-")
        .is_some_and(|id| id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
    is_docker_network || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}
