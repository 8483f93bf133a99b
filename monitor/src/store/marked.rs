//! Contacts between marks. A contact is one device, destination, protocol and port.
//!
//! ```text
//! period  |---------x----------------x-------|      x: a cut, at a mark
//! segment      0            1            2
//! ```
//!
//! Rows cover five minutes or an hour, so a cut lies within a row. For each mark that was made
//! while a daemon recorded, the store has a copy of the rows of the hour as they were then. Its
//! difference to the row is what came later.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use jiff::Timestamp;

use super::{
    bucket,
    error::{StoreError, on},
    period::{PeriodQuery, ids},
    reader::View,
    rows,
};
use crate::policy::MacAddress;

const CONTACTS: &str = "
    DROP TABLE IF EXISTS temp.contact;
    CREATE TEMP TABLE contact (
        flow_end INTEGER PRIMARY KEY, device INTEGER, packets INTEGER, fives INTEGER,
        hours INTEGER, span INTEGER, last INTEGER
    );";

/// A mark at which the period is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cut {
    /// Time of the mark.
    pub at: Timestamp,
    /// Number of its event.
    pub mark: i64,
}

/// What a device sent to one end within a segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contact {
    /// Packets.
    pub packets: u64,
    /// Number of different intervals of five minutes with packets. At least this many, if
    /// rows were merged into hours.
    pub fives: u64,
    /// Number of different hours with packets.
    pub hours: u64,
}

/// Device, destination, protocol number and port of a contact.
pub type ContactEnd = (Option<MacAddress>, Option<IpAddr>, u8, u16);

/// The time between two cuts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// The contacts.
    pub contacts: BTreeMap<ContactEnd, Contact>,
    /// True if rows of the segment are merged into hours. Then only `hours` can be compared.
    pub has_hours: bool,
    /// Packets near the cut at the end of the segment of which the store does not know
    /// whether they came before it or after it, by device. They are in no segment.
    pub unclear: BTreeMap<Option<MacAddress>, u64>,
}

type Key = (i64, i64);

/// Packets of one device and flow end in an hour: by bucket, and whether it is merged.
#[derive(Default)]
struct Hour {
    rows: BTreeMap<Key, BTreeMap<i64, u64>>,
    is_merged: bool,
}

/// Contacts by row numbers of device and flow end.
#[derive(Default)]
struct Part {
    contacts: BTreeMap<Key, Contact>,
    has_hours: bool,
    unclear: BTreeMap<Key, u64>,
}

