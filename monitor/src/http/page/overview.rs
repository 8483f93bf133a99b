//! The first page: whether the filter is on, what the filter saw and dropped, and what the
//! gateway does not see.

use maud::{Markup, html};

use super::{
    Context,
    asked::{Asked, Span},
    chart::chart,
    contact_rows,
    shell::{trouble, withheld},
    standing,
    words::{plural, sentence, thousands},
};
use crate::{
    doctor::{Diagnosis, FindingStatus},
    page_facts::{Contacts, PageFacts},
    policy::Direction,
    snapshot::{InterfaceSnapshot, ReloadSnapshot, Snapshot, Verdicts},
    store::Verdict,
};

/// Contacts on this page.
const SHOWN: usize = 20;

pub(super) fn content(context: &Context<'_>) -> Markup {
    let contacts = context.facts.map(|facts| {
        let asked = context.asked.contacts(context.clock.now, SHOWN);
        facts.contacts(&asked)
    });
    let diagnosis = context.facts.and_then(PageFacts::diagnosis);
    let known = contacts.as_ref().and_then(|found| found.as_ref().ok());
    html! {
        h1.hidden { "Overview" }
        (notices(context))
        section.answers #answers data-live aria-label="At a glance" {
            (is_it_on(context))
            (what_it_sees(context.snapshot, known))
            (what_it_stopped(context, known))
            (what_it_misses(context.snapshot, diagnosis.as_ref()))
        }
        (changes(context))
        @match contacts {
            Some(Ok(contacts)) => { (latest(context, &contacts)) }
            Some(Err(why)) => { (trouble(&why)) }
            None => { (withheld(context)) }
        }
        (meanings())
    }
}

fn latest(context: &Context<'_>, contacts: &Contacts) -> Markup {
    html! {
        (chart(context, "/", &contacts.chart))
        section #contacts data-live aria-labelledby="contacts-title" {
            h2 #contacts-title { "Contacts" }
            @if contacts.list.contacts.is_empty() {
                p.soft { (nothing(context, contacts)) }
            } @else {
                (contact_rows::table(context, &contacts.list, &contacts.heads, "Contacts, the latest first"))
                p { a.more href=(context.asked.url("/contacts")) { "All contacts, with filters" } }
            }
        }
    }
}

/// Why a list is empty, with what was looked at.
pub(super) fn nothing(context: &Context<'_>, contacts: &Contacts) -> String {
    if context.asked.is_filtered() {
        return "No contact fits these conditions.".to_owned();
    }
    let seen = thousands(packets_seen(&context.snapshot.interfaces));
    let time = context.asked.span.words();
    match contacts.oldest {
        Some(_) => format!("No policy matched a packet in the {time}."),
        None => format!("No policy has matched any of the {seen} packets that the filter saw."),
    }
}

/// What the operator should read first: errors, a trial, a daemon at work.
fn notices(context: &Context<'_>) -> Markup {
    let health = context.health;
    let reload = context.snapshot.reload.as_ref();
    let failed = reload.filter(|reload| !reload.success);
    let problems = health.hang.iter().chain(&health.problems);
    html! {
        div #notices data-live {
            @if !health.is_ok() {
                section.notice.bad aria-label="Problems" { ul { @for problem in problems { li { (problem) } } } }
            }
            @if let Some(unconfirmed) = &context.snapshot.unconfirmed {
                section.notice.warn aria-label="To be confirmed" { p { (unconfirmed) } }
            }
            @if let Some(reload) = failed { (failure(context, reload)) }
        }
    }
}

fn failure(context: &Context<'_>, reload: &ReloadSnapshot) -> Markup {
    html! {
        section.notice.bad aria-label="Last reload" {
            p { strong { "The last reload failed" } " at " (context.clock.time_at(reload.timestamp)) ": the previous policies stay in force." }
            @if let Some(error) = &reload.error { pre tabindex="0" { (error.trim_end()) } }
        }
    }
}

fn is_it_on(context: &Context<'_>) -> Markup {
    let on = context
        .snapshot
        .interfaces
        .iter()
        .filter(|own| own.mode.is_some() && own.direction == Direction::Out);
    let on: Vec<_> = on.collect();
    html! {
        article {
            h2 { "Is it on?" }
            @if context.health.is_ok() {
                p.big { a.good href="/coverage#interfaces" { "Yes" } }
            } @else if context.health.problems.is_empty() {
                p.big { a.bad href="/coverage#interfaces" { "It hangs" } }
            } @else {
                p.big { a.bad href="/coverage#interfaces" { "Not everywhere" } }
            }
            p {
                @for (number, own) in on.iter().enumerate() {
                    @if number > 0 { ", " }
                    (own.name)
                    @if let Some(generation) = own.generation { span.soft { " generation " (generation) } }
                }
                @if on.is_empty() { "No interface is filtered." }
            }
            @if let Some(ReloadSnapshot { success: true, timestamp, .. }) = &context.snapshot.reload {
                p.soft { "Policies loaded " (context.clock.time_at(*timestamp)) }
            }
        }
    }
}

