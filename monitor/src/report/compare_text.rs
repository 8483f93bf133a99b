//! The results of a comparison, in sentences. They claim no more than the test does.

use super::{
    compare::{Compared, Window},
    rates::LEVEL,
    window::{Side, Unit},
    words::{grouped, hours, number, plural},
};

/// The fewest intervals with packets that one side must have for a comparison.
const FEWEST_ACTIVE: u64 = 5;

/// What is missing for a comparison of rates; `None` if there is enough.
pub(super) fn missing([before, after]: [Window; 2], unit: Unit) -> Option<String> {
    let (word, fewest) = (unit.word(), unit.fewest());
    for (side, window) in [("before", before), ("after", after)] {
        let observed = window.observed_intervals;
        if observed < fewest {
            return Some(format!(
                "The rates are not compared: {} intervals ({word} each) are observed {side} the mark, and {fewest} are needed, so {} more.",
                grouped(observed),
                grouped(fewest - observed),
            ));
        }
    }
    let most = before.active_intervals.max(after.active_intervals);
    (most < FEWEST_ACTIVE).then(|| {
        format!(
            "The rates are not compared: at least {FEWEST_ACTIVE} intervals with packets are needed on one side, so {} more.",
            FEWEST_ACTIVE - most
        )
    })
}

impl Compared {
    /// The result in sentences.
    pub(super) fn sentences(&self, unit: Unit, sides: &[Side; 2]) -> Vec<String> {
        let mut text = Vec::new();
        let windows = [("before", self.before), ("after", self.after)];
        for ((word, window), side) in windows.into_iter().zip(sides) {
            if side.since >= side.until {
                text.push(format!(
                    "The period has no time {word} the mark, so nothing can be compared."
                ));
                return text;
            }
            if window.observed_hours <= 0.0 {
                text.push(format!(
                    "The store knows no whole interval {word} the mark in which the filter was attached, so no rates can be compared."
                ));
                return text;
            }
        }
        let rate = |window: Window| {
            format!(
                "packets in {} of {} intervals ({} each)",
                grouped(window.active_intervals),
                grouped(window.observed_intervals),
                unit.word()
            )
        };
        text.push(format!(
            "Before the mark: {}. After it: {}.",
            rate(self.before),
            rate(self.after)
        ));
        text.extend(self.result(unit));
        if unit.has_hours {
            text.push(
                "The store sums old packets by the hour, so the intervals are hours here."
                    .to_owned(),
            );
        }
        if self.unclear_packets > 0 {
            text.push(format!(
                "{} are left out: the store does not know on which side of the mark, or of another end of this time, they are.",
                plural(self.unclear_packets, "packet", "packets")
            ));
        }
        text
    }

    fn result(&self, unit: Unit) -> Vec<String> {
        if let Some(missing) = missing([self.before, self.after], unit) {
            return vec![missing];
        }
        match self.probability {
            None => vec!["Without any packet, no rates can be compared.".to_owned()],
            Some(p) if p < LEVEL => {
                let word = if self.after.activity() < self.before.activity() {
                    "lower"
                } else {
                    "higher"
                };
                vec![
                    format!(
                        "After the mark the rate of intervals with packets is {word}. If both rates were equal and the intervals independent, a difference this large would have a probability of {}.",
                        number(p)
                    ),
                    "The order in time does not show the cause.".to_owned(),
                ]
            }
            Some(_) => vec![self.too_little()],
        }
    }

    fn too_little(&self) -> String {
        let no = "Chance can explain the difference between the rates, if there is one.";
        match self.needed_hours {
            Some(more) => format!(
                "{no} At these rates, about {} more of observation after the mark would be needed to tell.",
                hours(more)
            ),
            None => {
                format!("{no} At these rates, 60 more days of observation would not tell either.")
            }
        }
    }
}

impl Window {
    /// Intervals with packets in each observed hour.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a rate needs no more than 52 bits"
    )]
    fn activity(&self) -> f64 {
        self.active_intervals as f64 / self.observed_hours
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(active: u64, observed: u64) -> Window {
        Window {
            active_intervals: active,
            observed_intervals: observed,
            ..Window::default()
        }
    }

    #[test]
    fn too_little_is_named() {
        let fives = Unit { has_hours: false };
        let of = |before, after, unit| missing([before, after], unit);
        assert_eq!(of(window(5, 12), window(0, 5), fives), None);
        let short = of(window(5, 12), window(0, 3), fives).unwrap();
        assert!(
            short.contains("after the mark") && short.contains("2 more"),
            "{short}"
        );
        let few = of(window(4, 12), window(1, 12), fives).unwrap();
        assert!(few.contains("1 more"), "{few}");
        let hours = Unit { has_hours: true };
        assert!(of(window(9, 11), window(9, 48), hours).is_some());
        assert_eq!(of(window(9, 12), window(9, 48), hours), None);
    }
}
