//! Reports without private data.

use super::*;

/// Forms in which a text could stand in a report.
fn forms(original: &str) -> Vec<String> {
    let plain = original.replace([':', '-'], "");
    let percent = original
        .replace(':', "%3A")
        .replace('@', "%40")
        .replace(' ', "%20");
    let mut forms = vec![original.to_owned(), percent, original.replace(':', "-")];
    if plain.len() >= 8 {
        forms.push(plain);
    }
    let lower: Vec<_> = forms.iter().map(|form| form.to_lowercase()).collect();
    forms.extend(lower);
    // Base64 at the three possible offsets, without the digits that neighbours change.
    for offset in 0..3 {
        let padded = format!("{}{original}", "\0".repeat(offset));
        let digits = base64(padded.as_bytes());
        let (from, to) = ((offset * 8).div_ceil(6), padded.len() * 8 / 6);
        forms.push(digits[from..to].to_owned());
    }
    forms
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let chunks = bytes.chunks(3).flat_map(|chunk| {
        let number = chunk
            .iter()
            .fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte));
        let number = number << (8 * (3 - chunk.len()));
        [18, 12, 6, 0].map(|shift| char::from(DIGITS[(number >> shift & 63) as usize]))
    });
    chunks.collect()
}

/// Everything private in the story.
const ORIGINALS: [&str; 23] = [
    PHONE,
    OTHER,
    "annas-phone",
    "kitchen tablet",
    "gateway-of-anna",
    "192.168.77.1",
    "192.168.77.23",
    "fd77::1",
    "2001:db8:77:1:66cc:2eff:fe11:2233",
    "66cc:2eff:fe11:2233",
    "anna@mail.example",
    "sim of anna",
    "cloud backup off",
    "what anna wrote",
    "Redmi Note",
    "wlx64cc2e112233",
    "anna-1234.dns",
    "annas-tv",
    "2001:db8:77:2::5",
    "says the neighbour",
    "annas-own.yaml",
    "a newspaper",
    // A network that covers the household's line, and not only this line.
    "2001:db8:60::",
];

#[test]
fn a_redacted_report_has_no_original_in_any_format() {
    let mut story = Story::told_open();
    // The same host as the phone, as a destination, by another network.
    let at = story.now;
    story.write(&[
        flow(OTHER, "192.168.77.23", "range-2014", 1, at),
        flow(
            OTHER,
            "2001:db8:99::66cc:2eff:fe11:2233",
            "range-2014",
            1,
            at,
        ),
    ]);
    let mut by_adapter = flow(PHONE, SERVER, "range-2014", 1, at);
    by_adapter.key.interface = "wlx64cc2e112233".to_owned();
    let of_line = flow(OTHER, "2001:db8:77:2::5", "range-2014", 1, at);
    story.write(&[by_adapter, of_line]);
    for name in [
        "annas-phone.lan",
        "192.168.77.23:8080",
        "annas-tv.fritz.box",
    ] {
        story.claim(OTHER, "192.168.77.23", NameSource::HttpHost, name);
        story.claim(OTHER, "42.62.48.200", NameSource::HttpHost, name);
    }
    story.end();
    let config = story.config();
    for format in FORMATS {
        let arguments = ["--format", format, "--config", config.to_str().unwrap()];
        let open = story.report(&arguments);
        let redacted = story.report(&[&arguments[..], &["--redact"]].concat());
        let lower = redacted.to_lowercase();
        for original in ORIGINALS {
            for form in forms(original) {
                let is_base64 = !form.contains(['-', ':', ' ', '.', '%', '@']);
                let found = if is_base64 {
                    redacted.contains(&form)
                } else {
                    lower.contains(&form.to_lowercase())
                };
                assert!(!found, "{format}: {original} as {form}");
            }
        }
        assert!(open.contains(PHONE), "{format}");
        if format == "json" {
            // Otherwise the test could not fail.
            let open = open.to_lowercase();
            for original in ORIGINALS {
                assert!(open.contains(&original.to_lowercase()), "{original}");
            }
        }
        assert!(redacted.contains("device-"), "{format}");
        // The far side stays.
        assert!(
            redacted.contains(SERVER) && redacted.contains("api.cloud.example"),
            "{format}"
        );
        // Another report has other pseudonyms.
        assert_ne!(
            redacted,
            story.report(&[&arguments[..], &["--redact"]].concat()),
            "{format}"
        );
    }
    let key = story.directory.path().join("key");
    let with_key = [
        "--format",
        "json",
        "--redact",
        "--pseudonym-key",
        key.to_str().unwrap(),
    ];
    let first = story.report(&with_key);
    assert_eq!(std::fs::read(&key).unwrap().len(), 32);
    assert_eq!(first, story.report(&with_key));
    std::fs::write(&key, "short").unwrap();
    let output = story.monitor(&[&["report"], &with_key[..]].concat());
    assert!(!output.status.success());
}

/// Flows to the household's own addresses stay in EVE, under their pseudonyms.
#[test]
fn a_redacted_destination_is_an_event_too() {
    let mut story = Story::told_open();
    let at = story.now;
    let to = "192.168.77.23";
    story.write(&[flow(OTHER, to, "range-2014", 1, at)]);
    story.claim(OTHER, to, NameSource::Dns, "annas-tv.fritz.box");
    story.end();
    let lines = |more: &[&str]| {
        let text = story.report(&[&["--format", "eve"], more].concat());
        let lines = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.collect::<Vec<_>>()
    };
    let (open, redacted) = (lines(&[]), lines(&["--redact"]));
    assert_eq!(open.len(), redacted.len());
    let own: Vec<_> = redacted
        .iter()
        .filter(|line| line.get("dest_pseudonym").is_some())
        .collect();
    assert_eq!(own.len(), 2, "{own:?}");
    for line in &own {
        assert!(line.get("dest_ip").is_none(), "{line}");
        assert!(
            line["dest_pseudonym"]
                .as_str()
                .unwrap()
                .starts_with("address-")
        );
        assert_eq!(line["flow_id"], own[0]["flow_id"]);
    }
    let ids = |lines: &[Value]| {
        let ids = lines.iter().map(|line| line["flow_id"].as_u64().unwrap());
        ids.collect::<std::collections::BTreeSet<_>>().len()
    };
    assert_eq!(ids(&open), ids(&redacted));
}
