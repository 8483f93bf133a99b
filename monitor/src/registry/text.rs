//! Recognises texts that name only a registry, or that name no holder.

use super::Registry;

/// Full names of registries, in upper case, without punctuation. A legal form may follow.
/// A longer phrase comes before a phrase that it contains.
const FULL: &[(&str, Registry)] = &[
    ("CHINA INTERNET NETWORK INFORMATION CENTER", Registry::Cnnic),
    ("CHINA INTERNET NETWORK INFOMATION CENTER", Registry::Cnnic),
    (
        "INDIAN REGISTRY FOR INTERNET NAMES AND NUMBERS",
        Registry::Irinn,
    ),
    (
        "VIETNAM INTERNET NETWORK INFORMATION CENTER",
        Registry::Vnnic,
    ),
    (
        "VIET NAM INTERNET NETWORK INFORMATION CENTER",
        Registry::Vnnic,
    ),
    (
        "ASOSIASI PENYELENGGARA JASA INTERNET INDONESIA",
        Registry::Idnic,
    ),
    (
        "INDONESIA INTERNET SERVICE PROVIDER ASSOCIATION",
        Registry::Idnic,
    ),
    ("INDONESIA NETWORK INFORMATION CENTER", Registry::Idnic),
    ("JAPAN NETWORK INFORMATION CENTER", Registry::Jpnic),
    ("KOREA NETWORK INFORMATION CENTER", Registry::Krnic),
    ("KOREA INTERNET AND SECURITY AGENCY", Registry::Krnic),
    ("KOREA INTERNET SECURITY AGENCY", Registry::Krnic),
    ("TAIWAN NETWORK INFORMATION CENTER", Registry::Twnic),
    ("AFRICAN NETWORK INFORMATION CENTER", Registry::Afrinic),
    ("ASIA PACIFIC NETWORK INFORMATION CENTER", Registry::Apnic),
    (
        "REGIONAL INTERNET REGISTRY FOR THE ASIA PACIFIC REGION",
        Registry::Apnic,
    ),
    ("AMERICAN REGISTRY FOR INTERNET NUMBERS", Registry::Arin),
    (
        "LATIN AMERICAN AND CARIBBEAN IP ADDRESS REGIONAL REGISTRY",
        Registry::Lacnic,
    ),
    (
        "LATIN AMERICAN AND CARIBBEAN INTERNET ADDRESSES REGISTRY",
        Registry::Lacnic,
    ),
    (
        "RESEAUX IP EUROPEENS NETWORK COORDINATION CENTER",
        Registry::RipeNcc,
    ),
    ("RIPE NETWORK COORDINATION CENTER", Registry::RipeNcc),
    ("INTERNET ASSIGNED NUMBERS AUTHORITY", Registry::Iana),
    ("RIPE NCC", Registry::RipeNcc),
    ("NIC MEXICO", Registry::NicMx),
    ("IAR MEXICO", Registry::NicMx),
    ("NIC BR", Registry::NicBr),
    ("REGISTRO BR", Registry::NicBr),
];

/// Words that stand for a registry.
const SHORT: &[(&str, Registry)] = &[
    ("CNNIC", Registry::Cnnic),
    ("JPNIC", Registry::Jpnic),
    ("KRNIC", Registry::Krnic),
    ("KISA", Registry::Krnic),
    ("TWNIC", Registry::Twnic),
    ("IRINN", Registry::Irinn),
    ("VNNIC", Registry::Vnnic),
    ("IDNIC", Registry::Idnic),
    ("APJII", Registry::Idnic),
    ("AFRINIC", Registry::Afrinic),
    ("APNIC", Registry::Apnic),
    ("ARIN", Registry::Arin),
    ("LACNIC", Registry::Lacnic),
    ("RIPENCC", Registry::RipeNcc),
    ("RIPE", Registry::RipeNcc),
    ("IANA", Registry::Iana),
];

