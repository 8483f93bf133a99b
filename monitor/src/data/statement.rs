//! The five statements about an address. They are often confused with each other, so each
//! has a type of its own, and names its source and date.
//!
//! ```text
//! registry               the RIR or NIR that registered the range for its holder
//! holder                 the organisation that holds the range
//! origin AS              the autonomous system that announces the range
//! country of delegation  the country under which the registry registered it
//! list author            what the author of a policy states
//! ```

mod origin_as;
mod text;
mod wire;

use std::net::IpAddr;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

pub use self::origin_as::OriginAs;
use self::wire::{as_optional_text, as_text, null_if_empty};
use super::{
    facts::clean_name,
    source::{Source, SourceKind},
};
use crate::{
    address::Derivation,
    lists::Country,
    policy::{Observed, Policy, PolicyName},
    printable,
    registry::{Registry, is_placeholder},
};

/// A value, and the source that states it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement<T> {
    /// The value.
    #[serde(flatten)]
    pub value: T,
    /// The source.
    pub source: Source,
}

/// Everything that the sources state about one address. An empty list means unknown.
/// Several sources can state different values; they stay side by side.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statements {
    /// The registries that registered the range.
    #[serde(with = "null_if_empty")]
    pub registry: Vec<Statement<Registration>>,
    /// The organisations that hold the range. Never a registry.
    #[serde(with = "null_if_empty")]
    pub holder: Vec<Statement<Holder>>,
    /// The autonomous systems that announce the range.
    #[serde(with = "null_if_empty")]
    pub origin_as: Vec<Statement<OriginAs>>,
    /// The countries of the range.
    #[serde(with = "null_if_empty")]
    pub country: Vec<Statement<RangeCountry>>,
    /// The statements of the authors of the policies that match.
    #[serde(with = "null_if_empty")]
    pub list_author: Vec<Statement<Author>>,
    /// The sources that could not be asked. Unknown may be known to them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<FailedSource>,
}

/// A registration of a range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// The registry.
    #[serde(rename = "value")]
    pub registry: Registry,
    /// The RIR above it, if it is an NIR.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub under: Option<Registry>,
    /// Date of the delegation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegated: Option<Date>,
    /// Country under which it is registered.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "as_optional_text"
    )]
    pub country: Option<Country>,
    /// The status in the registry's file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
}

/// The status of a range in a registry's delegated file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Delegated to an organisation that may delegate parts.
    Allocated,
    /// Delegated for use.
    Assigned,
    /// Not delegated.
    Available,
    /// Not delegated, and held back.
    Reserved,
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 4] = [
        Self::Allocated,
        Self::Assigned,
        Self::Available,
        Self::Reserved,
    ];

    /// Returns the word in a delegated file.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Allocated => "allocated",
            Self::Assigned => "assigned",
            Self::Available => "available",
            Self::Reserved => "reserved",
        }
    }

    /// Returns true if the registry delegated the range.
    #[must_use]
    pub const fn is_delegated(self) -> bool {
        matches!(self, Self::Allocated | Self::Assigned)
    }
}

/// The organisation that holds a range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its name.
    #[serde(rename = "value")]
    pub name: String,
    /// The field of the source that names it.
    pub field: HolderField,
}

/// The field of a source that names a holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HolderField {
    /// The entity with the role `registrant` (RFC 9083, section 10.2.4).
    Registrant,
    /// The name of the network. It may be a label and not an organisation.
    Netname,
    /// The description of the network.
    Descr,
    /// A remark on the network.
    Remarks,
    /// A column for the holder.
    Holder,
    /// The field `organization` of a database.
    Organization,
}

impl HolderField {
    /// Every field.
    pub const ALL: [Self; 6] = [
        Self::Registrant,
        Self::Netname,
        Self::Descr,
        Self::Remarks,
        Self::Holder,
        Self::Organization,
    ];

    const fn word(self) -> &'static str {
        match self {
            Self::Registrant => "registrant",
            Self::Netname => "netname",
            Self::Descr => "descr",
            Self::Remarks => "remarks",
            Self::Holder => "holder",
            Self::Organization => "organization",
        }
    }
}

/// A country, and its meaning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeCountry {
    /// The country code.
    #[serde(rename = "value", with = "as_text")]
    pub country: Country,
    /// What the source means by it.
    pub meaning: CountryMeaning,
}

