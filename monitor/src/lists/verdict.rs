//! Words with which rows and names say whether addresses are allowed or blocked. A list
//! with such words has rows of both meanings, so its form alone does not say which to use.

/// Words that are no name of a network or organisation.
const CLEAR: [&str; 21] = [
    "allow",
    "allowed",
    "allowlist",
    "deny",
    "denied",
    "denylist",
    "permit",
    "permitted",
    "whitelist",
    "whitelisted",
    "white list",
    "except",
    "exception",
    "exclude",
    "excluded",
    "negate",
    "negated",
    "revoked",
    "removed",
    "deleted",
    "not",
];

/// Words that may also be a name.
const OTHERS: [&str; 20] = [
    "accept",
    "accepted",
    "pass",
    "drop",
    "dropped",
    "block",
    "blocked",
    "blacklist",
    "blacklisted",
    "blocklist",
    "reject",
    "rejected",
    "trusted",
    "safe",
    "benign",
    "inactive",
    "disabled",
    "expired",
    "true",
    "false",
];

/// Parts of column names.
const NAMES: [&str; 9] = [
    "action",
    "verdict",
    "policy",
    "decision",
    "disposition",
    "status",
    "enabled",
    "active",
    "direction",
];

/// Returns true if `text` clearly says that addresses are allowed or blocked.
pub(super) fn is_clear(text: &str) -> bool {
    is_one_of(text, &CLEAR)
}

/// Returns true if `text` may say that addresses are allowed or blocked.
pub(super) fn is_possible(text: &str) -> bool {
    is_one_of(text, &CLEAR) || is_one_of(text, &OTHERS)
}

/// Returns true if a column of this name may say which rows are allowed or blocked.
pub(super) fn is_name(name: &str) -> bool {
    let mut parts = name.split(['_', '-', ' ', '.']);
    parts.any(|part| is_possible(part) || is_one_of(part, &NAMES))
}

/// Returns true if `text` allows addresses, and so excludes them from a list.
pub(super) fn allows(text: &str) -> bool {
    const ALLOWS: [&str; 10] = [
        "allow",
        "allowed",
        "allowlist",
        "permit",
        "accept",
        "pass",
        "whitelist",
        "white list",
        "not",
        "except",
    ];
    is_one_of(text, &ALLOWS)
}

fn is_one_of(text: &str, words: &[&str]) -> bool {
    let is_word = (3..=12).contains(&text.len()) && text.as_bytes()[0].is_ascii_alphabetic();
    is_word && words.iter().any(|word| text.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_names_of_columns_with_a_verdict() {
        for name in ["is_allowed", "Action", "white list", "c2_status", "deny"] {
            assert!(is_name(name) || is_clear(name), "{name}");
        }
        for name in [
            "network",
            "is_anonymous_proxy",
            "is_satellite_provider",
            "asn",
        ] {
            assert!(!is_name(name), "{name}");
        }
        assert!(is_clear("Allow") && !is_clear("Block") && is_possible("Block"));
    }
}
