//! Reports that a person got from somebody else, and verifies.

use monitor::{
    merkle::PublicKey,
    report::{Verification, verify},
};

/// Reports whose proof holds, as the seeds have them.
const WHOLE: [&str; 2] = [
    include_str!("../../corpus/report/redacted.json"),
    include_str!("../../corpus/report/report.html"),
];

/// The statements are plain and bounded. No file holds under the key of a whole report, except
/// that report.
pub fn report(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(found) = verify(text, Some(text), None) {
        check(&found);
    }
    let Ok(found) = verify(text, None, None) else {
        return;
    };
    check(&found);
    for whole in WHOLE {
        let known = key(whole);
        let Ok(found) = verify(text, None, Some(&known)) else {
            continue;
        };
        check(&found);
        assert!(
            !found.holds() || WHOLE.contains(&text),
            "a changed report holds: {found:?}"
        );
    }
}

/// The key in a report.
fn key(report: &str) -> PublicKey {
    let found = verify(report, None, None).ok();
    found
        .and_then(|found| found.key)
        .expect("a whole report has a key")
}

fn check(found: &Verification) {
    assert!(found.statements.len() < 1_000, "{found:?}");
    for statement in &found.statements {
        let is_plain = !statement.text.contains(char::is_control);
        assert!(is_plain, "{:?}", statement.text);
    }
}
