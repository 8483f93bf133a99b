//! Names of interfaces with wildcards, such as `wlan*`: which interfaces they stand for now.

use std::{collections::BTreeMap, path::Path};

use monitor_common::MAX_INTERFACES;

use super::{
    Error,
    hook::{Filtered, Hook, HookPoint},
    interfaces::{self, Interface},
    link::Link,
    pins::Pins,
    presence::with_alternative,
    routes, state,
};
use crate::policy::Role;

/// The interfaces that the configured names stand for at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    /// Interfaces to filter, each name once. A configured name that stands for no interface
    /// is itself among them.
    pub filtered: Vec<Filtered>,
    /// Interfaces that match a pattern, and that the pattern does not take. The value is
    /// the reason.
    pub left_out: BTreeMap<String, String>,
    /// Interfaces that should be filtered, and for which the pinned counters have no room.
    /// The value is the reason.
    pub without_room: BTreeMap<String, String>,
}

impl Resolved {
    /// Names of the interfaces to filter.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let names = self.filtered.iter().map(|one| one.name.clone());
        names.collect()
    }

    /// Adds the interface that a configured name stands for.
    fn add(&mut self, configured: &Filtered, name: &str) -> Result<(), Error> {
        match self.filtered.iter().find(|one| one.name == *name) {
            Some(one) if one.role != configured.role => Err(Error::TwoRoles {
                interface: name.to_owned(),
                name: configured.name.clone(),
                role: configured.role,
                other: one.role,
            }),
            Some(_) => Ok(()),
            None => {
                self.filtered.push(Filtered {
                    name: name.to_owned(),
                    role: configured.role,
                });
                Ok(())
            }
        }
    }
}

/// True if this configured name has a wildcard: `*` for any text, `?` for one character.
#[must_use]
pub fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?'])
}

/// True if a pattern matches the whole name. The time is bounded by the product of both
/// lengths.
#[must_use]
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut at, mut next) = (0, 0);
    // Place behind the last `*`, and the place in the name at which its text ends.
    let mut star: Option<(usize, usize)> = None;
    while next < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at + 1, next));
                at += 1;
            }
            Some(wanted) if *wanted == b'?' || *wanted == name[next] => {
                at += 1;
                next += 1;
            }
            _ => {
                let Some((behind, end)) = star else {
                    return false;
                };
                // The text of the last `*` takes one more character.
                star = Some((behind, end + 1));
                (at, next) = (behind, end + 1);
            }
        }
    }
    pattern[at..].iter().all(|rest| *rest == b'*')
}

/// Finds the interfaces that the configured names stand for. Replaces alternative names by
/// the main names of their interfaces. A name without an interface stays as it is. So does
/// a name under which a filter is pinned at `pin_dir`. An exact name comes before a pattern, and
/// a pattern before those behind it. Returns an error if two exact names give one interface two
/// roles.
pub fn resolve(pin_dir: &Path, configured: &[Filtered]) -> Result<Resolved, Error> {
    let all =
        interfaces::list().map_err(|source| Error::system("list network interfaces", source))?;
    let pins = Pins::new(pin_dir);
    let linked = pins.linked_interfaces().unwrap_or_default();
    let mut resolved = Resolved::default();
    let (patterns, exact): (Vec<&Filtered>, Vec<_>) =
        configured.iter().partition(|one| is_pattern(&one.name));
    for one in exact {
        let name = &one.name;
        let known = if linked.contains(name) {
            None
        } else {
            with_alternative(&all, name)
        };
        let name = known.map_or(name, |interface| &interface.name);
        let found = all.iter().find(|interface| interface.name == *name);
        if found.is_some_and(|interface| !interface.has_ethernet) {
            resolved.left_out.insert(name.clone(), not_ethernet(name));
        } else {
            resolved.add(one, name)?;
        }
    }
    if patterns.is_empty() {
        return Ok(resolved);
    }
    let taken = Taken::new(&pins, &linked, &all, &resolved.filtered);
    let far = routes::far_sides(&all).map_err(|source| Error::system("list the routes", source))?;
    taken.take_matches(&patterns, &far, &mut resolved);
    Ok(resolved)
}