impl View<'_> {
    /// Returns the segments of a period: one more than there are cuts. The cuts are sorted.
    pub fn segments(&self, query: &PeriodQuery, cuts: &[Cut]) -> Result<Vec<Segment>, StoreError> {
        let lists = self.lists()?;
        let matching = lists.iter().filter(|(_, policies)| {
            let asked = query.policy.as_ref();
            asked.is_none_or(|policy| policies.contains(policy))
        });
        let lists = ids(&matching.map(|(id, _)| *id).collect::<Vec<_>>());
        let mut parts: Vec<Part> = Vec::new();
        parts.resize_with(cuts.len() + 1, Part::default);
        let hour_of = |at: Timestamp| bucket::hour(bucket::of(at));
        let begin = bucket::of(query.since);
        let end = bucket::of(query.until) + 1;
        for (number, part) in parts.iter_mut().enumerate() {
            let before = number.checked_sub(1).and_then(|before| cuts.get(before));
            let from = before.map_or(begin, |cut| hour_of(cut.at) + bucket::PER_HOUR);
            let to = cuts.get(number).map_or(end, |cut| hour_of(cut.at));
            self.whole_hours(from, to, &lists, part)?;
        }
        let hours: BTreeSet<i64> = cuts.iter().map(|cut| hour_of(cut.at)).collect();
        for hour in hours {
            let first = cuts.partition_point(|cut| hour_of(cut.at) < hour);
            let own: Vec<Cut> = cuts
                .iter()
                .filter(|cut| hour_of(cut.at) == hour)
                .copied()
                .collect();
            let touched = parts.get_mut(first..=first + own.len()).unwrap_or_default();
            self.cut_hour(hour, &own, &lists, touched)?;
        }
        let ends = self.contact_ends()?;
        Ok(parts.into_iter().map(|part| part.named(&ends)).collect())
    }

    /// Adds the contacts of the buckets from `from` to before `to`.
    fn whole_hours(
        &self,
        from: i64,
        to: i64,
        lists: &str,
        part: &mut Part,
    ) -> Result<(), StoreError> {
        if from >= to {
            return Ok(());
        }
        self.transaction
            .execute_batch(CONTACTS)
            .map_err(on("read"))?;
        // The rows come in the order of their buckets, so that a new bucket is a new interval.
        let fill = format!(
            "INSERT INTO temp.contact
            SELECT flow_end, device, passed_packets + dropped_packets, 1, 1, span, number
            FROM bucket CROSS JOIN count ON count.bucket = number
            WHERE number >= {from} AND number < {to} AND list IN ({lists}) ORDER BY number
            ON CONFLICT DO UPDATE SET packets = packets + excluded.packets,
                fives = fives + (last <> excluded.last),
                hours = hours + (last / 12 <> excluded.last / 12),
                span = max(span, excluded.span), last = excluded.last"
        );
        self.transaction.execute(&fill, []).map_err(on("read"))?;
        let select = "SELECT device, flow_end, packets, fives, hours, span FROM temp.contact";
        let found = self.uncached(select, |row| {
            let counts: (i64, i64, i64) = (row.get(2)?, row.get(3)?, row.get(4)?);
            Ok(((row.get(0)?, row.get(1)?), counts, row.get::<_, i64>(5)?))
        })?;
        for (key, (packets, fives, hours), span) in found {
            part.has_hours |= span > 1;
            part.add(
                key,
                packets.unsigned_abs(),
                fives.unsigned_abs(),
                hours.unsigned_abs(),
            );
        }
        Ok(())
    }

    /// Divides the rows of an hour between the segments that meet in it.
    fn cut_hour(
        &self,
        hour: i64,
        cuts: &[Cut],
        lists: &str,
        parts: &mut [Part],
    ) -> Result<(), StoreError> {
        let end = hour + bucket::PER_HOUR;
        let rows = self.hour(&format!(
            "SELECT device, flow_end, number, sum(passed_packets + dropped_packets), max(span)
            FROM bucket CROSS JOIN count ON count.bucket = number
            WHERE number >= {hour} AND number < {end} AND list IN ({lists})
            GROUP BY device, flow_end, number"
        ))?;
        let mut at_cuts = Vec::new();
        for cut in cuts {
            let mark = cut.mark;
            let has_copy = format!("SELECT 1 FROM mark_count WHERE mark = {mark} LIMIT 1");
            let is_copied = !self.uncached(&has_copy, |_| Ok(()))?.is_empty();
            let copy = format!(
                "SELECT device, flow_end, bucket, sum(packets), 1 FROM mark_count
                WHERE mark = {mark} AND bucket >= {hour} AND bucket < {end}
                    AND list IN ({lists}) GROUP BY device, flow_end, bucket"
            );
            at_cuts.push(is_copied.then(|| self.hour(&copy)).transpose()?);
        }
        for (key, buckets) in &rows.rows {
            let copied = at_cuts.iter().map(|copy| {
                let copy = copy.as_ref()?;
                Some(copy.rows.get(key).cloned().unwrap_or_default())
            });
            let copied: Vec<_> = copied.collect();
            let divided = if rows.is_merged {
                divide_hour(buckets, &copied)
            } else {
                divide_buckets(buckets, &copied, cuts)
            };
            add_divided(*key, &divided, rows.is_merged, parts);
        }
        Ok(())
    }

    fn hour(&self, select: &str) -> Result<Hour, StoreError> {
        let found = self.uncached(select, |row| {
            let key: Key = (row.get(0)?, row.get(1)?);
            let sum: (i64, i64) = (row.get(2)?, row.get(3)?);
            Ok((key, sum, row.get::<_, i64>(4)?))
        })?;
        let mut hour = Hour::default();
        for (key, (bucket, packets), span) in found {
            hour.is_merged |= span > 1;
            let buckets = hour.rows.entry(key).or_default();
            buckets.insert(bucket, packets.unsigned_abs());
        }
        Ok(hour)
    }

    fn contact_ends(&self) -> Result<BTreeMap<i64, ContactEnd>, StoreError> {
        let select = "SELECT flow_end.id, mac, destination, protocol, port
            FROM flow_end JOIN device ON device.id = device";
        let found = self.uncached(select, |row| {
            let bytes: (Vec<u8>, Vec<u8>) = (row.get(1)?, row.get(2)?);
            Ok((row.get(0)?, bytes, row.get(3)?, row.get(4)?))
        })?;
        let ends = found
            .into_iter()
            .map(|(id, (mac, destination), protocol, port)| {
                let destination = rows::address(&destination, "flow_end")?;
                Ok((id, (rows::mac(&mac)?, destination, protocol, port)))
            });
        ends.collect()
    }
}

