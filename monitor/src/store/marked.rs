//! Contacts between marks. A contact is one device, destination, protocol and port.
//!
//! ```text
//! period  |---------x----------------x-------|      x: a cut, at a mark
//! segment      0            1            2
//! ```
//!
//! Rows cover five minutes or an hour, so a cut lies within a row. For each mark that was made
//! while a daemon recorded, the store has a copy of the rows of the hour as they were then. Its
//! difference to the row is what came later. Without a copy, a row is divided by the times of
//! its first and last packet, or it is unclear.

mod divide;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    ops::RangeInclusive,
};

use jiff::Timestamp;

use self::divide::{Copied, CutHour, Key, Row, divide};
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
    );
    DROP TABLE IF EXISTS temp.active;
    CREATE TEMP TABLE active (
        device INTEGER PRIMARY KEY, fives INTEGER, hours INTEGER, last INTEGER
    );";

/// A mark at which the period is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cut {
    /// Time of the mark.
    pub at: Timestamp,
    /// Number of its event.
    pub mark: i64,
}

/// Intervals with packets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Number of intervals of five minutes, outside the hours that a cut divides.
    pub fives: u64,
    /// Number of hours, outside the hours that a cut divides.
    pub hours: u64,
    /// Begins of the intervals within hours that a cut divides, in seconds since
    /// 1970-01-01T00:00:00Z. An interval that a cut divides may be in two segments.
    pub near: BTreeSet<i64>,
}

/// What a device sent to one end within a segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contact {
    /// Packets.
    pub packets: u64,
    /// When.
    pub times: Times,
}

/// Device, destination, protocol number and port of a contact.
pub type ContactEnd = (Option<MacAddress>, Option<IpAddr>, u8, u16);

/// The time between two cuts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// The contacts.
    pub contacts: BTreeMap<ContactEnd, Contact>,
    /// When each device sent packets to any end.
    pub active: BTreeMap<Option<MacAddress>, Times>,
    /// True if rows of the segment are merged into hours. Then only hours can be compared.
    pub has_hours: bool,
}

/// Packets of which the store does not know in which segment they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unclear {
    /// The contact.
    pub end: ContactEnd,
    /// The first segment in which they may be.
    pub from: usize,
    /// The last segment in which they may be.
    pub to: usize,
    /// True if they may also be outside the period.
    pub is_edge: bool,
    /// Begin of their interval, in seconds since 1970-01-01T00:00:00Z.
    pub begin: i64,
    /// Packets.
    pub packets: u64,
}

/// A period, cut at marks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segments {
    /// One more than there are cuts.
    pub parts: Vec<Segment>,
    /// Packets that are in no segment.
    pub unclear: Vec<Unclear>,
}

/// Contacts by row numbers of device and flow end.
#[derive(Default)]
struct Part {
    contacts: BTreeMap<Key, Contact>,
    active: BTreeMap<i64, Times>,
    has_hours: bool,
}

/// As [`Unclear`], by row numbers.
struct UnclearRow {
    row: Row,
    segments: RangeInclusive<usize>,
    is_edge: bool,
}

