//! Which form of the metrics a scraper asks for (RFC 9110, section 12.5.1).

use axum::http::{HeaderMap, header::ACCEPT};

use crate::metrics::Format;

/// How well a form fits: its quality in thousandths, then how exactly the
/// scraper named it.
type Fit = (u16, u8);

/// The exactness of a range that names type and subtype.
const NAMED: u8 = 3;

/// A form of the metrics, as an `Accept` header names it.
struct Offer {
    format: Format,
    kind: &'static str,
    subtype: &'static str,
    version: &'static str,
}

/// The preferred one first.
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

/// The form that fits best; `OpenMetrics` where several fit equally, where the
/// request names none, and where it takes neither.
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

/// The quality that the most exact of the ranges gives to an offer.
fn fit(offer: &Offer, ranges: &[&str]) -> Fit {
    let matching = ranges.iter().filter_map(|range| matched(offer, range));
    let most_exact = matching.max_by_key(|(quality, exactness)| (*exactness, *quality));
    let (quality, exactness) = most_exact.unwrap_or_default();
    // A version chooses between ranges, and says nothing about preference.
    (quality, exactness.min(NAMED))
}

/// `None` where the range is about something else, or cannot be read.
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
            // Such as `charset` and `escaping`: all names and labels are ASCII or UTF-8.
            _ => {}
        }
    }
    Some((quality, exactness))
}

/// `0.75` as 750; `None` where it is no quality (RFC 9110, section 12.4.2).
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
            // What Prometheus 2 and 3 ask for.
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
