//! The internet registries. A registry registers address space for its members. That is
//! not holding the space or using it.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

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

/// Words and phrases that stand for a registry, in upper case, without punctuation. A
/// longer phrase comes before a phrase that it contains.
const PHRASES: &[(&str, Registry)] = &[
    ("CHINA INTERNET NETWORK INFORMATION CENTER", Registry::Cnnic),
    ("CHINA INTERNET NETWORK INFOMATION CENTER", Registry::Cnnic),
    (
        "INDIAN REGISTRY FOR INTERNET NAMES AND NUMBERS",
        Registry::Irinn,
    ),
    (
        "VIETNAM INTERNET NETWORK INFORMATION CENTER",
        Registry::Vnnic,
    ),
    (
        "VIET NAM INTERNET NETWORK INFORMATION CENTER",
        Registry::Vnnic,
    ),
    (
        "ASOSIASI PENYELENGGARA JASA INTERNET INDONESIA",
        Registry::Idnic,
    ),
    (
        "INDONESIA INTERNET SERVICE PROVIDER ASSOCIATION",
        Registry::Idnic,
    ),
    ("INDONESIA NETWORK INFORMATION CENTER", Registry::Idnic),
    ("JAPAN NETWORK INFORMATION CENTER", Registry::Jpnic),
    ("KOREA NETWORK INFORMATION CENTER", Registry::Krnic),
    ("KOREA INTERNET AND SECURITY AGENCY", Registry::Krnic),
    ("KOREA INTERNET SECURITY AGENCY", Registry::Krnic),
    ("TAIWAN NETWORK INFORMATION CENTER", Registry::Twnic),
    ("AFRICAN NETWORK INFORMATION CENTER", Registry::Afrinic),
    ("ASIA PACIFIC NETWORK INFORMATION CENTER", Registry::Apnic),
    ("AMERICAN REGISTRY FOR INTERNET NUMBERS", Registry::Arin),
    (
        "LATIN AMERICAN AND CARIBBEAN IP ADDRESS REGIONAL REGISTRY",
        Registry::Lacnic,
    ),
    (
        "LATIN AMERICAN AND CARIBBEAN INTERNET ADDRESSES REGISTRY",
        Registry::Lacnic,
    ),
    (
        "RESEAUX IP EUROPEENS NETWORK COORDINATION CENTER",
        Registry::RipeNcc,
    ),
    ("RIPE NETWORK COORDINATION CENTER", Registry::RipeNcc),
    ("INTERNET ASSIGNED NUMBERS AUTHORITY", Registry::Iana),
    ("RIPE NCC", Registry::RipeNcc),
    ("NIC MEXICO", Registry::NicMx),
    ("IAR MEXICO", Registry::NicMx),
    ("NIC BR", Registry::NicBr),
    ("REGISTRO BR", Registry::NicBr),
    ("CNNIC", Registry::Cnnic),
    ("JPNIC", Registry::Jpnic),
    ("KRNIC", Registry::Krnic),
    ("KISA", Registry::Krnic),
    ("TWNIC", Registry::Twnic),
    ("IRINN", Registry::Irinn),
    ("VNNIC", Registry::Vnnic),
    ("IDNIC", Registry::Idnic),
    ("APJII", Registry::Idnic),
    ("AFRINIC", Registry::Afrinic),
    ("APNIC", Registry::Apnic),
    ("ARIN", Registry::Arin),
    ("LACNIC", Registry::Lacnic),
    ("RIPENCC", Registry::RipeNcc),
    ("RIPE", Registry::RipeNcc),
    ("IANA", Registry::Iana),
];

/// Words that say nothing about a holder beside the name of a registry: parts of handles
/// such as `MAINT-CNNIC-AP` and `IRT-CNNIC-CN`, articles and legal forms.
const NOISE: &[&str] = &[
    "MAINT", "MNT", "MNTNER", "IRT", "HM", "AP", "APNIC-AP", "ORG", "NET", "NETBLOCK", "CRITICAL",
    "THE", "OF", "INC", "LTD", "LIMITED", "PTY", "CN", "ID", "IN", "JP", "KR", "TW", "VN", "BR",
    "MX", "NIR", "RIR",
];

/// Maximum number of words in a text that can name only a registry.
const MAX_WORDS: usize = 16;

