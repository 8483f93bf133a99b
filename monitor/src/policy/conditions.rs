//! Typed devices, interfaces and services → [`Scope`].

use std::{collections::BTreeMap, ops::Range, path::Path};

use super::{
    Action, DeviceNames, Policy, Ports, Scope, Service, Strength,
    diagnostic::{Diagnostic, Diagnostics, SourceFile},
    service::join,
    source::{SourcePolicy, Spanned},
};

/// Largest number of port ranges in one policy.
const MAX_PORT_RANGES: usize = 16;

/// Builds the scope that was typed for `policy`. Returns `None` if it is
/// invalid; `out` then has the errors.
pub(super) fn scope(
    policy: &SourcePolicy,
    names: &DeviceNames,
    file: &SourceFile,
    out: &mut Diagnostics,
) -> Option<Scope> {
    let typed = &policy.scope;
    let mut expand = |typed: &Option<Vec<_>>| match typed {
        Some(typed) => names.expand(typed, file, out),
        None => Some(Vec::new()),
    };
    let devices = expand(&typed.devices);
    let except_devices = expand(&typed.except_devices);
    let services = match &typed.services {
        Some(services) => Some(ranges(policy, services, file, out)?),
        None => Some(Vec::new()),
    };
    let mut interfaces = typed.interfaces.clone().unwrap_or_default();
    interfaces.sort_unstable();
    interfaces.dedup();
    let scope = Scope {
        devices: devices?,
        except_devices: except_devices?,
        interfaces,
        services: services?,
    };
    (!typed.incomplete).then_some(scope)
}

fn ranges(
    policy: &SourcePolicy,
    services: &Spanned<Vec<Service>>,
    file: &SourceFile,
    out: &mut Diagnostics,
) -> Option<Vec<Service>> {
    let joined = join(services.value.clone());
    let with_ports = joined.iter().filter(|service| match service {
        Service::Tcp(_) | Service::Udp(_) => true,
        Service::Icmp => false,
    });
    let count = with_ports.count();
    if count > MAX_PORT_RANGES {
        let name = policy.name.as_ref();
        let name = name.map_or_else(String::new, |name| format!(" `{}`", name.value));
        let message = format!(
            "the policy{name} has {count} port ranges: there are at most {MAX_PORT_RANGES} port ranges per policy"
        );
        let help = "join ranges, or write a second policy with the others";
        let place = file.place(services.span.clone());
        out.push(Diagnostic::error(place, message, help));
        return None;
    }
    Some(joined)
}

/// Adds a note if a policy drops TCP port 443 but not UDP port 443: HTTP/3 then
/// still gets through.
pub(super) fn note_quic(
    action: Action,
    services: &[Service],
    span: Option<&Range<usize>>,
    file: &SourceFile,
    out: &mut Diagnostics,
) {
    let Some(span) = span else { return };
    let has = |service: fn(Ports) -> Service| {
        let port = Ports::new(443, 443).map(service);
        services
            .iter()
            .any(|own| port.is_some_and(|port| own.contains(port)))
    };
    if action.blocks() && has(Service::Tcp) && !has(Service::Udp) {
        let message = "tcp/443 is dropped and udp/443 is not: QUIC (HTTP/3) still gets through";
        let help = "write `https` for both, unless QUIC should pass";
        out.push(Diagnostic::note(file.place(span.clone()), message, help));
    }
}

/// Adds a note on what `allow_handshake` gives away.
pub(super) fn note_handshake(typed: &SourcePolicy, file: &SourceFile, out: &mut Diagnostics) {
    let Some(span) = &typed.allow_handshake else {
        return;
    };
    if typed.action.is_some_and(Action::blocks) {
        let message = "with `allow_handshake`, the far side learns that the address of this gateway connected, and its data reaches the device; TCP data of the device is dropped";
        let help = "this needs no fix, if the name in the first data is worth that";
        out.push(Diagnostic::note(file.place(span.clone()), message, help));
    }
}

/// Adds a note on packets that a condition on services cannot match. There is
/// one note for each action in each file.
pub(super) fn note_fragments(policies: &[Policy], out: &mut Diagnostics) {
    let mut alike: BTreeMap<(&Path, Action), Vec<&Policy>> = BTreeMap::new();
    for policy in policies {
        if policy.enabled() && !policy.scope().services.is_empty() {
            let key = (policy.place().file(), policy.action());
            alike.entry(key).or_default().push(policy);
        }
    }
    for ((_, action), policies) in alike {
        let [first, more @ ..] = policies.as_slice() else {
            continue;
        };
        let (message, help) = fragments(action);
        let message = match more.len() {
            0 => message,
            1 => format!("{message} (also 1 further policy of this file)"),
            more => format!("{message} (also {more} further policies of this file)"),
        };
        out.push(Diagnostic::note(first.place().clone(), message, help));
    }
}

fn fragments(action: Action) -> (String, &'static str) {
    match action.strength() {
        Strength::Blocks => (
            format!(
                "a {action} of services stops first fragments and packets that hide their port (IPsec too), not later fragments"
            ),
            "this needs no fix: without its first fragment a datagram is never put together",
        ),
        Strength::Exempts => (
            format!(
                "an {action} of services does not save later fragments, or packets that hide their port, from a wider drop"
            ),
            "where that matters, allow all services, or leave the address out of the drop with `except`",
        ),
        Strength::Observes => (
            "services are counted without later fragments and packets that hide their port"
                .to_owned(),
            "count all services where every packet has to be in the count",
        ),
    }
}
