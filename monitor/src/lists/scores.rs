//! Reads a destination and a number on each line, separated by white space (IPsum).

use super::{
    Key,
    header::asn,
    line::{InvalidLine, Line},
    plain::content,
    selection::Chooser,
};
use crate::{address::Destination, quoted::quoted};

/// What happens to the scores if the selection has no `min_score`.
pub(super) const IGNORED: &str =
    "addresses with scores; `min_score` selects by score, and without it every line is used";

/// Returns true if `line` may be an address and the length of its network, such as
/// `192.0.2.0 24`.
pub(super) fn may_be_length(line: &str) -> bool {
    let Some((address, length)) = content(line).split_once(char::is_whitespace) else {
        return false;
    };
    let network = format!("{address}/{}", length.trim());
    !address.contains('/') && network.parse::<Destination>().is_ok()
}

pub(super) fn line(text: &str, chooser: &mut Chooser<'_>) -> Result<Line, InvalidLine> {
    let text = content(text);
    if text.is_empty() {
        return Ok(Line::Nothing);
    }
    let Some((destination, score)) = text.split_once(char::is_whitespace) else {
        let _: Destination = text.parse()?;
        let text = quoted(text);
        return Err(InvalidLine::NoScore { text });
    };
    let destination = destination.parse()?;
    let score = score.trim();
    // `AS13335` is the AS number of an origin, and never a score.
    let origin = asn(score).filter(|_| chooser.selection.min_score.is_none());
    let number = origin.or_else(|| score.parse().ok());
    let score: u32 = number.ok_or_else(|| InvalidLine::Score {
        text: quoted(score),
    })?;
    // A table of prefixes with AS numbers has the same form. There the number is a key.
    let wanted = chooser.takes_score(score) && chooser.takes(Some(Key::Asn(score)));
    Ok(Line::new(destination, wanted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lists::Selection;

    #[test]
    fn the_minimum_score_itself_is_included() {
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
            let mut chooser = Chooser::new(&selection);
            assert_eq!(line("77.90.185.20\t10", &mut chooser).unwrap(), expected);
        }
        let all = Selection::default();
        let header = line("# IP\tnumber", &mut Chooser::new(&all));
        assert_eq!(header.unwrap(), Line::Nothing);
    }

    #[test]
    fn lines_without_a_score_are_refused() {
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
            let all = Selection::default();
            let error = line(text, &mut Chooser::new(&all)).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
    }
}
