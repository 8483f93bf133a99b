//! Packets that pass by the filter inside the gateway: mode, programs, offload, stations.

use super::interface::View;
use crate::{
    doctor::{
        facts::{Facts, Flowtable, Ingress, Isolation, Link, LinkKind, Wireless, WirelessKind},
        finding::Remark,
    },
    snapshot::Mode,
};

/// The interfaces, if they and the filter can be read. Otherwise the check `interface` says so.
pub(super) fn view(facts: &Facts) -> Option<View<'_>> {
    let (links, filters) = (facts.links.as_ref().ok()?, facts.filters.as_ref().ok()?);
    Some(View::new(links, filters, &facts.far_sides))
}

/// The mode of XDP on each filtered interface, and what it costs.
pub(super) fn mode(facts: &Facts) -> Vec<Remark> {
    let Some(view) = view(facts) else {
        return vec![not_looked("the mode of the filter")];
    };
    let is_wireless = |link: &Link| {
        let wireless = facts.wireless.as_ref().map_or(&[][..], Vec::as_slice);
        wireless.iter().any(|wireless| wireless.index == link.index)
    };
    let each = view.filtered().map(|link| {
        let name = &link.name;
        match link.mode {
            Some(Mode::Generic) if is_wireless(link) => Remark::ok(format!(
                "{name} has the generic mode, the only one for WiFi"
            )),
            Some(Mode::Generic) => Remark::degraded(
                format!("{name} has the generic mode"),
                "the kernel makes a buffer for each packet before the filter sees it, so the filter handles about half as many packets; it may also merge segments of TCP, and they count as one packet",
                "if the driver has a hook for XDP, `--mode native` uses it, or says why it cannot; `monitor detach` comes first",
            ),
            Some(Mode::Native) => Remark::ok(format!("{name} has the native mode")),
            // A mode of XDP is never that of a classifier.
            Some(Mode::Tcx | Mode::Clsact) | None => {
                Remark::ok(format!("{name} has the mode of its hardware"))
            }
        }
    });
    each.collect()
}

/// Programs of others on the way of the packets, before the filter or after it.
pub(super) fn program(facts: &Facts) -> Vec<Remark> {
    let Some(view) = view(facts) else {
        return vec![not_looked("programs of others")];
    };
    let mut remarks = Vec::new();
    for link in view.filtered() {
        remarks.extend(at_ingress(facts, link).and_then(|found| after(link, found)));
        let below = link.lower.and_then(|lower| view.link(lower));
        for before in view.ports(link.index).chain(below) {
            remarks.extend(before_filter(facts, before, link));
        }
    }
    if remarks.is_empty() {
        remarks.push(Remark::ok("no other XDP or tc program handles the packets"));
    }
    remarks
}

fn at_ingress<'a>(facts: &'a Facts, link: &Link) -> Option<&'a Result<Ingress, String>> {
    facts.ingress.get(&link.index)
}

fn after(link: &Link, found: &Result<Ingress, String>) -> Option<Remark> {
    let name = &link.name;
    match found {
        Ok(found) if found.is_empty() => None,
        Ok(found) => Some(Remark::degraded(
            format!("{name} has {} after the filter", words(found)),
            "a packet that the filter let pass can still be dropped or redirected there",
            format!("`tc filter show dev {name} ingress` and `bpftool net` show what it is"),
        )),
        Err(why) => Some(unknown_program(name, why)),
    }
}

fn before_filter(facts: &Facts, before: &Link, filtered: &Link) -> Option<Remark> {
    let name = &before.name;
    let found = match at_ingress(facts, before) {
        Some(Err(why)) => return Some(unknown_program(name, why)),
        Some(Ok(found)) => found.clone(),
        None => Ingress::default(),
    };
    let what = match before.program {
        Some(number) => format!("the XDP program {number}"),
        None if found.is_empty() => return None,
        None => words(&found),
    };
    Some(Remark::blind(
        format!("{name} has {what} before the filter"),
        format!(
            "packets that it drops or redirects never reach the filter on {}",
            filtered.name
        ),
        format!("remove it, or filter {name} in place of {}", filtered.name),
    ))
}

