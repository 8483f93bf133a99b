//! Suggestions for texts that are not names of a time zone.

use crate::policy::diagnostic::near_miss;

/// Help text: how to write a time zone.
pub(super) const HELP: &str =
    "write a name of the IANA time zone database, such as `Europe/Madrid` or `UTC`";

/// Shortest text, in characters, for which the nearest name is suggested.
/// Shorter texts are abbreviations such as PST and CEST, which are nearest to
/// the names of other zones.
const SHORTEST: usize = 5;

/// Suggests what to write in place of `text`, which is none of `names`.
pub(super) fn help(text: &str, names: &[&str]) -> String {
    if let Some(offset) = Offset::of(text) {
        return offset.help(names);
    }
    if is_own_zone(text) {
        return format!("{HELP}: the gateway's own clock often runs on UTC");
    }
    // With a digit or a sign, the nearest name would be a different zone.
    let is_word = !text.contains(|c: char| c.is_ascii_digit() || c == '+');
    let near = is_word.then(|| near(text, names)).flatten();
    near.map_or_else(|| HELP.to_owned(), |near| format!("did you mean `{near}`?"))
}

/// True for the words that other programs use for the time zone of the machine.
fn is_own_zone(text: &str) -> bool {
    ["local", "localtime", "system", "host", "default"]
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word))
}

/// The name that is nearest to `text`. Names have the form `Area/Place`, and
/// the most common mistake is to write the place alone.
fn near<'a>(text: &str, names: &[&'a str]) -> Option<&'a str> {
    let is_place = |name: &&&str| {
        name.rsplit('/')
            .next()
            .is_some_and(|place| place.eq_ignore_ascii_case(text))
    };
    let same = names.iter().find(is_place).copied();
    same.or_else(|| {
        let unsigned = |name: &&&str| !name.contains('+') && !name.starts_with("Etc/");
        let lower: Vec<String> = names
            .iter()
            .filter(unsigned)
            .map(|n| n.to_lowercase())
            .collect();
        let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
        let near = near_miss(text, &lower).filter(|_| text.len() >= SHORTEST)?;
        names
            .iter()
            .find(|name| name.eq_ignore_ascii_case(near))
            .copied()
    })
}

/// An offset from UTC such as `GMT+2`, in hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Offset(i8);

impl Offset {
    /// Parses `GMT+2`, `UTC-03:00`, `+0200` and similar texts.
    fn of(text: &str) -> Option<Self> {
        let upper = text.trim().to_ascii_uppercase();
        let rest = upper
            .strip_prefix("GMT")
            .or_else(|| upper.strip_prefix("UTC"))
            .unwrap_or(&upper)
            .trim_start();
        let (sign, digits) = match rest.split_at_checked(1)? {
            ("+", digits) => (1, digits),
            ("-", digits) => (-1, digits),
            _ => return None,
        };
        let four = digits.strip_suffix("00").filter(|hours| hours.len() == 2);
        let hours = digits.strip_suffix(":00").or(four).unwrap_or(digits);
        let hours: i8 = hours.parse().ok()?;
        (0..=14).contains(&hours).then_some(Self(sign * hours))
    }

    /// Suggests a name for the offset. In `Etc/GMT±N` the sign is reversed, as
    /// in POSIX.
    fn help(self, names: &[&str]) -> String {
        let Self(hours) = self;
        let posix = format!("Etc/GMT{:+}", -hours);
        if hours == 0 || !names.contains(&posix.as_str()) {
            return HELP.to_owned();
        }
        format!(
            "write a place such as `Europe/Madrid`, whose clock follows summer time, or `{posix}`, \
             which is UTC{hours:+}: such names have the opposite sign"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 12] = [
        "America/New_York",
        "EST",
        "Etc/GMT+2",
        "Etc/GMT-2",
        "Europe/Madrid",
        "GB",
        "GMT+0",
        "GMT0",
        "PRC",
        "ROC",
        "UTC",
        "EST5EDT",
    ];

    #[test]
    fn an_offset_gets_the_name_of_the_same_offset() {
        for (text, name) in [
            ("GMT+2", "`Etc/GMT-2`"),
            ("gmt-2", "`Etc/GMT+2`"),
            ("UTC+02:00", "`Etc/GMT-2`"),
            ("+0200", "`Etc/GMT-2`"),
            ("-2", "`Etc/GMT+2`"),
        ] {
            let help = help(text, &NAMES);
            assert!(help.contains(name), "{text}: {help}");
        }
        for text in [
            "GMT+3",
            "UTC+0",
            "GMT+05:30",
            "EST-5EDT",
            "Etc/GMT2",
            "GMT+99",
        ] {
            assert_eq!(help(text, &NAMES), HELP, "{text}");
        }
    }

    #[test]
    fn no_zone_is_suggested_for_an_abbreviation_or_for_nothing() {
        for text in ["", " ", "PST", "CEST", "RC", "Z", "GBR"] {
            assert_eq!(help(text, &NAMES), HELP, "{text:?}");
        }
        for text in ["Local", "localtime", "system"] {
            assert!(!help(text, &NAMES).contains("did you mean"), "{text}");
        }
    }

    #[test]
    fn a_place_and_a_slip_are_found() {
        for text in ["Madrid", "europe/madird", "Europe/Madird"] {
            assert_eq!(
                help(text, &NAMES),
                "did you mean `Europe/Madrid`?",
                "{text}"
            );
        }
        assert_eq!(help("new_york", &NAMES), "did you mean `America/New_York`?");
    }
}
