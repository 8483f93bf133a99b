//! Lists in the forms that firewalls, providers and registries write: each is recognised,
//! and none is taken for another.

use std::collections::BTreeSet;

use monitor::lists::{Format, Selection, Why, read, recognise};
use proptest::prelude::*;

/// Two entries of each form, which are recognised without a key.
const FORMS: [(Format, [&str; 2]); 15] = [
    (Format::Plain, ["45.1.0.0/24", "2a00:1::/32"]),
    (Format::Scores, ["45.1.0.0/24\t3", "45.2.0.1\t7"]),
    (
        Format::SpamhausJson,
        [
            r#"{"cidr":"45.1.0.0/24","sblid":"S"}"#,
            r#"{"cidr":"2a00:1::/32","rir":"ripencc"}"#,
        ],
    ),
    (
        Format::PeerGuardian,
        ["A: b:45.1.0.0-45.1.0.255", "c:45.2.0.0-45.2.0.9"],
    ),
    (
        Format::Emule,
        [
            "045.001.000.000 - 045.001.000.255 , 000 , a",
            "045.002.000.000 - 045.002.000.009 , 000 , b",
        ],
    ),
    (
        Format::RangeCsv,
        ["45.1.0.0,45.1.0.255,CN", "2a00:1::,2a00:1::f,US"],
    ),
    (
        Format::NumericCsv,
        ["755040256,755040511,CN", "755105792,755105801,CN"],
    ),
    (
        Format::Rir,
        [
            "apnic|CN|ipv4|45.1.0.0|256|20110310|allocated",
            "apnic|CN|ipv6|2a00:1::|32|20110310|allocated",
        ],
    ),
    (
        Format::IpsetSave,
        ["add x 45.1.0.0/24", "add x 45.2.0.1 timeout 9"],
    ),
    (
        Format::Nft,
        [
            "add element inet x a { 45.1.0.0/24 }",
            "add element inet x a { 2a00:1::/32 }",
        ],
    ),
    (
        Format::Mikrotik,
        [
            "add list=x address=45.1.0.0/24",
            "add address=45.2.0.1 list=x",
        ],
    ),
    (
        Format::Cisco,
        [
            "ip prefix-list x permit 45.1.0.0/24",
            "ipv6 prefix-list x permit 2a00:1::/32",
        ],
    ),
    (
        Format::Juniper,
        [
            "set policy-options prefix-list x 45.1.0.0/24",
            "set policy-options prefix-list x 2a00:1::/32",
        ],
    ),
    (
        Format::Pfx2as,
        ["45.1.0.0\t24\t64500", "2a00:1::\t32\t64500_64501"],
    ),
    (
        Format::Rpsl,
        [
            "route: 45.1.0.0/24\norigin: AS64500\n",
            "route6: 2a00:1::/32\norigin: AS64500\n",
        ],
    ),
];

fn destinations(text: &str, format: Format) -> BTreeSet<String> {
    let list = read(text, format, &Selection::default());
    assert_eq!(list.bad.count(), 0, "{format}: {text}: {:?}", list.bad);
    let ipv4 = list
        .ipv4
        .iter()
        .map(|(interval, _)| format!("{interval:?}"));
    ipv4.chain(
        list.ipv6
            .iter()
            .map(|(interval, _)| format!("{interval:?}")),
    )
    .collect()
}

#[test]
fn a_file_of_each_form_is_not_taken_for_another() {
    for (format, entries) in FORMS {
        let file = entries.join("\n") + "\n";
        assert_eq!(recognise(&file), Ok(format), "{file}");
        assert_eq!(destinations(&file, format).len(), 2, "{format}");
    }
}

