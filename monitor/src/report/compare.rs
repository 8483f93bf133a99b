//! Compares contacts before and after a mark.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    compare_text::missing,
    coverage::{self, Spans},
    rates::{self, LEVEL, Observed},
    window::{Side, Sums, Unit},
};
use crate::{
    clock::to_the_second,
    devices::mac,
    evidence::protocol,
    policy::MacAddress,
    store::{Attachment, ContactEnd, Cut, Segment, Segments, Unclear},
};

/// The most contacts that are listed as stayed, gone or new, each.
const MOST_LISTED: usize = 50;

/// The most devices that are compared at one mark.
const MOST_DEVICES: usize = 50;

/// Devices before and after a mark.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Begin of the time before: the mark before, or the begin of the period (RFC 3339).
    pub since: String,
    /// End of the time after: the next mark, or the end of the period (RFC 3339).
    pub until: String,
    /// The unit of contacts: `5 minutes` or `hour`.
    pub unit: String,
    /// The devices; first those of the mark, then the others as controls.
    pub devices: Vec<Compared>,
    /// Number of devices without room.
    pub more_devices: u64,
}

/// One device before and after a mark.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Compared {
    /// The MAC, or its pseudonym; `None` for all devices beyond the limits of the store.
    pub device: Option<String>,
    /// True if no mark of this time is about this device.
    pub is_control: bool,
    /// Before the mark.
    pub before: Window,
    /// After the mark.
    pub after: Window,
    /// Contacts that were seen before and after.
    pub stayed: Ends,
    /// Contacts that were seen only before.
    pub went: Ends,
    /// Contacts that were seen only after.
    pub came: Ends,
    /// Packets near the mark of which it is unknown on which side they are.
    pub unclear_packets: u64,
    /// Probability of such a difference between the rates of intervals with packets, or of a
    /// larger one, if the rates are equal. `None` if there is too little to compare.
    pub probability: Option<f64>,
    /// Further hours of observation after which the difference could be told from chance, at
    /// the present rates. `None` if it can be told now, or not within 60 days.
    pub needed_hours: Option<f64>,
    /// The result in sentences.
    pub text: Vec<String>,
}

/// A time before or after a mark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// Hours in which the filter was attached to every interface of the device. The interval
    /// of a mark is on neither side.
    pub observed_hours: f64,
    /// The same as a number of whole intervals of the unit.
    pub observed_intervals: u64,
    /// Intervals in which the device sent packets to any end.
    pub active_intervals: u64,
    /// Contacts: intervals of the unit in which the device sent packets to an end, summed
    /// over all ends.
    pub contacts: u64,
    /// Packets.
    pub packets: u64,
    /// Contacts in each observed hour.
    pub contacts_per_hour: Option<f64>,
    /// Packets in each observed hour. `None` without a whole interval.
    pub packets_per_hour: Option<f64>,
}

/// Ends of contacts, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ends {
    /// Number of all.
    pub number: u64,
    /// The first of them, as `ADDRESS protocol/port`.
    pub ends: Vec<Ending>,
}

/// Destination, protocol and port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ending {
    /// Address; `None` for all beyond the limits of the store.
    pub destination: Option<String>,
    /// Protocol as a word.
    pub protocol: String,
    /// Port; 0 if there is none to read.
    pub port: u16,
}

/// A mark as the comparison needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct At {
    pub(super) cut: Cut,
    pub(super) device: Option<MacAddress>,
    /// MACs that are the device of the mark too, as the operator states.
    pub(super) same: BTreeSet<MacAddress>,
}

impl At {
    /// True if the mark is about all devices, or about this one.
    fn is_about(&self, device: Option<MacAddress>) -> bool {
        let is_same = |mac| self.same.contains(&mac);
        self.device.is_none() || self.device == device || device.is_some_and(is_same)
    }
}