/// Returns an error if an interface of this name is there and has no Ethernet frames.
pub fn require_ethernet(configured: &[String]) -> Result<(), Error> {
    let all =
        interfaces::list().map_err(|source| Error::system("list network interfaces", source))?;
    let wrong = all
        .into_iter()
        .find(|interface| !interface.has_ethernet && configured.contains(&interface.name));
    wrong.map_or(Ok(()), |interface| {
        Err(Error::NotEthernet {
            advice: not_ethernet(&interface.name),
        })
    })
}

/// Why an interface without Ethernet frames is not filtered, and what to do.
fn not_ethernet(name: &str) -> String {
    let carriers = routes::pppoe_carriers();
    let instead = if name.starts_with("ppp") {
        let carrier = carriers.first().map_or("eth0", String::as_str);
        format!(
            "name the Ethernet interface that carries the session, such as {carrier}: the filter reads PPPoE sessions"
        )
    } else {
        "name the Ethernet or WiFi interface on the devices' side".to_owned()
    };
    format!(
        "{name}: is no Ethernet interface (PPP, a tunnel or a monitor interface), and its packets have no MAC of a device; {instead}"
    )
}

/// State while the patterns take interfaces.
struct Taken<'a> {
    all: &'a [Interface],
    /// Name under which an interface is filtered, by its index.
    by_index: BTreeMap<u32, String>,
    /// Live links by the index of the interface that they are attached to. A renamed
    /// interface keeps the name of its link.
    held: BTreeMap<u32, String>,
    /// Names that have a slot.
    slots: Vec<String>,
    /// Slots that are free.
    room: usize,
}

impl<'a> Taken<'a> {
    fn new(pins: &Pins, linked: &[String], all: &'a [Interface], exact: &[Filtered]) -> Self {
        let held: BTreeMap<u32, String> = linked
            .iter()
            .filter_map(|name| Some((live_index(pins, name, all)?, name.clone())))
            .collect();
        let of_name = |name: &String| {
            let by_link = held.iter().find(|(_, held)| *held == name);
            let index = by_link.map(|(index, _)| *index);
            let by_name = || all.iter().find(|other| other.name == *name);
            index.or_else(|| by_name().map(|found| found.index))
        };
        let by_index = exact
            .iter()
            .filter_map(|one| Some((of_name(&one.name)?, one.name.clone())))
            .collect();
        let slots = state::interface_names(pins);
        // Exact names get slots even if they appear later.
        let new = exact.iter().filter(|one| !slots.contains(&one.name));
        let reserved = new.map(|one| slots_of(one.role)).sum::<usize>();
        let room = (MAX_INTERFACES as usize).saturating_sub(slots.len() + reserved);
        Self {
            all,
            by_index,
            held,
            slots,
            room,
        }
    }

    /// Adds the interfaces that match. Interfaces that are filtered already come first. Among
    /// the rest, a port comes before its bridge, and a carrier before its VLAN. `far` are the
    /// indices of the interfaces that lead to the Internet.
    fn take_matches(mut self, patterns: &[&Filtered], far: &[u32], resolved: &mut Resolved) {
        let role = |name: &str| {
            let mut patterns = patterns.iter();
            let pattern = patterns.find(|pattern| matches(&pattern.name, name))?;
            Some(pattern.role)
        };
        let mut candidates: Vec<(&Interface, Filtered)> = self
            .all
            .iter()
            .filter(|interface| !interface.is_loopback)
            .filter_map(|interface| {
                let name = self.held.get(&interface.index).unwrap_or(&interface.name);
                let name = name.clone();
                let role = role(&name)?;
                Some((interface, Filtered { name, role }))
            })
            .collect();
        candidates.sort_by_key(|(interface, _)| {
            let is_new = !self.held.contains_key(&interface.index);
            (is_new, self.below(interface.index).len(), interface.index)
        });
        for (interface, one) in candidates {
            let name = one.name.clone();
            // The far side is what the role `wan` means.
            let far = if one.role == Role::Wan { &[] } else { far };
            if self.by_index.contains_key(&interface.index) {
                continue;
            }
            if let Some(why) = self.reason_against(interface, far) {
                let why = format!("{name}: matches a pattern, and is left out: {why}");
                resolved.left_out.insert(name, why);
            } else if !self.slots.contains(&name) && self.room < slots_of(one.role) {
                let why = no_room(&name);
                resolved.without_room.insert(name, why);
            } else {
                if !self.slots.contains(&name) {
                    self.room -= slots_of(one.role);
                }
                self.by_index.insert(interface.index, name);
                resolved.filtered.push(one);
            }
        }
        for pattern in patterns {
            let mut taken = resolved.filtered.iter();
            if !taken.any(|one| matches(&pattern.name, &one.name)) {
                resolved.filtered.push((*pattern).clone());
            }
        }
    }

