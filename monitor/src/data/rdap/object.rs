//! Reads an object of the class `ip network` (RFC 9083, section 5.4).
//!
//! A field of another type counts as missing, because servers differ. Lists and texts are
//! cut to limits.

use std::net::IpAddr;

use jiff::civil::Date;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::Value;

use super::bootstrap::registry_of_whois;
use crate::{
    data::{
        CountryMeaning, HolderField, RangeCountry, Source, Statement, Statements,
        facts::clean_name, source::date_in,
    },
    quoted::{message, quoted},
    registry::{Registry, is_authorisation, is_placeholder, mentions, plain},
};

/// Maximum number of entries of a list that are read.
const MAX_ENTRIES: usize = 64;

/// The reason why an answer is not an object about the address.
#[derive(Debug, thiserror::Error)]
pub enum InvalidObject {
    /// The answer is not JSON, or nested too deeply.
    #[error("it is not a JSON object: {0}")]
    Json(String),
    /// The object is of another class.
    #[error("it is an object of class `{class}`, not `ip network`")]
    Class {
        /// The class.
        class: String,
    },
    /// The object names no range.
    #[error("it names no range of addresses")]
    NoRange,
    /// The object is about another range.
    #[error("it is about {first} - {last}")]
    OtherRange {
        /// First address of the range.
        first: IpAddr,
        /// Last address of the range.
        last: IpAddr,
    },
}

