//! Writes the guard's errors and warnings, with fixes.

use std::collections::BTreeSet;

use super::{
    cut::{Cut, WrittenEntry},
    target::TargetKind,
};
use crate::{
    address::Destination,
    policy::{
        Acceptance, Diagnostic, Diagnostics, Override, Policy, Risk, Service, SourcePlace, Texts,
    },
};

/// Maximum number of cuts that one message names.
const SHOWN: usize = 3;

/// Returns the error for a `policy` that runs `risk` without accepting it. `cuts` are
/// all its cuts of that risk, at least one.
pub(super) fn refusal(policy: &Policy, risk: Risk, cuts: &[&Cut], texts: &Texts) -> Diagnostic {
    let Cut {
        entry, narrower, ..
    } = cuts[0];
    let place = texts.place(&entry.file, entry.line, |word| {
        holds(word, entry.destination)
    });
    let message = message(policy, risk, cuts);
    let error = Diagnostic::error(place, message, help(policy, risk, cuts));
    let action_place = policy.changed().and_then(Override::action_place);
    match (action_place, narrower) {
        (Some(place), _) => error.with_related(place.clone(), "an overlay sets the action here"),
        (None, Some(allow)) => error.with_related(
            allow.clone(),
            "this `allow` does not prevent it: it does not cover all of these packets at all times",
        ),
        (None, None) => error,
    }
}

fn message(policy: &Policy, risk: Risk, cuts: &[&Cut]) -> String {
    let line = |cut: &Cut| (cut.entry.file.clone(), cut.entry.line);
    let first = line(cuts[0]);
    let shown = cuts.iter().take(SHOWN).map(|cut| {
        let (file, number) = line(cut);
        if (&file, number) == (&first.0, first.1) {
            return describe(cut);
        }
        let file = crate::printable::path(&file);
        match number {
            Some(number) => format!("{} ({file}:{number})", describe(cut)),
            None => format!("{} ({file})", describe(cut)),
        }
    });
    let mut shown: Vec<String> = shown.collect();
    let hidden = cuts.len() - shown.len();
    shown.extend((hidden > 0).then(|| format!("and {hidden} more")));
    let scope = policy.scope();
    let whom = if risk == Risk::Wan {
        "the gateway itself"
    } else if scope.devices.is_empty() && scope.except_devices.is_empty() {
        "every device"
    } else {
        "its devices"
    };
    let what = match risk {
        Risk::Lan | Risk::Wan | Risk::Private => "",
        Risk::ShortPrefix => "very wide networks: ",
    };
    let cuts = shown.join("; ");
    let name = policy.command().unwrap_or(policy.name().as_str());
    format!("`{name}` would cut {whom} off from {what}{cuts}")
}

/// Adds a warning for each place at which `policy` accepts `risk`. The caller knows
/// that the policy does not run this risk.
pub(super) fn warn_unneeded(policy: &Policy, risk: Risk, out: &mut Diagnostics) {
    let accepted = policy.accepted().iter().flat_map(Acceptance::risks);
    let places: Vec<&SourcePlace> = accepted
        .filter(|(accepted, _)| *accepted == risk)
        .map(|(_, place)| place)
        .collect();
    for place in places {
        let message = format!(
            "`{}` accepts the risk `{risk}`, but does not run it",
            policy.name()
        );
        let help = "remove it, so that the guard can report a later mistake";
        out.push(Diagnostic::warning(place.clone(), message, help));
    }
}

fn holds(outer: Destination, inner: Destination) -> bool {
    match (outer, inner) {
        (Destination::Ipv4(outer), Destination::Ipv4(inner)) => outer.contains(inner),
        (Destination::Ipv6(outer), Destination::Ipv6(inner)) => outer.contains(inner),
        (Destination::Ipv4(_) | Destination::Ipv6(_), _) => false,
    }
}

fn describe(cut: &Cut) -> String {
    let what = describe_target(cut);
    match cut.derived {
        Some(derived) => format!("{what} ({derived})"),
        None => what,
    }
}

fn describe_target(cut: &Cut) -> String {
    let network = &cut.network;
    let names: Vec<&str> = cut.on.iter().map(String::as_str).collect();
    let on = if names.is_empty() {
        String::new()
    } else {
        format!(" on {}", names.join(" and "))
    };
    let services: Vec<String> = cut.services.iter().map(ToString::to_string).collect();
    let services = services.join(" and ");
    match cut.what {
        TargetKind::OwnAddress => format!("the gateway's own address {network}{on}"),
        TargetKind::NextHop => format!("the next hop {network}{on}"),
        TargetKind::Resolver => format!("the resolver {network}, {services}{on}"),
        TargetKind::DhcpServer => format!("the DHCP server {network}, {services}{on}"),
        TargetKind::Broadcast => format!("the limited broadcast {network}{on}"),
        TargetKind::Multicast => format!("multicast {network}{on}"),
        TargetKind::LinkLocal => format!("link-local {network}{on}"),
        TargetKind::Loopback => format!("loopback {network}{on}"),
        TargetKind::Private => format!("private {network} (RFC 1918){on}"),
        TargetKind::Shared => format!("shared {network} (RFC 6598){on}"),
        TargetKind::UniqueLocal => format!("unique local {network} (RFC 4193){on}"),
        TargetKind::Internet if network.contains(':') => format!("{network}, shorter than /16{on}"),
        TargetKind::Internet => format!("{network}, shorter than /8{on}"),
    }
}

