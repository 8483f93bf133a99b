//! The policies: what each of them matched, what each would have dropped, and what the last
//! change changed.

use maud::{Markup, html};

use super::{
    Context,
    actions::{Subject, actions},
    asked::{Asked, Span},
    contact_rows, device_mark,
    shell::trouble,
    words::{action, foreign, line, plural, sentence, thousands, verdicts},
};
use crate::{
    page_facts::{DiffLine, Hits, LastChange, PageFacts, PolicyFacts},
    policy::Strength,
    snapshot::{PolicySnapshot, Verdicts},
    store::Hit,
};

/// The most devices that a sentence names.
const MOST_DEVICES: usize = 5;

pub(super) fn content(context: &Context<'_>) -> Markup {
    let facts = context.facts.map(PageFacts::policies).unwrap_or_default();
    let (since, _) = Span::Week.period(context.clock.now);
    let hits = context.facts.map(|facts| facts.hits(since));
    let (hits, why) = match hits {
        Some(Ok(hits)) => (hits, None),
        Some(Err(why)) => (None, Some(why)),
        None => (None, None),
    };
    let hits = hits.as_deref();
    html! {
        h1 { "Policies" }
        @if let Some(why) = &why { (trouble(why)) }
        (last_change(context))
        section #policies data-live aria-labelledby="list-title" {
            h2 #list-title { "Policies in force" }
            @if context.facts.is_some() && why.is_none() { (counted(context, hits)) }
            @if context.snapshot.policies.is_empty() {
                p.soft { "No policy has been loaded yet." }
            } @else {
                ul.cards {
                    @for policy in &context.snapshot.policies {
                        @let own = facts.iter().find(|own| own.stated.name == policy.name);
                        li { (card(context, policy, own, hits)) }
                    }
                }
            }
        }
    }
}

/// When it was counted what policies that only count would have dropped.
pub(super) fn counted(context: &Context<'_>, hits: Option<&Hits>) -> Markup {
    let observes = |policy: &PolicySnapshot| {
        let action = policy.action;
        action.is_some_and(|own| own.strength() == Strength::Observes)
    };
    html! {
        @if context.snapshot.policies.iter().any(observes) {
            @match hits {
                Some(hits) => { p.soft { "What policies that only count would have dropped was counted at " (context.clock.time(hits.at)) "." } }
                None => { p.soft data-late { "What policies that only count would have dropped is being counted. Load this page again in a moment." } }
            }
        }
    }
}

fn card(
    context: &Context<'_>,
    policy: &PolicySnapshot,
    facts: Option<&PolicyFacts>,
    hits: Option<&Hits>,
) -> Markup {
    let devices = policy.devices.len() as u64;
    let of_policy = of_policy(&policy.name);
    html! {
        article.policy {
            header {
                h3 { a href=(contact_rows::policy_path(&policy.name)) { (foreign(&policy.name)) } }
                @match policy.action {
                    Some(own) => { (action(own)) }
                    None => { span.badge.off { "no longer in force" } }
                }
            }
            @if let Some(facts) = facts { (about(context, facts)) }
            p.counts {
                span { a href=(of_policy.url("/contacts")) { (verdicts(policy.matched.passed.packets, policy.matched.dropped.packets)) } " packets" }
                @if policy.incoming != Verdicts::default() { span { a href=(of_policy.url("/contacts")) { (verdicts(policy.incoming.passed.packets, policy.incoming.dropped.packets)) } " packets in" } }
                span { a href=(format!("{}#devices", contact_rows::policy_path(&policy.name))) { (plural(devices, "device", "devices")) } }
                span.soft { a href=(format!("{}#destinations", contact_rows::policy_path(&policy.name))) { (thousands(policy.prefixes.v4 as u64)) " IPv4 and " (thousands(policy.prefixes.v6 as u64)) " IPv6 prefixes" } }
            }
            @if let Some(hits) = hits { (would(policy, hits)) }
            (actions(context, Subject::Policy(&policy.name)))
        }
    }
}

fn about(context: &Context<'_>, facts: &PolicyFacts) -> Markup {
    html! {
        @if let Some(text) = &facts.stated.description { p { (line(text)) } }
        p.soft { (sentence(&facts.source)) }
        @if let Some((reason, until)) = &facts.rest {
            p.warn { "Rests: " (line(reason)) @if let Some(until) = until { ", until " (context.clock.time(*until)) } }
        }
    }
}

