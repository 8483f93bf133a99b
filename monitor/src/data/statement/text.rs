//! Writes statements as lines of text.

use std::fmt;

use super::{
    Author, CountryMeaning, FailedSource, Holder, OriginAs, RangeCountry, Registration, Statement,
    Statements,
};
use crate::{printable, registry::Registry};

/// Writes the five lines, a line for countries with another meaning, and a line for each
/// source that could not be asked.
impl fmt::Display for Statements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_field(f, "registry", &self.registry)?;
        write_field(f, "holder", &self.holder)?;
        write_field(f, "origin AS", &self.origin_as)?;
        self.write_countries(f)?;
        write_field(f, "list author", &self.list_author)?;
        for failed in &self.failed {
            writeln!(f, "{failed}")?;
        }
        Ok(())
    }
}

impl Statements {
    /// Writes a line for each meaning of a country. Only a delegation is shown as one.
    fn write_countries(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for meaning in CountryMeaning::ALL {
            let countries = self.country.iter();
            let countries = countries.filter(|country| country.value.meaning == meaning);
            if meaning == CountryMeaning::Delegation {
                write_field(f, "country of delegation", countries)?;
            } else if countries.clone().next().is_some() {
                write_field(f, &format!("country ({})", meaning.words()), countries)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for FailedSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, error } = self;
        let (name, error) = (printable::value(name), printable::value(error));
        write!(f, "note: {name} could not be asked: {error}")
    }
}

/// Writes a field. The first statement is on the line of the name; the other statements follow
/// on lines of their own.
fn write_field<'a, T: 'a>(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    statements: impl IntoIterator<Item = &'a Statement<T>>,
) -> fmt::Result
where
    Statement<T>: fmt::Display,
{
    let mut others = statements.into_iter();
    let Some(first) = others.next() else {
        return writeln!(f, "{name}: unknown");
    };
    writeln!(f, "{name}: {first}")?;
    for other in others {
        writeln!(f, "    also: {other}")?;
    }
    Ok(())
}

impl fmt::Display for Statement<Registration> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Registration {
            registry,
            under,
            delegated,
            country,
            status,
        } = &self.value;
        write!(f, "{registry} (")?;
        if let Some(under) = under {
            write!(f, "national registry under {under}; ")?;
        }
        let word = match (status, delegated) {
            (Some(status), _) if !status.is_delegated() => Some(status.word()),
            (Some(_), _) | (None, Some(_)) => Some("delegated"),
            (None, None) => None,
        };
        if let Some(word) = word {
            f.write_str(word)?;
            if let Some(date) = delegated {
                write!(f, " {date}")?;
            }
            if let Some(country) = country {
                write!(f, ", {country}")?;
            }
            f.write_str("; ")?;
        }
        write!(f, "{})", self.source)
    }
}

impl fmt::Display for Statement<Holder> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Holder { name, field } = &self.value;
        let name = printable::value(name);
        write!(f, "{name} ({}; {})", field.word(), self.source)
    }
}

impl fmt::Display for Statement<OriginAs> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AS{}", self.value.number)?;
        if let Some(name) = &self.value.name {
            write!(f, " {}", printable::value(name))?;
        }
        write!(f, " ({})", self.source)
    }
}

impl fmt::Display for Statement<RangeCountry> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.value.country, self.source)
    }
}

impl fmt::Display for Statement<Author> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Author {
            holder,
            policy,
            resting,
            stated_as_of,
            stated_source,
        } = &self.value;
        write!(f, "{}", printable::value(holder))?;
        if let Some(registry) = Registry::only_in(holder) {
            write!(f, " [{registry} is a registry, not a holder]")?;
        }
        write!(
            f,
            " (stated by the author of policy {}",
            printable::value(policy)
        )?;
        if *resting {
            f.write_str(", which is off now,")?;
        }
        if let Some(date) = stated_as_of {
            write!(f, " as of {date}")?;
        }
        if let Some(source) = stated_source {
            write!(f, ", from {}", printable::value(source))?;
        }
        write!(f, "; {})", self.source)
    }
}