fn what_it_sees(snapshot: &Snapshot, contacts: Option<&Contacts>) -> Markup {
    html! {
        article {
            h2 { "What does it see?" }
            p.big { a href="/coverage#interfaces" { (thousands(packets_seen(&snapshot.interfaces))) } span.unit { " packets" } }
            p.soft { "Since the counters were created" }
            @if let Some(contacts) = contacts {
                p {
                    a href="/devices?range=30d" { (plural(contacts.devices, "device", "devices")) } " and "
                    a href="/contacts?range=30d" { (plural(contacts.stored, "contact", "contacts")) } " stored"
                }
            }
        }
    }
}

fn what_it_stopped(context: &Context<'_>, contacts: Option<&Contacts>) -> Markup {
    let dropped = Asked {
        span: context.asked.span,
        verdict: Some(Verdict::Dropped),
        ..Asked::default()
    };
    let all: u64 = context
        .snapshot
        .interfaces
        .iter()
        .map(dropped_packets)
        .sum();
    let now = contacts.map(|contacts| contacts.chart.sum().1);
    html! {
        article {
            h2 { "What did it stop?" }
            @match now.filter(|_| !context.asked.is_filtered()) {
                Some(now) => { p.big { a.dropped[now > 0] href=(dropped.url("/contacts")) { (thousands(now)) } span.unit { " packets" } } p.soft { "In the " (context.asked.span.words()) } }
                None => { p.big { a.dropped[all > 0] href="/policies" { (thousands(all)) } span.unit { " packets" } } }
            }
            p.soft { a href="/policies" { (thousands(all)) } " since the counters were created. Devices retry, so a dropped packet is an attempt." }
        }
    }
}

fn what_it_misses(snapshot: &Snapshot, diagnosis: Option<&Diagnosis>) -> Markup {
    let blind = diagnosis.map_or_else(
        || {
            snapshot
                .blind
                .values()
                .filter(|is_blind| **is_blind)
                .count()
        },
        |diagnosis| diagnosis.blind,
    );
    let is_known = diagnosis.is_some() || !snapshot.blind.is_empty();
    let checks = diagnosis.map_or(&[][..], |diagnosis| &diagnosis.checks);
    let first = checks.iter().find(|finding| finding.is_blind());
    let degraded = checks
        .iter()
        .filter(|finding| finding.remark.status == FindingStatus::Degraded);
    let degraded = degraded.count() as u64;
    html! {
        article {
            h2 { "What is it blind to?" }
            @if !is_known {
                p.big { a href="/coverage" { "Not looked yet" } }
            } @else if blind == 0 {
                p.big { a.good href="/coverage" { "Nothing" } }
                p.soft { "of what it checks" }
            } @else {
                p.big { a.bad href="/coverage" { (plural(blind as u64, "thing", "things")) } }
            }
            @if let Some(first) = first { p { (sentence(&first.remark.what)) } }
            @if degraded > 0 { p.soft { a href="/coverage" { (plural(degraded, "thing", "things")) } " to look at" } }
        }
    }
}

/// Changes by commands that are in force.
fn changes(context: &Context<'_>) -> Markup {
    let changes = context.facts.map(PageFacts::standing).unwrap_or_default();
    html! {
        div #standing data-live {
            @if !changes.is_empty() {
                section.standing aria-labelledby="standing-title" {
                    h2 #standing-title { "In force for a time" }
                    ul { @for change in &changes { li { (standing::standing(&context.clock, change)) } } }
                }
            }
        }
    }
}

/// The packets of every interface.
pub(super) fn packets_seen(interfaces: &[InterfaceSnapshot]) -> u64 {
    let seen = |own: &InterfaceSnapshot| {
        let parsed = own.ipv4.packets() + own.ipv6.packets();
        parsed + own.unparsed_sum().packets() + own.not_confirmed.packets
    };
    interfaces.iter().map(seen).sum()
}

fn dropped_packets(own: &InterfaceSnapshot) -> u64 {
    let parts = [own.ipv4, own.ipv6, own.unparsed_sum()];
    parts
        .iter()
        .map(|part: &Verdicts| part.dropped.packets)
        .sum()
}

/// What the words of the page mean.
fn meanings() -> Markup {
    html! {
        details.meanings {
            summary { "What the words mean" }
            dl {
                dt { "Contact" }
                dd { "Packets of a device to one destination, protocol and port that a policy matched. The numbers of a list are those of its period (" (Span::Day.words()) " unless you choose another)." }
                dt { "Packet" }
                dd { "One run of the filter program. In generic mode, several packets that the kernel merged (GRO) count as one packet with the merged length. The filter does not see frames that the kernel dropped before it." }
                dt { "Passed, dropped" }
                dd { "The verdict: what happened to the packet. It can differ from the action of the policy, because another policy may decide. A dropped packet is an attempt: devices retry, so the number does not tell how much they would have sent." }
                dt { "Matched" }
                dd { "Every policy that matches a packet counts it, so the sum over all policies can be more than the number of packets. An allow that matches decides, otherwise a drop, whichever policies they are in." }
                dt { "Device" }
                dd { "A source MAC as seen on the interface: the last hop. Several devices behind a repeater or a router, or with a cloned MAC, count as one. A device may also change its MAC." }
                dt { "Name" }
                dd { "A claim with its source. A name is what a device asked or said, or what a DNS answer said; it does not prove who runs the server." }
                dt { "Unparsed" }
                dd { "Frames without an IP header that the parser can read, each counted under one reason. They pass. But if a policy drops anything, those that Linux could still deliver are dropped." }
            }
        }
    }
}
