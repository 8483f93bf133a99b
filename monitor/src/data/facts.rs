//! What one row of a source states about its range, and the compact form in which a
//! look-up table stores it.

use jiff::civil::Date;

use super::{
    source::Source,
    statement::{
        CountryMeaning, HolderField, OriginAs, RangeCountry, Registration, Statement, Statements,
        Status,
    },
};
use crate::{
    lists::Country,
    registry::{Registry, plain},
};

/// Maximum length of a name in bytes. Longer names are cut.
pub(super) const MAX_NAME: usize = 255;

/// Maximum length of the stored form in bytes.
pub(super) const MAX_STORED: usize = 2 * MAX_NAME + 64;

/// Separates the fields of the stored form. No field contains it.
const SEPARATOR: char = '\u{1f}';

/// The facts of one row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// The registry.
    pub(super) registry: Option<Registry>,
    /// Date of the delegation.
    pub(super) delegated: Option<Date>,
    /// Status in the registry's file.
    pub(super) status: Option<Status>,
    /// The country and its meaning.
    pub(super) country: Option<(Country, CountryMeaning)>,
    /// Number of the autonomous system. Zero stands for none.
    pub(super) asn: Option<u32>,
    /// Name of the autonomous system.
    pub(super) organisation: Option<String>,
    /// The holder, and the field that names it.
    pub(super) holder: Option<(String, HolderField)>,
}

impl Facts {
    /// Returns true if the row states nothing.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the stored form, at most [`MAX_STORED`] bytes.
    pub(super) fn encode(&self) -> String {
        let registry = self.registry.map_or("", Registry::name);
        let delegated = self.delegated.map(|date| date.to_string());
        let status = self.status.map_or("", Status::word);
        let country = self.country.map(|(country, _)| country.to_string());
        let meaning = self.country.map_or("", |(_, meaning)| letter(meaning));
        let asn = self.asn.map(|asn| asn.to_string());
        let holder = self.holder.as_ref();
        let holder = holder.map(|(name, field)| format!("{}{name}", field_letter(*field)));
        [
            registry,
            delegated.as_deref().unwrap_or_default(),
            status,
            country.as_deref().unwrap_or_default(),
            meaning,
            asn.as_deref().unwrap_or_default(),
            self.organisation.as_deref().unwrap_or_default(),
            holder.as_deref().unwrap_or_default(),
        ]
        .join("\u{1f}")
    }

    /// Reads the stored form. Returns `None` if `stored` is not one.
    pub(super) fn decode(stored: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(stored).ok()?;
        let fields: Vec<&str> = text.split(SEPARATOR).collect();
        let [
            registry,
            delegated,
            status,
            country,
            meaning,
            asn,
            organisation,
            holder,
        ] = fields[..]
        else {
            return None;
        };
        let all = CountryMeaning::ALL.into_iter();
        let meaning = all.clone().find(|known| letter(*known) == meaning);
        let name = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Some(Self {
            registry: Registry::ALL
                .into_iter()
                .find(|known| known.name() == registry),
            delegated: delegated.parse().ok(),
            status: Status::ALL.into_iter().find(|known| known.word() == status),
            country: country.parse().ok().zip(meaning),
            asn: asn.parse().ok(),
            organisation: name(organisation),
            holder: name(holder).and_then(|holder| {
                let (letter, name) = holder.split_at_checked(1)?;
                let mut fields = HolderField::ALL.into_iter();
                let field = fields.find(|known| field_letter(*known) == letter)?;
                Some((name.to_owned(), field))
            }),
        })
    }

