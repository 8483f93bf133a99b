//! The flows of a report as CSV: one table, one row for each flow.
//!
//! A spreadsheet runs a cell that begins with `=`, `+`, `-` or `@` as a formula. Such cells
//! begin with an apostrophe here (OWASP, "CSV Injection"). The table begins with a byte order
//! mark (U+FEFF), without which Excel reads UTF-8 as another encoding.

use super::{
    claims,
    model::{Flow, Name, Report},
};
use crate::printable;

/// Why the table cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum CsvError {
    /// The writer refused a row.
    #[error("write the table of flows: {0}")]
    Csv(#[from] csv::Error),
    /// The writer could not give back its text.
    #[error("write the table of flows: {0}")]
    Text(String),
}

const HEADER: [&str; 24] = [
    "device",
    "device_name",
    "interface",
    "direction",
    "destination",
    "protocol",
    "port",
    "unreadable",
    "policies",
    "packets",
    "bytes",
    "dropped",
    "first",
    "last",
    "names",
    "names_how",
    "names_first_seen",
    "names_from",
    "asked_names",
    "holder",
    "registry",
    "origin_as",
    "country",
    "policy_author_says",
];

/// The flows as CSV with a header (RFC 4180), after a byte order mark.
///
/// # Errors
///
/// Returns the error of the writer.
pub fn csv(report: &Report) -> Result<String, CsvError> {
    let mut writer = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer("\u{feff}".as_bytes().to_vec());
    writer.write_record(HEADER)?;
    for flow in &report.flows {
        let name = device_name(report, flow);
        writer.write_record(row(flow, name).iter().map(|text| cell(text)))?;
    }
    let bytes = writer.into_inner();
    let bytes = bytes.map_err(|error| CsvError::Text(error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| CsvError::Text(error.to_string()))
}

fn device_name<'a>(report: &'a Report, flow: &Flow) -> &'a str {
    let mut devices = report.devices.iter();
    let device = devices.find(|device| device.device == flow.device);
    device
        .and_then(|device| device.name.as_deref())
        .unwrap_or_default()
}

fn row(flow: &Flow, device_name: &str) -> [String; 24] {
    let of = |part: fn(&Name) -> String| {
        let names = flow.names.iter().filter(|name| name.is_of_destination());
        names.map(part).collect::<Vec<_>>().join("; ")
    };
    let asked = flow.names.iter().filter(|name| !name.is_of_destination());
    let asked: Vec<_> = asked.map(|name| name.name.clone()).collect();
    let optional = |text: &Option<String>| text.clone().unwrap_or_default();
    [
        flow.device
            .clone()
            .unwrap_or_else(|| "other devices".to_owned()),
        device_name.to_owned(),
        flow.interface.clone(),
        flow.direction.clone(),
        flow.destination
            .clone()
            .unwrap_or_else(|| "other destinations".to_owned()),
        flow.protocol.clone(),
        flow.port.map(|port| port.to_string()).unwrap_or_default(),
        optional(&flow.unreadable),
        flow.policies.join("; "),
        flow.packets.to_string(),
        flow.bytes.to_string(),
        flow.dropped.to_string(),
        flow.first.clone(),
        flow.last.clone(),
        of(|name| name.name.clone()),
        of(|name| name.how.clone()),
        of(|name| name.at.clone()),
        of(|name| name.from.clone().unwrap_or_default()),
        asked.join("; "),
        range(flow, "holder"),
        range(flow, "registry"),
        range(flow, "origin"),
        range(flow, "country"),
        range(flow, "policy author says"),
    ]
}

/// The statements of one kind about the range.
fn range(flow: &Flow, kind: &str) -> String {
    let lines = flow
        .holder
        .as_ref()
        .map(claims::range_lines)
        .unwrap_or_default();
    let own = lines.into_iter().filter(|(of, _)| *of == kind);
    own.map(|(_, text)| text).collect::<Vec<_>>().join("; ")
}

/// A cell that shows its text and that no spreadsheet runs.
fn cell(text: &str) -> String {
    let starts = ['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠'];
    let escaped = printable::escape(text, &[]);
    if text.starts_with(starts) {
        format!("'{escaped}")
    } else {
        escaped.into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula() {
        for start in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1"] {
            assert!(cell(start).starts_with('\''), "{start}");
        }
        assert_eq!(cell("a=1"), "a=1");
        assert_eq!(cell("a\u{202e}b"), "a\\u{202e}b");
    }
}
