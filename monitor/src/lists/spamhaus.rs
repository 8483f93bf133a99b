//! Reads Spamhaus' DROP as JSON lines: `{"cidr":"192.0.2.0/24", …}`, and one line
//! that describes the list itself.

use std::borrow::Cow;

use serde::Deserialize;

use super::line::{InvalidLine, Line, whole};

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    cidr: Option<Cow<'a, str>>,
    #[serde(borrow)]
    sblid: Option<Cow<'a, str>>,
    #[serde(borrow)]
    rir: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
}

pub(super) fn line(text: &str) -> Result<Line, InvalidLine> {
    let text = whole(text);
    if text.is_empty() {
        return Ok(Line::Nothing);
    }
    // The parser would take an array for the fields of an object.
    if !text.starts_with('{') {
        return Err(InvalidLine::NoCidr);
    }
    let record: Record<'_> = serde_json::from_str(text).map_err(InvalidLine::Json)?;
    // Another object with a `cidr` may mean anything, even an address to allow.
    let is_ours = record.sblid.is_some() || record.rir.is_some();
    match record.cidr {
        Some(_) if !is_ours => Err(InvalidLine::NoCidr),
        Some(cidr) => Ok(Line::Destination(cidr.parse()?)),
        None if record.kind.as_deref() == Some("metadata") => Ok(Line::Nothing),
        None => Err(InvalidLine::NoCidr),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_and_metadata_are_skipped() {
        let record = r#"{"cidr":"1.10.16.0/20","sblid":"SBL256894","rir":"apnic"}"#;
        let network = "1.10.16.0/20".parse().unwrap();
        assert_eq!(line(record).unwrap(), Line::Destination(network));
        let about = r#"{"type":"metadata","timestamp":1744682874,"records":1406}"#;
        assert_eq!(line(about).unwrap(), Line::Nothing);
    }

    #[test]
    fn other_objects_and_broken_ones_are_refused() {
        let refused = |text| line(text).unwrap_err().to_string();
        assert_eq!(
            refused(r#"{"cidr":"8.8.8.0/24","action":"allow"}"#),
            "this JSON object has no `cidr` with `sblid` or `rir`"
        );
        assert!(refused(r#"{"cidr":"1.10.16.0/20""#).starts_with("this line is not a JSON object"));
        assert!(refused(r#"{"cidr":"1.10.16.1/20","rir":"x"}"#).contains("bits set"));
    }
}
