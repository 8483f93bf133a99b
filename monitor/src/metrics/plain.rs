//! Writes metric families in the text format 0.0.4 of Prometheus, for scrapers
//! that do not read `OpenMetrics` (`docs/instrumenting/exposition_formats.md` of
//! prometheus/docs).

use std::fmt::{self, Write as _};

use super::family::{Families, Family, Kind};

/// Encodes every family that has samples, in the order of `families`.
pub(super) fn encode(families: &Families) -> Result<String, fmt::Error> {
    let mut text = String::new();
    for family in families
        .0
        .iter()
        .filter(|family| !family.samples.is_empty())
    {
        encode_family(&mut text, family)?;
    }
    Ok(text)
}

/// Appends one family to `text`. Unlike `OpenMetrics`, this format puts the suffix
/// (`_total`, `_info`) into the metadata too, and has no type `info`, so an info
/// family is a gauge.
fn encode_family(text: &mut String, family: &Family) -> fmt::Result {
    let unit = family.unit.as_ref().map_or("", |unit| unit.as_str());
    let separator = if unit.is_empty() { "" } else { "_" };
    let (suffix, kind) = match family.kind {
        Kind::Counter => ("_total", "counter"),
        Kind::Gauge => ("", "gauge"),
        Kind::Info => ("_info", "gauge"),
    };
    let name = format!("{}{separator}{unit}{suffix}", family.name);
    let help = family.help.replace('\\', "\\\\").replace('\n', "\\n");
    writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}")?;
    for (labels, value) in &family.samples {
        text.push_str(&name);
        let mut opening = '{';
        for (label, of) in labels {
            let of = of.replace('\\', "\\\\").replace('"', "\\\"");
            write!(text, "{opening}{label}=\"{}\"", of.replace('\n', "\\n"))?;
            opening = ',';
        }
        let closing = if labels.is_empty() { "" } else { "}" };
        writeln!(text, "{closing} {value}")?;
    }
    Ok(())
}