fn help(policy: &Policy, risk: Risk, cuts: &[&Cut]) -> String {
    if policy.command().is_some() {
        return format!(
            "if you want this, write a policy with `accept_risk: [{risk}]` and a `reason` instead"
        );
    }
    let accepted = policy.accepted().iter().flat_map(Acceptance::risks);
    let risks: BTreeSet<Risk> = accepted.map(|(risk, _)| risk).chain([risk]).collect();
    let risks: Vec<&str> = risks.into_iter().map(Risk::name).collect();
    format!(
        "{}; or, if you want this, write `accept_risk: [{}]` and a `reason` in {}`{}`",
        fix(policy, cuts),
        risks.join(", "),
        if policy.changed().is_some() {
            "the override of "
        } else {
            ""
        },
        policy.name()
    )
}

/// Returns the text that tells how to change the policies, so that the first of `cuts`
/// and similar ones no longer occur.
fn fix(policy: &Policy, cuts: &[&Cut]) -> String {
    let Cut { what, entry, .. } = cuts[0];
    let fix = match what {
        TargetKind::Internet => {
            "write longer prefixes, or make the policy `action: count`, which only counts"
                .to_owned()
        }
        TargetKind::Resolver => allow("resolvers", cuts),
        TargetKind::DhcpServer => allow("dhcp-servers", cuts),
        TargetKind::OwnAddress
        | TargetKind::NextHop
        | TargetKind::Broadcast
        | TargetKind::Multicast
        | TargetKind::LinkLocal
        | TargetKind::Loopback
        | TargetKind::Private
        | TargetKind::Shared
        | TargetKind::UniqueLocal => leave_out(policy, cuts, entry),
    };
    match cuts[0].derived {
        Some(_) => format!("{fix}; or write `derive: none` in `{}`", policy.name()),
        None => fix,
    }
}

fn leave_out(policy: &Policy, cuts: &[&Cut], entry: &WrittenEntry) -> String {
    let all = cuts.iter().filter(|cut| !is_server(cut));
    if policy.changed().is_some() {
        let except = networks(all.map(|cut| &cut.target));
        return format!("leave it out in the override: `except: [{except}]`");
    }
    // A database has no lines that could be removed.
    if entry.inside && entry.line.is_some() {
        return if entry.in_list {
            "take this line out of the list".to_owned()
        } else {
            "remove this destination".to_owned()
        };
    }
    if !entry.is_cidr {
        return allow("local", cuts);
    }
    let same = all.filter(|cut| cut.entry.destination == entry.destination);
    let except = networks(entry.except.iter().chain(same.map(|cut| &cut.target)));
    let cidr = quoted(&entry.network);
    format!("leave it out: `{{cidr: {cidr}, except: [{except}]}}`")
}

fn is_server(cut: &Cut) -> bool {
    matches!(cut.what, TargetKind::Resolver | TargetKind::DhcpServer)
}

/// Returns a text that suggests an `allow` policy called `name` for the target of the
/// first cut and the targets of similar cuts.
fn allow(name: &str, cuts: &[&Cut]) -> String {
    let alike = |cut: &&&Cut| cut.what == cuts[0].what || !is_server(cut) && !is_server(cuts[0]);
    let same = cuts.iter().filter(alike);
    let services: BTreeSet<Service> = same
        .clone()
        .flat_map(|cut| &cut.services)
        .copied()
        .collect();
    let destinations = networks(same.map(|cut| &cut.target));
    let services = if services.is_empty() {
        String::new()
    } else {
        let services: Vec<String> = services.iter().map(Service::to_string).collect();
        format!(", services: [{}]", services.join(", "))
    };
    format!(
        "exempt it with a policy: `- {{name: {name}, action: allow, destinations: [{destinations}]{services}}}`"
    )
}

/// Joins the targets, in the order of the cuts and without duplicates.
fn networks<'a>(targets: impl Iterator<Item = &'a String>) -> String {
    let mut seen = BTreeSet::new();
    let each = targets.filter(|target| seen.insert(*target));
    each.map(|target| quoted(target))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Quotes a network if YAML would read it as something else.
fn quoted(network: &str) -> String {
    if network.starts_with(':') || network.ends_with(':') {
        format!("\"{network}\"")
    } else {
        network.to_owned()
    }
}
