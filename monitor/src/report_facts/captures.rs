//! Captures of a period: joins the event of each begin with that of its end.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::{
    evidence::{captured::LONGEST_CAPTURE, event::Happening},
    report::{CaptureFact, MOST_CAPTURES},
    store::{PeriodQuery, StoreError, View},
};

/// Captures of a period.
pub(super) struct PeriodCaptures {
    /// The latest ones, sorted by begin.
    pub(super) captures: Vec<CaptureFact>,
    /// Number of earlier ones.
    pub(super) more: u64,
}

/// The captures of the asked policy that ran at some time in the period.
pub(super) fn captures(view: &View<'_>, query: &PeriodQuery) -> Result<PeriodCaptures, StoreError> {
    let longest = SignedDuration::try_from(LONGEST_CAPTURE).unwrap_or_default();
    let earliest = query.since.checked_sub(longest).unwrap_or(Timestamp::MIN);
    let mut by_begin = BTreeMap::new();
    for stored in view.captures(earliest)? {
        // A newer version may have written others.
        let Ok(what) = serde_json::from_str(&stored.event.json) else {
            continue;
        };
        let fact = match what {
            Happening::CaptureBegin(begun) => CaptureFact::Running(begun),
            Happening::Capture(captured) => CaptureFact::Ended(captured),
            Happening::CaptureNotFinished(begun) => CaptureFact::NotFinished(begun),
            _ => continue,
        };
        // The end takes the place of the begin.
        by_begin.insert((fact.since().to_owned(), fact.id().to_owned()), fact);
    }
    let mut captures: Vec<_> = by_begin
        .into_values()
        .filter(|fact| {
            let asked = query.policy.as_ref();
            asked.is_none_or(|asked| asked == fact.policy())
        })
        .filter(|fact| {
            let time = |text: &str| text.parse::<Timestamp>().ok();
            time(fact.since()).is_some_and(|since| since <= query.until)
                && time(fact.until()).is_some_and(|until| until >= query.since)
        })
        .collect();
    let more = captures.len().saturating_sub(MOST_CAPTURES);
    captures.drain(..more);
    Ok(PeriodCaptures {
        captures,
        more: more as u64,
    })
}
