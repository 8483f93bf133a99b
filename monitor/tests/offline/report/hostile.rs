//! Names of the network in every format.

use super::*;

/// Texts of the network that a terminal, a browser, a spreadsheet or Markdown would run.
fn hostile_names() -> Vec<String> {
    let mut names = vec![
        "<script>alert(1)</script>".to_owned(),
        "\"><img src=x onerror=alert(1)>".to_owned(),
        "a\u{1b}[2Jb\u{7}".to_owned(),
        "evil\u{202e}moc.elgoog".to_owned(),
        "=HYPERLINK(\"http://x\")".to_owned(),
        "@SUM(A1)".to_owned(),
        "a|b`c`](http://x)".to_owned(),
        "two\r\nlines\ttab".to_owned(),
        "www.example.com".to_owned(),
        "https://evil.example/a".to_owned(),
        "mail@evil.example".to_owned(),
    ];
    names.push("x".repeat(255));
    names
}

/// A store in which every name is hostile.
pub(super) fn hostile_story() -> Story {
    let mut story = Story::new();
    for (last, name) in hostile_names().iter().enumerate() {
        story.pass(5);
        let to = format!("42.62.48.{last}");
        let at = story.now;
        story.write(&[flow(PHONE, &to, "range-2014", 1, at)]);
        story.claim(PHONE, &to, NameSource::Sni, name);
        story.fact(PHONE, "host-name", name, "dnsmasq");
        story.fact(PHONE, "model", name, "user-agent");
    }
    story.end();
    story
}

#[test]
fn hostile_names_are_clean_in_every_format() {
    let story = hostile_story();
    for format in FORMATS {
        let text = story.report(&["--format", format]);
        let acts = |c: char| c != '\n' && c != '\r' && monitor::printable::acts(c);
        assert!(!text.contains(acts), "{format}");
        assert!(text.contains(&"x".repeat(255)), "{format}");
        match format {
            "html" => {
                assert!(!text.contains("<script") && !text.contains("<img"));
                assert!(text.contains("&lt;script&gt;"));
            }
            "md" => {
                // The proof is a comment, in which nothing is markup.
                let (shown, _) = text.split_once("<!-- monitor-proof").unwrap();
                let markup = outside_code(shown);
                assert!(!markup.contains("<script") && !markup.contains("<img"));
                // A name is code, so no reader makes a link of it.
                for name in ["www.", "example.com", "evil.example", "://", "mail@"] {
                    assert!(text.contains(name) && !markup.contains(name), "{name}");
                }
            }
            "csv" => {
                // Excel reads UTF-8 only after a byte order mark.
                let rows = csv_cells(text.strip_prefix('\u{feff}').unwrap());
                assert_eq!(rows[0][0], "device");
                let begins = |cell: &String| cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
                assert!(!rows.iter().flatten().any(begins), "{text}");
                assert!(
                    rows.iter()
                        .flatten()
                        .any(|cell| cell.starts_with("'=HYPERLINK"))
                );
                assert!(rows.iter().all(|row| row.len() == rows[0].len()));
            }
            "eve" => {
                for line in text.lines() {
                    serde_json::from_str::<Value>(line).unwrap();
                }
            }
            _ => drop(serde_json::from_str::<Value>(&text).unwrap()),
        }
    }
}

/// The text of Markdown without its code spans, whose content is no markup.
fn outside_code(text: &str) -> String {
    let mut outside = String::new();
    for line in text.lines() {
        let mut rest = line;
        while let Some(begin) = rest.find('`') {
            outside.push_str(&rest[..begin]);
            let after = rest[begin..].trim_start_matches('`');
            let fence = &rest[begin..rest.len() - after.len()];
            // The first run of the same length ends the span.
            let runs = after.match_indices(fence);
            let mut ends = runs.filter(|(at, _)| {
                let is_longer = after[at + fence.len()..].starts_with('`');
                !is_longer && !after[..*at].ends_with('`')
            });
            let end = ends.next().map_or(after.len(), |(at, _)| at + fence.len());
            rest = &after[end..];
        }
        outside.push_str(rest);
        outside.push('\n');
    }
    outside
}

/// The cells of a CSV text (RFC 4180).
fn csv_cells(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut letters = text.chars().peekable();
    while let Some(c) = letters.next() {
        match c {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                cell.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut cell)),
            '\r' if !quoted => {}
            '\n' if !quoted => {
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            c => cell.push(c),
        }
    }
    rows
}
