//! Packets that the gateway forwards and no policy matches: IPv6, and what leaves tunnels.

use super::{
    interface::View,
    paths::{not_looked, view},
};
use crate::doctor::{
    facts::{Facts, Link, LinkKind},
    finding::Remark,
};

/// IPv6 that is forwarded without a policy about it.
pub(super) fn ipv6(facts: &Facts) -> Vec<Remark> {
    let Some(view) = view(facts) else {
        return vec![not_looked("whether IPv6 is forwarded")];
    };
    let passes: Vec<&str> = view
        .filtered()
        .filter(|link| passes_ipv6(&view, link))
        .map(|link| link.name.as_str())
        .collect();
    if passes.is_empty() {
        return vec![Remark::ok("no filtered interface forwards IPv6")];
    }
    let names = passes.join(", ");
    match &facts.policies {
        Ok(policies) if policies.with_ipv6 > 0 && policies.with_ipv6 < policies.active => {
            vec![Remark::degraded(
                format!(
                    "{names}: IPv6 is forwarded, and only {} of {} policies name IPv6 destinations",
                    policies.with_ipv6, policies.active
                ),
                "the other policies do not see what a device sends to the same service over IPv6",
                "`monitor check` lists the policies; `monitor explain ADDRESS` shows whose IPv6 networks to add",
            )]
        }
        Ok(policies) if policies.with_ipv6 > 0 => vec![Remark::ok(format!(
            "{names}: IPv6 is forwarded; policies that name it: {}",
            policies.with_ipv6
        ))],
        Ok(_) => vec![Remark::blind(
            format!("{names}: IPv6 is forwarded, and no policy names IPv6 destinations"),
            "a device reaches the same service over IPv6, where no policy matches",
            "add the IPv6 networks of the holder to the policies; `monitor explain ADDRESS` shows whose they are",
        )],
        Err(why) => vec![Remark::unknown(
            format!("{names}: IPv6 is forwarded, and the policies cannot be read"),
            why,
            "`monitor check` shows what is wrong with them",
        )],
    }
}

fn passes_ipv6(view: &View<'_>, link: &Link) -> bool {
    let above = link.controller.and_then(|index| view.link(index));
    let is_bridged = above.is_some_and(|above| above.kind == LinkKind::Bridge);
    let mut stacked = view.stacked_on(link.index);
    link.forwards.ipv6 || is_bridged || stacked.any(|link| link.forwards.ipv6)
}

/// Tunnels that end at this gateway.
pub(super) fn tunnel(facts: &Facts) -> Vec<Remark> {
    let Some(view) = view(facts) else {
        return vec![not_looked("tunnels")];
    };
    let links = facts.links.as_ref().map_or(&[][..], Vec::as_slice);
    let tunnels = links
        .iter()
        .filter(|link| link.kind == LinkKind::Tunnel && link.is_up);
    let mut remarks: Vec<Remark> = tunnels
        .filter_map(|link| tunnel_remark(&view, link))
        .collect();
    remarks.extend(ipsec(facts));
    if remarks.is_empty() {
        remarks.push(Remark::ok("no tunnel brings packets past the filter"));
    }
    remarks
}

/// IPsec without interfaces: policies of the kernel take packets out of tunnels.
fn ipsec(facts: &Facts) -> Vec<Remark> {
    let policies = match &facts.ipsec {
        Ok(policies) => policies,
        Err(why) => {
            return vec![Remark::unknown(
                "policies of IPsec cannot be read",
                why,
                "run as root, or give the process CAP_NET_ADMIN",
            )];
        }
    };
    let mut sources: Vec<&str> = policies
        .iter()
        .filter(|policy| !policy.is_everything)
        .map(|policy| policy.source.as_str())
        .collect();
    sources.sort_unstable();
    sources.dedup();
    if let Some(first) = sources.first() {
        let more = match sources.len() - 1 {
            0 => String::new(),
            more => format!(", and from {more} more networks"),
        };
        return vec![Remark::blind(
            format!("IPsec forwards packets that come out of tunnels from {first}{more}"),
            "on the way in, the filter sees only the encrypted packets",
            "`ip xfrm policy` shows the tunnels; filter on the gateway at their other end, or use the firewall",
        )];
    }
    if policies.is_empty() {
        return Vec::new();
    }
    vec![Remark::ok(
        "IPsec leads to the internet: the filter sees packets before they are encrypted",
    )]
}

fn tunnel_remark(view: &View<'_>, link: &Link) -> Option<Remark> {
    let Link { name, word, .. } = link;
    if view.covers(link) {
        return None;
    }
    if view.is_far_side(link) {
        let answers = if word == "ppp" {
            "Answers are seen if the interface that carries the session has the role `wan`"
        } else {
            "Answers that come out of it, and packets of the gateway itself, are not seen"
        };
        return Some(Remark::ok(format!(
            "{name} ({word}) is the far side: the filter sees packets of devices before they enter it. {answers}"
        )));
    }
    if !link.routes() {
        return None;
    }
    if word == "ppp" {
        return Some(Remark::unknown(
            format!("{name} ({word}) forwards packets of its other end"),
            "the filter sees them only if they come as PPPoE through a filtered interface",
            "filter the interface that carries the PPPoE frames",
        ));
    }
    Some(Remark::blind(
        format!("{name} ({word}) forwards packets that come out of the tunnel"),
        "on the way in, the filter sees only the outer packets",
        format!(
            "if it carries Ethernet frames, filter it with `--interface {name}`; otherwise stop forwarding there, or use the firewall"
        ),
    ))
}
