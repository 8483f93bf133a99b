//! What a text of the search box finds: devices, policies and contacts.

use maud::{Markup, html};

use super::{
    Context,
    asked::{Asked, Span},
    contact_rows,
    devices::table,
    shell::{trouble, withheld},
    words::{action, foreign, plural},
};
use crate::{
    page_facts::{AskedContacts, AskedDevices, PageFacts},
    snapshot::PolicySnapshot,
};

/// Contacts of the answer.
const CONTACTS: usize = 20;

/// Devices of the answer.
const DEVICES: usize = 10;

pub(super) fn content(context: &Context<'_>) -> Markup {
    let Some(text) = &context.asked.text else {
        return html! { h1 { "Search" } p.soft { "Write a device, a name, an address, a network or a policy into the box above." } };
    };
    html! {
        h1 { "“" (foreign(text)) "”" }
        (policies(context, &text.to_lowercase()))
        @match context.facts {
            None => { (withheld(context)) }
            Some(facts) => {
                (devices(context, facts, text))
                (contacts(context, facts, text))
            }
        }
    }
}

fn policies(context: &Context<'_>, text: &str) -> Markup {
    let has = |policy: &&PolicySnapshot| policy.name.to_lowercase().contains(text);
    let found: Vec<_> = context.snapshot.policies.iter().filter(has).collect();
    html! {
        @if !found.is_empty() {
            section aria-labelledby="policies-title" {
                h2 #policies-title { "Policies" }
                ul.plain { @for policy in found { li { a href=(contact_rows::policy_path(&policy.name)) { (foreign(&policy.name)) } " " @if let Some(own) = policy.action { (action(own)) } } } }
            }
        }
    }
}

fn devices(context: &Context<'_>, facts: &dyn PageFacts, text: &str) -> Markup {
    let found = facts.devices(&AskedDevices {
        period: Span::Month.period(context.clock.now),
        text: Some(text.to_lowercase()),
        skip: 0,
        limit: DEVICES,
    });
    let asked = context.asked.with(|asked| asked.span = Span::Month);
    html! {
        section aria-labelledby="devices-title" {
            h2 #devices-title { "Devices" }
            @match found {
                Err(why) => { (trouble(&why)) }
                Ok(found) if found.rows.is_empty() => { p.soft { "No device has this text in its name, MAC or maker." } }
                Ok(found) => {
                    (table(context, &found.rows, &format!("{}, the latest first", plural(found.all as u64, "device", "devices"))))
                    @if found.all > DEVICES { p { a.more href=(asked.url("/devices")) { "All devices with this text" } } }
                }
            }
        }
    }
}

fn contacts(context: &Context<'_>, facts: &dyn PageFacts, text: &str) -> Markup {
    let asked = Asked {
        span: Span::Month,
        text: Some(text.to_owned()),
        ..Asked::default()
    };
    let found = facts.contacts(&AskedContacts {
        has_chart: false,
        ..asked.contacts(context.clock.now, CONTACTS)
    });
    html! {
        section aria-labelledby="contacts-title" {
            h2 #contacts-title { "Contacts" }
            @match found {
                Err(why) => { (trouble(&why)) }
                Ok(found) if found.list.contacts.is_empty() => { p.soft { "No destination of the " (Span::Month.words()) " has this name or address." } }
                Ok(found) => {
                    (contact_rows::table(context, &found.list, &found.heads, "Contacts of the last 30 days, the latest first"))
                    @if found.list.more { p { a.more href=(asked.url("/contacts")) { "All contacts with this text" } } }
                }
            }
        }
    }
}
