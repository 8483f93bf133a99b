//! Chooses the format of the metrics by a request's `Accept` header (RFC 9110,
//! section 12.5.1).

use axum::http::{HeaderMap, header::ACCEPT};

use crate::metrics::Format;

/// How well a format fits the request: its quality in thousandths, then the
/// exactness of the range that named it, from 1 (`*/*`) to 4 (type, subtype and
/// version).
type Fit = (u16, u8);

/// The exactness of a range that names type and subtype, but no version.
const NAMED: u8 = 3;

/// A format of the metrics, with the names that an `Accept` header uses for it.
struct Offer {
    format: Format,
    kind: &'static str,
    subtype: &'static str,
    version: &'static str,
}

/// All formats that the endpoint can send, the preferred one first.
const OFFERS: [Offer; 2] = [
    Offer {
        format: Format::OpenMetrics,
        kind: "application",
        subtype: "openmetrics-text",
        version: "1.0.0",
    },
    Offer {
        format: Format::Prometheus,
        kind: "text",
        subtype: "plain",
        version: "0.0.4",
    },
];

/// Returns the format that fits the request best. Returns `OpenMetrics` if both
/// fit equally well, if the request has no `Accept` header, or if it accepts
/// neither.
pub(super) fn format(headers: &HeaderMap) -> Format {
    let values = headers.get_all(ACCEPT).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    let ranges: Vec<&str> = texts.flat_map(|text| text.split(',')).collect();
    let mut best: (Format, Fit) = (Format::OpenMetrics, (0, 0));
    for offer in OFFERS {
        let fit = fit(&offer, &ranges);
        if fit > best.1 {
            best = (offer.format, fit);
        }
    }
    best.0
}

/// Returns the quality that the most exact matching range gives to `offer`, and
/// zero if no range matches.
fn fit(offer: &Offer, ranges: &[&str]) -> Fit {
    let matching = ranges.iter().filter_map(|range| matched(offer, range));
    let most_exact = matching.max_by_key(|(quality, exactness)| (*exactness, *quality));
    let (quality, exactness) = most_exact.unwrap_or_default();
    // A version decides which range applies. It does not make a format preferred.
    (quality, exactness.min(NAMED))
}

/// Returns how `range` rates `offer`, or `None` if the range is malformed or does
/// not cover it.
fn matched(offer: &Offer, range: &str) -> Option<Fit> {
    let mut parts = range.split(';').map(str::trim);
    let (kind, subtype) = parts.next()?.split_once('/')?;
    let mut exactness = if kind == "*" && subtype == "*" {
        1
    } else if kind.eq_ignore_ascii_case(offer.kind) && subtype == "*" {
        2
    } else if kind.eq_ignore_ascii_case(offer.kind) && subtype.eq_ignore_ascii_case(offer.subtype) {
        NAMED
    } else {
        return None;
    };
    let mut quality = 1000;
    for part in parts {
        let Some((name, value)) = part.split_once('=') else {
            continue;
        };
        let value = value.trim().trim_matches('"');
        match name.trim().to_ascii_lowercase().as_str() {
            "q" => quality = thousandths(value)?,
            "version" if value == offer.version => exactness += 1,
            "version" => return None,
            // Other parameters, such as `charset` and `escaping`, change nothing:
            // all names and labels are ASCII or UTF-8.
            _ => {}
        }
    }
    Some((quality, exactness))
}

/// Parses a quality value: `0.75` is 750. Returns `None` if the text is not a
/// quality value of RFC 9110, section 12.4.2.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    let is_short = rest.len() <= 3 && rest.bytes().all(|byte| byte.is_ascii_digit());
    let thousandths: u16 = format!("{rest:0<3}").parse().ok().filter(|_| is_short)?;
    match (whole, thousandths) {
        ("0", thousandths) => Some(thousandths),
        ("1", 0) => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(values: &[&str]) -> Format {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(ACCEPT, value.parse().unwrap());
        }
        format(&headers)
    }

    #[test]
    fn open_metrics_unless_the_scraper_prefers_the_older_form() {
        for values in [
            &[][..],
            &["*/*"],
            &["application/json"],
            &["text/html,application/xhtml+xml,*/*;q=0.8"],
            // The headers of Prometheus 2 and 3.
            &[
                "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            ],
            &[
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            ],
            &["text/plain;q=0.5", "application/openmetrics-text"],
            &["text/plain, application/openmetrics-text"],
            &["text/plain;version=0.0.4, application/openmetrics-text"],
            &["text/plain;q=0, */*"],
            &["text/plain;q=nonsense, */*;q=0.1"],
            &["text/*;q=0.1, application/*;q=0.2"],
        ] {
            assert_eq!(chosen(values), Format::OpenMetrics, "{values:?}");
        }
        for values in [
            &["text/plain"][..],
            &["Text/Plain; Version=0.0.4; charset=utf-8"],
            &["text/plain;version=\"0.0.4\""],
            &["text/*"],
            &["text/plain, */*"],
            &["application/openmetrics-text;q=0.3", "text/plain;q=0.7"],
            &["application/openmetrics-text;q=0, */*;q=0.1"],
            &["application/openmetrics-text;version=0.0.1,text/plain;q=0.2"],
            &["text/plain;version=0.0.4;q=0.5,text/plain;version=1.0.0"],
        ] {
            assert_eq!(chosen(values), Format::Prometheus, "{values:?}");
        }
    }
}
