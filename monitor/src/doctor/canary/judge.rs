//! What the trials say about each path.

use super::{FRAMES, frame::Family, socket::Arrival};
use crate::{
    doctor::{
        facts::{FilterAt, Link},
        finding::Remark,
    },
    policy::Role,
};

/// One path.
#[derive(Clone, Debug)]
pub(super) struct Trial {
    /// Interface of the station.
    pub(super) station: String,
    /// VLAN id.
    pub(super) tag: Option<u16>,
    pub(super) family: Family,
}

/// What became of its frames.
#[derive(Clone, Debug, Default)]
pub(super) struct Sighting {
    /// Interfaces of the gateway on which they arrived, in this order.
    pub(super) arrived: Vec<u32>,
    /// By how much the counter rose.
    pub(super) counted: u64,
}

/// The interfaces of the gateway, and those that run the filter.
struct Gateway<'a> {
    links: &'a [Link],
    filters: &'a [FilterAt],
}

/// A remark about each path, and one about each filtered interface of the devices' side that no
/// frame reached.
pub(super) fn remarks(
    trials: &[(Trial, Sighting)],
    links: &[Link],
    filters: &[FilterAt],
) -> Vec<Remark> {
    let gateway = Gateway { links, filters };
    let mut remarks: Vec<Remark> = trials
        .iter()
        .map(|(trial, sighting)| gateway.remark(trial, sighting))
        .collect();
    remarks.extend(gateway.not_tried(trials.iter().map(|(_, sighting)| sighting)));
    remarks
}

/// A remark about each family of the packets that a device of the operator's choice sent.
pub(super) fn awaited(
    arrived: &[Arrival],
    counted: u64,
    links: &[Link],
    filters: &[FilterAt],
) -> Vec<Remark> {
    let gateway = Gateway { links, filters };
    let mut each: Vec<(Family, Sighting, u64)> = Vec::new();
    for family in Family::BOTH {
        let own = arrived.iter().filter(|arrival| arrival.family == family);
        let mut sighting = Sighting::default();
        for arrival in own {
            if !sighting.arrived.contains(&arrival.index) {
                sighting.arrived.push(arrival.index);
            }
        }
        // A packet may arrive at a port and at its bridge, so the first interface counts.
        let first = sighting.arrived.first().copied();
        let sent = arrived
            .iter()
            .filter(|arrival| arrival.family == family && Some(arrival.index) == first);
        let sent = sent.count() as u64;
        each.push((family, sighting, sent));
    }
    let all: u64 = each.iter().map(|(.., sent)| sent).sum();
    let said = |(family, sighting, sent): &(Family, Sighting, u64)| {
        let name = family.name();
        let Some(path) = gateway.path(&sighting.arrived) else {
            return Remark::unknown(
                format!("not tried: {name}: no packet arrived in time"),
                "the device sent none, or another path took them",
                "run the printed command on a device beside the filter, and wait longer",
            );
        };
        if counted >= all {
            Remark::ok(format!(
                "seen: {path}, {name}: {sent} packets of a device, all counted"
            ))
        } else {
            gateway.not_seen(&format!("{path}, {name}"), &sighting.arrived, counted, all)
        }
    };
    let mut remarks: Vec<Remark> = each.iter().map(said).collect();
    remarks.extend(gateway.not_tried(each.iter().map(|(_, sighting, _)| sighting)));
    remarks
}

