//! Facts about a device: what, from where, when.

use std::net::IpAddr;

use jiff::Timestamp;

use crate::{devices::leases::LeaseFormat, evidence::sampler::ModelSource};

/// A fact about a device.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fact {
    /// The device has this address.
    Address(IpAddr),
    /// The device calls itself by this name. Printable ASCII.
    HostName(String),
    /// The device says that it is of this model. Printable ASCII.
    Model(String),
    /// The MAC used this number of addresses at the same time, more than one device uses.
    AtOnce {
        /// True for IPv6, false for IPv4.
        is_ipv6: bool,
        /// Highest number of addresses.
        most: u16,
    },
}

impl Fact {
    /// Returns the kind and the value, as text for the store.
    #[must_use]
    pub fn words(&self) -> (&'static str, String) {
        match self {
            Self::Address(address) => ("address", address.to_string()),
            Self::HostName(name) => ("host-name", name.clone()),
            Self::Model(model) => ("model", model.clone()),
            Self::AtOnce { is_ipv6, most } => {
                let kind = if *is_ipv6 {
                    "ipv6-at-once"
                } else {
                    "ipv4-at-once"
                };
                (kind, most.to_string())
            }
        }
    }

    /// Returns the fact of a kind and a value, as [`Fact::words`] writes them.
    #[must_use]
    pub fn from_words(kind: &str, value: &str) -> Option<Self> {
        let at_once = |is_ipv6| {
            let most = value.parse().ok()?;
            Some(Self::AtOnce { is_ipv6, most })
        };
        match kind {
            "address" => value.parse().ok().map(Self::Address),
            "host-name" => Some(Self::HostName(value.to_owned())),
            "model" => Some(Self::Model(value.to_owned())),
            "ipv4-at-once" => at_once(false),
            "ipv6-at-once" => at_once(true),
            _ => None,
        }
    }
}

impl From<ModelSource> for FactSource {
    fn from(source: ModelSource) -> Self {
        match source {
            ModelSource::MiPush => Self::MiPush,
            ModelSource::UserAgent => Self::UserAgent,
        }
    }
}

/// Where a fact is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FactSource {
    /// A frame that the device sent.
    Frame,
    /// The kernel's neighbour table.
    Neighbour,
    /// A lease file.
    Lease(LeaseFormat),
    /// A request of the device to the push service of Xiaomi.
    MiPush,
    /// The field `User-Agent` of an HTTP request.
    UserAgent,
}

impl FactSource {
    /// Returns the word of JSON and of the store.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Frame => "frame",
            Self::Neighbour => "neighbour-table",
            Self::Lease(format) => format.word(),
            Self::MiPush => "mi-push",
            Self::UserAgent => "user-agent",
        }
    }

    /// Returns the source of a word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        let leases = LeaseFormat::ALL.map(Self::Lease);
        let mut all =
            leases
                .into_iter()
                .chain([Self::Frame, Self::Neighbour, Self::MiPush, Self::UserAgent]);
        all.find(|source| source.word() == word)
    }
}

/// The first and the last time at which a source had a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period {
    /// The first time.
    pub first: Timestamp,
    /// The last time.
    pub last: Timestamp,
}

impl Period {
    /// Returns the period of one moment.
    #[must_use]
    pub const fn at(at: Timestamp) -> Self {
        Self {
            first: at,
            last: at,
        }
    }

    /// Returns the shortest period that covers both.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self {
            first: self.first.min(other.first),
            last: self.last.max(other.last),
        }
    }

    /// Returns true if both have a moment in common.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}
