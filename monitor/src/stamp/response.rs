//! The answer of an authority (RFC 3161, section 2.4.2).

use der::Tag;

use super::{
    elements::{Element, Elements, Malformed},
    error::{Refusal, StampError},
};

const PART: &str = "the answer";

/// Reasons of a refusal, by their bit.
const REASONS: [(usize, &str); 8] = [
    (0, "badAlg"),
    (2, "badRequest"),
    (5, "badDataFormat"),
    (14, "timeNotAvailable"),
    (15, "unacceptedPolicy"),
    (16, "unacceptedExtension"),
    (17, "addInfoNotAvailable"),
    (25, "systemFailure"),
];

/// The most texts of a refusal that are kept.
const MOST_TEXTS: usize = 4;

/// The token in an answer whose status grants it.
pub(super) fn token(response: &[u8]) -> Result<Element<'_>, StampError> {
    let mut parts = Element::read(response, PART)?.inside(Tag::Sequence)?;
    let mut refusal = status(parts.next()?.inside(Tag::Sequence)?)?;
    if parts.is_end() || !matches!(refusal.status, 0 | 1) {
        refusal.texts.truncate(MOST_TEXTS);
        return Err(StampError::Refused(refusal));
    }
    let token = parts.next()?;
    parts.end()?;
    Ok(token.named("the token"))
}

fn status(mut parts: Elements<'_>) -> Result<Refusal, Malformed> {
    let status = parts.next()?.decode()?;
    let mut texts = Vec::new();
    if let Some(list) = parts.next_if(Tag::Sequence)? {
        let mut list = list.inside(Tag::Sequence)?;
        while !list.is_end() {
            let text = list.next()?.value_of(Tag::Utf8String)?;
            texts.push(String::from_utf8_lossy(text).into_owned());
        }
    }
    let mut reasons = Vec::new();
    if let Some(bits) = parts.next_if(Tag::BitString)? {
        let bits = bits.value().get(1..).unwrap_or_default();
        let is_set = |bit: usize| {
            bits.get(bit / 8)
                .is_some_and(|byte| byte << (bit % 8) & 0x80 != 0)
        };
        let named = REASONS.iter().filter(|(bit, _)| is_set(*bit));
        reasons.extend(named.map(|(_, word)| *word));
    }
    parts.end()?;
    Ok(Refusal {
        status,
        texts,
        reasons,
    })
}