    /// Adds these facts to `statements`, as stated by `source`.
    pub(super) fn state(self, source: &Source, statements: &mut Statements) {
        let delegated = self.status.is_none_or(Status::is_delegated);
        if let Some(registry) = self.registry {
            statements.registry.push(Statement {
                value: Registration {
                    delegated: self.delegated,
                    country: self.country.map(|(country, _)| country),
                    status: self.status,
                    ..Registration::of(registry)
                },
                source: source.clone(),
            });
        }
        if let Some((holder, field)) = self.holder {
            statements.add_holder(&holder, field, source.clone());
        }
        if let Some(number) = self.asn.filter(|asn| *asn != 0) {
            let name = self.organisation;
            statements.origin_as.push(Statement {
                value: OriginAs { number, name },
                source: source.clone(),
            });
        }
        if let Some((country, meaning)) = self.country.filter(|_| delegated) {
            statements.country.push(Statement {
                value: RangeCountry { country, meaning },
                source: source.clone(),
            });
        }
    }
}

/// Returns a name without white space around it, cut to [`MAX_NAME`] bytes. Characters
/// that a terminal would act on become spaces. Characters that show nothing are removed,
/// and fullwidth letters become ASCII. Returns `None` if nothing is left.
pub(super) fn clean_name(text: &str) -> Option<String> {
    // Each character has at most 4 bytes, and most are shown.
    let text = text.trim();
    let text = text.get(..text.floor_char_boundary(8 * MAX_NAME))?;
    let text = plain(text);
    let text = text.trim();
    let text = text.get(..text.floor_char_boundary(MAX_NAME))?;
    let shown = |c| if crate::printable::acts(c) { ' ' } else { c };
    let name: String = text.chars().map(shown).collect();
    let name = name.trim();
    let says_something = name.contains(char::is_alphanumeric);
    says_something.then(|| name.to_owned())
}

const fn field_letter(field: HolderField) -> &'static str {
    match field {
        HolderField::Registrant => "r",
        HolderField::Netname => "n",
        HolderField::Descr => "d",
        HolderField::Remarks => "m",
        HolderField::Holder => "h",
        HolderField::Organization => "o",
    }
}

const fn letter(meaning: CountryMeaning) -> &'static str {
    match meaning {
        CountryMeaning::Delegation => "d",
        CountryMeaning::Unstated => "u",
        CountryMeaning::Location => "l",
        CountryMeaning::Contact => "c",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_has_no_control_characters_and_at_most_255_bytes() {
        assert_eq!(clean_name(" a\u{1f}b\u{202e} ").as_deref(), Some("a b"));
        assert_eq!(clean_name("\u{1b}[2J").as_deref(), Some("[2J"));
        assert_eq!(clean_name("CNN\u{200b}IC").as_deref(), Some("CNNIC"));
        assert_eq!(clean_name("\u{feff}Ｅxample").as_deref(), Some("Example"));
        for nothing in ["", " \t", "-", "\u{1f}", "\u{200b}"] {
            assert_eq!(clean_name(nothing), None, "{nothing:?}");
        }
        let long = clean_name(&"é".repeat(200)).unwrap();
        assert_eq!(long.len(), 254);
    }

    proptest! {
        #[test]
        fn the_stored_form_decodes_to_the_same_facts(
            registry in proptest::option::of(0..Registry::ALL.len()),
            status in proptest::option::of(0..Status::ALL.len()),
            meaning in proptest::option::of(0..CountryMeaning::ALL.len()),
            asn: Option<u32>,
            organisation: String,
            holder: String,
            field in 0..HolderField::ALL.len(),
        ) {
            let facts = Facts {
                registry: registry.map(|at| Registry::ALL[at]),
                delegated: asn.map(|_| "2011-03-10".parse().unwrap()),
                status: status.map(|at| Status::ALL[at]),
                country: meaning.map(|at| ("CN".parse().unwrap(), CountryMeaning::ALL[at])),
                asn,
                organisation: clean_name(&organisation),
                holder: clean_name(&holder).map(|name| (name, HolderField::ALL[field])),
            };
            let stored = facts.encode();
            prop_assert!(stored.len() <= MAX_STORED);
            prop_assert_eq!(Facts::decode(stored.as_bytes()), Some(facts));
        }

        #[test]
        fn any_bytes_are_decoded_or_refused(bytes: Vec<u8>) {
            let _ = Facts::decode(&bytes);
        }
    }
}
