//! Words for numbers in sentences.

/// A number with its noun.
pub(super) fn plural(number: u64, one: &str, many: &str) -> String {
    if number == 1 {
        format!("1 {one}")
    } else {
        format!("{} {many}", grouped(number))
    }
}

/// A number with a comma between groups of three digits.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A length of time: minutes below two hours, hours below four days, else days.
pub(super) fn hours(hours: f64) -> String {
    let minutes = hours * 60.0;
    if minutes < 1.0 {
        "less than a minute".to_owned()
    } else if minutes < 119.5 {
        unit(minutes, "minute")
    } else if hours < 95.5 {
        unit(hours, "hour")
    } else {
        unit(hours / 24.0, "day")
    }
}

fn unit(number: f64, noun: &str) -> String {
    let text = if number < 10.0 {
        format!("{number:.1}")
    } else {
        format!("{number:.0}")
    };
    let text = text.strip_suffix(".0").unwrap_or(&text).to_owned();
    if text == "1" {
        format!("1 {noun}")
    } else {
        format!("{text} {noun}s")
    }
}

/// Seconds as [`hours`]; less than a minute in seconds.
#[expect(
    clippy::cast_precision_loss,
    reason = "a period has far fewer than 2^52 seconds"
)]
pub(super) fn seconds(seconds: i64) -> String {
    if let Ok(few @ 0..60) = u64::try_from(seconds) {
        return plural(few, "second", "seconds");
    }
    hours(seconds as f64 / 3_600.0)
}

/// A probability.
pub(super) fn number(p: f64) -> String {
    if p < 0.000_1 {
        "less than 0.0001".to_owned()
    } else if p < 0.01 {
        format!("{p:.4}")
    } else {
        format!("{p:.2}")
    }
}

/// A time of the report without the signs of RFC 3339, in UTC.
pub(super) fn utc(time: &str) -> String {
    let plain = time.strip_suffix('Z').and_then(|time| time.split_once('T'));
    plain.map_or_else(|| time.to_owned(), |(day, hour)| format!("{day} {hour}"))
}

/// Words with commas, and `and` before the last one.
pub(super) fn list(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// At most `most` of the words, and how many are left.
pub(super) fn first_of(words: &[String], most: usize) -> String {
    if words.len() <= most {
        return list(words);
    }
    let left = words.len() - most;
    format!("{} and {left} more", words[..most].join(", "))
}

/// A number of bytes in binary units.
#[must_use]
pub(super) fn bytes(bytes: u64) -> String {
    bytesize::ByteSize::b(bytes).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(grouped(12_345_678), "12,345,678");
        assert_eq!(plural(1, "packet", "packets"), "1 packet");
        assert_eq!(hours(0.5), "30 minutes");
        assert_eq!(hours(1.0 / 60.0), "1 minute");
        assert_eq!(hours(24.0), "24 hours");
        assert_eq!(hours(1.999_9), "2 hours");
        assert_eq!(hours(168.0), "7 days");
        assert_eq!(number(0.000_01), "less than 0.0001");
        assert_eq!(list(&["a".into(), "b".into(), "c".into()]), "a, b and c");
    }
}
