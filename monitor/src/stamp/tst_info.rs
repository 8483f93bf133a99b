//! What an authority states (RFC 3161, section 2.4.2, `TSTInfo`).

use der::{Tag, asn1::ObjectIdentifier};
use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};

use super::{
    algorithm,
    elements::{Element, Elements, Malformed, context, primitive},
    error::StampError,
};

const PART: &str = "the content of the token";

/// What an authority states.
pub(super) struct TstInfo<'a> {
    pub(super) policy: ObjectIdentifier,
    pub(super) hash_algorithm: ObjectIdentifier,
    pub(super) hash: &'a [u8],
    /// Serial number, big-endian.
    pub(super) serial: &'a [u8],
    pub(super) at: Timestamp,
    /// How far the time can be off, if the authority says that.
    pub(super) accuracy: Option<SignedDuration>,
    /// Nonce of the request, big-endian.
    pub(super) nonce: Option<&'a [u8]>,
}

impl<'a> TstInfo<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, StampError> {
        let mut parts = Element::read(bytes, PART)?.inside(Tag::Sequence)?;
        if parts.next()?.decode::<u8>()? != 1 {
            return Err(Malformed(PART).into());
        }
        let policy = parts.next()?.decode()?;
        let mut imprint = parts.next()?.inside(Tag::Sequence)?;
        let hash_algorithm = algorithm::identifier(&imprint.next()?)?;
        let hash = imprint.next()?.value_of(Tag::OctetString)?;
        imprint.end()?;
        let serial = parts.next()?.value_of(Tag::Integer)?;
        let at = time(parts.next()?.value_of(Tag::GeneralizedTime)?).ok_or(Malformed(PART))?;
        let accuracy = parts.next_if(Tag::Sequence)?;
        let accuracy = accuracy.map(|parts| accuracy_of(parts.inside(Tag::Sequence)?));
        if let Some(ordering) = parts.next_if(Tag::Boolean)? {
            ordering.decode::<bool>()?;
        }
        let nonce = parts.next_if(Tag::Integer)?.map(|nonce| nonce.value());
        // The name of the authority is that in its certificate.
        parts.next_if(context(0))?;
        if let Some(extensions) = parts.next_if(context(1))? {
            refuse_critical(extensions.inside(context(1))?)?;
        }
        parts.end()?;
        Ok(Self {
            policy,
            hash_algorithm,
            hash,
            serial,
            at,
            accuracy: accuracy.transpose()?,
            nonce,
        })
    }
}

fn accuracy_of(mut parts: Elements<'_>) -> Result<SignedDuration, Malformed> {
    let seconds = parts.next_if(Tag::Integer)?;
    let seconds: u32 = seconds.map_or(Ok(0), |seconds| seconds.decode())?;
    let mut small = |number: u32| -> Result<i64, Malformed> {
        let Some(element) = parts.next_if(primitive(number))? else {
            return Ok(0);
        };
        match *element.value() {
            [byte] if byte < 0x80 => Ok(byte.into()),
            [high, low] if high < 0x80 => Ok(i64::from(high) << 8 | i64::from(low)),
            _ => Err(Malformed(PART)),
        }
    };
    let (millis, micros) = (small(0)?, small(1)?);
    parts.end()?;
    Ok(SignedDuration::from_secs(seconds.into())
        + SignedDuration::from_millis(millis)
        + SignedDuration::from_micros(micros))
}

fn refuse_critical(mut extensions: Elements<'_>) -> Result<(), StampError> {
    while !extensions.is_end() {
        let mut parts = extensions.next()?.inside(Tag::Sequence)?;
        let identifier: ObjectIdentifier = parts.next()?.decode()?;
        let critical = parts.next_if(Tag::Boolean)?;
        if critical.is_some_and(|critical| critical.decode() != Ok(false)) {
            return Err(StampError::Extension(identifier.to_string()));
        }
    }
    Ok(())
}

/// Parses `YYYYMMDDhhmmss[.fraction]Z`. The fraction is cut to nanoseconds.
fn time(text: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if whole.len() != 14 || !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let field = |at: usize, length: usize| whole.get(at..at + length)?.parse::<i16>().ok();
    let small = |at: usize| i8::try_from(field(at, 2)?).ok();
    let nanoseconds: String = fraction
        .chars()
        .chain("000000000".chars())
        .take(9)
        .collect();
    let time = DateTime::new(
        field(0, 4)?,
        small(4)?,
        small(6)?,
        small(8)?,
        small(10)?,
        small(12)?,
        nanoseconds.parse().ok()?,
    );
    Some(TimeZone::UTC.to_zoned(time.ok()?).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_with_and_without_a_fraction() {
        let of = |text: &str| time(text.as_bytes()).map(|time| time.to_string());
        assert_eq!(of("20261130045200Z").unwrap(), "2026-11-30T04:52:00Z");
        assert_eq!(of("20261130045200.25Z").unwrap(), "2026-11-30T04:52:00.25Z");
        assert_eq!(
            of("20261130045200.1234567899Z").unwrap(),
            "2026-11-30T04:52:00.123456789Z"
        );
        for text in [
            "20261130045200",
            "20261130045200+0100",
            "20261330045200Z",
            "2026113004520Z",
            "20261130045200.Z",
            "20261130045200.-1Z",
            "+0261130045200Z",
            "20261130246000Z",
            "2026113004520éZ",
            "",
        ] {
            assert_eq!(of(text), None, "{text}");
        }
    }
}
