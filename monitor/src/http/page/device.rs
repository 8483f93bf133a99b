//! The page of a device: facts about the device, its contacts, and the policies that can apply to
//! its packets.

use maud::{Markup, html};

use super::{
    Context,
    actions::{Subject, actions, commands},
    asked::{Asked, PAGE},
    chart::chart,
    contact_rows, device_mark, overview,
    shell::{pages, trouble, withheld},
    words::{action, foreign, line, sentence},
};
use crate::{
    evidence::{DeviceView, FactView},
    page_facts::{DeviceFacts, Rule},
    policy::MacAddress,
    store::EncryptedDns,
};

/// The most values of one kind on the page.
const MOST_VALUES: usize = 12;

pub(super) fn content(context: &Context<'_>, mac: MacAddress) -> Markup {
    let Some(facts) = context.facts else {
        return html! { h1 { "Device" } (withheld(context)) };
    };
    let asked = Asked {
        device: Some(mac.to_string()),
        ..context.asked.clone()
    };
    let contacts = facts.contacts(&asked.contacts(context.clock.now, PAGE));
    let path = device_mark::path(mac);
    html! {
        @match facts.device(mac) {
            Ok(device) => { (about(context, mac, &device)) }
            Err(why) => { h1 { (mac) } (trouble(&why)) }
        }
        @match contacts {
            Err(why) => { (trouble(&why)) }
            Ok(contacts) => {
                (chart(context, &path, &contacts.chart))
                section.own #contacts data-live aria-labelledby="contacts-title" {
                    h2 #contacts-title { "Its contacts" }
                    @if contacts.list.contacts.is_empty() {
                        p.soft { (overview::nothing(context, &contacts)) }
                    } @else {
                        (contact_rows::table(context, &contacts.list, &contacts.heads, "Contacts of this device, the latest first"))
                    }
                    (pages(context, &path, contacts.list.more, "contacts"))
                }
            }
        }
    }
}

fn about(context: &Context<'_>, mac: MacAddress, device: &DeviceFacts) -> Markup {
    let head = &device.view.head;
    html! {
        h1 { (device_mark::mark(mac)) " " (foreign(&device_mark::name(head))) }
        (actions(context, Subject::Device(mac)))
        (commands(Subject::Device(mac)))
        (facts(context, mac, &device.view))
        (rules(context, &device.rules))
        (encrypted(context, &device.encrypted))
    }
}

fn facts(context: &Context<'_>, mac: MacAddress, view: &DeviceView) -> Markup {
    let head = &view.head;
    html! {
        dl.facts #facts data-live {
            div { dt { "MAC" } dd { code { (mac) } } }
            div { dt { "Maker" } dd { (device_mark::vendor(head)) @if let Some(as_of) = &head.vendor_as_of { span.soft { ", as of " (as_of) } } } }
            div { dt { "First contact" } dd { (seen(context, view.first.as_ref())) } }
            div { dt { "Last contact" } dd { (seen(context, view.last.as_ref())) } }
            (values(context, "Names", &view.host_names))
            (values(context, "Addresses", &view.addresses))
            (values(context, "Models", &view.models))
            @for stated in &head.stated_same { div { dt { "Same as" } dd { (stated) } } }
            @for reason in &view.possibly_several { div { dt { "Possibly several" } dd { (line(&reason.text)) } } }
        }
    }
}

fn seen(context: &Context<'_>, at: Option<&String>) -> Markup {
    html! {
        @match at {
            Some(at) => { (context.clock.time_of(at)) }
            None => { span.soft { "never" } }
        }
    }
}

fn values(context: &Context<'_>, what: &str, values: &[FactView]) -> Markup {
    html! {
        @if !values.is_empty() {
            div {
                dt { (what) }
                dd {
                    ul {
                        @for value in values.iter().take(MOST_VALUES) {
                            li { (foreign(&value.value)) span.soft { " " (line(&value.source)) @if let Some(last) = &value.last { ", " (context.clock.time_of(last)) } } }
                        }
                        @if values.len() > MOST_VALUES { li.soft { "and " (values.len() - MOST_VALUES) " more" } }
                    }
                }
            }
        }
    }
}

/// The policies that can apply to the device.
fn rules(context: &Context<'_>, rules: &[Rule]) -> Markup {
    html! {
        section aria-labelledby="rules-title" {
            h2 #rules-title { "Its rules" }
            @if rules.is_empty() {
                p.soft { "No policy in force applies to this device." }
            } @else {
                table.rules {
                    caption { "Policies that can apply to this device, its own first" }
                    thead { tr { th scope="col" { "Policy" } th scope="col" { "Action" } th.wide scope="col" { "For" } th.wide scope="col" { "Where it is written" } } }
                    tbody { @for rule in rules { (rule_row(context, rule)) } }
                }
            }
        }
    }
}

fn rule_row(context: &Context<'_>, rule: &Rule) -> Markup {
    html! {
        tr {
            th scope="row" {
                a href=(contact_rows::policy_path(&rule.policy)) { (foreign(&rule.policy)) }
                @if let Some((reason, until)) = &rule.rest { small { "rests: " (line(reason)) @if let Some(until) = until { ", until " (context.clock.time(*until)) } } }
                @if let Some(end) = rule.expires { small { "ends " (context.clock.time(end)) } }
                small.narrow { (sentence(&rule.source)) }
            }
            td { (action(rule.action)) }
            td.wide {
                @if rule.is_own { "some devices" } @else { "every device" }
                @if let Some(condition) = &rule.condition { small { "if " (line(condition)) } }
            }
            td.wide { (sentence(&rule.source)) }
        }
    }
}

fn encrypted(context: &Context<'_>, encrypted: &[EncryptedDns]) -> Markup {
    html! {
        @if !encrypted.is_empty() {
            section aria-labelledby="encrypted-title" {
                h2 #encrypted-title { "Encrypted DNS" }
                p.soft { "The gateway sees no names in it. So a contact of this device may have no name." }
                ul.plain {
                    @for one in encrypted {
                        li {
                            (line(&one.kind)) " "
                            @if let Some(address) = one.address { (address) ":" (one.port) " " }
                            (foreign(&one.name))
                            span.soft { " last " (context.clock.time(one.last)) }
                        }
                    }
                }
            }
        }
    }
}
