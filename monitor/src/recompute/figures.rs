//! Compares one figure of a report with what a capture allows.

use jiff::{SignedDuration, Timestamp};

use super::file::Window;

/// The most differing figures that are named.
const MOST_NAMED: usize = 20;

/// The times of flows are those of ticks of the kernel, to the second.
const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// Packets by which figures may differ although nothing was changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Slack {
    /// Packets that the report may have and the capture lacks.
    pub(super) more: u64,
    /// Packets that the capture has and the report may lack.
    pub(super) fewer: u64,
}

/// What the figures of a report were compared with.
#[derive(Debug, Default)]
pub(super) struct Figures {
    pub(super) slack: Slack,
    /// Figures that are equal to the only value that the capture allows.
    pub(super) equal: u64,
    /// Figures between two values that the capture allows.
    pub(super) between: u64,
    /// Figures of which the capture allows every larger value.
    pub(super) at_least: u64,
    /// The first figures that differ, each as a sentence.
    pub(super) differing: Vec<String>,
    /// Number of further figures that differ.
    pub(super) more_differing: u64,
}

/// The values that a capture allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Allowed {
    pub(super) least: u64,
    /// `None` if the capture does not limit the figure.
    pub(super) most: Option<u64>,
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counts {
    /// Packets, or something of which a packet adds at most one.
    Packets,
    /// Bytes.
    Bytes,
}

impl Figures {
    /// Notes a figure that differs.
    pub(super) fn differs(&mut self, text: String) {
        if self.differing.len() < MOST_NAMED {
            self.differing.push(text);
        } else {
            self.more_differing += 1;
        }
    }

    /// Number of figures that agree.
    pub(super) const fn agreeing(&self) -> u64 {
        self.equal + self.between + self.at_least
    }

    /// Compares a number.
    pub(super) fn number(
        &mut self,
        name: impl FnOnce() -> String,
        reported: u64,
        allowed: Allowed,
        counts: Counts,
    ) {
        let Allowed { least, most } = self.with_slack(allowed, counts);
        let fits = reported >= least && most.is_none_or(|most| reported <= most);
        if !fits {
            let gives = match most {
                Some(most) if most == least => least.to_string(),
                Some(most) => format!("{least} to {most}"),
                None => format!("at least {least}"),
            };
            self.differs(format!(
                "{}: the report has {reported}, the capture gives {gives}.",
                name()
            ));
            return;
        }
        match most {
            Some(most) if most == least => self.equal += 1,
            Some(_) => self.between += 1,
            None => self.at_least += 1,
        }
    }

    fn with_slack(&self, Allowed { least, most }: Allowed, counts: Counts) -> Allowed {
        let Slack { more, fewer } = self.slack;
        match counts {
            Counts::Packets => Allowed {
                least: least.saturating_sub(fewer),
                most: most.map(|most| most.saturating_add(more)),
            },
            // The lengths of these packets are not known.
            Counts::Bytes => Allowed {
                least: if fewer > 0 { 0 } else { least },
                most: most.filter(|_| more == 0),
            },
        }
    }

    /// Compares the times of the first and of the last packet. `inner` are the times by the
    /// packets that the report must have, `outer` by those that it may have. Each is in seconds.
    pub(super) fn times(
        &mut self,
        name: impl Fn() -> String,
        reported: Times,
        (inner, outer): (Option<Times>, Option<Times>),
        known: Known,
    ) {
        let later = |time: Timestamp| time.checked_add(SECOND).unwrap_or(time);
        let earlier = |time: Timestamp| time.checked_sub(SECOND).unwrap_or(time);
        let required = inner.filter(|_| self.slack.fewer == 0);
        let possible = outer.filter(|_| self.slack.more == 0);
        let ends = [
            (
                "first",
                reported.first,
                possible
                    .map(|times| earlier(times.first))
                    .filter(|_| known.begin),
                required.map(|times| later(times.first)),
            ),
            (
                "last",
                reported.last,
                required.map(|times| earlier(times.last)),
                possible
                    .map(|times| later(times.last))
                    .filter(|_| known.end),
            ),
        ];
        for (word, time, least, most) in ends {
            let fits =
                least.is_none_or(|least| time >= least) && most.is_none_or(|most| time <= most);
            if fits {
                match (least, most) {
                    (Some(least), Some(most)) if most.duration_since(least) <= SECOND * 2 => {
                        self.equal += 1;
                    }
                    (Some(_), Some(_)) => self.between += 1,
                    _ => self.at_least += 1,
                }
                continue;
            }
            let gives = match (least, most) {
                (Some(least), Some(most)) => format!("{least} to {most}"),
                (Some(least), None) => format!("{least} or later"),
                (None, Some(most)) => format!("{most} or earlier"),
                (None, None) => continue,
            };
            self.differs(format!(
                "{}, {word} packet: the report has {time}, the capture gives {gives}.",
                name()
            ));
        }
    }
}

/// Times of the first and of the last packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
}

impl Times {
    pub(super) fn read(first: &str, last: &str) -> Option<Self> {
        Some(Self {
            first: first.parse().ok()?,
            last: last.parse().ok()?,
        })
    }
}

/// Which packets of a figure the capture must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// It has those before the period that the figure may count.
    pub(super) begin: bool,
    /// It has those after the period that the figure may count.
    pub(super) end: bool,
}

impl Known {
    /// For a figure with these times. `around` is the period with the time around it from which
    /// rows of the store may reach into it.
    pub(super) fn of(window: &Window, around: (Timestamp, Timestamp), times: Times) -> Self {
        Self {
            begin: window.since <= around.0 || window.begins_before(times.first),
            end: window.until >= around.1 || window.ends_after(times.last),
        }
    }

    pub(super) const fn all(self) -> bool {
        self.begin && self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(slack: Slack, reported: u64, allowed: Allowed, counts: Counts) -> Figures {
        let mut figures = Figures {
            slack,
            ..Figures::default()
        };
        figures.number(|| "packets".to_owned(), reported, allowed, counts);
        figures
    }

    const FIVE: Allowed = Allowed {
        least: 5,
        most: Some(5),
    };

    #[test]
    fn only_the_exact_number_is_equal() {
        for (reported, is_equal) in [(4, false), (5, true), (6, false)] {
            let figures = compared(Slack::default(), reported, FIVE, Counts::Packets);
            assert_eq!(figures.equal, u64::from(is_equal));
            assert_eq!(figures.differing.is_empty(), is_equal);
        }
        let figures = compared(Slack::default(), 6, FIVE, Counts::Packets);
        assert_eq!(
            figures.differing,
            ["packets: the report has 6, the capture gives 5."]
        );
    }

    #[test]
    fn lost_packets_widen_the_bounds() {
        let slack = Slack { more: 2, fewer: 1 };
        for (reported, fits) in [(3, false), (4, true), (7, true), (8, false)] {
            let figures = compared(slack, reported, FIVE, Counts::Packets);
            assert_eq!(figures.between, u64::from(fits), "{reported}");
        }
        assert_eq!(compared(slack, 7_000, FIVE, Counts::Bytes).at_least, 1);
    }

    #[test]
    fn differing_figures_are_named_up_to_a_number() {
        let mut figures = Figures::default();
        for number in 0..25 {
            figures.differs(number.to_string());
        }
        assert_eq!((figures.differing.len(), figures.more_differing), (20, 5));
    }
}
