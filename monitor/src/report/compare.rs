//! Compares contacts before and after a mark.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    rates::{self, LEVEL, Observed},
    words::{hours, number, plural},
};
use crate::{
    clock::to_the_second,
    evidence::protocol,
    policy::MacAddress,
    store::{Attachment, Contact, ContactEnd, Cut, Segment},
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
    /// True if the mark is not about this device.
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
    /// Probability of such a difference between the rates of contacts, or of a larger one, if
    /// the rates are equal. `None` without contacts or observation.
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
    /// Hours in which the filter was attached.
    pub observed_hours: f64,
    /// Contacts: intervals of the unit in which the device sent packets to an end, summed
    /// over all ends.
    pub contacts: u64,
    /// Packets.
    pub packets: u64,
    /// Contacts in each observed hour.
    pub contacts_per_hour: Option<f64>,
    /// Packets in each observed hour.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At {
    pub(super) cut: Cut,
    pub(super) device: Option<MacAddress>,
}

/// What is compared: the period, its segments, and when the filter was attached.
pub(super) struct Compare<'a> {
    pub(super) since: Timestamp,
    pub(super) until: Timestamp,
    /// The marks, sorted by time.
    pub(super) marks: &'a [At],
    /// One more than marks.
    pub(super) segments: &'a [Segment],
    pub(super) attachments: &'a [Attachment],
}

/// Contacts of a device in a window.
#[derive(Default)]
struct Sums {
    contacts: BTreeMap<ContactEnd, Contact>,
}

impl Compare<'_> {
    /// Compares the devices at the mark with this index.
    pub(super) fn at(&self, index: usize) -> Comparison {
        let mark = self.marks[index];
        let first = (0..index).rev().find(|other| self.is_near(mark, *other));
        let next = (index + 1..self.marks.len()).find(|other| self.is_near(mark, *other));
        let since = first.map_or(self.since, |other| self.marks[other].cut.at);
        let until = next.map_or(self.until, |other| self.marks[other].cut.at);
        // Segment n ends at mark n.
        let before = &self.segments[first.map_or(0, |other| other + 1)..=index];
        let after = &self.segments[index + 1..=next.unwrap_or(self.marks.len())];
        let has_hours = before.iter().chain(after).any(|segment| segment.has_hours);
        let mut devices: BTreeSet<_> = [before, after]
            .into_iter()
            .flatten()
            .flat_map(|segment| segment.contacts.keys().map(|end| end.0))
            .collect();
        devices.extend(mark.device.map(Some));
        let mut sorted: Vec<_> = devices.into_iter().collect();
        let is_control =
            |device: Option<MacAddress>| mark.device.is_some() && device != mark.device;
        sorted.sort_by_key(|device| (is_control(*device), *device));
        let more_devices = sorted.len().saturating_sub(MOST_DEVICES) as u64;
        sorted.truncate(MOST_DEVICES);
        let compared = sorted.into_iter().map(|device| {
            let hours = [(since, mark.cut.at), (mark.cut.at, until)]
                .map(|(from, to)| observed_hours(self.attachments, from, to));
            let unclear = &self.segments[index..=index];
            let packets = unclear
                .iter()
                .filter_map(|part| part.unclear.get(&device))
                .sum();
            let sums = [sums(before, device), sums(after, device)];
            let mut compared = Compared::new(device, &sums, hours, has_hours);
            compared.is_control = is_control(device);
            compared.unclear_packets = packets;
            compared.text = compared.sentences(has_hours);
            compared
        });
        Comparison {
            since: to_the_second(since),
            until: to_the_second(until),
            unit: unit(has_hours).to_owned(),
            devices: compared.collect(),
            more_devices,
        }
    }

    /// True if the other mark ends a window of this one: it is about the same device, or one
    /// of both is about all devices.
    fn is_near(&self, mark: At, other: usize) -> bool {
        let other = self.marks[other].device;
        mark.device.is_none() || other.is_none() || mark.device == other
    }
}