impl View<'_> {
    /// Returns the segments of a period. The cuts are sorted, and within the period.
    pub fn segments(&self, query: &PeriodQuery, cuts: &[Cut]) -> Result<Segments, StoreError> {
        let lists = self.lists()?;
        let matching = lists.iter().filter(|(_, policies)| {
            let asked = query.policy.as_ref();
            asked.is_none_or(|policy| policies.contains(policy))
        });
        let lists = ids(&matching.map(|(id, _)| *id).collect::<Vec<_>>());
        let mut parts: Vec<Part> = Vec::new();
        parts.resize_with(cuts.len() + 1, Part::default);
        let hour_of = |at: Timestamp| bucket::hour(bucket::of(at));
        for (number, part) in parts.iter_mut().enumerate() {
            let before = number.checked_sub(1).and_then(|before| cuts.get(before));
            let from = before.map_or(query.since, |cut| cut.at);
            let to = cuts.get(number).map_or(query.until, |cut| cut.at);
            self.whole_hours(hour_of(from) + bucket::PER_HOUR, hour_of(to), &lists, part)?;
        }
        let ends = [query.since, query.until];
        let divided = cuts.iter().map(|cut| cut.at).chain(ends).map(hour_of);
        let divided: BTreeSet<i64> = divided.collect();
        let mut unclear = Vec::new();
        for begin in divided {
            let first = cuts.partition_point(|cut| hour_of(cut.at) < begin);
            let next = cuts.partition_point(|cut| hour_of(cut.at) <= begin);
            let hour = CutHour {
                begin,
                cuts: cuts.get(first..next).unwrap_or_default(),
                first,
                period: (bucket::seconds(query.since), bucket::seconds(query.until)),
            };
            self.cut_hour(&hour, &lists, &mut parts, &mut unclear)?;
        }
        self.named(parts, unclear)
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
            WHERE number >= {from} AND number < {to} AND list IN ({lists}) AND direction = 0
                ORDER BY number
            ON CONFLICT DO UPDATE SET packets = packets + excluded.packets,
                fives = fives + (last <> excluded.last),
                hours = hours + (last / 12 <> excluded.last / 12),
                span = max(span, excluded.span), last = excluded.last"
        );
        let active = format!(
            "INSERT INTO temp.active SELECT device, 1, 1, number
            FROM bucket CROSS JOIN count ON count.bucket = number
            WHERE number >= {from} AND number < {to} AND list IN ({lists}) AND direction = 0
                ORDER BY number
            ON CONFLICT DO UPDATE SET fives = fives + (last <> excluded.last),
                hours = hours + (last / 12 <> excluded.last / 12), last = excluded.last"
        );
        for statement in [fill, active] {
            self.transaction
                .execute(&statement, [])
                .map_err(on("read"))?;
        }
        part.read_whole(self)
    }

    /// Divides the rows of an hour between the segments that meet in it.
    fn cut_hour(
        &self,
        hour: &CutHour<'_>,
        lists: &str,
        parts: &mut [Part],
        unclear: &mut Vec<UnclearRow>,
    ) -> Result<(), StoreError> {
        let copies = hour.cuts.iter().map(|cut| self.copied(cut, lists));
        let copies = copies.collect::<Result<Vec<_>, _>>()?;
        for row in self.near_rows(hour.begin, lists)? {
            let (since, until) = hour.period;
            if row.last < since || row.first >= until {
                continue;
            }
            let touched = hour.first..=hour.first + hour.cuts.len();
            let divided = if row.first < since || row.last >= until {
                Err(touched.clone())
            } else {
                divide(&row, hour, &copies)
            };
            match divided {
                Ok(packets) => {
                    let own = parts.get_mut(touched).unwrap_or_default();
                    for (packets, part) in packets.into_iter().zip(own) {
                        part.add_near(&row, packets);
                    }
                }
                Err(segments) => unclear.push(UnclearRow {
                    row,
                    is_edge: row.first < since || row.last >= until,
                    segments,
                }),
            }
        }
        Ok(())
    }

    /// The rows of an hour, summed over interfaces and lists of policies.
    fn near_rows(&self, hour: i64, lists: &str) -> Result<Vec<Row>, StoreError> {
        let end = hour + bucket::PER_HOUR;
        let select = format!(
            "SELECT device, flow_end, number, sum(passed_packets + dropped_packets), max(span),
                min(first), max(last)
            FROM bucket CROSS JOIN count ON count.bucket = number
            WHERE number >= {hour} AND number < {end} AND list IN ({lists})
                AND direction = 0
            GROUP BY device, flow_end, number"
        );
        self.uncached(&select, |row| {
            let number: i64 = row.get(2)?;
            let begin = bucket::start(number);
            Ok(Row {
                key: (row.get(0)?, row.get(1)?),
                bucket: number,
                packets: row.get::<_, i64>(3)?.unsigned_abs(),
                is_merged: row.get::<_, i64>(4)? > 1,
                first: begin + row.get::<_, i64>(5)?,
                last: begin + row.get::<_, i64>(6)?,
            })
        })
    }

    /// The rows of the hour of a mark as they were at the mark; `None` if there is no copy.
    fn copied(&self, cut: &Cut, lists: &str) -> Result<Option<Copied>, StoreError> {
        let mark = cut.mark;
        let has_copy = format!("SELECT 1 FROM mark_count WHERE mark = {mark} LIMIT 1");
        if self.uncached(&has_copy, |_| Ok(()))?.is_empty() {
            return Ok(None);
        }
        let copy = format!(
            "SELECT device, flow_end, bucket, sum(packets) FROM mark_count
            WHERE mark = {mark} AND list IN ({lists}) GROUP BY device, flow_end, bucket"
        );
        let found = self.uncached(&copy, |row| {
            let key: Key = (row.get(0)?, row.get(1)?);
            Ok((key, row.get::<_, i64>(2)?, row.get::<_, i64>(3)?))
        })?;
        let mut copied = Copied::new();
        for (key, bucket, packets) in found {
            let buckets = copied.entry(key).or_default();
            buckets.insert(bucket, packets.unsigned_abs());
        }
        Ok(Some(copied))
    }

    /// Replaces row numbers by addresses.
    fn named(&self, parts: Vec<Part>, unclear: Vec<UnclearRow>) -> Result<Segments, StoreError> {
        let ends = self.contact_ends()?;
        let found = self.uncached("SELECT id, mac FROM device", |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?))
        })?;
        let devices = found
            .into_iter()
            .map(|(id, mac)| Ok((id, rows::mac(&mac)?)));
        let devices = devices.collect::<Result<BTreeMap<_, _>, StoreError>>()?;
        let unclear = unclear.into_iter().filter_map(|unclear| {
            Some(Unclear {
                end: *ends.get(&unclear.row.key.1)?,
                from: *unclear.segments.start(),
                to: *unclear.segments.end(),
                is_edge: unclear.is_edge,
                begin: bucket::start(unclear.row.bucket),
                packets: unclear.row.packets,
            })
        });
        let parts = parts.into_iter().map(|part| part.named(&ends, &devices));
        Ok(Segments {
            unclear: unclear.collect(),
            parts: parts.collect(),
        })
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

