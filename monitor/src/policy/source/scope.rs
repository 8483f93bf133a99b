//! Devices, interfaces and services as they are typed.

use std::str::FromStr as _;

use serde_yaml::Value;

use super::{
    reader::{Reader, Spanned, get},
    service::meant,
};
use crate::policy::{
    Device, Ports, Service,
    device_text::{self, DeviceText},
    diagnostic::Diagnostic,
    keys,
    yaml::Node,
};

/// The conditions of a policy; `None` for a key that is not set.
#[derive(Debug, Default)]
pub(in crate::policy) struct SourceScope {
    pub(in crate::policy) devices: Option<Vec<Spanned<DeviceText>>>,
    pub(in crate::policy) except_devices: Option<Vec<Spanned<DeviceText>>>,
    pub(in crate::policy) interfaces: Option<Vec<String>>,
    pub(in crate::policy) services: Option<Spanned<Vec<Service>>>,
    /// True if a value was invalid and is missing here.
    pub(in crate::policy) incomplete: bool,
}

/// A name for devices, and the devices that it stands for.
#[derive(Debug)]
pub(in crate::policy) struct SourceDevices {
    pub(in crate::policy) name: Spanned<String>,
    pub(in crate::policy) members: Vec<Spanned<DeviceText>>,
}

const DEVICE_HELP: &str =
    "write a MAC in quotes (\"64:cc:2e:11:22:33\"), an address, or a name of `devices:`";

/// Longest interface name, in bytes (`IFNAMSIZ` without the terminating zero).
const MAX_INTERFACE_NAME: usize = 15;