    /// Why a pattern must not take this interface; `None` if it may.
    fn reason_against(&self, interface: &Interface, far: &[u32]) -> Option<String> {
        if !interface.has_ethernet {
            return Some("it is no Ethernet interface".to_owned());
        }
        let bridge = interface.controller;
        if let Some(bridge) = bridge.and_then(|bridge| self.by_index.get(&bridge)) {
            return Some(format!(
                "it is a port of {bridge}, which is filtered, and its packets would be counted twice"
            ));
        }
        let below = self.below(interface.index);
        let below = below.iter().find_map(|index| self.by_index.get(index));
        if let Some(below) = below {
            return Some(format!(
                "its packets come through {below}, which is filtered, and would be counted twice"
            ));
        }
        // A device may be able to change routes. So a route never takes a filter away.
        let is_held = self.held.contains_key(&interface.index);
        (!is_held && far.contains(&interface.index))
            .then(|| "a default route leads to it; give its exact name to filter it".to_owned())
    }

    /// Indices of the interfaces through which the packets of this one come: the carrier of
    /// a VLAN and the ports of a bridge, and those below them.
    fn below(&self, index: u32) -> Vec<u32> {
        routes::below(index, self.all)
    }
}

/// Index of the interface that the pinned link of this name filters; `None` if it filters
/// none of this network namespace.
fn live_index(pins: &Pins, name: &str, all: &[Interface]) -> Option<u32> {
    let at = HookPoint::new(name, Hook::Ingress);
    let link = Link::open(pins, &at).ok()?;
    let info = link.info(&at).ok()?;
    let ours = |interface: &&Interface| {
        interface.index == info.ifindex && interface.program == Some(info.program)
    };
    all.iter().find(ours).map(|interface| interface.index)
}

/// Slots of an interface: one for each direction of its packets.
const fn slots_of(role: Role) -> usize {
    match role {
        Role::Lan => 1,
        Role::Wan => 2,
    }
}