/// Short words that are also ordinary names. `Arin Ltd` and `Ripe Inc` are companies.
const AMBIGUOUS: &[&str] = &["ARIN", "RIPE", "KISA", "IANA"];

/// Words of a handle that say nothing about a holder, such as those in `MAINT-CNNIC-AP`,
/// `JPNIC-NET-JP-ERX` and `RIPE-NCC-END-MNT`.
const TAGS: &[&str] = &[
    "MAINT", "MNT", "MNTNER", "IRT", "HM", "ORG", "NIR", "RIR", "NCC", "NET", "NETBLOCK", "NETBLK",
    "BLK", "BLOCK", "CIDR", "AS", "ASN", "ASNBLK", "AUTNUM", "ERX", "LEGACY", "END", "LOCKED",
    "SERVICES", "CRITICAL", "RESERVED", "POOL", "IPV4", "IPV6", "IP",
];

/// Country codes, and codes of regions, in the handles of registries.
const CODES: &[&str] = &[
    "AP", "AU", "BR", "CN", "EU", "HK", "ID", "IN", "JP", "KR", "MU", "MX", "NL", "SG", "TW", "US",
    "UY", "VN", "ZZ",
];

/// Legal forms and articles.
const FORMS: &[&str] = &["THE", "INC", "LTD", "LIMITED", "PTY", "CO", "CORP"];

/// Words of a handle that mark an object for authorisation.
const AUTHORISATION: &[&str] = &["MNT", "MAINT", "MNTNER", "IRT"];

/// Texts in place of a holder, in upper case, without punctuation.
const PLACEHOLDERS: &[&str] = &[
    "NON RIPE NCC MANAGED ADDRESS BLOCK",
    "IPV4 ADDRESS BLOCK NOT MANAGED BY THE RIPE NCC",
    "IPV6 ADDRESS BLOCK NOT MANAGED BY THE RIPE NCC",
    "REGIONAL INTERNET REGISTRY",
    "NATIONAL INTERNET REGISTRY",
    "LOCAL INTERNET REGISTRY",
    "NOT ALLOCATED",
    "NOT ASSIGNED",
    "NOT ROUTED",
    "NOT ANNOUNCED",
    "NOT AVAILABLE",
    "NOT KNOWN",
    "UNALLOCATED",
    "UNASSIGNED",
    "UNSPECIFIED",
    "UNKNOWN",
    "UNNAMED",
    "RESERVED",
    "NONE",
    "NULL",
    "N A",
];

/// Maximum number of words in a text that can name only a registry.
const MAX_WORDS: usize = 16;

/// Returns the registry that stands for this word in upper case.
pub(super) fn of_word(word: &str) -> Option<Registry> {
    let mut known = SHORT.iter();
    known
        .find(|(known, _)| *known == word)
        .map(|(_, registry)| *registry)
}

/// See [`Registry::only_in`].
pub(super) fn only_in(text: &str) -> Option<Registry> {
    let text = plain(text);
    let words = words(&text)?;
    let is_handle = !text.trim().contains(char::is_whitespace);
    // In a longer text, an ambiguous word needs a clear one beside it.
    let is_alone = words.len() == 1;
    let mut rest: &[String] = &words;
    let (mut found, mut is_clear): (Option<Registry>, bool) = (None, is_handle || is_alone);
    while let Some(word) = rest.first() {
        let full = full_at_start(rest);
        let named = full.or_else(|| Some((1, of_word(word)?)));
        if let Some((length, registry)) = named {
            is_clear |= full.is_some() || !AMBIGUOUS.contains(&word.as_str());
            if found.is_none_or(|before| before.parent().is_none()) {
                found = Some(registry);
            }
            rest = rest.get(length..)?;
        } else if is_noise(word, is_handle) {
            rest = rest.get(1..)?;
        } else {
            return None;
        }
    }
    found.filter(|_| is_clear)
}

