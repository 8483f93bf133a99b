//! Interfaces that carry packets of devices, and have no filter.

use super::egress::{ATTACH_AGAIN, egress};
use crate::doctor::{
    facts::{DaemonFact, Facts, FilterAt, Link, LinkKind},
    finding::Remark,
};

/// The most interfaces below one another that are looked at.
const DEEPEST: usize = 8;

/// Says for each interface whether the filter sees what enters there, and what leaves.
pub(super) fn check(facts: &Facts) -> Vec<Remark> {
    let (links, filters) = match (&facts.links, &facts.filters) {
        (Ok(links), Ok(filters)) => (links, filters),
        (Err(why), _) => return vec![unreadable("interfaces", why)],
        (_, Err(why)) => return vec![unreadable("the filter", why)],
    };
    let view = View::new(links, filters, &facts.far_sides);
    let mut remarks = Vec::new();
    for filter in filters {
        let link = links.iter().find(|link| runs(link, filter));
        remarks.push(filtered(filter, link));
        remarks.extend(link.and_then(|link| egress(link, filter)));
    }
    let waiting = match &facts.daemon {
        DaemonFact::Answers { waiting, .. } => waiting.as_slice(),
        DaemonFact::Silent(_) | DaemonFact::None => &[],
    };
    remarks.extend(waiting.iter().map(|waiting| {
        Remark::blind(
            format!("{} is not filtered, but should be", waiting.interface),
            waiting.why.clone(),
            "remove what is in the way, or correct `interface` in the config file",
        )
    }));
    let waits = |link: &Link| waiting.iter().any(|one| one.interface == link.name);
    let is_lost =
        |link: &&Link| facts.detached.contains(&link.name) && !view.covers(link) && !waits(link);
    remarks.extend(links.iter().filter(is_lost).map(lost));
    if filters.is_empty() {
        remarks.push(Remark::blind(
            "no interface is filtered",
            "the filter is not attached, so no packet is seen",
            "start the daemon: `monitor run --interface NAME`",
        ));
        return remarks;
    }
    let others = links.iter().filter(|link| !is_lost(link));
    remarks.extend(others.filter_map(|link| view.remark(link)));
    remarks
}

fn unreadable(what: &str, why: &str) -> Remark {
    Remark::unknown(
        format!("{what} cannot be read"),
        why,
        "run as root, or as the user that runs the daemon",
    )
}

fn filtered(filter: &FilterAt, link: Option<&Link>) -> Remark {
    match link {
        Some(link) if link.name == filter.name => Remark::ok(format!("{} is filtered", link.name)),
        Some(link) => Remark::ok(format!(
            "{} is filtered, under its old name {}",
            link.name, filter.name
        )),
        None => Remark::blind(
            format!(
                "{} is gone, or belongs to another network namespace",
                filter.name
            ),
            "the filter is pinned, but no interface here runs its program",
            "start the daemon with the interfaces that exist",
        ),
    }
}

/// An interface with a pin of the filter that runs the filter no more.
fn lost(link: &Link) -> Remark {
    Remark::blind(
        format!("{} has lost its filter", link.name),
        "the interface was deleted and created again, or another program detached the filter",
        ATTACH_AGAIN,
    )
}

/// An interface towards the internet without a filter. That is a choice.
fn far_side(link: &Link) -> Remark {
    let name = &link.name;
    let how = if link.mac.is_some() {
        format!("`--interface {name}:wan` shows them")
    } else {
        "the filter cannot run there, because it has no Ethernet frames".to_owned()
    };
    Remark::ok(format!(
        "{name} is the far side: a default route leads there, or led there. Answers, and packets of the gateway itself, are not seen there; {how}"
    ))
}

fn runs(link: &Link, filter: &FilterAt) -> bool {
    link.index == filter.index && link.program == Some(filter.program)
}

/// The interfaces, and which of them the filter covers.
pub(super) struct View<'a> {
    links: &'a [Link],
    filters: &'a [FilterAt],
    far_sides: &'a [u32],
}

impl<'a> View<'a> {
    pub(super) fn new(links: &'a [Link], filters: &'a [FilterAt], far_sides: &'a [u32]) -> Self {
        Self {
            links,
            filters,
            far_sides,
        }
    }

