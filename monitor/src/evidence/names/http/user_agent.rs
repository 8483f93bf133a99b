//! Finds the model of an Android device in the field `User-Agent`.

use crate::evidence::names::text;

/// Returns the model that an agent of Android's form states, for example `Redmi Note 9 Pro`
/// of `Dalvik/2.1.0 (Linux; U; Android 10; Redmi Note 9 Pro MIUI/V12.0.3.0.QJZMIXM)`.
///
/// The model is the part behind the version and an optional language. It ends before
/// ` Build/` or ` MIUI/`. Browsers that hide the model state `K`.
pub(super) fn model(value: &[u8]) -> Option<String> {
    let value = str::from_utf8(value).ok()?;
    let (_, comment) = value.split_once("(Linux; ")?;
    let (comment, _) = comment.split_once(')')?;
    let mut parts = comment
        .split("; ")
        .skip_while(|part| !is_version(part))
        .skip(1);
    let mut part = parts.next()?;
    if is_language(part) {
        part = parts.next()?;
    }
    let end = [" Build/", " MIUI/"]
        .iter()
        .filter_map(|end| part.find(end))
        .min();
    let model = part.get(..end.unwrap_or(part.len()))?;
    // The browser of one maker states the maker too.
    let model = model.strip_prefix("SAMSUNG ").unwrap_or(model).trim();
    let is_model = model.len() >= 2 && !["wv", "Mobile", "Tablet"].contains(&model);
    is_model.then(|| text::model(model.as_bytes())).flatten()
}

fn is_version(part: &str) -> bool {
    let version = part.strip_prefix("Android ");
    version.is_some_and(|version| version.starts_with(|c: char| c.is_ascii_digit()))
}

/// Returns true for `en`, `en-us` and `en_US`.
fn is_language(part: &str) -> bool {
    let mut letters = part.splitn(2, ['-', '_']);
    let mut two = || {
        letters
            .next()
            .map(|l| l.len() == 2 && l.bytes().all(|b| b.is_ascii_alphabetic()))
    };
    two() == Some(true) && two().unwrap_or_else(|| part.bytes().all(|b| b.is_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_found_in_agents_of_android() {
        for (agent, expected) in [
            (
                "Dalvik/2.1.0 (Linux; U; Android 10; Redmi Note 9 Pro MIUI/V12.0.3.0.QJZMIXM)",
                Some("Redmi Note 9 Pro"),
            ),
            (
                "Dalvik/2.1.0 (Linux; U; Android 9; Redmi Note 8T Build/PKQ1.190616.001)",
                Some("Redmi Note 8T"),
            ),
            (
                "Mozilla/5.0 (Linux; Android 9; Nokia 2.2) AppleWebKit/537.36",
                Some("Nokia 2.2"),
            ),
            (
                "Mozilla/5.0 (Linux; U; Android 4.0.4; en-us; GT-I9300 Build/IMM76D) x",
                Some("GT-I9300"),
            ),
            (
                "Mozilla/5.0 (Linux; Android 10; SM-G970F Build/QP1A; wv) x",
                Some("SM-G970F"),
            ),
            (
                "Mozilla/5.0 (Linux; Android 13; SAMSUNG SM-S918B) x",
                Some("SM-S918B"),
            ),
            (
                "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36",
                None,
            ),
            ("Mozilla/5.0 (Linux; Android 10; wv) x", None),
            (
                "Mozilla/5.0 (Android 13; Mobile; rv:109.0) Gecko/109.0",
                None,
            ),
            ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36", None),
            ("Mozilla/5.0 (Linux; Android 10", None),
            ("Mozilla/5.0 (Linux; Android 10)", None),
            ("Wget/1.14 (darwin12.2.0)", None),
            ("", None),
        ] {
            assert_eq!(model(agent.as_bytes()).as_deref(), expected, "{agent}");
        }
        assert_eq!(model(b"a (Linux; Android 9; \xff)"), None);
    }
}
