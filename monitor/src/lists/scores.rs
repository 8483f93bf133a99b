//! A destination and a number per line, with white space between (IPsum).

use super::{
    Selection,
    line::{InvalidLine, Line},
    plain::content,
};
use crate::address::Destination;

pub(super) fn line(text: &str, selection: &Selection) -> Result<Line, InvalidLine> {
    let text = content(text);
    if text.is_empty() {
        return Ok(Line::Nothing);
    }
    let Some((destination, score)) = text.split_once(char::is_whitespace) else {
        let _: Destination = text.parse()?;
        let text = text.to_owned();
        return Err(InvalidLine::NoScore { text });
    };
    let destination = destination.parse()?;
    let score = score.trim();
    let score: u32 = score.parse().map_err(|_| InvalidLine::Score {
        text: score.to_owned(),
    })?;
    let enough = selection.min_score.is_none_or(|least| score >= least);
    // A table of prefixes looks the same: there the number is an origin.
    let announced = selection.asn.is_none_or(|asn| score == asn);
    Ok(Line::new(destination, enough && announced))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_score_is_included() {
        let wanted = "77.90.185.20".parse().unwrap();
        for (least, expected) in [
            (None, Line::Destination(wanted)),
            (Some(9), Line::Destination(wanted)),
            (Some(10), Line::Destination(wanted)),
            (Some(11), Line::LeftOut),
        ] {
            let selection = Selection {
                min_score: least,
                ..Selection::default()
            };
            assert_eq!(line("77.90.185.20\t10", &selection).unwrap(), expected);
        }
        assert_eq!(
            line("# IP\tnumber", &Selection::default()).unwrap(),
            Line::Nothing
        );
    }

    #[test]
    fn what_has_no_score_is_refused() {
        for (text, message) in [
            (
                "192.0.2.1",
                "`192.0.2.1` has no score after its destination",
            ),
            ("192.0.2.1 many", "`many` is not a score"),
            ("192.0.2.1 -3", "`-3` is not a score"),
            ("192.0.2.1 3 4", "`3 4` is not a score"),
            ("example.com 3", "`example.com` is a name, not an address"),
        ] {
            assert_eq!(
                line(text, &Selection::default()).unwrap_err().to_string(),
                message
            );
        }
    }
}