fn words(found: &Ingress) -> String {
    let filters =
        (!found.filters.is_empty()).then(|| format!("tc filters ({})", found.filters.join(", ")));
    let linked = match found.linked {
        0 => None,
        1 => Some("a tc program".to_owned()),
        more => Some(format!("{more} tc programs")),
    };
    let both: Vec<String> = filters.into_iter().chain(linked).collect();
    both.join(" and ")
}

fn unknown_program(name: &str, why: &str) -> Remark {
    Remark::unknown(
        format!("programs of tc on {name} cannot be read"),
        why,
        "run as root",
    )
}

/// Hardware that forwards packets by itself.
pub(super) fn offload(facts: &Facts) -> Vec<Remark> {
    let mut remarks: Vec<Remark> = match &facts.flowtables {
        Ok(tables) => tables.iter().map(flowtable).collect(),
        Err(why) => vec![Remark::unknown(
            "flowtables of nftables cannot be read",
            why,
            "run as root, or give the process CAP_NET_ADMIN",
        )],
    };
    let links = facts.links.as_ref().map_or(&[][..], Vec::as_slice);
    for link in links {
        let rules = at_ingress(facts, link).and_then(|found| found.as_ref().ok());
        if let Some(rules) = rules.filter(|found| found.in_hardware > 0) {
            remarks.push(Remark::blind(
                format!("{}: hardware executes rules of tc", link.name),
                format!(
                    "packets that its {} rules drop or redirect never reach the kernel",
                    rules.in_hardware
                ),
                format!("`ethtool -K {} hw-tc-offload off`", link.name),
            ));
        }
    }
    remarks.extend(hardware_tc(facts, links));
    remarks.extend(accelerators(facts));
    if remarks.is_empty() {
        remarks.push(Remark::ok("no hardware forwards packets past the filter"));
    }
    remarks
}

fn accelerators(facts: &Facts) -> Vec<Remark> {
    let modules = match &facts.accelerators {
        Ok(modules) => modules,
        Err(why) => {
            return vec![Remark::unknown(
                "the kernel's modules cannot be listed",
                why,
                "`lsmod` as root lists them",
            )];
        }
    };
    let each = modules.iter().map(|module| {
        Remark::blind(
            format!("the kernel module {module} forwards packets past the filter"),
            "after the first packets of a connection, the others skip the network stack",
            format!("turn the acceleration off, or unload it: `rmmod {module}`"),
        )
    });
    each.collect()
}

fn flowtable(table: &Flowtable) -> Remark {
    let Flowtable {
        table,
        name,
        interfaces,
        in_hardware,
    } = table;
    let on = interfaces.join(", ");
    if *in_hardware {
        return Remark::blind(
            format!("the flowtable {name} moves connections into hardware ({on})"),
            "hardware forwards their packets, and the filter sees only the first ones",
            format!("remove `flags offload` from the flowtable {name} in the table {table}"),
        );
    }
    Remark::ok(format!(
        "the flowtable {name} is in software: its packets pass the filter first"
    ))
}

fn hardware_tc(facts: &Facts, links: &[Link]) -> Vec<Remark> {
    let on = match &facts.hardware_tc {
        Ok(on) => on,
        Err(why) => {
            return vec![Remark::unknown(
                "the features of network cards cannot be read",
                why,
                "`ethtool -k NAME` shows hw-tc-offload of each card",
            )];
        }
    };
    let each = links
        .iter()
        .filter(|link| on.contains(&link.index))
        .map(|link| {
            Remark::degraded(
                format!("{} lets programs move rules into hardware", link.name),
                "hw-tc-offload is on; packets that hardware handles are not seen",
                format!("`ethtool -K {} hw-tc-offload off`", link.name),
            )
        });
    each.collect()
}

/// Packets from device to device that the gateway does not receive.
pub(super) fn station(facts: &Facts) -> Vec<Remark> {
    let mut remarks: Vec<Remark> = match &facts.wireless {
        Ok(found) => found.iter().map(wireless).collect(),
        Err(why) => vec![Remark::unknown(
            "WiFi interfaces cannot be listed",
            why,
            "`iw dev` shows them",
        )],
    };
    if let Some(view) = view(facts) {
        let bridges = view.filtered().filter(|link| link.kind == LinkKind::Bridge);
        for bridge in bridges {
            remarks.extend(between_ports(&view, bridge));
            remarks.extend(hairpins(&view, bridge));
        }
    }
    remarks.extend(facts.links.iter().flat_map(|links| switches(links)));
    if remarks.is_empty() {
        remarks.push(Remark::ok("no frames between stations pass by the filter"));
    }
    remarks
}

