//! Packets by time: passed packets above a line, dropped ones below it. Each bar is a link that
//! selects its time.

use jiff::Timestamp;
use maud::{Markup, html};

use super::{
    Context,
    asked::{Asked, Span},
    words::{plural, thousands},
};
use crate::store::{TimeSlots, Verdict};

/// Height of the picture.
const HEIGHT: f64 = 120.0;

/// Width of a slot.
const STEP: usize = 10;

/// The least height of a bar, so that no packet is invisible.
const LEAST: f64 = 3.0;

/// Number of times below the picture.
const TICKS: usize = 5;

/// The chart with the links to its periods, its selection, and a table with the same numbers.
/// Links lead to `path`.
pub(super) fn chart(context: &Context<'_>, path: &str, slots: &TimeSlots) -> Markup {
    let asked = context.asked;
    let (passed, dropped) = slots.sum();
    // Only the list has a condition on the verdict.
    let path_of_verdict = if path == "/" { "/contacts" } else { path };
    let of = |verdict| {
        let asked = asked.with(|asked| asked.verdict = Some(verdict));
        asked.url(path_of_verdict)
    };
    html! {
        section.chart #chart data-live aria-labelledby="chart-title" {
            header {
                h2 #chart-title { "Packets by time" }
                p.legend {
                    a.passed href=(of(Verdict::Passed)) { (thousands(passed)) " passed" }
                    " "
                    a.dropped href=(of(Verdict::Dropped)) { (thousands(dropped)) " dropped" }
                }
                (spans(asked, path))
            }
            @if slots.slots.is_empty() || passed + dropped == 0 {
                p.soft { "No packet that a policy matched in the " (asked.span.words()) "." }
            } @else {
                (picture(context, path, slots))
                div.axis aria-hidden="true" { @for at in ticks(slots) { span { (context.clock.slot(at)) } } }
                (selected(context, path))
                (table(context, path, slots))
            }
        }
    }
}

/// Links to the periods.
fn spans(asked: &Asked, path: &str) -> Markup {
    html! {
        ul.spans aria-label="Period" {
            @for span in Span::ALL {
                li {
                    a href=(asked.with(|asked| { asked.span = span; asked.selection = None; }).url(path))
                        aria-current=[(span == asked.span).then_some("true")] { (span.word()) span.hidden { ": " (span.words()) } }
                }
            }
        }
    }
}

/// The bars. The table has the same numbers and links for those who cannot see or point.
fn picture(context: &Context<'_>, path: &str, slots: &TimeSlots) -> Markup {
    let width = slots.slots.len() * STEP;
    let most = |part: fn(&(u64, u64)) -> u64| slots.slots.iter().map(part).max().unwrap_or(0);
    let scale = Scale::new(most(|slot| slot.0), most(|slot| slot.1));
    let selection = context.asked.selection;
    html! {
        svg.bars viewBox=(format!("0 0 {width} {HEIGHT}")) preserveAspectRatio="none" aria-hidden="true"
            data-first=(slots.first.as_second()) data-step=(slots.seconds) data-slots=(slots.slots.len()) {
            @for (number, (passed, dropped)) in slots.slots.iter().enumerate() {
                @let (from, until) = times(slots, number);
                @let is_out = selection.is_some_and(|(begin, end)| until <= begin || from >= end);
                a.out[is_out] href=(select(context.asked, path, from, until)) tabindex="-1" {
                    title { (words(context, from, until)) ": " (thousands(*passed)) " passed, " (thousands(*dropped)) " dropped" }
                    rect.hit x=(number * STEP) y="0" width=(STEP) height=(HEIGHT) {}
                    @if *passed > 0 {
                        @let high = scale.height(*passed);
                        rect.passed x=(number * STEP + 1) y=(two(scale.line - high)) width=(STEP - 2) height=(two(high)) rx="1.5" {}
                    }
                    @if *dropped > 0 {
                        rect.dropped x=(number * STEP + 1) y=(two(scale.line + 1.0)) width=(STEP - 2) height=(two(scale.height(*dropped))) rx="1.5" {}
                    }
                }
            }
            line.floor x1="0" x2=(width) y1=(two(scale.line + 0.5)) y2=(two(scale.line + 0.5)) {}
        }
    }
}

/// One scale for both directions, so that bars can be compared.
struct Scale {
    line: f64,
    unit: f64,
}