impl Part {
    /// Adds the contacts that the temporary tables have.
    fn read_whole(&mut self, view: &View<'_>) -> Result<(), StoreError> {
        let select = "SELECT device, flow_end, packets, fives, hours, span FROM temp.contact";
        let found = view.uncached(select, |row| {
            let counts: (i64, i64, i64) = (row.get(2)?, row.get(3)?, row.get(4)?);
            Ok(((row.get(0)?, row.get(1)?), counts, row.get::<_, i64>(5)?))
        })?;
        for (key, (packets, fives, hours), span) in found {
            self.has_hours |= span > 1;
            let contact = self.contacts.entry(key).or_default();
            contact.packets += packets.unsigned_abs();
            contact.times.fives += fives.unsigned_abs();
            contact.times.hours += hours.unsigned_abs();
        }
        let found = view.uncached("SELECT device, fives, hours FROM temp.active", |row| {
            let counts: (i64, i64) = (row.get(1)?, row.get(2)?);
            Ok((row.get(0)?, counts))
        })?;
        for (device, (fives, hours)) in found {
            let times = self.active.entry(device).or_default();
            times.fives += fives.unsigned_abs();
            times.hours += hours.unsigned_abs();
        }
        Ok(())
    }

    /// Adds packets of a row near a cut.
    fn add_near(&mut self, row: &Row, packets: u64) {
        self.has_hours |= row.is_merged;
        if packets == 0 {
            return;
        }
        let begin = bucket::start(row.bucket);
        let contact = self.contacts.entry(row.key).or_default();
        contact.packets += packets;
        contact.times.near.insert(begin);
        let active = self.active.entry(row.key.0).or_default();
        active.near.insert(begin);
    }

    fn named(
        self,
        ends: &BTreeMap<i64, ContactEnd>,
        devices: &BTreeMap<i64, Option<MacAddress>>,
    ) -> Segment {
        let contacts = self.contacts.into_iter();
        let active = self.active.into_iter();
        Segment {
            contacts: contacts
                .filter_map(|((_, end), contact)| Some((*ends.get(&end)?, contact)))
                .collect(),
            active: active
                .filter_map(|(device, times)| Some((*devices.get(&device)?, times)))
                .collect(),
            has_hours: self.has_hours,
        }
    }
}

#[cfg(test)]
mod tests;
