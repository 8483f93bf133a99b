//! Reads eMule's ipfilter.dat: `first - last , level , name`. Its numbers are padded
//! with zeros and still decimal, unlike in the other formats.

use std::net::Ipv4Addr;

use super::line::{InvalidLine, Line, whole};
use crate::{
    address::{Destination, Interval},
    quoted::quoted,
};

/// eMule lets a range pass if its level is this one or higher.
const ALLOWED: u8 = 127;

pub(super) fn line(text: &str) -> Result<Line, InvalidLine> {
    let text = whole(text);
    if text.is_empty() || text.starts_with("//") {
        return Ok(Line::Nothing);
    }
    let mut fields = text.splitn(3, ',');
    let range = fields.next().and_then(|range| range.split_once('-'));
    let level = fields
        .next()
        .and_then(|level| level.trim().parse::<u8>().ok());
    let (Some((first, last)), Some(level)) = (range, level) else {
        let pattern = "first - last , level , name";
        return Err(InvalidLine::Pattern { pattern });
    };
    let interval = Interval::new(decimal(first)?, decimal(last)?).ok_or(InvalidLine::Backwards)?;
    Ok(Line::new(Destination::Ipv4(interval), level < ALLOWED))
}

fn decimal(text: &str) -> Result<Ipv4Addr, InvalidLine> {
    let text = text.trim();
    let error = || InvalidLine::Decimal { text: quoted(text) };
    let mut parts = text.split('.');
    let mut bytes = [0; 4];
    for byte in &mut bytes {
        let part = parts.next().ok_or_else(error)?;
        let digits = (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        *byte = part.parse().ok().filter(|_| digits).ok_or_else(error)?;
    }
    match parts.next() {
        None => Ok(bytes.into()),
        Some(_) => Err(error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leading_zeros_are_decimal() {
        let range = Line::Destination("8.10.100.0-8.10.100.255".parse().unwrap());
        let text = "008.010.100.000 - 008.010.100.255 , 000 , name, with # and ;";
        assert_eq!(line(text).unwrap(), range);
        assert_eq!(line("8.10.100.0-8.10.100.255,126,x").unwrap(), range);
    }

    #[test]
    fn ranges_that_emule_lets_pass_are_left_out() {
        for level in ["127", "128", "255"] {
            let text = format!("008.010.100.000 - 008.010.100.255 , {level} , x");
            assert_eq!(line(&text).unwrap(), Line::LeftOut, "{text}");
        }
    }

    #[test]
    fn lines_of_another_format_are_refused() {
        for (text, message) in [
            (
                "008.010.100.000 - 008.010.100.255",
                "this line is not `first - last , level , name`",
            ),
            (
                "008.010.100.000 - 008.010.100.255 , high , x",
                "this line is not `first - last , level , name`",
            ),
            (
                "008.010.100.256 - 008.010.101.255 , 0 , x",
                "`008.010.100.256` is not an IPv4 address in decimal",
            ),
            (
                "008.010.100 - 008.010.101.255 , 0 , x",
                "`008.010.100` is not an IPv4 address in decimal",
            ),
            (
                "008.010.100.009 - 008.010.100.008 , 0 , x",
                "the range ends before it starts",
            ),
        ] {
            assert_eq!(line(text).unwrap_err().to_string(), message);
        }
    }
}