impl Reader<'_> {
    pub(super) fn scope(&mut self, policy: &Node<'_>) -> SourceScope {
        let mut scope = SourceScope::default();
        let mut incomplete = false;
        scope.devices = self.devices_of(policy, "devices", &mut incomplete);
        scope.except_devices = self.devices_of(policy, "except_devices", &mut incomplete);
        scope.interfaces = self.interfaces(policy, &mut incomplete);
        scope.services = self.services(policy, &mut incomplete);
        scope.incomplete = incomplete;
        scope
    }

    /// Reads the top-level `devices:` of a file; `None` if it is missing or not
    /// a mapping.
    pub(super) fn named_devices(&mut self, root: &Node<'_>) -> Option<Vec<SourceDevices>> {
        let help = "write `devices:` and below it one `NAME: \"64:cc:2e:11:22:33\"` for each";
        let Some(node) = get(root, "devices") else {
            return (!self.misspelt.contains(&"devices")).then(Vec::new);
        };
        let Some(entries) = node.entries() else {
            self.wrong_type(&node, "`devices` of a file", "a mapping", help);
            return None;
        };
        let each = entries.iter();
        let named = each.filter_map(|(name, members)| self.named(name, members));
        Some(named.collect())
    }

    /// Reads a name and its members. A name with invalid members is kept, so
    /// that policies that use it do not report it as unknown.
    fn named(&mut self, name: &Node<'_>, members: &Node<'_>) -> Option<SourceDevices> {
        if name.value.as_str() == Some("<<") {
            let message = "`devices` cannot take its names from a YAML merge (`<<`)";
            self.error(
                name.span.clone(),
                message,
                "write each name and its devices here",
            );
            return None;
        }
        let help = "write a name with a letter in it, such as `kids-tablet`";
        let text = self.text(name, "the name of a device", help);
        let members = if members.entries().is_some() {
            self.group(members).into_iter().collect()
        } else if members.elements().is_some_and(|each| each.is_empty()) {
            let help = "write its devices, or remove the name";
            self.error(members.span.clone(), "this group holds no device", help);
            Vec::new()
        } else {
            let mut incomplete = false;
            self.device_list(members, "a device", &mut incomplete)
        };
        let text = text?;
        if let Err(error) = device_text::check_name(&text) {
            self.error(name.span.clone(), error.to_string(), error.help());
            return None;
        }
        Some(SourceDevices {
            name: Spanned {
                value: text,
                span: name.span.clone(),
            },
            members,
        })
    }

    /// Reads `{interface: NAME}`: all devices on an interface.
    fn group(&mut self, node: &Node<'_>) -> Option<Spanned<DeviceText>> {
        keys::GROUP.check(node, self.file, self.out);
        if node.entries().is_some_and(|entries| entries.is_empty()) {
            let message = "this group of devices has no `interface`";
            let help = "write `{interface: wlan0-guest}`, or a sequence of devices and names";
            self.error(node.span.clone(), message, help);
        }
        let interface = get(node, "interface")?;
        let name = self.interface(&interface)?;
        Some(Spanned {
            value: DeviceText::Device(Device::Interface(name)),
            span: interface.span,
        })
    }

    fn devices_of(
        &mut self,
        policy: &Node<'_>,
        key: &'static str,
        incomplete: &mut bool,
    ) -> Option<Vec<Spanned<DeviceText>>> {
        let node = get(policy, key)?;
        Some(self.device_list(&node, &format!("`{key}`"), incomplete))
    }

    fn device_list(
        &mut self,
        node: &Node<'_>,
        what: &str,
        incomplete: &mut bool,
    ) -> Vec<Spanned<DeviceText>> {
        let elements = self.one_or_many(node, what);
        let devices: Vec<_> = elements
            .iter()
            .filter_map(|element| self.device(element))
            .collect();
        *incomplete |= elements.is_empty() || devices.len() < elements.len();
        devices
    }

    fn device(&mut self, node: &Node<'_>) -> Option<Spanned<DeviceText>> {
        let help = if node.entries().is_some() {
            "give the group a name under `devices:` of the file, and write that name here"
        } else {
            DEVICE_HELP
        };
        let text = self.text(node, "a device", help)?;
        let value = match device_text::parse(&text) {
            Ok(device) => device,
            Err(error) => {
                self.error(node.span.clone(), error.to_string(), error.help());
                return None;
            }
        };
        if let DeviceText::Device(device) = &value {
            self.warn_of_device(node, device);
        }
        Some(Spanned {
            value,
            span: node.span.clone(),
        })
    }

    fn warn_of_device(&mut self, node: &Node<'_>, device: &Device) {
        let (message, help) = match device {
            Device::Mac(prefix) if prefix.is_shared() && !prefix.holds_randomised() => (
                format!("`{prefix}` matches no randomised MAC, as phones use on WiFi by default"),
                "switch randomised MACs off on the devices, or name the MAC that they use here",
            ),
            Device::Ipv4(_) | Device::Ipv6(_) => (
                format!(
                    "`{device}` matches packets from this address only: the device's other addresses, IPv6 included, are not covered"
                ),
                "name the device by its MAC, or name all of its addresses",
            ),
            Device::Mac(_) | Device::Interface(_) => return,
        };
        let place = self.file.place(node.span.clone());
        self.out.push(Diagnostic::warning(place, message, help));
    }

    fn interfaces(&mut self, policy: &Node<'_>, incomplete: &mut bool) -> Option<Vec<String>> {
        let node = get(policy, "interfaces")?;
        let elements = self.one_or_many(&node, "`interfaces`");
        let names: Vec<_> = elements
            .iter()
            .filter_map(|element| self.interface(element))
            .collect();
        *incomplete |= elements.is_empty() || names.len() < elements.len();
        Some(names)
    }

    fn interface(&mut self, node: &Node<'_>) -> Option<String> {
        let help = "write the name that `ip link` shows, such as `wlan0-guest`";
        let name = self.text(node, "an interface", help)?;
        // The same rules as `dev_valid_name` in the kernel's net/core/dev.c.
        let valid = !name.is_empty()
            && name.len() <= MAX_INTERFACE_NAME
            && !matches!(name.as_str(), "." | "..")
            && !name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace());
        if !valid {
            let message = format!("`{name}` cannot be the name of an interface");
            self.error(node.span.clone(), message, help);
        }
        valid.then_some(name)
    }

    fn services(
        &mut self,
        policy: &Node<'_>,
        incomplete: &mut bool,
    ) -> Option<Spanned<Vec<Service>>> {
        let node = get(policy, "services")?;
        let elements = self.one_or_many(&node, "`services`");
        let read: Vec<_> = elements
            .iter()
            .filter_map(|element| self.service(element))
            .collect();
        *incomplete |= elements.is_empty() || read.len() < elements.len();
        Some(Spanned {
            value: read.into_iter().flatten().collect(),
            span: node.span,
        })
    }

    fn service(&mut self, node: &Node<'_>) -> Option<Vec<Service>> {
        let help = "write a service such as `tcp/443`, `udp/8000-9000`, `https` or `icmp`";
        // YAML reads a port alone as a number.
        let text = match node.value {
            Value::Number(number) => number.to_string(),
            _other => self.text(node, "a service", help)?,
        };
        if text == "https" {
            let port = Ports::new(443, 443)?;
            return Some(vec![Service::Tcp(port), Service::Udp(port)]);
        }
        match Service::from_str(&text) {
            Ok(service) => Some(vec![service]),
            Err(error) => {
                let help = meant(&text, &error).unwrap_or_else(|| help.to_owned());
                self.error(node.span.clone(), error.to_string(), help);
                None
            }
        }
    }
}