/// The meaning of a country in a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CountryMeaning {
    /// The registry delegated the range under this country.
    Delegation,
    /// A table has a column of countries, and does not say what kind of country it is.
    Unstated,
    /// The publisher of a database estimates that the addresses are there.
    Location,
    /// The administrative contact sits there.
    Contact,
}

impl CountryMeaning {
    /// Every meaning.
    pub const ALL: [Self; 4] = [
        Self::Delegation,
        Self::Unstated,
        Self::Location,
        Self::Contact,
    ];

    /// Returns the meaning in words.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Delegation => "of delegation",
            Self::Unstated => "as the table states",
            Self::Location => "estimated place of use",
            Self::Contact => "where the administrative contact sits",
        }
    }
}

/// What the author of a policy states about its range. It is the author's word only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Author {
    /// The holder as the author names it.
    #[serde(rename = "value")]
    pub holder: String,
    /// The policy.
    pub policy: String,
    /// True if the policy is off now because of a schedule, an end or a pause.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resting: bool,
    /// Date of the author's knowledge.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "as_optional_text"
    )]
    pub stated_as_of: Option<Observed>,
    /// The author's own source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stated_source: Option<String>,
}

/// A source that could not be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedSource {
    /// Path or URL.
    pub name: String,
    /// The reason.
    pub error: String,
}

impl Statements {
    /// Returns true if no source states anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self {
            registry,
            holder,
            origin_as,
            country,
            list_author,
            failed: _,
        } = self;
        registry.is_empty()
            && holder.is_empty()
            && origin_as.is_empty()
            && country.is_empty()
            && list_author.is_empty()
    }

    /// Adds the statements of `other` after these.
    pub fn extend(&mut self, other: Self) {
        self.registry.extend(other.registry);
        self.holder.extend(other.holder);
        self.origin_as.extend(other.origin_as);
        self.country.extend(other.country);
        self.list_author.extend(other.list_author);
        self.failed.extend(other.failed);
    }

    /// Adds a holder. A name that names only a registry becomes a registration, because a
    /// registry is not the holder. Ignores a name without a letter or digit, and a text
    /// that stands in the place of a name.
    pub fn add_holder(&mut self, name: &str, field: HolderField, source: Source) {
        let Some(name) = clean_name(name) else {
            return;
        };
        if is_placeholder(&name) {
            return;
        }
        match Registry::only_in(&name) {
            Some(registry) => self.add_registry(registry, source),
            None => self.holder.push(Statement {
                value: Holder { name, field },
                source,
            }),
        }
    }

    /// Adds a registry of which only the name is known, unless this source already states
    /// it.
    pub fn add_registry(&mut self, registry: Registry, source: Source) {
        let states_it = |known: &Statement<Registration>| {
            known.value.registry == registry && known.source == source
        };
        if !self.registry.iter().any(states_it) {
            self.registry.push(Statement {
                value: Registration::of(registry),
                source,
            });
        }
    }
}

impl Statement<Author> {
    /// Returns what the authors of `policies` state, with the name of each policy and
    /// whether it covers an address. `derivation` tells which IPv6 addresses carry IPv4
    /// addresses.
    pub fn authors<'a>(
        policies: &'a [Policy],
        derivation: &'a Derivation,
    ) -> impl Iterator<Item = (PolicyName, Self, impl Fn(IpAddr) -> bool + 'a)> {
        policies.iter().filter_map(move |policy| {
            let covers = move |address: IpAddr| policy.longest_match(address, derivation).is_some();
            Some((policy.name().clone(), Self::of_author(policy)?, covers))
        })
    }

    /// Returns what the author of `policy` states.
    #[must_use]
    pub fn of_author(policy: &Policy) -> Option<Self> {
        let about = policy.about()?;
        let file = printable::path(about.place().file());
        let name = match about.place().line() {
            Some(line) => format!("{file}:{line}"),
            None => file.to_string(),
        };
        Some(Self {
            value: Author {
                holder: about.holder().to_owned(),
                policy: policy.name().to_string(),
                resting: policy.rest().is_some(),
                stated_as_of: about.as_of().cloned(),
                stated_source: about.source().map(str::to_owned),
            },
            source: Source {
                name: name.into(),
                kind: SourceKind::Policy,
                as_of: None,
            },
        })
    }
}

impl Registration {
    /// Returns a registration of which only the registry is known.
    #[must_use]
    pub const fn of(registry: Registry) -> Self {
        Self {
            registry,
            under: registry.parent(),
            delegated: None,
            country: None,
            status: None,
        }
    }
}
