//! What is reported: values by name, and what can be said of them.

use std::fmt::{self, Write as _};

use anyhow::Result;

/// A measured quantity, with its value in each round.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    pub(crate) values: Vec<f64>,
    /// Why the values cannot be trusted; they are not shown then.
    pub(crate) error: Option<String>,
}

/// Rows in the order in which they first came.
#[derive(Debug, Default)]
pub(crate) struct Rows(Vec<Row>);

impl Rows {
    /// Adds the values of one round, or the reason why there are none.
    pub(crate) fn add<const N: usize>(
        &mut self,
        rows: [(String, &'static str); N],
        values: Result<[f64; N]>,
    ) {
        match values {
            Ok(values) => {
                for ((name, unit), value) in rows.into_iter().zip(values) {
                    self.row(name, unit).values.push(value);
                }
            }
            Err(error) => {
                for (name, unit) in rows {
                    self.row(name, unit)
                        .error
                        .get_or_insert_with(|| format!("{error:#}"));
                }
            }
        }
    }

    pub(crate) fn into_rows(self) -> Vec<Row> {
        self.0
    }

    fn row(&mut self, name: String, unit: &'static str) -> &mut Row {
        let at = self
            .0
            .iter()
            .position(|row| row.name == name && row.unit == unit);
        let at = at.unwrap_or_else(|| {
            self.0.push(Row {
                name,
                unit,
                values: Vec::new(),
                error: None,
            });
            self.0.len() - 1
        });
        &mut self.0[at]
    }
}

impl fmt::Display for Row {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Row { name, unit, .. } = self;
        if let Some(error) = &self.error {
            return write!(out, "{name:58} ERROR {error}");
        }
        let sorted = sorted(&self.values);
        let (Some(least), Some(most)) = (sorted.first(), sorted.last()) else {
            return write!(out, "{name:58} no value");
        };
        let mut text = format!(
            "{name:58} {:9.3} {unit:8} {least:.3} – {most:.3}",
            median(&sorted)
        );
        if let Some((low, high)) = median_interval(&sorted) {
            let _ = write!(text, "  95 %: {low:.3} – {high:.3}");
        }
        write!(out, "{text}  ({} rounds)", sorted.len())
    }
}

/// In ascending order.
pub(crate) fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_unstable_by(f64::total_cmp);
    values
}

/// Of values in ascending order; of none, NaN.
pub(crate) fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    match (sorted.get(middle.wrapping_sub(1)), sorted.get(middle)) {
        (Some(below), Some(above)) if sorted.len().is_multiple_of(2) => {
            f64::midpoint(*below, *above)
        }
        (_, Some(value)) => *value,
        _ => f64::NAN,
    }
}

/// The value that this share, 0 to 1, of ascending values does not exceed.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a small number"
)]
pub(crate) fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

/// Between which values the median lies with 95 % confidence at least, whatever
/// the distribution (the sign test turned round); `None` for fewer than six.
pub(crate) fn median_interval(sorted: &[f64]) -> Option<(f64, f64)> {
    let count = sorted.len();
    let mut chance = 0.5_f64.powi(i32::try_from(count).ok()?);
    let mut tail = chance;
    let mut cut = None;
    for rank in 0..count / 2 {
        if tail > 0.025 {
            break;
        }
        cut = Some(rank);
        #[expect(clippy::cast_precision_loss, reason = "numbers of rounds")]
        let step = (count - rank) as f64 / (rank + 1) as f64;
        chance *= step;
        tail += chance;
    }
    let cut = cut?;
    Some((sorted[cut], sorted[count - 1 - cut]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn up_to(count: u32) -> Vec<f64> {
        (1..=count).map(f64::from).collect()
    }

    #[test]
    #[expect(clippy::float_cmp, reason = "whole and half numbers are exact")]
    fn medians_and_quantiles() {
        assert_eq!(median(&up_to(5)), 3.0);
        assert_eq!(median(&up_to(4)), 2.5);
        assert!(median(&[]).is_nan());
        assert_eq!(quantile(&up_to(200), 0.99), Some(198.0));
        assert_eq!(quantile(&up_to(1), 0.5), Some(1.0));
    }

    /// Ranks from published tables of the sign test.
    #[test]
    fn intervals_of_the_sign_test() {
        assert_eq!(median_interval(&up_to(5)), None);
        assert_eq!(median_interval(&up_to(6)), Some((1.0, 6.0)));
        assert_eq!(median_interval(&up_to(20)), Some((6.0, 15.0)));
        assert_eq!(median_interval(&up_to(25)), Some((8.0, 18.0)));
    }

    #[test]
    fn a_round_that_failed_makes_the_row_an_error() {
        let mut rows = Rows::default();
        let name = || [("a".to_owned(), "Mpps")];
        rows.add(name(), Ok([1.0]));
        rows.add(name(), Err(anyhow::anyhow!("the sink took in 3 packets")));
        rows.add(name(), Ok([2.0]));
        let shown = rows.into_rows()[0].to_string();
        assert!(
            shown.ends_with("ERROR the sink took in 3 packets"),
            "{shown}"
        );
    }
}
