//! Pictures of a report as inline SVG. They need no colour: passed packets are filled bars,
//! dropped ones are hatched, and time without a filter is crossed.

use maud::{Markup, html};

use super::{
    model::Timeline,
    words::{grouped, seconds, utc},
};

const WIDTH: u32 = 720;
const HEIGHT: u32 = 162;
const LEFT: u32 = 8;
const TOP: u32 = 44;
const BOTTOM: u32 = 34;

/// Patterns that all pictures of the document use.
pub(super) fn patterns() -> Markup {
    html! {
        svg.patterns width="0" height="0" aria-hidden="true" {
            defs {
                pattern #hatch width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)" {
                    rect width="5" height="5" fill="var(--card)" {}
                    rect width="2.4" height="5" fill="currentColor" {}
                }
                pattern #cross width="9" height="9" patternUnits="userSpaceOnUse" {
                    path d="M0 0L9 9M9 0L0 9" stroke="currentColor" stroke-width=".6" fill="none" opacity=".45" {}
                }
            }
        }
    }
}

/// A mark on a timeline: its time and its number.
pub(super) struct At<'a> {
    pub(super) at: &'a str,
    pub(super) number: usize,
}

/// Packets by time, with marks as vertical lines.
pub(super) fn timeline(timeline: &Timeline, title: &str, marks: &[At<'_>]) -> Markup {
    let slots = timeline.passed.len().max(1);
    let sums = timeline
        .passed
        .iter()
        .zip(&timeline.dropped)
        .map(|(a, b)| a + b);
    let most = sums.max().unwrap_or(0);
    let step = f64::from(WIDTH - 2 * LEFT) / number(slots);
    let x = |slot: usize| f64::from(LEFT) + step * number(slot);
    let floor = HEIGHT - BOTTOM;
    let high = |packets: u64| scaled(packets, most) * f64::from(floor - TOP);
    let slot = seconds(timeline.slot_seconds);
    html! {
        svg.timeline viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(title) {
            title { (title) }
            text x=(LEFT) y="18" { "most in " (slot) ": " (grouped(most)) " packets" }
            @for (at, is_attached) in timeline.attached.iter().enumerate() {
                @if !is_attached {
                    rect x=(two(x(at))) y=(TOP) width=(two(step)) height=(floor - TOP) fill="url(#cross)" {}
                }
            }
            @for at in 0..timeline.passed.len() {
                (bars(timeline, at, x(at), step, floor, &high))
            }
            line x1=(LEFT) y1=(floor) x2=(WIDTH - LEFT) y2=(floor) stroke="currentColor" {}
            @for (order, mark) in marks.iter().enumerate() { (line_of(timeline, mark, order, &x)) }
            text x=(LEFT) y=(HEIGHT - 9) { (utc(&timeline.since)) }
            text x=(WIDTH - LEFT) y=(HEIGHT - 9) text-anchor="end" { (utc(&end(timeline))) }
        }
    }
}

fn bars(
    timeline: &Timeline,
    at: usize,
    x: f64,
    step: f64,
    floor: u32,
    high: &impl Fn(u64) -> f64,
) -> Markup {
    let (passed, dropped) = (timeline.passed[at], timeline.dropped[at]);
    let width = (step - 1.0).max(step * 0.7).max(0.5);
    let (own, upper) = (
        visible(high(passed), passed),
        visible(high(dropped), dropped),
    );
    let floor = f64::from(floor);
    html! {
        @if passed > 0 {
            rect x=(two(x)) y=(two(floor - own)) width=(two(width)) height=(two(own)) fill="currentColor" {}
        }
        @if dropped > 0 {
            rect x=(two(x)) y=(two(floor - own - upper)) width=(two(width)) height=(two(upper)) fill="url(#hatch)" stroke="currentColor" stroke-width=".8" {}
        }
    }
}

fn line_of(timeline: &Timeline, mark: &At<'_>, order: usize, x: &impl Fn(usize) -> f64) -> Markup {
    let time = |text: &str| text.parse::<jiff::Timestamp>().unwrap_or_default();
    let after = time(mark.at)
        .duration_since(time(&timeline.since))
        .as_secs();
    let slot = timeline.slot_seconds.max(1);
    let whole = usize::try_from(after / slot)
        .unwrap_or(0)
        .min(timeline.passed.len());
    let part = scaled(after.rem_euclid(slot).unsigned_abs(), slot.unsigned_abs());
    let at = x(whole) + (x(whole + 1) - x(whole)) * part;
    let is_right = at > f64::from(WIDTH) * 0.8;
    // Labels of near marks do not cover each other.
    let below = f64::from(TOP) - 6.0 + 13.0 * number(order % 3);
    html! {
        // Over a bar, the dashed line needs a ground.
        line x1=(two(at)) x2=(two(at)) y1=(TOP - 16) y2=(HEIGHT - BOTTOM + 4) stroke="var(--card)" stroke-width="3" {}
        line.mark x1=(two(at)) x2=(two(at)) y1=(TOP - 16) y2=(HEIGHT - BOTTOM + 4) stroke="currentColor" stroke-dasharray="4 3" {}
        text x=(two(if is_right { at - 3.0 } else { at + 3.0 })) y=(two(below)) text-anchor=(if is_right { "end" } else { "start" }) { "mark " (mark.number) }
    }
}

fn end(timeline: &Timeline) -> String {
    let since: jiff::Timestamp = timeline.since.parse().unwrap_or_default();
    let length = timeline
        .slot_seconds
        .saturating_mul(i64::try_from(timeline.passed.len()).unwrap_or(0));
    let end = since.checked_add(jiff::SignedDuration::from_secs(length));
    end.map(crate::clock::to_the_second).unwrap_or_default()
}

/// A bar of at least one unit, so that no packet is invisible.
fn visible(height: f64, packets: u64) -> f64 {
    if packets > 0 { height.max(1.5) } else { 0.0 }
}

#[expect(clippy::cast_precision_loss, reason = "a picture has few pixels")]
fn scaled(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

#[expect(clippy::cast_precision_loss, reason = "a picture has few slots")]
fn number(number: usize) -> f64 {
    number as f64
}

/// Two digits after the point.
fn two(number: f64) -> String {
    format!("{number:.2}")
}