#[test]
fn a_file_of_two_forms_is_refused_and_names_both_lines() {
    for (first, ours) in FORMS {
        for (second, theirs) in FORMS.iter().filter(|(second, _)| *second != first) {
            let text = format!("{}\n{}\n\n{}\n", ours[0], ours[1], theirs[0]);
            let refused = match recognise(&text) {
                Err(refused) => refused,
                // A list of addresses may have bad lines, so the reader must refuse this one.
                Ok(format) => {
                    let list = read(&text, format, &Selection::default());
                    let count = text.lines().count();
                    let theirs = theirs[0].lines().count();
                    let is_named =
                        |(line, _): &(u32, _)| *line as usize > count - theirs && format == first;
                    assert!(
                        list.bad.first().iter().any(is_named),
                        "{first} and {second} are {format}: {text}"
                    );
                    continue;
                }
            };
            let Why::Ambiguous { first_line, .. } = refused.why else {
                panic!("{first} and {second}: {:?}", refused.why);
            };
            assert_ne!(refused.line, first_line, "{text}");
        }
    }
}

/// A file of each of the two forms for which a key is needed is never taken for another,
/// and a line of it in another file is not read.
#[test]
fn a_csv_and_a_document_are_not_taken_for_a_form_without_a_key() {
    let csv = "id,dst,x\n1,45.1.0.0/24,a\n2,45.2.0.0/24,b\n";
    let json = "{\"rows\": [\n{\"dst\": \"45.1.0.0/24\"}\n]}\n";
    assert!(matches!(recognise(csv).unwrap_err().why, Why::Csv(_)));
    assert!(matches!(recognise(json).unwrap_err().why, Why::Json(_)));
    for (format, entries) in FORMS {
        for line in ["1,45.1.0.0/24,a", "{\"dst\": \"45.9.0.0/24\"}"] {
            let text = format!("{}\n{}\n\n{line}\n", entries[0], entries[1]);
            let count = text.lines().count();
            match recognise(&text) {
                Err(_) => {}
                Ok(found) => {
                    assert_eq!(found, format, "{text}");
                    let list = read(&text, found, &Selection::default());
                    let bad = list.bad.first();
                    assert!(
                        bad.iter().any(|(number, _)| *number as usize == count),
                        "{text}: {bad:?}"
                    );
                }
            }
        }
        // Lines of the form within a CSV have too few columns, or stand in another one.
        let text = format!("{csv}{}\n", entries[0]);
        match recognise(&text) {
            Err(refused) => assert!(
                matches!(refused.why, Why::Csv(_) | Why::Ambiguous { .. }),
                "{text}: {:?}",
                refused.why
            ),
            Ok(found) => {
                let list = read(&text, found, &Selection::default());
                assert!(list.bad.count() >= 2, "{text}: {found}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Comments, blank lines, white space at line ends, line ends and the order of the
    /// entries change neither the format nor the destinations.
    #[test]
    fn what_means_nothing_changes_nothing(
        form in 0..FORMS.len(),
        before in prop::collection::vec(0..4_usize, 3),
        is_swapped: bool,
        spaces in 0..3_usize,
        end in 0..2_usize,
    ) {
        let (format, entries) = FORMS[form];
        let expected = destinations(&(entries.join("\n") + "\n"), format);
        // Each form has its own mark for a comment.
        let comment = match format {
            Format::Cisco => "! note",
            Format::Rpsl => "% note",
            _ => "# note",
        };
        let [first, second] = entries;
        let entries = if is_swapped { [second, first] } else { [first, second] };
        let end = ["\n", "\r\n"][end];
        let mut text = String::new();
        for (at, noise) in before.iter().enumerate() {
            let noises = [String::new(), end.to_owned(), format!("{comment}{end}"), format!("{end}{comment}{end}{end}")];
            text.push_str(&noises[*noise]);
            if let Some(entry) = entries.get(at) {
                for line in entry.lines() {
                    let blanks = " ".repeat(spaces);
                    text = format!("{text}{line}{blanks}{end}");
                }
                if format == Format::Rpsl {
                    text.push_str(end);
                }
            }
        }
        prop_assert_eq!(recognise(&text), Ok(format), "{}", text);
        prop_assert_eq!(destinations(&text, format), expected, "{}", text);
    }
}
