//! Statistics of the values of several rounds.

/// The values in ascending order.
pub(crate) fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_unstable_by(f64::total_cmp);
    values
}

/// Median of values in ascending order; NaN for no values.
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

/// Quantile of values in ascending order: a share of 0 to 1 of them does not exceed it.
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

/// Confidence interval of the median, at least 95 %, for any distribution (by the sign
/// test). `None` for fewer than six values.
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
}
