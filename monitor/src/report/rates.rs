//! Compares two rates of contacts by an exact test.
//!
//! Source: Przyborowski and Wilenski, "Homogeneity of results in testing samples from Poisson
//! series", Biometrika 31 (1940). If both rates are equal, then of `a + b` contacts the number
//! before the mark has a binomial distribution with the share `hours_a / (hours_a + hours_b)`.

/// Contacts in a time of observation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Observed {
    /// Number of contacts.
    pub(super) contacts: u64,
    /// Observed time in hours.
    pub(super) hours: f64,
}

/// The level below which a report speaks of a difference.
pub(super) const LEVEL: f64 = 0.05;

/// The longest further observation that a report proposes, in hours: 60 days.
const LONGEST: f64 = 1_440.0;

/// The most contacts that are tested exactly. More are scaled down, which makes the test less
/// sensitive, never more.
const MOST: u64 = 100_000;

impl Observed {
    /// Contacts per hour; `None` without observation.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a rate needs no more than 52 bits"
    )]
    pub(super) fn rate(self) -> Option<f64> {
        (self.hours > 0.0).then(|| self.contacts as f64 / self.hours)
    }
}

/// Returns the probability of a difference that is at least as large, in either direction, if
/// both rates are equal (twice the smaller tail). `None` without contacts or observation.
pub(super) fn probability(before: Observed, after: Observed) -> Option<f64> {
    let all = before.contacts.checked_add(after.contacts)?;
    if all == 0 || before.hours <= 0.0 || after.hours <= 0.0 {
        return None;
    }
    let divisor = all.div_ceil(MOST);
    let (k, n) = (before.contacts / divisor, all / divisor);
    let share = before.hours / (before.hours + after.hours);
    let (below, above) = tails(k, n, share);
    Some((2.0 * below.min(above)).min(1.0))
}

/// Returns P(X ≤ k) and P(X ≥ k) of a binomial distribution.
#[expect(clippy::cast_precision_loss, reason = "numbers are at most `MOST`")]
fn tails(k: u64, n: u64, share: f64) -> (f64, f64) {
    let (log_share, log_rest) = (share.ln(), (1.0 - share).ln());
    // The logarithm of the probability of 0, then of each next number.
    let mut log = n as f64 * log_rest;
    let (mut below, mut above) = (0.0, 0.0);
    for x in 0..=n {
        let probability = log.exp();
        if x <= k {
            below += probability;
        }
        if x >= k {
            above += probability;
        }
        log += ((n - x) as f64).ln() - ((x + 1) as f64).ln() + log_share - log_rest;
    }
    (below, above)
}

/// Returns how many more hours after the mark would be needed, at the present rates, until the
/// test reaches [`LEVEL`]. `None` if 60 days would not do.
pub(super) fn needed_hours(before: Observed, after: Observed) -> Option<f64> {
    let rate = after.rate()?;
    let reaches = |more: f64| {
        let hours = after.hours + more;
        let later = Observed {
            contacts: whole(rate * hours),
            hours,
        };
        probability(before, later).is_some_and(|probability| probability < LEVEL)
    };
    let (mut low, mut high) = (0.0, 0.25);
    while !reaches(high) {
        if high >= LONGEST {
            return None;
        }
        low = high;
        high = (high * 2.0).min(LONGEST);
    }
    for _ in 0..12 {
        let middle = f64::midpoint(low, high);
        if reaches(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    Some(high)
}

/// The next whole number.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the number is positive and small"
)]
fn whole(number: f64) -> u64 {
    number.round().clamp(0.0, 1e12) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed(contacts: u64, hours: f64) -> Observed {
        Observed { contacts, hours }
    }

    fn near(found: Option<f64>, expected: f64) {
        let found = found.unwrap();
        assert!(
            (found - expected).abs() < 1e-9 * expected.max(1e-3),
            "{found} {expected}"
        );
    }

    /// Checked by hand: twice the smaller tail of a binomial distribution.
    #[test]
    fn probabilities_are_those_of_the_binomial_distribution() {
        // P(X >= 10), n = 10, share 1/2.
        near(
            probability(observed(10, 1.0), observed(0, 1.0)),
            2.0 / 1024.0,
        );
        // P(X <= 0), n = 5, share 1/2.
        near(probability(observed(0, 2.0), observed(5, 2.0)), 2.0 / 32.0);
        // P(X >= 2), n = 3, share 1/4: 3 * 1/16 * 3/4 + 1/64 = 10/64.
        near(probability(observed(2, 1.0), observed(1, 3.0)), 20.0 / 64.0);
        near(probability(observed(5, 1.0), observed(5, 1.0)), 1.0);
        assert_eq!(probability(observed(0, 1.0), observed(0, 1.0)), None);
        assert_eq!(probability(observed(4, 0.0), observed(0, 1.0)), None);
    }

    #[test]
    fn large_numbers_stay_finite() {
        let p = probability(observed(60_000, 10.0), observed(40_000, 10.0)).unwrap();
        assert!((0.0..1e-100).contains(&p), "{p}");
        let p = probability(observed(u64::MAX / 4, 10.0), observed(u64::MAX / 4, 10.0)).unwrap();
        assert!(p > 0.9, "{p}");
    }

    /// With the proposed hours the test reaches its level, and with a tenth less it does not.
    #[test]
    fn the_needed_hours_are_enough_and_not_too_many() {
        let (before, after) = (observed(3, 1.0), observed(0, 1.0));
        assert!(probability(before, after).unwrap() >= LEVEL);
        let more = needed_hours(before, after).unwrap();
        let with = |more: f64| probability(before, observed(0, 1.0 + more)).unwrap();
        assert!(with(more) < LEVEL && with(more * 0.9) >= LEVEL, "{more}");
        assert_eq!(needed_hours(observed(5, 1.0), observed(5, 1.0)), None);
        assert_eq!(needed_hours(observed(0, 1.0), observed(0, 1.0)), None);
    }
}
