//! The list of devices.

use maud::{Markup, html};

use super::{
    Context,
    actions::{Subject, actions},
    asked::{Asked, Span},
    chart, device_mark,
    shell::{pages, trouble, withheld},
    words::{plural, verdicts},
};
use crate::page_facts::{AskedDevices, DeviceRow, Devices};

/// Devices of one page of the list.
const PAGE: usize = 100;

pub(super) fn content(context: &Context<'_>) -> Markup {
    let asked = context.asked;
    let devices = context.facts.map(|facts| {
        facts.devices(&AskedDevices {
            period: asked.span.period(context.clock.now),
            text: asked.text.as_ref().map(|text| text.to_lowercase()),
            skip: asked.page * PAGE,
            limit: PAGE,
        })
    });
    html! {
        h1 { "Devices" }
        @match devices {
            None => { (withheld(context)) }
            Some(Err(why)) => { (trouble(&why)) }
            Some(Ok(devices)) => { (conditions(context)) (list(context, &devices)) }
        }
    }
}

fn conditions(context: &Context<'_>) -> Markup {
    html! {
        form.conditions action="/devices" method="get" aria-label="Conditions" {
            div { label for="of-text" { "Device" } input #of-text name="q" maxlength="200" autocomplete="off" spellcheck="false" placeholder="Name, MAC or maker" value=[context.asked.text.as_deref()]; }
            div {
                label for="of-range" { "Seen in" }
                select #of-range name="range" {
                    @for span in Span::ALL { option value=(span.word()) selected[span == context.asked.span] { (span.words()) } }
                }
            }
            button type="submit" { "Show" }
        }
    }
}

fn list(context: &Context<'_>, devices: &Devices) -> Markup {
    let more = (context.asked.page + 1) * PAGE < devices.all;
    let title = plural(devices.all as u64, "device", "devices");
    let title = format!(
        "{title} in the {}, the latest first",
        context.asked.span.words()
    );
    html! {
        section #devices data-live aria-labelledby="list-title" {
            h2.hidden #list-title { "List" }
            @if devices.rows.is_empty() {
                p.soft { "No device with a packet that a policy matched in the " (context.asked.span.words()) "." }
            } @else {
                (table(context, &devices.rows, &title))
            }
            (pages(context, "/devices", more, "devices"))
        }
    }
}

/// The table of devices.
pub(super) fn table(context: &Context<'_>, rows: &[DeviceRow], title: &str) -> Markup {
    html! {
        table.devices {
            caption { (title) }
            thead {
                tr {
                    th scope="col" { "Device" }
                    th.wide scope="col" { "Maker" }
                    th.wide scope="col" { "First contact" }
                    th.wide scope="col" { "Packets by time" }
                    th.number scope="col" { "Packets" }
                    th.number.wide scope="col" { "Last contact" }
                }
            }
            tbody { @for device in rows { (row(context, device)) } }
        }
    }
}

fn row(context: &Context<'_>, device: &DeviceRow) -> Markup {
    let (passed, dropped) = device.slots.sum();
    let mac = device.times.mac;
    let contacts = Asked {
        span: context.asked.span,
        device: Some(mac.to_string()),
        ..Asked::default()
    };
    let contacts = contacts.url("/contacts");
    html! {
        tr {
            th scope="row" {
                (device_mark::link(&device.head))
                small { code { (mac) } span.narrow { " · " (device_mark::vendor(&device.head)) } }
            }
            td.wide { (device_mark::vendor(&device.head)) }
            td.wide { (context.clock.time(device.times.first)) }
            td.spark.wide { @if passed + dropped > 0 { (chart::small(&device.slots)) } }
            td.number {
                a.figure href=(contacts) { (verdicts(passed, dropped)) }
                small.narrow { (context.clock.time(device.times.last)) }
                (actions(context, Subject::Device(mac)))
            }
            td.number.wide { (context.clock.time(device.times.last)) }
        }
    }
}
