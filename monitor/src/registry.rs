//! The internet registries. A registry registers address space for its members. That is
//! not holding the space or using it.

mod text;

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

pub(crate) use self::text::{is_authorisation, is_placeholder, mentions, plain};

/// A regional internet registry (RIR), a national one (NIR), or IANA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Registry {
    /// The root of all registrations.
    Iana,
    /// RIR of Africa.
    Afrinic,
    /// RIR of Asia and the Pacific.
    Apnic,
    /// RIR of North America.
    Arin,
    /// RIR of Latin America and the Caribbean.
    Lacnic,
    /// RIR of Europe, the Middle East and Central Asia.
    RipeNcc,
    /// NIR of China, under APNIC.
    Cnnic,
    /// NIR of Indonesia, under APNIC. The association APJII runs it.
    Idnic,
    /// NIR of India, under APNIC.
    Irinn,
    /// NIR of Japan, under APNIC.
    Jpnic,
    /// NIR of Korea, under APNIC. The agency KISA runs it.
    Krnic,
    /// NIR of Taiwan, under APNIC.
    Twnic,
    /// NIR of Vietnam, under APNIC.
    Vnnic,
    /// NIR of Brazil, under LACNIC.
    NicBr,
    /// NIR of Mexico, under LACNIC.
    NicMx,
}

impl Registry {
    /// Returns the registry for its name in a delegated file, such as `apnic` or
    /// `ripencc`.
    #[must_use]
    pub fn of_file(name: &str) -> Option<Self> {
        text::of_word(&name.to_ascii_uppercase())
    }

    /// Returns the registry if `text` names only registries, as the name of an
    /// organisation or as a handle. If it names several, the national one counts.
    ///
    /// Returns `None` for a text with other words: `CNNIC member: Example Ltd` does not
    /// name only a registry.
    #[must_use]
    pub fn only_in(text: &str) -> Option<Self> {
        text::only_in(text)
    }

    /// Returns the RIR above a NIR, or `None` for another registry.
    #[must_use]
    pub const fn parent(self) -> Option<Self> {
        match self {
            Self::Cnnic
            | Self::Idnic
            | Self::Irinn
            | Self::Jpnic
            | Self::Krnic
            | Self::Twnic
            | Self::Vnnic => Some(Self::Apnic),
            Self::NicBr | Self::NicMx => Some(Self::Lacnic),
            Self::Iana
            | Self::Afrinic
            | Self::Apnic
            | Self::Arin
            | Self::Lacnic
            | Self::RipeNcc => None,
        }
    }

    /// Returns its usual name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Iana => "IANA",
            Self::Afrinic => "AFRINIC",
            Self::Apnic => "APNIC",
            Self::Arin => "ARIN",
            Self::Lacnic => "LACNIC",
            Self::RipeNcc => "RIPE NCC",
            Self::Cnnic => "CNNIC",
            Self::Idnic => "IDNIC",
            Self::Irinn => "IRINN",
            Self::Jpnic => "JPNIC",
            Self::Krnic => "KRNIC",
            Self::Twnic => "TWNIC",
            Self::Vnnic => "VNNIC",
            Self::NicBr => "NIC.br",
            Self::NicMx => "NIC Mexico",
        }
    }

    /// Every registry.
    pub const ALL: [Self; 15] = [
        Self::Iana,
        Self::Afrinic,
        Self::Apnic,
        Self::Arin,
        Self::Lacnic,
        Self::RipeNcc,
        Self::Cnnic,
        Self::Idnic,
        Self::Irinn,
        Self::Jpnic,
        Self::Krnic,
        Self::Twnic,
        Self::Vnnic,
        Self::NicBr,
        Self::NicMx,
    ];
}

impl fmt::Display for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for Registry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Registry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let mut known = Self::ALL.into_iter();
        let registry = known.find(|known| known.name() == name);
        registry.ok_or_else(|| D::Error::custom("this is not the name of a registry"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_recognised_and_a_nir_has_an_rir_above_it() {
        for registry in Registry::ALL {
            assert_eq!(Registry::only_in(registry.name()), Some(registry));
            let parent = registry.parent();
            assert!(parent.is_none_or(|parent| parent.parent().is_none()));
        }
        for (name, registry) in [
            ("apnic", Some(Registry::Apnic)),
            ("ripencc", Some(Registry::RipeNcc)),
            ("jpnic", Some(Registry::Jpnic)),
            ("example", None),
            ("", None),
        ] {
            assert_eq!(Registry::of_file(name), registry, "{name}");
        }
    }
}
