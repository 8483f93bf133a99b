//! Reads an object of the class `ip network` (RFC 9083, section 5.4).
//!
//! A field of another type counts as missing, because servers differ. Lists and texts are
//! cut to limits.

use std::net::IpAddr;

use jiff::civil::Date;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    data::{
        CountryMeaning, HolderField, RangeCountry, Source, Statement, Statements,
        facts::clean_name, source::date_in,
    },
    quoted::{message, quoted},
    registry::Registry,
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
        let of_whois = whois.split('.').find_map(Registry::of_file);
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

    /// Adds the holder: the registrant, or else the name of the network and its
    /// description, or else a remark. Names of registries are left out by
    /// [`Statements::add_holder`].
    fn add_holder(&self, statements: &mut Statements, source: &Source) {
        let mut add = |text: Option<String>, field| {
            if let Some(text) = text.as_deref().and_then(clean_name) {
                statements.add_holder(&text, field, source.clone());
            }
            !statements.holder.is_empty()
        };
        let registrants = self
            .raw
            .entities
            .iter()
            .filter(|entity| entity.is_registrant());
        for registrant in registrants {
            if add(registrant.name(), HolderField::Registrant) {
                return;
            }
        }
        let has_name = add(self.raw.name.clone(), HolderField::Netname);
        let described = self.first_line(true);
        if add(described, HolderField::Descr) || has_name {
            return;
        }
        add(self.first_line(false), HolderField::Remarks);
    }

    /// Returns the first line that does not only name a registry: of the description, or
    /// of the other remarks.
    fn first_line(&self, of_description: bool) -> Option<String> {
        let wanted = |remark: &&Remark| {
            let title = remark.title.as_deref().unwrap_or_default();
            title.eq_ignore_ascii_case("description") == of_description
        };
        let remarks = self.raw.remarks.iter().filter(wanted);
        let mut lines = remarks.flat_map(|remark| &remark.description);
        lines
            .find(|line| clean_name(line).is_some() && Registry::only_in(line).is_none())
            .cloned()
    }
}

impl Entity {
    fn is_registrant(&self) -> bool {
        self.roles.iter().any(|role| role == "registrant")
    }

    /// Returns the formatted name of the jCard, or else its organisation.
    fn name(&self) -> Option<String> {
        let properties = self.vcard_array.get(1)?.as_array()?;
        let property = |wanted: &str| {
            let mut properties = properties.iter().take(MAX_ENTRIES);
            properties.find_map(|property| {
                let is_wanted = property.get(0)?.as_str()?.eq_ignore_ascii_case(wanted);
                let text = property.get(3)?.as_str().and_then(clean_name);
                text.filter(|_| is_wanted)
            })
        };
        property("fn").or_else(|| property("org"))
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
