//! What an answer is about, and the keys of the table.

use std::{net::IpAddr, ops::RangeInclusive, sync::Arc};

use crate::policy::MacAddress;

/// What an answer is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    /// An address of a name.
    Address(IpAddr),
    /// An address hint.
    Hint(IpAddr),
    /// An Encrypted Client Hello configuration: public name and identifier.
    Configuration(Arc<str>, u8),
    /// The HTTPS records of this name are known.
    Https(Arc<str>),
}

impl Subject {
    /// Returns the text in the subject.
    pub(super) fn text(&self) -> Option<&Arc<str>> {
        match self {
            Self::Address(_) | Self::Hint(_) => None,
            Self::Configuration(name, _) | Self::Https(name) => Some(name),
        }
    }
}

/// The key of an entry. The order puts the entries of a subject together, and within
/// them those of a device.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) subject: Subject,
    pub(super) device: MacAddress,
    /// Tells the entries of a device for a subject apart.
    pub(super) id: u64,
}

impl Key {
    /// Returns the keys of a device for a subject.
    pub(super) fn of_device(subject: &Subject, device: MacAddress) -> RangeInclusive<Self> {
        Self::new(subject, device, 0)..=Self::new(subject, device, u64::MAX)
    }

    /// Returns the keys of all devices for the subjects from `first` to `last`.
    pub(super) fn of_all(first: &Subject, last: &Subject) -> RangeInclusive<Self> {
        let lowest = MacAddress([0; 6]);
        let highest = MacAddress([0xff; 6]);
        Self::new(first, lowest, 0)..=Self::new(last, highest, u64::MAX)
    }

    fn new(subject: &Subject, device: MacAddress, id: u64) -> Self {
        Self {
            subject: subject.clone(),
            device,
            id,
        }
    }
}