    /// The interfaces that run the filter.
    pub(super) fn filtered(&self) -> impl Iterator<Item = &'a Link> {
        self.links.iter().filter(|link| self.runs_filter(link))
    }

    /// The interface with this index.
    pub(super) fn link(&self, index: u32) -> Option<&'a Link> {
        self.links.iter().find(|link| link.index == index)
    }

    /// The ports of a bridge, and the parts of a bond.
    pub(super) fn ports(&self, index: u32) -> impl Iterator<Item = &'a Link> {
        let has_it = move |link: &&Link| link.controller == Some(index);
        self.links.iter().filter(has_it)
    }

    /// True if every packet that enters through the interface to an IP stack passes the
    /// filter: the interface runs it, or its bridge, or an interface below.
    pub(super) fn covers(&self, link: &Link) -> bool {
        let above = self.combiner(link);
        above.is_some_and(|above| self.runs_filter(above)) || self.covers_within(link, DEEPEST)
    }

    /// True if the filter runs on the interface, on every part of it, or below it.
    fn covers_within(&self, link: &Link, depth: usize) -> bool {
        let Some(depth) = depth.checked_sub(1) else {
            return false;
        };
        // Linux removes the tag of a VLAN before a bridge can take the frame, and after a bond
        // took it. So a VLAN on a port of a bridge does not pass the bridge.
        let bond = self.combiner(link).filter(|on| on.kind == LinkKind::Bond);
        if self.runs_filter(link) || bond.is_some_and(|bond| self.runs_filter(bond)) {
            return true;
        }
        let is_combined = matches!(link.kind, LinkKind::Bridge | LinkKind::Bond);
        let mut ports = self.ports(link.index).filter(|port| port.is_up).peekable();
        if is_combined && ports.peek().is_some() {
            return ports.all(|port| self.covers_within(port, depth));
        }
        let below = link.lower.and_then(|lower| self.link(lower));
        below.is_some_and(|below| self.covers_within(below, depth))
    }

    fn runs_filter(&self, link: &Link) -> bool {
        self.filters.iter().any(|filter| runs(link, filter))
    }

    /// The interfaces on this one, such as its VLANs.
    pub(super) fn stacked_on(&self, index: u32) -> impl Iterator<Item = &'a Link> {
        self.links
            .iter()
            .filter(move |link| link.lower == Some(index))
    }

    /// The bridge or bond that the interface belongs to.
    fn combiner(&self, link: &Link) -> Option<&'a Link> {
        let above = self.link(link.controller?)?;
        matches!(above.kind, LinkKind::Bridge | LinkKind::Bond).then_some(above)
    }

    pub(super) fn is_far_side(&self, link: &Link) -> bool {
        self.far_sides.contains(&link.index)
    }

    /// True if devices may send packets of their own through the interface.
    fn carries(&self, link: &Link) -> bool {
        if !link.is_up || link.kind == LinkKind::Internal {
            return false;
        }
        match self.combiner(link) {
            // The check of tunnels judges it.
            None if link.kind == LinkKind::Tunnel => false,
            // A part of a bridge or bond with a filter on some parts only.
            Some(above) => self.has_covered_port(above),
            None => {
                (link.routes() || self.connects_ports(link)) && !self.is_seen_through_ports(link)
            }
        }
    }

    /// True for a bridge that forwards frames between ports.
    fn connects_ports(&self, link: &Link) -> bool {
        let mut ports = self.ports(link.index).filter(|port| port.is_up);
        link.kind == LinkKind::Bridge && ports.nth(1).is_some()
    }

    /// True for a bridge whose ports all lead into other network namespaces.
    fn is_of_containers(&self, link: &Link) -> bool {
        let mut ports = self.ports(link.index).filter(|port| port.is_up).peekable();
        link.kind == LinkKind::Bridge
            && ports.peek().is_some()
            && ports.all(|port| port.leads_elsewhere)
    }

    fn has_covered_port(&self, bridge: &Link) -> bool {
        self.ports(bridge.index).any(|port| self.covers(port))
    }

    /// True for a bridge or bond of which some part is filtered: its other parts are judged
    /// one by one.
    fn is_seen_through_ports(&self, link: &Link) -> bool {
        matches!(link.kind, LinkKind::Bridge | LinkKind::Bond) && self.has_covered_port(link)
    }

    fn remark(&self, link: &Link) -> Option<Remark> {
        if self.covers(link) || !self.carries(link) {
            return None;
        }
        let name = &link.name;
        let above = self.combiner(link);
        if self.is_far_side(above.unwrap_or(link)) && self.is_only_open_port(link, above) {
            return Some(far_side(link));
        }
        if self.is_of_containers(link) {
            return Some(Remark::degraded(
                format!("{name} has no filter, and connects network namespaces of this machine"),
                "all its ports lead into other network namespaces, as those of containers do; packets of these programs are not seen",
                format!(
                    "filter it with `--interface {name}`, or accept this finding in `doctor:` of the config file"
                ),
            ));
        }
        let why = match above {
            Some(bridge) => format!("it is a port of {}, and the filter sees other ports only", bridge.name),
            None if !link.routes() => "it forwards frames between its ports, and no filter is on the bridge or on a port".to_owned(),
            None => "it forwards packets, and the filter sees packets only where they enter through a filtered interface".to_owned(),
        };
        Some(Remark::blind(
            format!("{name} has no filter"),
            why,
            format!("filter it with `--interface {name}`, or stop forwarding there"),
        ))
    }

    /// True if the interface is no port, or the only port of its bridge without a filter.
    fn is_only_open_port(&self, link: &Link, above: Option<&Link>) -> bool {
        above.is_none_or(|bridge| {
            let mut open = self
                .ports(bridge.index)
                .filter(|port| port.is_up && !self.covers(port));
            open.all(|port| port.index == link.index)
        })
    }
}