/// What is compared: the period, its segments, and when the filter was attached.
pub(super) struct Compare<'a> {
    pub(super) since: Timestamp,
    pub(super) until: Timestamp,
    /// The marks, sorted by time.
    pub(super) marks: &'a [At],
    /// One more than marks.
    pub(super) segments: &'a Segments,
    pub(super) attachments: &'a [Attachment],
    /// The interfaces of each device, as far as they are known.
    pub(super) interfaces: &'a BTreeMap<Option<MacAddress>, BTreeSet<String>>,
    /// Marks about devices that the report does not list.
    pub(super) hidden: &'a [(Timestamp, MacAddress)],
}

/// The marks that end the windows of a mark, and the windows.
struct Windows {
    first: Option<usize>,
    next: Option<usize>,
    sides: [Side; 2],
}

impl Compare<'_> {
    /// Compares the devices at the mark with this index.
    pub(super) fn at(&self, index: usize) -> Comparison {
        let mark = &self.marks[index];
        let windows = self.windows(index);
        let [before, after] = &windows.sides;
        let parts = &self.segments.parts;
        let all = before.segments.clone().chain(after.segments.clone());
        let all: Vec<&Segment> = all.filter_map(|number| parts.get(number)).collect();
        let unit = Unit {
            has_hours: all.iter().any(|segment| segment.has_hours),
        };
        let ends = all.iter().flat_map(|segment| segment.contacts.keys());
        let unclear = self.segments.unclear.iter();
        let unclear = unclear
            .filter(|one| windows.touches(one))
            .map(|one| one.end.0);
        let mut devices: BTreeSet<_> = ends.map(|end| end.0).chain(unclear).collect();
        devices.extend(mark.device.map(Some));
        let mut sorted: Vec<_> = devices.into_iter().collect();
        sorted.sort_by_key(|device| (!mark.is_about(*device), *device));
        let more_devices = sorted.len().saturating_sub(MOST_DEVICES) as u64;
        sorted.truncate(MOST_DEVICES);
        let compared = sorted.into_iter();
        Comparison {
            since: to_the_second(before.since),
            until: to_the_second(after.until),
            unit: unit.word().to_owned(),
            devices: compared
                .map(|device| self.device(mark, &windows, device, unit))
                .collect(),
            more_devices,
        }
    }

    fn windows(&self, index: usize) -> Windows {
        let mark = &self.marks[index];
        let first = (0..index).rev().find(|other| self.is_near(mark, *other));
        let next = (index + 1..self.marks.len()).find(|other| self.is_near(mark, *other));
        let since = first.map_or(self.since, |other| self.marks[other].cut.at);
        let until = next.map_or(self.until, |other| self.marks[other].cut.at);
        let at = mark.cut.at;
        Windows {
            first,
            next,
            // Segment n ends at mark n.
            sides: [
                Side {
                    since,
                    until: at,
                    begins_at_mark: first.is_some(),
                    segments: first.map_or(0, |other| other + 1)..index + 1,
                },
                Side {
                    since: at,
                    until,
                    begins_at_mark: true,
                    segments: index + 1..next.unwrap_or(self.marks.len()) + 1,
                },
            ],
        }
    }

    fn device(
        &self,
        mark: &At,
        windows: &Windows,
        device: Option<MacAddress>,
        unit: Unit,
    ) -> Compared {
        let none = BTreeSet::new();
        let interfaces = self.interfaces.get(&device).unwrap_or(&none);
        let attached = coverage::on_all(self.attachments, interfaces);
        let sums = windows.sides.each_ref().map(|side| {
            let mut sums = Sums::new(&self.segments.parts[side.segments.clone()], device);
            let unclear = self.segments.unclear.iter();
            sums.add_unclear(unclear.filter(|one| one.end.0 == device && side.holds(one)));
            sums
        });
        let unclear = self.segments.unclear.iter().filter(|one| {
            let is_held = windows.sides.iter().any(|side| side.holds(one));
            one.end.0 == device && windows.touches(one) && !is_held
        });
        let unclear = unclear.map(|one| one.packets).sum();
        let mut compared = Compared::new(device, &windows.sides, &sums, &attached, unit);
        compared.unclear_packets = unclear;
        let has_own = self.has_own_mark(mark, windows, device);
        compared.is_control = !mark.is_about(device) && !has_own;
        compared.text = compared.sentences(unit, &windows.sides);
        if has_own {
            compared.text.push(
                "The device has a mark of its own in this time, so it is no control.".to_owned(),
            );
        } else if compared.is_control && device.is_some_and(mac::is_randomised) {
            compared.text.push(
                "The MAC is locally administered, so it may belong to the device of the mark."
                    .to_owned(),
            );
        }
        compared
    }

    /// True if another device has a mark within the windows.
    fn has_own_mark(&self, mark: &At, windows: &Windows, device: Option<MacAddress>) -> bool {
        if mark.is_about(device) {
            return false;
        }
        let [before, after] = &windows.sides;
        let is_within = |at: Timestamp| before.since <= at && at <= after.until;
        let listed = self.marks.iter().filter(|other| other.device.is_some());
        let mut listed = listed.filter(|other| other.is_about(device));
        let mut hidden = self.hidden.iter().filter(|(_, mac)| Some(*mac) == device);
        listed.any(|other| is_within(other.cut.at)) || hidden.any(|(at, _)| is_within(*at))
    }

    /// True if the other mark ends a window of this one: it is about the same device, or one
    /// of both is about all devices. Marks of one request have the same time.
    fn is_near(&self, mark: &At, other: usize) -> bool {
        let other = &self.marks[other];
        let is_about =
            mark.device.is_none() || other.device.is_none() || other.is_about(mark.device);
        is_about && other.cut.at != mark.cut.at
    }
}

