//! Names of devices: what each stands for, over all files of a load.

use std::collections::BTreeMap;

use super::{
    Device, MacAddress, MacPrefix,
    device_text::DeviceText,
    diagnostic::{Diagnostic, Diagnostics, Place, SourceFile, near_miss},
    source::{SourceDevices, Spanned},
};

/// The devices that have names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceNames {
    by_name: BTreeMap<String, Vec<Device>>,
}

impl DeviceNames {
    /// The devices that a name stands for, sorted.
    #[must_use]
    pub fn devices(&self, name: &str) -> Option<&[Device]> {
        self.by_name.get(name).map(Vec::as_slice)
    }

    /// Every name that stands for one MAC alone, with that MAC, sorted by
    /// name: these can be shown in place of it.
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

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }
}

/// One definition, and where it is written.
struct Definition {
    place: Place,
    members: Vec<(DeviceText, Place)>,
}

/// The definitions of all files.
#[derive(Default)]
pub(super) struct Definitions {
    by_name: BTreeMap<String, Definition>,
}

impl Definitions {
    /// Adds what one file defines; a name has one definition.
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

    /// What every name stands for in the end.
    pub(super) fn resolve(&self, out: &mut Diagnostics) -> DeviceNames {
        let mut names = DeviceNames::default();
        for (name, definition) in &self.by_name {
            let mut devices = Vec::new();
            let mut path = vec![name.as_str()];
            self.collect(definition, &mut path, &mut devices, out);
            devices.sort_unstable();
            devices.dedup();
            names.by_name.insert(name.clone(), devices);
        }
        names
    }

    fn collect<'a>(
        &'a self,
        definition: &'a Definition,
        path: &mut Vec<&'a str>,
        devices: &mut Vec<Device>,
        out: &mut Diagnostics,
    ) {
        for (member, place) in &definition.members {
            let name = match member {
                DeviceText::Device(device) => {
                    devices.push(device.clone());
                    continue;
                }
                DeviceText::Name(name) => name,
            };
            if path.contains(&name.as_str()) {
                // Told once, where the name at hand closes the circle.
                if path.first() == Some(&name.as_str()) {
                    let message = format!("the devices `{name}` hold themselves");
                    let help = "remove the name from one of the groups";
                    out.push(Diagnostic::error(place.clone(), message, help));
                }
                continue;
            }
            match self.by_name.get(name) {
                Some(inner) => {
                    path.push(name);
                    self.collect(inner, path, devices, out);
                    path.pop();
                }
                // A group inside others is told of where it is looked at by itself.
                None if path.len() == 1 => out.push(self.unknown(name, place.clone())),
                None => {}
            }
        }
    }

    fn unknown(&self, name: &str, place: Place) -> Diagnostic {
        let names: Vec<&str> = self.by_name.keys().map(String::as_str).collect();
        unknown(name, place, &names)
    }
}

fn unknown(name: &str, place: Place, names: &[&str]) -> Diagnostic {
    let help = match near_miss(name, names) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!(
            "write a MAC or an address, or name it at the top of a policy file: \
             `devices: {{{name}: \"64:cc:2e:11:22:33\"}}`"
        ),
    };
    Diagnostic::error(place, format!("there is no device named `{name}`"), help)
}

impl DeviceNames {
    /// The devices of a sequence, sorted; `None` where a name has none.
    pub(super) fn expand(
        &self,
        typed: &[Spanned<DeviceText>],
        file: &SourceFile,
        out: &mut Diagnostics,
    ) -> Option<Vec<Device>> {
        let mut devices = Vec::new();
        let mut known = true;
        for device in typed {
            match &device.value {
                DeviceText::Device(device) => devices.push(device.clone()),
                DeviceText::Name(name) => {
                    if let Some(members) = self.devices(name) {
                        devices.extend(members.iter().cloned());
                        continue;
                    }
                    known = false;
                    let names: Vec<&str> = self.names().collect();
                    out.push(unknown(name, file.place(device.span.clone()), &names));
                }
            }
        }
        devices.sort_unstable();
        devices.dedup();
        known.then_some(devices)
    }
}
