//! The page of a policy: its text, the packets that matched, and the packets that a `drop` would
//! have stopped.

use std::cmp::Reverse;

use maud::{Markup, html};

use super::{
    Context,
    actions::{Subject, actions, commands},
    asked::{Asked, PAGE, Span},
    chart::chart,
    contact_rows, device_mark, overview,
    policies::{counted, would},
    shell::{pages, trouble, withheld},
    words::{action, bytes, foreign, line, sentence, thousands},
};
use crate::{
    metrics::{DeviceCounts, OTHER_DEVICES, PAST_DEVICES},
    page_facts::{PageFacts, PolicyFacts},
    policy::{Action, Strength},
    report::StatedPolicy,
    snapshot::{PolicySnapshot, Verdicts},
};

/// The most devices of the list.
const MOST_DEVICES: usize = 25;

/// `counts`: the packets by label, where the page must not show MACs.
pub(super) fn content(
    context: &Context<'_>,
    policy: &PolicySnapshot,
    counts: Option<&DeviceCounts>,
) -> Markup {
    let facts = context.facts.map(PageFacts::policies).unwrap_or_default();
    let own = facts.iter().find(|own| own.stated.name == policy.name);
    html! {
        h1 {
            (foreign(&policy.name)) " "
            @match policy.action {
                Some(own) => { (action(own)) }
                None => { span.badge.off { "no longer in force" } }
            }
        }
        (actions(context, Subject::Policy(&policy.name)))
        @if policy.action.is_some() { (commands(Subject::Policy(&policy.name))) }
        @if let Some(own) = own { (about(context, own)) }
        (hits(context, policy))
        (devices(context, policy, counts))
        (contacts(context, policy))
        @if let Some(own) = own { (destinations(&own.stated)) }
    }
}

fn about(context: &Context<'_>, own: &PolicyFacts) -> Markup {
    let stated = &own.stated;
    html! {
        @if let Some(text) = &stated.description { p.lead { (line(text)) } }
        @if let Some((reason, until)) = &own.rest {
            p.notice.warn { "It has no effect now: " (line(reason)) @if let Some(until) = until { ", until " (context.clock.time(*until)) } }
        }
        @if !own.enabled { p.notice.warn { "It is disabled in its file." } }
        dl.facts {
            div { dt { "Written in" } dd { (sentence(&own.source)) } }
            @if let Some(about) = &stated.about { div { dt { "Its author states" } dd { (line(about)) } } }
            @if let Some(observed) = &stated.observed { div { dt { "Observed" } dd { (line(observed)) } } }
            (values("Devices", &stated.devices))
            (values("Not devices", &stated.except_devices))
            (values("Interfaces", &stated.interfaces))
            (values("Services", &stated.services))
            @if let Some(end) = &stated.expires { div { dt { "Ends" } dd { (context.clock.time_of(end)) } } }
            div { dt { "Records" } dd { (line(&stated.evidence)) } }
            @if !stated.references.is_empty() { div { dt { "References" } dd { ul { @for link in &stated.references { li { (reference(link)) } } } } } }
        }
    }
}

fn values(what: &str, values: &[String]) -> Markup {
    html! {
        @if !values.is_empty() { div { dt { (what) } dd { @for (number, value) in values.iter().enumerate() { @if number > 0 { ", " } (foreign(value)) } } } }
    }
}

/// A reference. Only web addresses are links.
fn reference(link: &str) -> Markup {
    let is_web = link.starts_with("https://") || link.starts_with("http://");
    html! {
        @if is_web { a href=(link) rel="noopener noreferrer nofollow" { (foreign(link)) } } @else { (foreign(link)) }
    }
}

fn hits(context: &Context<'_>, policy: &PolicySnapshot) -> Markup {
    let (since, _) = Span::Week.period(context.clock.now);
    let observes = policy.action.map(Action::strength) == Some(Strength::Observes);
    html! {
        @if observes {
            div #would data-live {
                @match context.facts.map(|facts| facts.hits(since)) {
                    None => {}
                    Some(Err(why)) => { (trouble(&why)) }
                    Some(Ok(hits)) => {
                        @if let Some(hits) = &hits { (would(policy, hits)) }
                        (counted(context, hits.as_deref()))
                    }
                }
            }
        }
    }
}