/// What one contact sent in an hour: packets and intervals with packets, for each segment; and
/// packets that belong to an unknown segment.
#[derive(Default)]
struct Divided {
    parts: Vec<(u64, u64)>,
    unclear: u64,
}

impl Divided {
    /// Adds one row. `before` has the packets before each cut, if they are known.
    fn add(&mut self, total: u64, before: Option<Vec<u64>>) {
        let Some(before) = before else {
            self.unclear += total;
            return;
        };
        self.parts.resize(before.len() + 1, (0, 0));
        let mut last = 0;
        for (sum, part) in before.into_iter().chain([total]).zip(&mut self.parts) {
            let packets = sum.saturating_sub(last);
            last = last.max(sum);
            part.0 += packets;
            part.1 += u64::from(packets > 0);
        }
    }
}

/// Divides a row of a whole hour. Without a copy for each cut, all of it is unclear.
fn divide_hour(buckets: &BTreeMap<i64, u64>, copies: &[Option<BTreeMap<i64, u64>>]) -> Divided {
    let mut divided = Divided::default();
    let sums = copies.iter().map(|copy| {
        let copy = copy.as_ref()?;
        Some(copy.values().sum())
    });
    divided.add(buckets.values().sum(), sums.collect());
    divided
}

/// Divides rows of five minutes. Without a copy, a row that a cut divides is unclear.
fn divide_buckets(
    buckets: &BTreeMap<i64, u64>,
    copies: &[Option<BTreeMap<i64, u64>>],
    cuts: &[Cut],
) -> Divided {
    let mut divided = Divided::default();
    for (bucket, total) in buckets {
        let (start, end) = (bucket::start(*bucket), bucket::start(bucket + 1));
        let before = copies.iter().zip(cuts).map(|(copy, cut)| match copy {
            Some(copy) => Some(copy.get(bucket).copied().unwrap_or(0)),
            None if end <= bucket::seconds(cut.at) => Some(*total),
            None if start >= bucket::seconds(cut.at) => Some(0),
            None => None,
        });
        divided.add(*total, before.collect());
    }
    divided
}

fn add_divided(key: Key, divided: &Divided, is_merged: bool, parts: &mut [Part]) {
    for ((packets, fives), part) in divided.parts.iter().zip(parts.iter_mut()) {
        part.has_hours |= is_merged;
        if *packets > 0 {
            part.add(key, *packets, *fives, 1);
        }
    }
    if let Some(part) = parts.first_mut().filter(|_| divided.unclear > 0) {
        *part.unclear.entry(key).or_default() += divided.unclear;
    }
}

impl Part {
    fn add(&mut self, key: Key, packets: u64, fives: u64, hours: u64) {
        let contact = self.contacts.entry(key).or_default();
        contact.packets += packets;
        contact.fives += fives;
        contact.hours += hours;
    }

    fn named(self, ends: &BTreeMap<i64, ContactEnd>) -> Segment {
        let mut segment = Segment {
            has_hours: self.has_hours,
            ..Segment::default()
        };
        for ((_, end), contact) in self.contacts {
            if let Some(end) = ends.get(&end) {
                segment.contacts.insert(*end, contact);
            }
        }
        for ((_, end), packets) in self.unclear {
            if let Some(end) = ends.get(&end) {
                *segment.unclear.entry(end.0).or_default() += packets;
            }
        }
        segment
    }
}