impl Windows {
    /// True if unclear packets may be within a window.
    fn touches(&self, unclear: &Unclear) -> bool {
        let first = self.first.map_or(0, |mark| mark + 1);
        let is_before_end = self.next.is_none_or(|mark| unclear.from <= mark);
        unclear.to >= first && is_before_end
    }
}

impl Compared {
    fn new(
        device: Option<MacAddress>,
        sides: &[Side; 2],
        sums: &[Sums; 2],
        attached: &Spans,
        unit: Unit,
    ) -> Self {
        let windows = [0, 1].map(|side: usize| sums[side].window(&sides[side], attached, unit));
        let observed = windows.map(|window: Window| Observed {
            contacts: window.active_intervals,
            hours: window.observed_hours,
        });
        let is_enough = missing(windows, unit).is_none();
        let probability = is_enough
            .then(|| rates::probability(observed[0], observed[1]))
            .flatten();
        let is_told = probability.is_some_and(|probability| probability < LEVEL);
        let needed = if is_told || !is_enough {
            None
        } else {
            rates::needed_hours(observed[0], observed[1])
        };
        let ends = |sums: &Sums| sums.contacts.keys().copied().collect::<BTreeSet<_>>();
        let (old, new) = (ends(&sums[0]), ends(&sums[1]));
        Self {
            device: device.map(|mac| mac.to_string()),
            is_control: false,
            before: windows[0],
            after: windows[1],
            stayed: Ends::new(old.intersection(&new)),
            went: Ends::new(old.difference(&new)),
            came: Ends::new(new.difference(&old)),
            unclear_packets: 0,
            probability: probability.map(rounded),
            needed_hours: needed.map(rounded),
            text: Vec::new(),
        }
    }
}

impl Ends {
    fn new<'a>(ends: impl Iterator<Item = &'a ContactEnd>) -> Self {
        let all: BTreeSet<_> = ends
            .map(|(_, destination, number, port)| Ending {
                destination: destination.map(|address| address.to_string()),
                protocol: protocol(*number),
                port: *port,
            })
            .collect();
        Self {
            number: all.len() as u64,
            ends: all.into_iter().take(MOST_LISTED).collect(),
        }
    }
}

/// Four significant digits, so that equal data give equal text.
pub(super) fn rounded(number: f64) -> f64 {
    format!("{number:.3e}").parse().unwrap_or(number)
}
