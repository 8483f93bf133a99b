//! Names of devices, resolved over all files of a load.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Device, MacAddress, MacPrefix, UnknownDevice,
    device_text::{self, DeviceText},
    diagnostic::{Diagnostic, Diagnostics, SourceFile, SourcePlace, near_miss},
    source::{SourceDevices, Spanned},
};

/// The devices that have names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceNames {
    by_name: BTreeMap<String, Vec<Device>>,
    /// True if every file could be read, so every defined name is known.
    complete: bool,
}

impl DeviceNames {
    /// The devices of a name, sorted; `None` for an unknown name.
    #[must_use]
    pub fn devices(&self, name: &str) -> Option<&[Device]> {
        self.by_name.get(name).map(Vec::as_slice)
    }

    /// Each name that stands for exactly one full MAC, with that MAC, sorted by
    /// name. Output can show such a name in place of the MAC.
    pub fn macs(&self) -> impl Iterator<Item = (&str, MacAddress)> {
        self.by_name
            .iter()
            .filter_map(|(name, devices)| match devices.as_slice() {
                [Device::Mac(prefix)] if prefix.length() == MacPrefix::BITS => {
                    Some((name.as_str(), prefix.address()))
                }
                _ => None,
            })
    }

    /// Parses `text` as an operator types it: a MAC, a MAC prefix, an address,
    /// a CIDR, or a name. Returns the devices, sorted.
    pub fn named(&self, text: &str) -> Result<Vec<Device>, UnknownDevice> {
        let name = match device_text::parse(text)? {
            DeviceText::Device(device) => return Ok(vec![device]),
            DeviceText::Name(name) => name,
        };
        if let Some(devices) = self.devices(&name).filter(|devices| !devices.is_empty()) {
            return Ok(devices.to_vec());
        }
        let names: Vec<&str> = self.names().collect();
        Err(UnknownDevice::Name {
            help: help_for_unknown(&name, &names),
            name,
        })
    }

    /// A name for each MAC that has one. If a MAC has several names, the first
    /// in alphabetical order is used.
    #[must_use]
    pub fn by_mac(&self) -> BTreeMap<MacAddress, String> {
        let mut names = BTreeMap::new();
        for (name, mac) in self.macs() {
            names.entry(mac).or_insert_with(|| name.to_owned());
        }
        names
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }
}

/// The definition of a name, and where it is written.
struct Definition {
    place: SourcePlace,
    members: Vec<(DeviceText, SourcePlace)>,
}

/// The definitions of all files.
#[derive(Default)]
pub(super) struct Definitions {
    by_name: BTreeMap<String, Definition>,
}

impl Definitions {
    /// Adds the definitions of one file. A second definition of a name is an
    /// error.
    pub(super) fn add(
        &mut self,
        typed: Vec<SourceDevices>,
        file: &SourceFile,
        out: &mut Diagnostics,
    ) {
        for SourceDevices { name, members } in typed {
            let place = file.place(name.span);
            if let Some(first) = self.by_name.get(&name.value) {
                let message = format!("there is a second device named `{}`", name.value);
                let help = "give one of the two another name, or join them in one sequence";
                out.push(
                    Diagnostic::error(place, message, help)
                        .with_related(first.place.clone(), "the first one is here"),
                );
                continue;
            }
            let members = members.into_iter();
            let members = members
                .map(|member| (member.value, file.place(member.span)))
                .collect();
            self.by_name
                .insert(name.value, Definition { place, members });
        }
    }

    /// Resolves every name to its devices. Unknown names are errors only if
    /// `complete`, that is, if all files could be read: otherwise an unread
    /// file may define the name.
    pub(super) fn resolve(&self, complete: bool, out: &mut Diagnostics) -> DeviceNames {
        let each = self.by_name.iter();
        let by_name =
            each.map(|(name, group)| (name.clone(), self.members(name, group, complete, out)));
        DeviceNames {
            by_name: by_name.collect(),
            complete,
        }
    }

    /// All devices of a group and of the groups inside it, sorted. Visits each
    /// name once, even if several groups contain it.
    fn members(
        &self,
        name: &str,
        group: &Definition,
        complete: bool,
        out: &mut Diagnostics,
    ) -> Vec<Device> {
        let mut devices = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut path = vec![(name, group.members.iter())];
        while let Some((_, members)) = path.last_mut() {
            let Some((member, place)) = members.next() else {
                path.pop();
                continue;
            };
            let inner = match member {
                DeviceText::Device(device) => {
                    devices.insert(device.clone());
                    continue;
                }
                DeviceText::Name(inner) => inner,
            };
            if inner == name {
                // Reports each cycle once: for the alphabetically first of its
                // names.
                if path.iter().all(|(other, _)| name <= *other) {
                    let through = path[1..].iter().map(|(name, _)| *name);
                    out.push(circle(name, through, place.clone()));
                }
            } else if let Some(group) = self.by_name.get(inner) {
                if seen.insert(inner) {
                    path.push((inner, group.members.iter()));
                }
            } else if complete && path.len() == 1 {
                let names: Vec<&str> = self.by_name.keys().map(String::as_str).collect();
                out.push(unknown(inner, place.clone(), &names));
            }
        }
        devices.into_iter().collect()
    }
}

