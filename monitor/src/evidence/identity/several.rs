//! Says why one MAC possibly stands for several devices.
//!
//! | reason | rule |
//! |---|---|
//! | host names | two names whose times overlap; a domain and capital letters do not count, nor a name that contains an address of the device |
//! | models | two models, at any time |
//! | IPv4 | an address is used, then another one, then the first one again, within [`WINDOW`] |
//! | IPv6 | more than [`MAX_IPV6_AT_ONCE`] addresses are used within [`WINDOW`] |
//!
//! A device has one IPv4 address on a network. When a DHCP server gives it another one, it
//! leaves the first one for good, so the rule for IPv4 is silent. Link-local addresses do
//! not count: a device may have a link-local address and another address at the same time
//! (RFC 3927, section 1.9).
//!
//! A lease file states a host name until the lease ends. So names whose times overlap were
//! possibly used in turn, and the sentence claims no more. A DHCP server makes names such as
//! `ip-192-168-50-10` from the address: they say nothing about the device.

use std::{collections::BTreeSet, fmt, net::IpAddr};

use super::{
    at_once::{MAX_IPV6_AT_ONCE, WINDOW},
    device::{Device, Known},
    fact::Period,
};
use crate::evidence::chosen::escaped;

/// Most values that a sentence quotes.
const MAX_QUOTED: usize = 4;

/// A reason why a MAC possibly stands for several devices. `Display` writes it as
/// sentences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Several {
    /// Sources stated several host names of it, in turn or at once.
    HostNames(Vec<String>),
    /// It showed several models.
    Models(Vec<String>),
    /// It used several IPv4 addresses at the same time.
    Ipv4 {
        /// Highest number of addresses.
        most: u16,
        /// When this was seen.
        period: Period,
    },
    /// It used more IPv6 addresses at the same time than one device does.
    Ipv6 {
        /// Highest number of addresses.
        most: u16,
        /// When this was seen.
        period: Period,
    },
}

impl Several {
    /// Returns the word of JSON.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::HostNames(_) => "host-names",
            Self::Models(_) => "models",
            Self::Ipv4 { .. } => "ipv4-at-once",
            Self::Ipv6 { .. } => "ipv6-at-once",
        }
    }
}

impl fmt::Display for Several {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minutes = WINDOW.as_mins();
        match self {
            Self::HostNames(names) => write!(
                f,
                "This MAC had the host names {}, in turn or at once. One device mostly has one host name.",
                Quoted(names)
            ),
            Self::Models(models) => write!(
                f,
                "This MAC showed the models {}. One device has one model.",
                Quoted(models)
            ),
            Self::Ipv4 { most, .. } => write!(
                f,
                "This MAC used {most} IPv4 addresses in turn within {minutes} minutes. One device uses one IPv4 address on a network."
            ),
            Self::Ipv6 { most, .. } => write!(
                f,
                "This MAC used {most} IPv6 addresses within {minutes} minutes. One device uses at most {MAX_IPV6_AT_ONCE}, with its temporary addresses (RFC 8981)."
            ),
        }
    }
}

/// Writes values as `` `a`, `b` and `c` ``.
struct Quoted<'a>(&'a [String]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.iter().take(MAX_QUOTED);
        let more = self.0.len().saturating_sub(MAX_QUOTED);
        let last = shown.len().saturating_sub(1);
        for (index, value) in shown.enumerate() {
            let before = match index {
                0 => "",
                _ if index == last && more == 0 => " and ",
                _ => ", ",
            };
            write!(f, "{before}`{}`", escaped(value))?;
        }
        if more > 0 {
            write!(f, " and {more} more")?;
        }
        Ok(())
    }
}

impl Device {
    /// Returns why the MAC possibly stands for several devices: a router, a repeater, a
    /// host with virtual machines, or a MAC that two devices use. Empty if nothing says so.
    #[must_use]
    pub fn several(&self) -> Vec<Several> {
        several(self)
    }
}

fn several(device: &Device) -> Vec<Several> {
    let own = device.host_names().iter();
    let own = own.filter(|(name, _)| {
        let mut addresses = device.addresses().keys();
        !addresses.any(|address| is_made_from(name, *address))
    });
    let names = overlapping(own);
    let models = device.models().keys();
    let kinds: BTreeSet<_> = models
        .clone()
        .map(|model| model.to_ascii_lowercase())
        .collect();
    let at_once = &device.at_once;
    let ipv4 = at_once
        .ipv4
        .map(|(most, period)| Several::Ipv4 { most, period });
    let ipv6 = at_once
        .ipv6
        .map(|(most, period)| Several::Ipv6 { most, period });
    let reasons = [
        (!names.is_empty()).then_some(Several::HostNames(names)),
        (kinds.len() > 1).then(|| Several::Models(models.cloned().collect())),
        ipv4,
        ipv6,
    ];
    reasons.into_iter().flatten().collect()
}

/// Returns each host name whose period overlaps with the period of another host name. A period
/// reaches from the first statement of a name to the last one.
fn overlapping<'a>(names: impl Iterator<Item = (&'a String, &'a Known)> + Clone) -> Vec<String> {
    let names = names.filter_map(|(name, known)| Some((name, known.period()?)));
    let has_other = |(name, period): &(&String, Period)| {
        names
            .clone()
            .any(|(other, times)| label(other) != label(name) && times.overlaps(*period))
    };
    let names = names.clone().filter(has_other);
    names.map(|(name, _)| name.clone()).collect()
}

/// Returns true if a host name contains an address, as names do that a DHCP server makes.
fn is_made_from(name: &str, address: IpAddr) -> bool {
    let name = name.to_ascii_lowercase().replace(['.', '_'], "-");
    let (words, digits) = match address {
        IpAddr::V4(address) => (
            address.to_string().replace('.', "-"),
            format!("{:08x}", address.to_bits()),
        ),
        IpAddr::V6(address) => (
            address.to_string().replace(':', "-"),
            format!("{:032x}", address.to_bits()),
        ),
    };
    let is_part = |text: &str| {
        name.match_indices(text).any(|(start, text)| {
            let is_digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_digit);
            let bytes = name.as_bytes();
            let before = start.checked_sub(1).and_then(|index| bytes.get(index));
            !is_digit(before) && !is_digit(bytes.get(start + text.len()))
        })
    };
    is_part(&words) || name.contains(&digits)
}

/// Returns a host name without its domain, in lower case.
fn label(name: &str) -> String {
    let label = name.split('.').next().unwrap_or(name);
    label.to_ascii_lowercase()
}