impl Registry {
    /// Returns the registry for its name in a delegated file, such as `apnic` or
    /// `ripencc`.
    #[must_use]
    pub fn of_file(name: &str) -> Option<Self> {
        let word = name.to_ascii_uppercase();
        let single = PHRASES.iter().filter(|(phrase, _)| !phrase.contains(' '));
        let mut single = single.filter(|(phrase, _)| *phrase == word);
        single.next().map(|(_, registry)| *registry)
    }

    /// Returns the registry if `text` names only registries, as the name of an
    /// organisation or as the handle of an authorisation object. If it names several, the
    /// national one counts.
    ///
    /// Returns `None` for a text with other words: `CNNIC member: Example Ltd` does not
    /// name only a registry.
    #[must_use]
    pub fn only_in(text: &str) -> Option<Self> {
        let words = words(text)?;
        let mut rest: &[String] = &words;
        let mut found: Option<Self> = None;
        while let Some(word) = rest.first() {
            if let Some((length, registry)) = at_start(rest) {
                let is_national = found.is_none_or(|before| before.parent().is_none());
                if is_national {
                    found = Some(registry);
                }
                rest = rest.get(length..)?;
            } else if NOISE.contains(&word.as_str()) {
                rest = rest.get(1..)?;
            } else {
                return None;
            }
        }
        found
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

/// Returns the words of `text` in upper case. Returns `None` if there are more than
/// [`MAX_WORDS`].
fn words(text: &str) -> Option<Vec<String>> {
    let parts = text.split(|c: char| !c.is_alphanumeric());
    let parts = parts.filter(|part| !part.is_empty());
    let words: Vec<String> = parts.take(MAX_WORDS + 1).map(word).collect();
    (words.len() <= MAX_WORDS).then_some(words)
}

/// Returns a word in upper case and in American spelling, without accents in the names of
/// registries.
fn word(part: &str) -> String {
    let word = part.to_uppercase();
    match word.as_str() {
        "CENTRE" => "CENTER".to_owned(),
        "MÉXICO" => "MEXICO".to_owned(),
        "RÉSEAUX" => "RESEAUX".to_owned(),
        "EUROPÉENS" => "EUROPEENS".to_owned(),
        _ => word,
    }
}

/// Returns the registry that the first words name, and the number of these words.
fn at_start(words: &[String]) -> Option<(usize, Registry)> {
    PHRASES.iter().find_map(|(phrase, registry)| {
        let length = phrase.split(' ').count();
        let start = words.get(..length)?;
        let is_phrase = start.iter().zip(phrase.split(' ')).all(|(a, b)| a == b);
        is_phrase.then_some((length, *registry))
    })
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
    fn authorisation_objects_and_names_of_registries_name_only_a_registry() {
        for (text, registry) in [
            ("MAINT-CNNIC-AP", Registry::Cnnic),
            ("IRT-CNNIC-CN", Registry::Cnnic),
            ("CNNIC-AP", Registry::Cnnic),
            ("CNNIC-CRITICAL-CN", Registry::Cnnic),
            ("MAINT-JPNIC", Registry::Jpnic),
            ("MNT-KRNIC-AP", Registry::Krnic),
            ("MAINT-TW-TWNIC", Registry::Twnic),
            ("MAINT-IN-IRINN", Registry::Irinn),
            ("MAINT-VN-VNNIC", Registry::Vnnic),
            ("MNT-APJII-ID", Registry::Idnic),
            ("APNIC-HM", Registry::Apnic),
            ("RIPE-NCC-HM-MNT", Registry::RipeNcc),
            (
                "China Internet Network Information Center (CNNIC)",
                Registry::Cnnic,
            ),
            ("China Internet Network Infomation Center", Registry::Cnnic),
            ("Korea Internet & Security Agency", Registry::Krnic),
            ("Asia Pacific Network Information Centre", Registry::Apnic),
            ("APNIC, CNNIC", Registry::Cnnic),
            ("Internet Assigned Numbers Authority", Registry::Iana),
            ("iana", Registry::Iana),
            ("NIC México", Registry::NicMx),
        ] {
            assert_eq!(Registry::only_in(text), Some(registry), "{text}");
        }
    }

    #[test]
    fn a_text_with_other_words_names_a_holder() {
        for text in [
            "",
            "-",
            "MAINT",
            "CNNIC member: Example Ltd",
            "MAINT-CNNIC-AP Forest Eternal",
            "Forest Eternal",
            "APNIC Research and Development",
            "Ripe Fruit Company",
            "Arinna",
            "Xiaomi Technology",
            &"CNNIC ".repeat(MAX_WORDS + 1),
        ] {
            assert_eq!(Registry::only_in(text), None, "{text}");
        }
    }

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
