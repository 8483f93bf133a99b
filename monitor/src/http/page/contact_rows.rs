//! A list of contacts as a table. On a narrow screen the first column has what the left out
//! columns say.

use std::{collections::BTreeMap, net::IpAddr};

use maud::{Markup, html};

use super::{
    Context,
    actions::{Subject, actions},
    asked::segment,
    device_mark,
    words::{bytes, foreign, verdicts},
};
use crate::{
    evidence::{Claim, DeviceHead, NameSource, Port, protocol},
    page_facts::best_name,
    policy::{MacAddress, PolicyName},
    store::{ContactList, ListedContact},
};

/// The most policies that a row names.
const MOST_POLICIES: usize = 2;

/// The table of a list. `title` is its caption.
pub(super) fn table(
    context: &Context<'_>,
    list: &ContactList,
    heads: &BTreeMap<MacAddress, DeviceHead>,
    title: &str,
) -> Markup {
    html! {
        table.contacts {
            caption { (title) }
            thead {
                tr {
                    th scope="col" { "Destination" }
                    th.wide scope="col" { "Device" }
                    th.far scope="col" { "Service" }
                    th.wide scope="col" { "Policy" }
                    th.number scope="col" { "Packets" }
                    th.number.wide scope="col" { "Last" }
                }
            }
            tbody {
                @for contact in &list.contacts { (row(context, contact, heads)) }
            }
        }
    }
}

fn row(
    context: &Context<'_>,
    contact: &ListedContact,
    heads: &BTreeMap<MacAddress, DeviceHead>,
) -> Markup {
    let unknown = DeviceHead::default();
    let head = contact.device.and_then(|mac| heads.get(&mac));
    let head = head.unwrap_or(&unknown);
    let class = match (contact.passed.packets, contact.dropped.packets) {
        (_, 0) => "went",
        (0, _) => "stopped",
        _ => "both",
    };
    html! {
        tr.(class) {
            th scope="row" {
                div.to { (destination(contact)) }
                small { (below(contact)) }
                small.narrow { (device_mark::link(head)) " · " (policies(contact)) }
            }
            td.wide { (device_mark::link(head)) }
            td.far { (service(contact)) }
            td.wide { (policies(contact)) }
            td.number {
                @match contact.device.zip(contact.destination) {
                    Some((mac, to)) => { a.figure href=(path(mac, to)) { (verdicts(contact.passed.packets, contact.dropped.packets)) } }
                    None => { (verdicts(contact.passed.packets, contact.dropped.packets)) }
                }
                small.wide { (traffic(contact)) }
                small.narrow { (context.clock.time(contact.last)) }
                @if let Some((mac, to)) = contact.device.zip(contact.destination) { (actions(context, Subject::Contact(mac, to))) }
            }
            td.number.wide { (context.clock.time(contact.last)) }
        }
    }
}

/// The best name of the destination, or its address, as a link to the page of the contact.
fn destination(contact: &ListedContact) -> Markup {
    let name = best_name(&contact.claims);
    let text = match (name, contact.destination) {
        (Some(claim), _) => claim.name.clone(),
        (None, Some(address)) => address.to_string(),
        (None, None) => "other destinations".to_owned(),
    };
    html! {
        @match contact.device.zip(contact.destination) {
            Some((mac, to)) => { a href=(path(mac, to)) { (foreign(&text)) } }
            None => { (foreign(&text)) }
        }
        @if let Some(claim) = name { " " (how(claim)) }
    }
}

/// The line below the destination: its address if a name stands above, else that there is none.
fn below(contact: &ListedContact) -> Markup {
    let is_named = best_name(&contact.claims).is_some();
    html! {
        @match (is_named, contact.destination) {
            (true, Some(address)) => { (address) }
            (false, Some(_)) => { "no name seen" }
            (_, None) => { "beyond the limits of the store" }
        }
        span.near { " · " (service(contact)) }
    }
}

/// The bytes that the device sent, and those that came back.
pub(super) fn traffic(contact: &ListedContact) -> Markup {
    html! {
        (bytes(contact.passed.bytes + contact.dropped.bytes))
        @if contact.answered.packets > 0 { " out, " (bytes(contact.answered.bytes)) " in" }
    }
}

/// The page of a contact.
pub(super) fn path(mac: MacAddress, to: IpAddr) -> String {
    format!("/contacts/{mac}/{to}")
}

/// Protocol and port.
pub(super) fn service(contact: &ListedContact) -> Markup {
    let protocol = protocol(contact.protocol);
    html! {
        @match contact.port {
            Port::Number(port) => { (protocol) "/" (port) }
            port => { (protocol) @if let Some(why) = port.why_unreadable() { " (" (why) ")" } }
        }
    }
}

/// The effective policies of a contact, as links.
pub(super) fn policies(contact: &ListedContact) -> Markup {
    let mut names: Vec<&PolicyName> = contact.policies.iter().flatten().collect();
    names.dedup();
    let mut known: Vec<&PolicyName> = Vec::new();
    for name in names {
        if !known.contains(&name) {
            known.push(name);
        }
    }
    let more = known.len().saturating_sub(MOST_POLICIES);
    html! {
        @for (number, name) in known.iter().take(MOST_POLICIES).enumerate() {
            @if number > 0 { ", " }
            a href=(policy_path(name.as_str())) { (foreign(name.as_str())) }
        }
        @if more > 0 { " and " (more) " more" }
    }
}

/// The page of a policy.
pub(super) fn policy_path(name: &str) -> String {
    format!("/policies/{}", segment(name))
}

/// How a name was learnt, as a badge with an explanation.
pub(super) fn how(claim: &Claim) -> Markup {
    html! { abbr.how title=(meaning(claim.source)) { (claim.source.word()) } }
}

/// What a way to learn a name means.
pub(super) const fn meaning(source: NameSource) -> &'static str {
    match source {
        NameSource::Dns => "A DNS answer to this device had the address.",
        NameSource::DnsOther => "A DNS answer to another device had the address.",
        NameSource::DnsHint => "A DNS record named the address as a hint.",
        NameSource::Sni => "The device named it in the hello of TLS.",
        NameSource::SniOuter => "The outer hello of TLS has it; the real name is encrypted.",
        NameSource::Quic => "The device named it in the hello of QUIC.",
        NameSource::HttpHost => "The device named it in a request of HTTP.",
        NameSource::Asked => "A request asked for this name; it is not the destination's own.",
    }
}
