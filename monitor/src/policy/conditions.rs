//! What was typed of devices, interfaces and services → [`Scope`].

use std::ops::Range;

use super::{
    Action, DeviceNames, Ports, Scope, Service,
    diagnostic::{Diagnostic, Diagnostics, Place, SourceFile},
    scope::join,
    source::{SourceScope, Spanned},
};

/// Port ranges that one policy may have.
const MAX_PORT_RANGES: usize = 16;

/// The scope that `typed` means; `None` where `out` says what is wrong.
pub(super) fn scope(
    typed: &SourceScope,
    names: &DeviceNames,
    file: &SourceFile,
    out: &mut Diagnostics,
) -> Option<Scope> {
    let mut expand = |typed: &Option<Vec<_>>| match typed {
        Some(typed) => names.expand(typed, file, out),
        None => Some(Vec::new()),
    };
    let devices = expand(&typed.devices);
    let except_devices = expand(&typed.except_devices);
    let services = match &typed.services {
        Some(services) => Some(ranges(services, file, out)?),
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
    services: &Spanned<Vec<Service>>,
    file: &SourceFile,
    out: &mut Diagnostics,
) -> Option<Vec<Service>> {
    let joined = join(services.value.clone());
    if joined.len() > MAX_PORT_RANGES {
        let message = format!(
            "the services of this policy are {} port ranges, and it may have {MAX_PORT_RANGES}",
            joined.len()
        );
        let help = "join ranges, or write a second policy with the others";
        out.push(Diagnostic::error(
            file.place(services.span.clone()),
            message,
            help,
        ));
        return None;
    }
    Some(joined)
}

/// Notes on what `services` do not do.
pub(super) fn note_services(
    action: Action,
    services: &[Service],
    span: Option<&Range<usize>>,
    file: &SourceFile,
    out: &mut Diagnostics,
) {
    let Some(span) = span else { return };
    let place: Place = file.place(span.clone());
    let has = |service: fn(Ports) -> Service| {
        let port = Ports::new(443, 443).map(service);
        services
            .iter()
            .any(|own| port.is_some_and(|port| own.contains(port)))
    };
    if action == Action::Drop && has(Service::Tcp) && !has(Service::Udp) {
        let message = "tcp/443 is dropped and udp/443 is not: QUIC (HTTP/3) still gets through";
        let help = "write `https` for both, unless QUIC should pass";
        out.push(Diagnostic::note(place.clone(), message, help));
    }
    let (message, help) = match action {
        Action::Drop => (
            "a drop of services stops first fragments only: later fragments have no port",
            "nothing to mend where the first fragment is what makes a datagram of use",
        ),
        Action::Allow => (
            "an allow of services does not save later fragments from a wider drop: they have no port",
            "where that matters, allow all services, or leave the address out of the drop with `except`",
        ),
        Action::Count => (
            "services are counted without later fragments, which have no port",
            "count all services where every packet has to be in the count",
        ),
    };
    out.push(Diagnostic::note(place, message, help));
}
