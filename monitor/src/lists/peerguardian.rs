//! Reads PeerGuardian's text format: `name:first-last`. The name may contain any
//! character.

use super::{
    line::{InvalidLine, Line, whole},
    verdict,
};
use crate::{address::Destination, quoted::quoted};

pub(super) fn line(text: &str) -> Result<Line, InvalidLine> {
    let text = whole(text);
    if text.is_empty() {
        return Ok(Line::Nothing);
    }
    let ends = text
        .rsplit_once(':')
        .and_then(|(_name, range)| range.split_once('-'));
    let name = text.rsplit_once(':').map_or("", |(name, _)| name.trim());
    if verdict::allows(name) {
        let text = quoted(name);
        return Err(InvalidLine::Verdict { text });
    }
    let Some((first, last)) = ends else {
        let pattern = "name:first-last";
        return Err(InvalidLine::Pattern { pattern });
    };
    Ok(Line::Destination(Destination::range(text, first, last)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_contain_colons_hyphens_commas_and_hashes() {
        let range = Line::Destination("13.64.90.1-13.64.90.9".parse().unwrap());
        for name in ["", "WindowsSpyBlocker", "a:b", "a - b", "Some, Inc. #1; x"] {
            let text = format!("{name}:13.64.90.1-13.64.90.9");
            assert_eq!(line(&text).unwrap(), range, "{text}");
        }
        assert_eq!(line("### License: MIT").unwrap(), Line::Nothing);
    }

    #[test]
    fn lines_without_a_range_are_refused() {
        let allowed = line("allow:8.8.8.0-8.8.8.255").unwrap_err();
        assert!(allowed.is_exclusion(), "{allowed}");
        for text in ["13.64.90.1-13.64.90.9", "name:13.64.90.1"] {
            let error = line(text).unwrap_err().to_string();
            assert_eq!(error, "this line is not `name:first-last`", "{text}");
        }
        let error = line("name:13.64.90.9-13.64.90.1").unwrap_err();
        assert!(error.to_string().contains("ends before it starts"));
        let error = line("name:013.64.90.1-013.64.90.9").unwrap_err();
        assert!(error.to_string().contains("leading zero"));
    }
}
