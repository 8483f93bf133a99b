//! The list of contacts, with conditions and a chart.

use maud::{Markup, html};

use super::{
    Context,
    asked::{PAGE, Span, word},
    chart::chart,
    contact_rows, overview,
    shell::{pages, trouble, withheld},
    words::foreign,
};
use crate::{page_facts::Contacts, store::Verdict};

pub(super) fn content(context: &Context<'_>) -> Markup {
    let contacts = context
        .facts
        .map(|facts| facts.contacts(&context.asked.contacts(context.clock.now, PAGE)));
    html! {
        h1 { "Contacts" }
        @match contacts {
            None => { (withheld(context)) }
            Some(Err(why)) => { (conditions(context)) (chosen(context)) (trouble(&why)) }
            Some(Ok(contacts)) => { (conditions(context)) (chosen(context)) (list(context, &contacts)) }
        }
    }
}

fn list(context: &Context<'_>, contacts: &Contacts) -> Markup {
    html! {
        (chart(context, "/contacts", &contacts.chart))
        section #contacts data-live aria-labelledby="list-title" {
            h2.hidden #list-title { "List" }
            @if contacts.list.contacts.is_empty() {
                p.soft { (overview::nothing(context, contacts)) }
            } @else {
                (contact_rows::table(context, &contacts.list, &contacts.heads, "Contacts, the latest first"))
            }
            (pages(context, "/contacts", contacts.list.more, "contacts"))
        }
    }
}

/// The form of conditions.
fn conditions(context: &Context<'_>) -> Markup {
    let asked = context.asked;
    let mut policies: Vec<&str> = context
        .snapshot
        .policies
        .iter()
        .map(|policy| policy.name.as_str())
        .collect();
    policies.sort_unstable();
    html! {
        form.conditions action="/contacts" method="get" aria-label="Conditions" {
            div { label for="of-device" { "Device" } input #of-device name="device" maxlength="200" autocomplete="off" spellcheck="false" placeholder="Name or MAC" value=[asked.device.as_deref()]; }
            div { label for="of-text" { "Destination" } input #of-text name="q" maxlength="200" autocomplete="off" spellcheck="false" placeholder="Name, address or network" value=[asked.text.as_deref()]; }
            div {
                label for="of-policy" { "Policy" }
                select #of-policy name="policy" {
                    option value="" { "Any" }
                    @for policy in policies { option value=(policy) selected[asked.policy.as_deref() == Some(policy)] { (policy) } }
                }
            }
            div {
                label for="of-verdict" { "Verdict" }
                select #of-verdict name="verdict" {
                    option value="" { "Any" }
                    @for verdict in [Verdict::Passed, Verdict::Dropped] { option value=(word(verdict)) selected[asked.verdict == Some(verdict)] { (word(verdict)) } }
                }
            }
            div {
                label for="of-range" { "Period" }
                select #of-range name="range" {
                    @for span in Span::ALL { option value=(span.word()) selected[span == asked.span] { (span.words()) } }
                }
            }
            button type="submit" { "Show" }
        }
    }
}

/// The conditions in force, each with a link that removes it.
fn chosen(context: &Context<'_>) -> Markup {
    let asked = context.asked;
    let url = |change: fn(&mut super::asked::Asked)| asked.with(change).url("/contacts");
    html! {
        @if asked.is_filtered() {
            ul.chips aria-label="Conditions in force" {
                @if let Some(device) = &asked.device { li { a.chip href=(url(|asked| asked.device = None)) { "device " strong { (foreign(device)) } (remove()) } } }
                @if let Some(text) = &asked.text { li { a.chip href=(url(|asked| asked.text = None)) { "to " strong { (foreign(text)) } (remove()) } } }
                @if let Some(policy) = &asked.policy { li { a.chip href=(url(|asked| asked.policy = None)) { "policy " strong { (foreign(policy)) } (remove()) } } }
                @if let Some(verdict) = asked.verdict { li { a.chip href=(url(|asked| asked.verdict = None)) { strong { (word(verdict)) } (remove()) } } }
            }
        }
    }
}

fn remove() -> Markup {
    html! { span aria-hidden="true" { " ×" } span.hidden { ": remove this condition" } }
}
