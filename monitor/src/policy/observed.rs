//! The date on which a destination was seen.

use std::{fmt, str::FromStr};

use jiff::civil::Date;

/// A year, a month or a day: `2014`, `2014-07`, `2014-07-31`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed(String);

/// The text is not a year, month or day, or it is before 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a date is written 2014, 2014-07 or 2014-07-31")]
pub struct InvalidObserved;

impl FromStr for Observed {
    type Err = InvalidObserved;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let first_day = match text.len() {
            4 => format!("{text}-01-01"),
            7 => format!("{text}-01"),
            _ => text.to_owned(),
        };
        let date: Date = first_day.parse().map_err(|_| InvalidObserved)?;
        // The library also parses other notations; only this one is valid
        // here.
        let is_valid = date.year() >= 1970 && date.to_string() == first_day;
        is_valid
            .then(|| Self(text.to_owned()))
            .ok_or(InvalidObserved)
    }
}

impl fmt::Display for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_year_a_month_or_a_day() {
        for text in ["1970", "2014", "2014-07", "2014-07-31", "2016-02-29"] {
            assert_eq!(text.parse::<Observed>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "14",
            "1969",
            "2014-7",
            "2014-13",
            "2014-07-32",
            "2014-02-29",
            "2014-07-31-1",
            "20140731",
            "2014-07-31T00",
            "+002014-07-31",
            "July 2014",
        ] {
            assert_eq!(text.parse::<Observed>(), Err(InvalidObserved), "{text}");
        }
    }
}