fn circle<'a>(
    name: &str,
    through: impl Iterator<Item = &'a str>,
    place: SourcePlace,
) -> Diagnostic {
    let through: Vec<String> = through.map(|name| format!("`{name}`")).collect();
    let message = match through.as_slice() {
        [] => format!("the group `{name}` contains itself"),
        _ => format!(
            "the group `{name}` contains itself, through {}",
            through.join(", ")
        ),
    };
    let help = "remove one of the names from the group that contains it";
    Diagnostic::error(place, message, help)
}

fn unknown(name: &str, place: SourcePlace, names: &[&str]) -> Diagnostic {
    let message = format!("there is no device named `{name}`");
    Diagnostic::error(place, message, help_for_unknown(name, names))
}

fn help_for_unknown(name: &str, names: &[&str]) -> String {
    match (near_miss(name, names), device_text::meant_mac(name)) {
        (Some(near), _) => format!("did you mean `{near}`?"),
        (None, Some(mac)) => format!("write \"{mac}\" if it is a MAC"),
        (None, None) => format!(
            "write a MAC or an address, or name it at the top of a policy file: \
             `devices: {{{name}: \"64:cc:2e:11:22:33\"}}`"
        ),
    }
}

impl DeviceNames {
    /// All devices of a sequence, sorted; `None` if a name in it is unknown or
    /// its definition has errors. An error is then reported here or at the
    /// definition.
    pub(super) fn expand(
        &self,
        typed: &[Spanned<DeviceText>],
        file: &SourceFile,
        out: &mut Diagnostics,
    ) -> Option<Vec<Device>> {
        let mut devices = BTreeSet::new();
        let mut known = true;
        for device in typed {
            match &device.value {
                DeviceText::Device(device) => {
                    devices.insert(device.clone());
                }
                DeviceText::Name(name) => {
                    let members = self.devices(name).unwrap_or_default();
                    known &= !members.is_empty();
                    devices.extend(members.iter().cloned());
                    if self.complete && !self.by_name.contains_key(name) {
                        let names: Vec<&str> = self.names().collect();
                        out.push(unknown(name, file.place(device.span.clone()), &names));
                    }
                }
            }
        }
        known.then(|| devices.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use std::{fmt::Write as _, path::Path};

    use super::*;
    use crate::policy::source;

    fn resolve(devices: &str) -> (DeviceNames, Diagnostics) {
        let mut out = Diagnostics::default();
        let text = format!("version: 1\ndevices:\n{devices}");
        let file = SourceFile::new(Path::new("devices.yaml"), text);
        let mut definitions = Definitions::default();
        let typed = source::read(&file, &mut out).devices;
        definitions.add(typed.unwrap_or_default(), &file, &mut out);
        let names = definitions.resolve(true, &mut out);
        (names, out)
    }

    fn shown(names: &DeviceNames, name: &str) -> Vec<String> {
        let devices = names.devices(name).unwrap_or_default();
        devices.iter().map(Device::to_string).collect()
    }

    #[test]
    fn a_name_stands_for_all_that_its_groups_hold() {
        let (names, out) = resolve(
            "  kids: [tablet, phones, 02-00-00-00-00-09]
  phones: [phone, tablet]
  phone: 02:00:00:00:00:01
  tablet: \"64:CC:2E:11:22:33\"
  made: 06:00:00:00:00:00/8
  guests: {interface: wlan0-guest}
",
        );
        assert_eq!(out, Diagnostics::default());
        assert_eq!(
            shown(&names, "kids"),
            [
                "02:00:00:00:00:01",
                "02:00:00:00:00:09",
                "64:cc:2e:11:22:33"
            ]
        );
        assert_eq!(shown(&names, "guests"), ["interface wlan0-guest"]);
        assert_eq!(names.devices("none"), None);
        let macs: Vec<String> = names
            .macs()
            .map(|(name, mac)| format!("{name} {mac}"))
            .collect();
        assert_eq!(
            macs,
            ["phone 02:00:00:00:00:01", "tablet 64:cc:2e:11:22:33"]
        );
    }

    #[test]
    fn of_two_names_for_one_mac_the_first_is_shown() {
        let (names, _) = resolve(
            "  phone: 02:00:00:00:00:01
  ana: 02:00:00:00:00:01
  group: [02:00:00:00:00:01, 02:00:00:00:00:02]
",
        );
        let mac = MacAddress([2, 0, 0, 0, 0, 1]);
        assert_eq!(names.by_mac(), BTreeMap::from([(mac, "ana".to_owned())]));
    }

    #[test]
    fn groups_that_hold_others_twice_stay_small() {
        let mut groups = "  g0: 02:00:00:00:00:01\n".to_owned();
        for group in 1..=200 {
            let inner = group - 1;
            writeln!(groups, "  g{group}: [g{inner}, g{inner}]").unwrap();
        }
        let (names, out) = resolve(&groups);
        assert_eq!(out, Diagnostics::default());
        assert_eq!(shown(&names, "g200"), ["02:00:00:00:00:01"]);
    }

    #[test]
    fn every_circle_is_told_of_once() {
        let (_, out) = resolve(
            "  a: [b, c, a]
  b: [c]
  c: [d]
  d: [b]
",
        );
        let told: Vec<&str> = out.errors().map(Diagnostic::message).collect();
        assert_eq!(
            told,
            [
                "the group `a` contains itself",
                "the group `b` contains itself, through `c`, `d`"
            ]
        );
    }
}
