//! Divides the rows of an hour between the segments that meet in it.

use std::{collections::BTreeMap, ops::RangeInclusive};

use super::Cut;
use crate::store::bucket;

pub(super) type Key = (i64, i64);

/// Packets of one device and flow end in an interval.
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub(super) key: Key,
    pub(super) bucket: i64,
    pub(super) packets: u64,
    pub(super) is_merged: bool,
    /// Seconds of the first and of the last packet.
    pub(super) first: i64,
    pub(super) last: i64,
}

/// The packets before a mark, by device and flow end, then by bucket.
pub(super) type Copied = BTreeMap<Key, BTreeMap<i64, u64>>;

/// An hour that is divided: by cuts, or by an end of the period.
pub(super) struct CutHour<'a> {
    pub(super) begin: i64,
    /// The cuts within it.
    pub(super) cuts: &'a [Cut],
    /// The segment before the first cut.
    pub(super) first: usize,
    /// The period in seconds.
    pub(super) period: (i64, i64),
}

/// Divides a row between the segments of its hour: packets of each. Returns the segments in
/// which the packets may be, if that is unknown.
pub(super) fn divide(
    row: &Row,
    hour: &CutHour<'_>,
    copies: &[Option<Copied>],
) -> Result<Vec<u64>, RangeInclusive<usize>> {
    let before: Vec<Option<u64>> = copies
        .iter()
        .zip(hour.cuts)
        .map(|(copy, cut)| match copy {
            Some(copy) => Some(copied_packets(row, copy)),
            None if row.last < bucket::seconds(cut.at) => Some(row.packets),
            None if row.first.saturating_mul(1_000) >= cut.at.as_millisecond() => Some(0),
            None => None,
        })
        .collect();
    if before.iter().any(Option::is_none) {
        let is_after = |known: &Option<u64>| *known == Some(0);
        let from = before.iter().rposition(is_after).map_or(0, |cut| cut + 1);
        let is_before = |known: &Option<u64>| known.is_some_and(|known| known >= row.packets);
        let to = before.iter().position(is_before).unwrap_or(before.len());
        return Err(hour.first + from.min(to)..=hour.first + to);
    }
    let mut last = 0;
    let sums = before.into_iter().flatten().chain([row.packets]);
    let parts = sums.map(|sum| {
        let packets = sum.saturating_sub(last);
        last = last.max(sum);
        packets
    });
    Ok(parts.collect())
}

/// Packets of a row that came before a mark with this copy. A merged row has those of all
/// intervals.
fn copied_packets(row: &Row, copy: &Copied) -> u64 {
    let buckets = copy.get(&row.key);
    let end = if row.is_merged { bucket::PER_HOUR } else { 1 };
    let own = buckets.into_iter().flatten();
    let own = own.filter(|(bucket, _)| (row.bucket..row.bucket + end).contains(*bucket));
    own.map(|(_, packets)| *packets).sum()
}