fn sums(segments: &[Segment], device: Option<MacAddress>) -> Sums {
    let mut sums = Sums::default();
    for segment in segments {
        // The contacts are sorted by device.
        let from = segment.contacts.range((device, None, 0, 0)..);
        for (end, contact) in from.take_while(|(end, _)| end.0 == device) {
            let sum = sums.contacts.entry(*end).or_default();
            sum.packets += contact.packets;
            sum.fives += contact.fives;
            sum.hours += contact.hours;
        }
    }
    sums
}

/// Hours within a window in which the filter was attached to any interface.
pub(super) fn observed_hours(
    attachments: &[Attachment],
    since: Timestamp,
    until: Timestamp,
) -> f64 {
    let seconds = super::coverage::attached_seconds(attachments, since, until);
    SignedDuration::from_secs(seconds).as_secs_f64() / 3_600.0
}

const fn unit(has_hours: bool) -> &'static str {
    if has_hours { "hour" } else { "5 minutes" }
}

impl Sums {
    fn window(&self, hours: f64, has_hours: bool) -> Window {
        let contacts = self.contacts.values();
        let contacts = contacts.map(|one| if has_hours { one.hours } else { one.fives });
        let contacts = contacts.sum();
        let packets = self.contacts.values().map(|one| one.packets).sum();
        let rate = |number| {
            Observed {
                contacts: number,
                hours,
            }
            .rate()
            .map(rounded)
        };
        Window {
            observed_hours: rounded(hours),
            contacts,
            packets,
            contacts_per_hour: rate(contacts),
            packets_per_hour: rate(packets),
        }
    }
}

impl Compared {
    fn new(
        device: Option<MacAddress>,
        [before, after]: &[Sums; 2],
        hours: [f64; 2],
        has_hours: bool,
    ) -> Self {
        let windows = [
            before.window(hours[0], has_hours),
            after.window(hours[1], has_hours),
        ];
        let observed = [0, 1].map(|side: usize| Observed {
            contacts: windows[side].contacts,
            hours: hours[side],
        });
        let probability = rates::probability(observed[0], observed[1]);
        let is_told = probability.is_some_and(|probability| probability < LEVEL);
        let needed = if is_told {
            None
        } else {
            rates::needed_hours(observed[0], observed[1])
        };
        let ends = |sums: &Sums| sums.contacts.keys().copied().collect::<BTreeSet<_>>();
        let (old, new) = (ends(before), ends(after));
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

    /// The result in sentences. They claim no more than the test does.
    fn sentences(&self, has_hours: bool) -> Vec<String> {
        let (before, after) = (self.before, self.after);
        let mut text = Vec::new();
        let per = unit(has_hours);
        if before.observed_hours <= 0.0 || after.observed_hours <= 0.0 {
            let side = if before.observed_hours <= 0.0 {
                "before"
            } else {
                "after"
            };
            text.push(format!(
                "The filter was not attached {side} the mark, so nothing can be compared."
            ));
            return text;
        }
        let rate = |window: Window| {
            let contacts = plural(window.contacts, "contact", "contacts");
            format!("{contacts} in {} observed", hours(window.observed_hours))
        };
        text.push(format!(
            "Before the mark: {}. After it: {}.",
            rate(before),
            rate(after)
        ));
        match self.probability {
            None => text.push("Without any contact, no rates can be compared.".to_owned()),
            Some(p) if p < LEVEL => {
                let word = if after.contacts_per_hour < before.contacts_per_hour {
                    "lower"
                } else {
                    "higher"
                };
                text.push(format!(
                    "After the mark the rate of contacts is {word}. If both rates were equal and contacts independent, a difference this large would have a probability of {}.",
                    number(p)
                ));
                text.push("The order in time does not show the cause.".to_owned());
            }
            Some(_) => text.push(self.too_little()),
        }
        if has_hours {
            text.push(format!("The store sums old packets by the hour, so a contact here is one {per} with packets."));
        }
        if self.unclear_packets > 0 {
            text.push(format!(
                "{} near the mark are left out: the store does not know on which side they are.",
                plural(self.unclear_packets, "packet", "packets")
            ));
        }
        text
    }

    fn too_little(&self) -> String {
        let no = if self.before.contacts_per_hour == self.after.contacts_per_hour {
            "The rates are equal."
        } else {
            "Chance can explain the difference between the rates."
        };
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
fn rounded(number: f64) -> f64 {
    format!("{number:.3e}").parse().unwrap_or(number)
}