impl Scale {
    fn new(passed: u64, dropped: u64) -> Self {
        let all = number(passed + dropped).max(1.0);
        let room = HEIGHT - 1.0;
        let below = if dropped == 0 {
            0.0
        } else {
            (room * number(dropped) / all).max(LEAST)
        };
        Self {
            line: room - below,
            unit: room / all,
        }
    }

    fn height(&self, packets: u64) -> f64 {
        (number(packets) * self.unit).max(LEAST)
    }
}

fn selected(context: &Context<'_>, path: &str) -> Markup {
    html! {
        @if let Some((from, until)) = context.asked.selection {
            p.selection {
                "Only " strong { (words(context, from, until)) } " "
                a.chip href=(context.asked.with(|asked| asked.selection = None).url(path)) { "Show the whole period" }
            }
        } @else {
            p.hint { "Select a bar, or draw over several, to list only the contacts of that time." }
        }
    }
}

fn table(context: &Context<'_>, path: &str, slots: &TimeSlots) -> Markup {
    let seen = slots.slots.iter().enumerate().rev();
    let seen = seen.filter(|(_, (passed, dropped))| passed + dropped > 0);
    html! {
        details {
            summary { "The same as a table" }
            table {
                caption { "Packets by time, the latest first" }
                thead { tr { th scope="col" { "Time" } th.number scope="col" { "Passed" } th.number scope="col" { "Dropped" } } }
                tbody {
                    @for (number, (passed, dropped)) in seen {
                        @let (from, until) = times(slots, number);
                        tr {
                            th scope="row" { a href=(select(context.asked, path, from, until)) { (words(context, from, until)) } }
                            td.number { (thousands(*passed)) }
                            td.number { (thousands(*dropped)) }
                        }
                    }
                }
            }
        }
    }
}

/// A chart as wide as a word, for a list.
pub(super) fn small(slots: &TimeSlots) -> Markup {
    let width = slots.slots.len().max(1) * STEP;
    let most = slots
        .slots
        .iter()
        .map(|(passed, dropped)| passed + dropped)
        .max()
        .unwrap_or(0);
    let (passed, dropped) = slots.sum();
    let scale = Scale::new(most, 0);
    let label = format!(
        "{}, {} dropped",
        plural(passed + dropped, "packet", "packets"),
        thousands(dropped)
    );
    html! {
        svg.small viewBox=(format!("0 0 {width} {HEIGHT}")) preserveAspectRatio="none" role="img" aria-label=(label) {
            @for (number, (passed, dropped)) in slots.slots.iter().enumerate() {
                @let above = if *passed > 0 { scale.height(*passed) } else { 0.0 };
                @if *passed > 0 {
                    rect.passed x=(number * STEP) y=(two(HEIGHT - above)) width=(STEP - 2) height=(two(above)) {}
                }
                @if *dropped > 0 {
                    @let high = scale.height(*dropped);
                    rect.dropped x=(number * STEP) y=(two((HEIGHT - above - high).max(0.0))) width=(STEP - 2) height=(two(high)) {}
                }
            }
        }
    }
}

/// The URL that selects a time.
fn select(asked: &Asked, path: &str, from: i64, until: i64) -> String {
    asked
        .with(|asked| asked.selection = Some((from, until)))
        .url(path)
}

/// Begin and end of a slot, in seconds since 1970.
fn times(slots: &TimeSlots, number: usize) -> (i64, i64) {
    let number = i64::try_from(number).unwrap_or(i64::MAX);
    let from = slots.first.as_second() + number.saturating_mul(slots.seconds);
    (from, from + slots.seconds)
}

/// A period in words.
fn words(context: &Context<'_>, from: i64, until: i64) -> String {
    let time = |at| Timestamp::from_second(at).map(|at| context.clock.slot(at));
    match (time(from), time(until)) {
        (Ok(from), Ok(until)) => format!("{from} to {until}"),
        _ => "a time that no calendar has".to_owned(),
    }
}

fn ticks(slots: &TimeSlots) -> Vec<Timestamp> {
    let count = slots.slots.len();
    let ticks = (0..TICKS).map(|tick| count * tick / (TICKS - 1));
    ticks
        .filter_map(|slot| Timestamp::from_second(times(slots, slot).0).ok())
        .collect()
}

#[expect(clippy::cast_precision_loss, reason = "a picture has few pixels")]
const fn number(number: u64) -> f64 {
    number as f64
}

/// Two digits after the point.
fn two(number: f64) -> String {
    format!("{number:.2}")
}