/// True if a word beside the name of a registry says nothing about a holder.
fn is_noise(word: &str, is_handle: bool) -> bool {
    if !is_handle {
        return FORMS.contains(&word);
    }
    let is_number = word.bytes().all(|byte| byte.is_ascii_digit());
    is_number || TAGS.contains(&word) || CODES.contains(&word)
}

/// Returns true if `text` stands in the place of a holder without naming one: it says that
/// there is none, or that a registry allocated the range.
pub(crate) fn is_placeholder(text: &str) -> bool {
    let Some(words) = words(&plain(text)) else {
        return false;
    };
    let is_allocation = words.iter().any(|word| word.starts_with("ALLOCAT"));
    let joined = words.join(" ");
    PLACEHOLDERS.contains(&joined.as_str()) || (is_allocation && names_one(&words))
}

/// Returns true if a word or phrase of `text` stands for a registry.
pub(crate) fn mentions(text: &str) -> bool {
    let text = plain(text);
    let parts = text.split(|c: char| !c.is_alphanumeric());
    let words: Vec<String> = parts.filter(|part| !part.is_empty()).map(word).collect();
    names_one(&words)
}

fn names_one(words: &[String]) -> bool {
    let mut starts = (0..words.len()).filter_map(|start| words.get(start..));
    starts.any(|rest| {
        let word = rest.first().and_then(|word| of_word(word));
        word.is_some() || full_at_start(rest).is_some()
    })
}

/// Returns true if a handle is that of an object for authorisation: it has a word such as
/// `MNT` or `IRT`. A text with spaces is a name and not a handle.
pub(crate) fn is_authorisation(handle: &str) -> bool {
    let handle = plain(handle);
    let handle = handle.trim();
    let mut parts = handle.split(|c: char| !c.is_alphanumeric()).map(word);
    !handle.contains(char::is_whitespace)
        && parts.any(|part| AUTHORISATION.contains(&part.as_str()))
}

/// Returns `text` without characters that show nothing, and with ASCII characters in place
/// of their fullwidth forms. So texts that look the same are the same.
pub(crate) fn plain(text: &str) -> String {
    let shown = text.chars().filter(|c| !is_ignorable(*c));
    shown.map(narrow).collect()
}

/// True for characters with the property `Default_Ignorable_Code_Point` of Unicode, except
/// the controls of the bidirectional algorithm, which are escaped elsewhere.
const fn is_ignorable(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200d}'
            | '\u{2060}'..='\u{2065}'
            | '\u{206a}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fff8}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Returns the ASCII character of a fullwidth form (U+FF01 to U+FF5E, U+3000).
fn narrow(c: char) -> char {
    match c {
        '\u{3000}' => ' ',
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        _ => c,
    }
}

/// Returns the words of `text` in upper case. Returns `None` if there are more than
/// [`MAX_WORDS`].
fn words(text: &str) -> Option<Vec<String>> {
    let parts = text.split(|c: char| !c.is_alphanumeric());
    let parts = parts.filter(|part| !part.is_empty());
    let words: Vec<String> = parts.take(MAX_WORDS + 1).map(word).collect();
    (words.len() <= MAX_WORDS).then_some(words)
}

/// Returns a word in upper case and in American spelling, without accents in the names of
/// registries.
fn word(part: &str) -> String {
    let word = part.to_uppercase();
    match word.as_str() {
        "CENTRE" => "CENTER".to_owned(),
        "MÉXICO" => "MEXICO".to_owned(),
        "RÉSEAUX" => "RESEAUX".to_owned(),
        "EUROPÉENS" => "EUROPEENS".to_owned(),
        _ => word,
    }
}

/// Returns the registry whose full name the first words are, and the number of these words.
fn full_at_start(words: &[String]) -> Option<(usize, Registry)> {
    FULL.iter().find_map(|(phrase, registry)| {
        let length = phrase.split(' ').count();
        let start = words.get(..length)?;
        let is_phrase = start.iter().zip(phrase.split(' ')).all(|(a, b)| a == b);
        is_phrase.then_some((length, *registry))
    })
}

#[cfg(test)]
mod tests;