/// What a policy that only counts would have dropped.
pub(super) fn would(policy: &PolicySnapshot, hits: &Hits) -> Markup {
    let observes = policy
        .action
        .is_some_and(|own| own.strength() == Strength::Observes);
    html! {
        @if observes {
            @match hits.by_policy.get(&policy.name) {
                None => { p.would { "If this dropped, nothing of the " (Span::Week.words()) " would have been hit." } }
                Some(hit) => { (would_hit(policy, hit, hits)) }
            }
        }
    }
}

fn would_hit(policy: &PolicySnapshot, hit: &Hit, hits: &Hits) -> Markup {
    let devices = hit.devices.len();
    let first = hit.devices.iter().take(MOST_DEVICES);
    let url = of_policy(&policy.name)
        .with(|asked| asked.span = Span::Week)
        .url("/contacts");
    let all_names = hit.names.len() as u64 + hit.more_names;
    html! {
        div.would {
            p {
                "If this dropped, "
                strong { a href=(url) { (plural(devices as u64, "device", "devices")) } } " and "
                strong { a href=(url) { (plural(hit.contacts, "contact", "contacts")) } }
                " of the " (Span::Week.words()) " would have been hit"
                @match all_names {
                    0 => { ", none with a name." }
                    names => { ", with " strong { a href=(url) { (plural(names, "name", "names")) } } ":" }
                }
            }
            @if !hit.names.is_empty() {
                p.names {
                    @for name in &hit.names { a.chip href=(named_by(&policy.name, name)) { (foreign(name)) } " " }
                    @if hit.more_names > 0 { span.soft { "and " (thousands(hit.more_names)) " more" } }
                }
            }
            p.who {
                @for (mac, packets) in first {
                    @if let Some(head) = hits.heads.get(mac) { span { (device_mark::link(head)) span.soft { " " (thousands(*packets)) } } " " }
                }
                @if devices > MOST_DEVICES { span.soft { "and " (devices - MOST_DEVICES) " more" } }
            }
        }
    }
}

fn named_by(policy: &str, name: &str) -> String {
    let asked = of_policy(policy).with(|asked| {
        asked.span = Span::Week;
        asked.text = Some(name.to_owned());
    });
    asked.url("/contacts")
}

/// The contacts of a policy.
pub(super) fn of_policy(name: &str) -> Asked {
    Asked {
        policy: Some(name.to_owned()),
        ..Asked::default()
    }
}

fn last_change(context: &Context<'_>) -> Markup {
    let change = context.facts.map(PageFacts::last_change);
    html! {
        @match change {
            None | Some(Ok(None)) => {}
            Some(Err(why)) => { (trouble(&why)) }
            Some(Ok(Some(change))) => { (difference(context, &change)) }
        }
    }
}

fn difference(context: &Context<'_>, change: &LastChange) -> Markup {
    let all = change.added.len() + change.removed.len() + change.changed.len();
    html! {
        section.difference aria-labelledby="difference-title" {
            h2 #difference-title { "Last change" }
            p { (context.clock.time(change.at)) ", generation " (change.generation) ": " (summary(change)) }
            @if all > 0 {
                details open[all <= 2] {
                    summary { "What differs" }
                    @for (name, lines) in &change.changed { (part(name, "changed", lines)) }
                    @for (name, lines) in &change.added { (part(name, "new", lines)) }
                    @for (name, lines) in &change.removed { (part(name, "gone", lines)) }
                    @if change.more { p.soft { "Further lines are left out." } }
                }
            }
        }
    }
}

fn summary(change: &LastChange) -> String {
    let part = |number: usize, what: &str| (number > 0).then(|| format!("{number} {what}"));
    let parts = [
        part(change.changed.len(), "changed"),
        part(change.added.len(), "new"),
        part(change.removed.len(), "gone"),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() {
        return "the same policies, with other lists or places".to_owned();
    }
    parts.join(", ")
}

fn part(name: &str, what: &str, lines: &[DiffLine]) -> Markup {
    html! {
        h3 { a href=(contact_rows::policy_path(name)) { (foreign(name)) } " " span.soft { (what) } }
        div.diff tabindex="0" role="group" aria-label=(format!("Lines of {name} that differ")) {
            @for own in lines {
                @if own.is_new { ins { "+ " (line(&own.text)) } } @else { del { "− " (line(&own.text)) } }
            }
        }
    }
}