impl Gateway<'_> {
    fn link(&self, index: u32) -> Option<&Link> {
        self.links.iter().find(|link| link.index == index)
    }

    fn name(&self, index: u32) -> String {
        let link = self.link(index);
        link.map_or_else(|| format!("interface {index}"), |link| link.name.clone())
    }

    /// The filters on the devices' side.
    fn lan(&self) -> impl Iterator<Item = &FilterAt> {
        self.filters.iter().filter(|one| one.role == Role::Lan)
    }

    fn runs_filter(&self, index: u32) -> bool {
        self.lan().any(|filter| filter.index == index)
    }

    /// True for an interface towards the internet that runs the filter.
    fn is_wan(&self, index: u32) -> bool {
        let mut filters = self.filters.iter();
        filters.any(|one| one.role == Role::Wan && one.index == index)
    }

    /// The interfaces on the way in; `None` if nothing arrived.
    fn path(&self, arrived: &[u32]) -> Option<String> {
        let names: Vec<String> = arrived.iter().map(|index| self.name(*index)).collect();
        (!names.is_empty()).then(|| names.join(" to "))
    }

    fn remark(&self, trial: &Trial, sighting: &Sighting) -> Remark {
        let tag = trial
            .tag
            .map_or_else(|| "untagged".to_owned(), |tag| format!("VLAN {tag}"));
        let rest = format!("{}, {tag}", trial.family.name());
        let counted = sighting.counted;
        let path = self.path(&sighting.arrived);
        match path {
            Some(path) if counted >= FRAMES => {
                Remark::ok(format!("seen: {path}, {rest}: {FRAMES} of {FRAMES} frames"))
            }
            Some(path) => self.not_seen(
                &format!("{path}, {rest}"),
                &sighting.arrived,
                counted,
                FRAMES,
            ),
            None if counted >= FRAMES => Remark::ok(format!(
                "seen: from {} of the station, {rest}: {FRAMES} of {FRAMES} frames",
                trial.station
            )),
            None => Remark::unknown(
                format!("not tried: from {} of the station, {rest}", trial.station),
                "no frame arrived at this machine: no cable or radio leads there, or a switch takes no such tag; a bridge with STP takes none for 30 seconds",
                "name another interface of the station with --from",
            ),
        }
    }

    fn not_seen(&self, path: &str, arrived: &[u32], counted: u64, sent: u64) -> Remark {
        let what = format!("not seen: {path}: {counted} of {sent} frames");
        let first = arrived
            .first()
            .map_or_else(String::new, |first| self.name(*first));
        // A port of our own goes again, and its bridge stays.
        let last = arrived
            .last()
            .map_or_else(String::new, |last| self.name(*last));
        let filtered = arrived.iter().find(|index| self.runs_filter(**index));
        if let Some(filtered) = filtered {
            let name = self.name(*filtered);
            return Remark::blind(
                what,
                format!(
                    "the frames reached {name}, which runs the filter, but the filter did not count them"
                ),
                "the other findings name programs before the filter; `monitor status` shows the trial or reload in force",
            );
        }
        let above = arrived
            .iter()
            .filter_map(|index| self.link(*index)?.controller);
        let mut above = above.filter(|index| self.runs_filter(*index));
        if let Some(bridge) = above.next() {
            let name = self.name(bridge);
            return Remark::blind(
                what,
                format!(
                    "the frames came in through {first} and did not reach {name}, which runs the filter"
                ),
                format!(
                    "see the checks `program` and `station`, or filter {first} in place of {name}"
                ),
            );
        }
        if let Some(wan) = arrived.iter().find(|index| self.is_wan(**index)) {
            return Remark::unknown(
                format!("not tried: {path}"),
                format!(
                    "the frames came in through {}, where the filter looks at the source of a packet; their source is in no policy",
                    self.name(*wan)
                ),
                "name a station on the devices' side",
            );
        }
        Remark::blind(
            what,
            "no interface on this path runs the filter".to_owned(),
            format!("filter it with `--interface {last}`"),
        )
    }

    fn not_tried<'a>(&self, sightings: impl Iterator<Item = &'a Sighting>) -> Vec<Remark> {
        let reached: Vec<u32> = sightings
            .flat_map(|sighting| sighting.arrived.clone())
            .collect();
        let left = self.lan().filter(|filter| !reached.contains(&filter.index));
        let each = left.map(|filter| {
            Remark::unknown(
                format!("not tried: {}", filter.name),
                "no frame of a station came in there",
                "name a station beside it: --station NETNS, --from INTERFACE, --join BRIDGE, or --wait SECONDS for a real device",
            )
        });
        each.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{datapath::Egress, doctor::finding::FindingStatus};

    fn gateway() -> (Vec<Link>, Vec<FilterAt>) {
        let link = |index, name: &str, controller| Link {
            index,
            name: name.to_owned(),
            controller,
            ..Link::default()
        };
        let links = vec![
            link(2, "wlan0", None),
            link(3, "lan1", None),
            link(4, "br0", None),
            link(5, "p1", Some(4)),
            link(6, "wan0", None),
        ];
        let filter = |index, name: &str, role| FilterAt {
            index,
            name: name.to_owned(),
            program: 1,
            role,
            egress: Ok(Egress::Nothing),
        };
        let filters = vec![
            filter(2, "wlan0", Role::Lan),
            filter(4, "br0", Role::Lan),
            filter(6, "wan0", Role::Wan),
        ];
        (links, filters)
    }

    fn said(arrived: &[u32], counted: u64) -> Remark {
        let (links, filters) = gateway();
        let trial = Trial {
            station: "eth0".to_owned(),
            tag: Some(7),
            family: Family::Ipv6,
        };
        let sighting = Sighting {
            arrived: arrived.to_vec(),
            counted,
        };
        remarks(&[(trial, sighting)], &links, &filters).remove(0)
    }

    #[test]
    fn each_fate_of_the_frames_has_its_own_words() {
        let cases = [
            (
                said(&[2], 3),
                FindingStatus::Ok,
                "seen: wlan0, IPv6, VLAN 7: 3 of 3",
            ),
            (said(&[5, 4], 3), FindingStatus::Ok, "seen: p1 to br0"),
            (
                said(&[], 3),
                FindingStatus::Ok,
                "seen: from eth0 of the station",
            ),
            (said(&[3], 0), FindingStatus::Blind, "not seen: lan1"),
            (said(&[2], 1), FindingStatus::Blind, "1 of 3 frames"),
            (said(&[5], 0), FindingStatus::Blind, "not seen: p1"),
            (said(&[], 0), FindingStatus::Unknown, "not tried: from eth0"),
            (said(&[6], 0), FindingStatus::Unknown, "not tried: wan0"),
        ];
        for (remark, status, what) in cases {
            assert_eq!(remark.status, status, "{remark:?}");
            assert!(remark.what.contains(what), "{remark:?}");
        }
        assert!(said(&[3], 0).fix.contains("--interface lan1"));
        assert!(said(&[5], 0).why.contains("did not reach br0"));
        assert!(said(&[2], 0).why.contains("reached wlan0"));
        assert!(said(&[6], 0).why.contains("came in through wan0"));
    }

    #[test]
    fn a_filtered_interface_that_no_frame_reached_is_named() {
        let (links, filters) = gateway();
        let all = remarks(&[], &links, &filters);
        assert_eq!(all.len(), 2);
        assert!(all[0].what.contains("not tried: wlan0"), "{all:?}");
    }

    #[test]
    fn packets_of_a_device_are_counted_once_although_they_pass_a_port_and_a_bridge() {
        let (links, filters) = gateway();
        let arrival = |index| Arrival {
            index,
            family: Family::Ipv4,
        };
        let arrived = [arrival(5), arrival(4), arrival(5), arrival(4)];
        let seen = &awaited(&arrived, 2, &links, &filters)[0];
        assert!(seen.what.contains("p1 to br0, IPv4: 2 packets"), "{seen:?}");
        let blind = &awaited(&arrived, 0, &links, &filters)[0];
        assert_eq!(blind.status, FindingStatus::Blind, "{blind:?}");
    }
}