fn no_room(name: &str) -> String {
    format!(
        "{name}: is NOT filtered: the counters have room for {MAX_INTERFACES} interface names, and all are used, also by interfaces that are gone; give exact names, or remove filter and counters with `monitor detach` and start again"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(index: u32, name: &str, controller: u32, carrier: u32) -> Interface {
        let some = |index| (index > 0).then_some(index);
        Interface {
            name: name.to_owned(),
            alternatives: Vec::new(),
            index,
            controller: some(controller),
            carrier: some(carrier),
            has_ethernet: !name.starts_with("ppp"),
            is_loopback: name == "lo",
            mtu: 1500,
            program: None,
            mode: None,
        }
    }

    /// What the configured names take and leave out, if eth0 leads to the Internet.
    fn taken(configured: &[&str], held: &[(u32, &str)], room: usize) -> (String, String) {
        let all = [
            interface(1, "lo", 0, 0),
            interface(2, "br-lan", 0, 0),
            interface(3, "br-lan.20", 0, 2),
            interface(4, "wlan0.20", 0, 5),
            interface(5, "wlan0", 2, 0),
            interface(6, "wlan1", 0, 0),
            interface(7, "eth0", 0, 0),
            interface(8, "ppp0", 0, 0),
        ];
        let configured: Vec<Filtered> = configured
            .iter()
            .map(|name| match name.strip_suffix(":wan") {
                Some(name) => (name, Role::Wan),
                None => (*name, Role::Lan),
            })
            .map(|(name, role)| Filtered {
                name: name.to_owned(),
                role,
            })
            .collect();
        let (patterns, exact): (Vec<_>, Vec<_>) =
            configured.iter().partition(|one| is_pattern(&one.name));
        let index = |name: &String| all.iter().find(|other| other.name == *name).unwrap().index;
        let state = Taken {
            all: &all,
            by_index: exact
                .iter()
                .map(|one| (index(&one.name), one.name.clone()))
                .collect(),
            held: held
                .iter()
                .map(|(index, name)| (*index, (*name).to_owned()))
                .collect(),
            slots: Vec::new(),
            room,
        };
        let mut resolved = Resolved {
            filtered: exact.into_iter().cloned().collect(),
            ..Resolved::default()
        };
        state.take_matches(&patterns, &[7], &mut resolved);
        let mut out: Vec<_> = resolved.left_out.into_keys().collect();
        out.extend(resolved.without_room.into_keys().map(|name| name + "!"));
        let role = |one: &Filtered| match one.role {
            Role::Lan => one.name.clone(),
            Role::Wan => format!("{}:wan", one.name),
        };
        let taken: Vec<_> = resolved.filtered.iter().map(role).collect();
        (taken.join(" "), out.join(" "))
    }

    #[test]
    fn a_pattern_takes_no_packet_twice_and_no_far_side() {
        let all = |names: &str, out: &str| (names.to_owned(), out.to_owned());
        // The lower interfaces first; those above them would see the same packets.
        assert_eq!(
            taken(&["*"], &[], 32),
            all("wlan0 wlan1", "br-lan br-lan.20 eth0 ppp0 wlan0.20")
        );
        assert_eq!(
            taken(&["br-lan", "wlan*"], &[], 32),
            all("br-lan wlan1 wlan0.20", "wlan0")
        );
        assert_eq!(taken(&["eth0", "eth*"], &[], 32), all("eth0", ""));
        assert_eq!(taken(&["*.20"], &[], 32), all("wlan0.20 br-lan.20", ""));
        // A filter stays where it is: after a rename, and if a default route comes.
        assert_eq!(
            taken(&["eth*", "old*"], &[(7, "eth0"), (6, "old1")], 32),
            all("old1 eth0", "")
        );
        assert_eq!(taken(&["wlan?"], &[], 1), all("wlan0", "wlan1!"));
        assert_eq!(taken(&["phy*"], &[], 32), all("phy*", ""));
        // The role `wan` takes the far side. An exact name comes before a pattern.
        assert_eq!(
            taken(&["wlan*", "eth*:wan", "eth*"], &[], 32),
            all("wlan0 wlan1 eth0:wan", "wlan0.20")
        );
        assert_eq!(
            taken(&["*", "wlan1:wan"], &[], 32),
            all("wlan1:wan wlan0", "br-lan br-lan.20 eth0 ppp0 wlan0.20")
        );
    }

    #[test]
    fn stars_and_question_marks() {
        for (pattern, name, is_match) in [
            ("wlan*", "wlan0", true),
            ("wlan*", "wlan", true),
            ("wlan*", "vwlan0", false),
            ("phy*-ap*", "phy0-ap1", true),
            ("phy*-ap*", "phy1-sta0", false),
            ("phy?-ap?", "phy10-ap0", false),
            ("*", "", true),
            ("**0", "wlan0.20", true),
            ("*ap", "apapap", true),
            ("*a?b*", "xxaabxab", true),
            ("*.20", "wlan0.2", false),
            ("wlan[01]", "wlan0", false),
            ("a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaa", false),
        ] {
            assert_eq!(matches(pattern, name), is_match, "{pattern} {name}");
        }
        assert!(is_pattern("wlan?") && !is_pattern("br-lan.20"));
    }
}