fn wireless(found: &Wireless) -> Remark {
    let name = &found.name;
    let why = "frames from station to station stay inside the access point: no filter sees them";
    match &found.kind {
        WirelessKind::Mesh => Remark::blind(
            format!("{name}: mesh points forward frames for each other"),
            "frames that this mesh point forwards stay inside its WiFi stack",
            "filter on the gateway of the mesh, and watch only what leaves the mesh",
        ),
        WirelessKind::AccessPoint(Isolation::On(file)) => Remark::ok(format!(
            "{name}: stations are isolated (ap_isolate=1 in {file})"
        )),
        WirelessKind::AccessPoint(Isolation::Off(file)) => Remark::blind(
            format!("{name}: stations reach each other"),
            why,
            format!("write ap_isolate=1 into {file}, and restart hostapd"),
        ),
        WirelessKind::AccessPoint(Isolation::Unknown(reason)) => Remark::unknown(
            format!("{name}: nothing says whether stations reach each other"),
            format!("{why}, unless ap_isolate is on; {reason}"),
            "run `monitor doctor` as root; ap_isolate=1 isolates the stations",
        ),
    }
}

/// A bridge that runs the filter: frames from port to port do not pass it.
fn between_ports(view: &View<'_>, bridge: &Link) -> Option<Remark> {
    let ports: Vec<&Link> = view.ports(bridge.index).filter(|port| port.is_up).collect();
    let isolated = ports.iter().filter(|port| port.is_isolated).count();
    let is_closed = ports.len() < 2 || isolated == ports.len();
    if is_closed {
        return None;
    }
    let names: Vec<&str> = ports.iter().map(|port| port.name.as_str()).collect();
    Some(Remark::blind(
        format!(
            "{} forwards frames between {}",
            bridge.name,
            names.join(", ")
        ),
        "the filter is on the bridge, and sees only what leaves the bridge for this machine",
        "filter the ports in place of the bridge, or isolate them: `bridge link set dev PORT isolated on`",
    ))
}

/// Ports of a filtered bridge through which it sends frames back to other stations.
fn hairpins<'a>(view: &View<'a>, bridge: &'a Link) -> impl Iterator<Item = Remark> {
    // A bridge sends nothing from an isolated port to an isolated port.
    let turns = |port: &&Link| port.is_up && port.is_hairpin && !port.is_isolated;
    view.ports(bridge.index).filter(turns).map(move |port| {
        let name = &port.name;
        Remark::blind(
            format!("{} sends frames back through {name} (hairpin)", bridge.name),
            "frames from station to station behind this port do not leave the bridge for this machine",
            format!("filter {name} in place of the bridge, or `bridge link set dev {name} hairpin off`"),
        )
    })
}

/// Ports of one hardware switch in the same bridge.
fn switches(links: &[Link]) -> Vec<Remark> {
    let ports: Vec<&Link> = links
        .iter()
        .filter(|link| link.switch.is_some() && link.is_up)
        .collect();
    let mut told: Vec<(&Option<String>, Option<u32>)> = Vec::new();
    let mut remarks = Vec::new();
    for port in &ports {
        let group = (&port.switch, port.controller);
        let members = ports
            .iter()
            .filter(|other| (&other.switch, other.controller) == group);
        let names: Vec<&str> = members.map(|member| member.name.as_str()).collect();
        if port.controller.is_none() || names.len() < 2 || told.contains(&group) {
            continue;
        }
        told.push(group);
        remarks.push(Remark::blind(
            format!("a hardware switch forwards frames between {}", names.join(", ")),
            "these frames never reach the kernel",
            "give each port a VLAN or a bridge of its own, so that this machine forwards between them",
        ));
    }
    remarks
}

pub(super) fn not_looked(what: &str) -> Remark {
    Remark::unknown(
        format!("{what} cannot be read"),
        "the interfaces or the filter cannot be read",
        "run as root, or as the user that runs the daemon",
    )
}