fn devices(
    context: &Context<'_>,
    policy: &PolicySnapshot,
    counts: Option<&DeviceCounts>,
) -> Markup {
    html! {
        section #devices data-live aria-labelledby="devices-title" {
            h2 #devices-title { "Devices" }
            @if policy.matched == Verdicts::default() {
                p.soft { "No policy of this name has matched any of the " (thousands(overview::packets_seen(&context.snapshot.interfaces))) " packets that the filter saw." }
            } @else {
                div.scroll tabindex="0" role="region" aria-label="Table of devices" {
                    table {
                        caption { "Packets since the counters were created. " a href="/metrics" { "The counters" } }
                        thead { tr { th scope="col" { "Device" } th.number scope="col" { "Passed" } th.number scope="col" { "Dropped" } } }
                        tbody {
                            @match counts {
                                Some(counts) => { (labelled(counts)) }
                                None => { (named(policy)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Rows with labels that hide the MACs.
fn labelled(counts: &DeviceCounts) -> Markup {
    let mut devices: Vec<_> = counts.labelled.iter().collect();
    devices.sort_by_key(|(label, verdicts)| (Reverse(verdicts.packets()), *label));
    let rest = devices.len().saturating_sub(MOST_DEVICES);
    html! {
        @for (label, counts) in devices.iter().take(MOST_DEVICES) { tr { th scope="row" { (foreign(label)) } (cells(counts)) } }
        (left_out(rest))
        (further(&counts.other, &counts.past))
    }
}

fn named(policy: &PolicySnapshot) -> Markup {
    let mut devices: Vec<_> = policy.devices.iter().collect();
    devices.sort_by_key(|device| (Reverse(device.matched.packets()), device.mac));
    let rest = devices.len().saturating_sub(MOST_DEVICES);
    html! {
        @for device in devices.iter().take(MOST_DEVICES) {
            tr {
                th scope="row" {
                    a.device href=(device_mark::path(device.mac)) {
                        (device_mark::mark(device.mac)) " "
                        @match &device.name { Some(name) => { (foreign(name)) } None => { (device.mac) } }
                    }
                }
                (cells(&device.matched))
            }
        }
        (left_out(rest))
        (further(&policy.other, &policy.past))
    }
}

fn left_out(rest: usize) -> Markup {
    html! { @if rest > 0 { tr { td.soft colspan="3" { (thousands(rest as u64)) " more with fewer packets: see the " a href="/metrics" { "metrics" } } } } }
}

fn further(other: &Verdicts, past: &Verdicts) -> Markup {
    html! {
        @if *other != Verdicts::default() { tr { th.soft scope="row" { (OTHER_DEVICES) small { "devices without a place of their own" } } (cells(other)) } }
        @if *past != Verdicts::default() { tr { th.soft scope="row" { (PAST_DEVICES) small { "devices that were forgotten" } } (cells(past)) } }
    }
}

fn cells(counts: &Verdicts) -> Markup {
    html! {
        @for count in [counts.passed, counts.dropped] {
            td.number { (thousands(count.packets)) @if count.packets > 0 { small { (bytes(count.bytes)) } } }
        }
    }
}

fn contacts(context: &Context<'_>, policy: &PolicySnapshot) -> Markup {
    let asked = Asked {
        policy: Some(policy.name.clone()),
        ..context.asked.clone()
    };
    let path = contact_rows::policy_path(&policy.name);
    let found = context
        .facts
        .map(|facts| facts.contacts(&asked.contacts(context.clock.now, PAGE)));
    html! {
        @match found {
            None => { (withheld(context)) }
            Some(Err(why)) => { (trouble(&why)) }
            Some(Ok(contacts)) => {
                (chart(context, &path, &contacts.chart))
                section #contacts data-live aria-labelledby="contacts-title" {
                    h2 #contacts-title { "Its contacts" }
                    @if contacts.list.contacts.is_empty() {
                        p.soft { (overview::nothing(context, &contacts)) }
                    } @else {
                        (contact_rows::table(context, &contacts.list, &contacts.heads, "Contacts that this policy matched, the latest first"))
                    }
                    (pages(context, &path, contacts.list.more, "contacts"))
                }
            }
        }
    }
}

fn destinations(stated: &StatedPolicy) -> Markup {
    html! {
        section #destinations aria-labelledby="destinations-title" {
            h2 #destinations-title { "Destinations" }
            ul.networks { @for network in &stated.destinations { li { code { (line(network)) } } } }
            @if stated.more_destinations > 0 { p.soft { "and " (thousands(stated.more_destinations)) " more: " code { "monitor list show" } " prints a list" } }
            @if !stated.except.is_empty() {
                h3 { "Not these" }
                ul.networks { @for network in &stated.except { li { code { (line(network)) } } } }
            }
        }
    }
}