/// The object, as a server sends it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", expecting = "a JSON object")]
struct Raw {
    #[serde(deserialize_with = "lenient")]
    object_class_name: Option<String>,
    #[serde(deserialize_with = "lenient")]
    handle: Option<String>,
    #[serde(deserialize_with = "lenient")]
    start_address: Option<IpAddr>,
    #[serde(deserialize_with = "lenient")]
    end_address: Option<IpAddr>,
    #[serde(deserialize_with = "lenient")]
    name: Option<String>,
    #[serde(deserialize_with = "lenient")]
    country: Option<String>,
    /// Name of the whois server.
    #[serde(deserialize_with = "lenient")]
    port43: Option<String>,
    #[serde(deserialize_with = "lenient_list")]
    remarks: Vec<Remark>,
    #[serde(deserialize_with = "lenient_list")]
    entities: Vec<Entity>,
    #[serde(deserialize_with = "lenient_list")]
    events: Vec<Event>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Remark {
    #[serde(deserialize_with = "lenient")]
    title: Option<String>,
    #[serde(deserialize_with = "lenient_list")]
    description: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Entity {
    #[serde(deserialize_with = "lenient")]
    handle: Option<String>,
    #[serde(deserialize_with = "lenient_list")]
    roles: Vec<String>,
    /// A jCard (RFC 7095): `["vcard", [[name, parameters, type, value…]…]]`.
    #[serde(deserialize_with = "lenient_list")]
    vcard_array: Vec<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Event {
    #[serde(deserialize_with = "lenient")]
    event_action: Option<String>,
    #[serde(deserialize_with = "lenient")]
    event_date: Option<String>,
}

/// An object about a range that contains the address of the question.
#[derive(Debug)]
pub(super) struct Network {
    raw: Raw,
    range: (IpAddr, IpAddr),
}

impl Network {
    /// Parses the answer to a question about `address`.
    pub(super) fn parse(content: &[u8], address: IpAddr) -> Result<Self, InvalidObject> {
        // Without this check, a list of the values would be read too.
        if !content.trim_ascii_start().starts_with(b"{") {
            let why = "it begins with another character than `{`";
            return Err(InvalidObject::Json(why.to_owned()));
        }
        let raw: Raw = serde_json::from_slice(content)
            .map_err(|error| InvalidObject::Json(message(error.to_string())))?;
        if let Some(class) = &raw.object_class_name
            && class != "ip network"
        {
            let class = quoted(class);
            return Err(InvalidObject::Class { class });
        }
        let ends = raw.start_address.zip(raw.end_address);
        let (first, last) = ends.ok_or(InvalidObject::NoRange)?;
        if first.is_ipv4() != last.is_ipv4() || !(first..=last).contains(&address) {
            return Err(InvalidObject::OtherRange { first, last });
        }
        let range = (first, last);
        Ok(Self { raw, range })
    }

    pub(super) const fn range(&self) -> (IpAddr, IpAddr) {
        self.range
    }

    pub(super) fn handle(&self) -> Option<String> {
        self.raw.handle.as_deref().and_then(clean_name)
    }

    /// Date of the object's last change.
    pub(super) fn last_changed(&self) -> Option<Date> {
        let mut events = self.raw.events.iter();
        let is_change = |event: &&Event| event.event_action.as_deref() == Some("last changed");
        date_in(events.find(is_change)?.event_date.as_deref()?)
    }

    /// Returns what the object states. `registry` is the registry that runs the server, if
    /// it is known.
    pub(super) fn statements(&self, registry: Option<Registry>, source: &Source) -> Statements {
        let mut statements = Statements::default();
        let whois = self.raw.port43.as_deref().unwrap_or_default();
        let of_whois = registry_of_whois(whois);
        if let Some(registry) = of_whois.or(registry) {
            statements.add_registry(registry, source.clone());
        }
        self.add_authorities(&mut statements, source);
        self.add_holder(&mut statements, source);
        let country = self.raw.country.as_deref().map(str::parse);
        if let Some(Ok(country)) = country {
            statements.country.push(Statement {
                value: RangeCountry {
                    country,
                    meaning: CountryMeaning::Contact,
                },
                source: source.clone(),
            });
        }
        statements
    }

    /// Adds the registries whose authorisation objects are on this object.
    fn add_authorities(&self, statements: &mut Statements, source: &Source) {
        for entity in &self.raw.entities {
            let texts = [entity.handle.clone(), entity.name()];
            let named = texts
                .iter()
                .flatten()
                .find_map(|text| Registry::only_in(text));
            if let Some(registry) = named {
                statements.add_registry(registry, source.clone());
            }
        }
    }

    /// Adds the holder: the registrants, or else the name of the network and its
    /// description, or else a remark. If the name or the first line of the description
    /// names a registry, the object is the registry's own, and nothing else on it is a
    /// holder. Names of registries are left out by [`Statements::add_holder`].
    fn add_holder(&self, statements: &mut Statements, source: &Source) {
        for registrant in self.registrants() {
            statements.add_holder(&registrant, HolderField::Registrant, source.clone());
        }
        if !statements.holder.is_empty() {
            return;
        }
        let netname = self.raw.name.as_deref().unwrap_or_default();
        statements.add_holder(netname, HolderField::Netname, source.clone());
        let mut description = self.lines(true).peekable();
        let is_of_registry = description
            .peek()
            .is_some_and(|first| states_no_holder(first) && !names_the_nir_of_a_member(first));
        if is_of_registry || states_no_holder(netname) {
            statements.holder.clear();
            return;
        }
        if let Some(line) = description.find(|line| !states_no_holder(line)) {
            statements.add_holder(line, HolderField::Descr, source.clone());
        }
        let remark = self.lines(false).find(|line| can_name_a_holder(line));
        if let (true, Some(line)) = (statements.holder.is_empty(), remark) {
            statements.add_holder(line, HolderField::Remarks, source.clone());
        }
    }

    /// Returns the names of the registrants. RIPE's server gives the role `registrant` to
    /// `mnt-by` as well as to `org`. So objects for authorisation are left out, and
    /// organisations (`kind` is `org`) come in place of all others.
    fn registrants(&self) -> Vec<String> {
        let entities = self.raw.entities.iter();
        let registrants = entities.filter(|entity| entity.is_registrant());
        let with_name = registrants.filter_map(|entity| Some((entity, entity.name()?)));
        let (organisations, others): (Vec<_>, Vec<_>) = with_name
            .filter(|(entity, name)| !entity.authorises(name))
            .partition(|(entity, _)| entity.is_organisation());
        let names = |entities: Vec<(&Entity, String)>| {
            let names = entities.into_iter().map(|(_, name)| name);
            let holders = names.filter(|name| !states_no_holder(name));
            holders.collect::<Vec<String>>()
        };
        let organisations = names(organisations);
        if organisations.is_empty() {
            names(others)
        } else {
            organisations
        }
    }

    /// Returns the lines with a name: of the description, or of the other remarks.
    fn lines(&self, of_description: bool) -> impl Iterator<Item = &str> {
        let wanted = move |remark: &&Remark| {
            let title = remark.title.as_deref().unwrap_or_default();
            title.eq_ignore_ascii_case("description") == of_description
        };
        let remarks = self.raw.remarks.iter().filter(wanted);
        let lines = remarks.flat_map(|remark| &remark.description);
        lines
            .map(String::as_str)
            .filter(|line| clean_name(line).is_some())
    }
}

/// True for the name of a registry, and for a text in the place of a name.
fn states_no_holder(text: &str) -> bool {
    Registry::only_in(text).is_some() || is_placeholder(text)
}

/// True if the first line of a description is the short name of a national registry, such
/// as `CNNIC`. On the range of a member, the member's name is the next line.
fn names_the_nir_of_a_member(line: &str) -> bool {
    let registry = Registry::of_file(plain(line).trim());
    registry.is_some_and(|registry| registry.parent().is_some())
}

/// True if a remark can be a name: it mentions no registry, and is not a text about
/// allocations, contacts or pages.
fn can_name_a_holder(remark: &str) -> bool {
    let lower = plain(remark).to_lowercase();
    let other = [
        "allocat", "assign", "delegat", "@", "://", "www.", "contact", "abuse", "please", "report",
        "whois",
    ];
    !states_no_holder(remark) && !mentions(remark) && !other.iter().any(|text| lower.contains(text))
}

impl Entity {
    fn is_registrant(&self) -> bool {
        self.roles.iter().any(|role| role == "registrant")
    }

    /// Returns true if this is an object for authorisation, such as a maintainer. Its jCard
    /// has no name but the handle.
    fn authorises(&self, name: &str) -> bool {
        let handle = self.handle.as_deref().unwrap_or_default();
        let is_unnamed = !self.is_organisation() && name.eq_ignore_ascii_case(handle);
        is_unnamed || is_authorisation(handle) || is_authorisation(name)
    }

    fn is_organisation(&self) -> bool {
        let kind = self.property("kind");
        kind.is_some_and(|kind| kind.eq_ignore_ascii_case("org"))
    }

    /// Returns the formatted name of the jCard, or else its organisation.
    fn name(&self) -> Option<String> {
        self.property("fn").or_else(|| self.property("org"))
    }

    /// Returns a property of the jCard, if it is a text.
    fn property(&self, wanted: &str) -> Option<String> {
        let properties = self.vcard_array.get(1)?.as_array()?;
        let mut properties = properties.iter().take(MAX_ENTRIES);
        properties.find_map(|property| {
            let is_wanted = property.get(0)?.as_str()?.eq_ignore_ascii_case(wanted);
            let text = property.get(3)?.as_str().and_then(clean_name);
            text.filter(|_| is_wanted)
        })
    }
}

/// Reads a value, or `None` if it has another type.
fn lenient<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).ok())
}

/// Reads the first entries of a list, without those of another type.
fn lenient_list<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    let Value::Array(values) = Value::deserialize(deserializer)? else {
        return Ok(Vec::new());
    };
    let values = values.into_iter().take(MAX_ENTRIES);
    let entries = values.filter_map(|value| serde_json::from_value(value).ok());
    Ok(entries.collect())
}
