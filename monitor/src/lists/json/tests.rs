use super::*;
use crate::lists::{Format, Selection, Why, read as read_list, recognise as recognise_list};

fn by_path(text: &str, path: &str) -> List {
    let path = Some(path.parse().unwrap());
    read_list(
        text,
        Format::Json,
        &Selection {
            path,
            ..Selection::default()
        },
    )
}

#[test]
fn paths_of_every_kind_give_their_values_with_their_lines() {
    let text = "{\"p\": [\n{\"s\": \"a\", \"c\": \"192.0.2.0\\/24\"},\n\n{\"s\": \"b\\\"\", \"c\": \"2001:db8::/32\"},\n\
                {\"s\": \"a\", \"c\": \"198.51.100.1\", \"d\": null}]}\n";
    for (path, lines) in [
        ("$.p[*].c", vec![2, 5, 4]),
        ("$['p'].*.c", vec![2, 5, 4]),
        ("$..c", vec![2, 5, 4]),
        ("$.p[?@.s == 'a'].c", vec![2, 5]),
        ("$.p[-1].c", vec![5]),
    ] {
        let list = by_path(text, path);
        let ipv4 = list.ipv4.iter().map(|(_, line)| *line);
        let found: Vec<u32> = ipv4
            .chain(list.ipv6.iter().map(|(_, line)| *line))
            .collect();
        assert_eq!((found, list.bad.count()), (lines, 0), "{path}");
    }
    assert_eq!(by_path(text, "$.p[*].d").left_out, 1);
    for (path, message) in [
        ("$.p", "selects an array"),
        ("$.p[*]", "selects an object"),
        ("$.p[*].s", "`a`"),
    ] {
        let list = by_path(text, path);
        let error = list.bad.first()[0].1.to_string();
        assert!(error.contains(message), "{path}: {error}");
    }
}

#[test]
fn each_line_may_be_a_document_and_a_damaged_line_is_one_bad_line() {
    let text =
        "{\"ip\":\"192.0.2.1\",\"x\":1}\n\n{\"ip\":\"192.0.2.2\"\n{\"ip\":\"2001:db8::1\"}\n";
    let list = by_path(text, "$.ip");
    assert_eq!((list.ipv4[0].1, list.ipv6[0].1), (1, 4));
    assert_eq!((list.bad.count(), list.bad.first()[0].0), (1, 3));
}

#[test]
fn a_truncated_document_gives_nothing() {
    let list = by_path("{\"p\":[\n\"192.0.2.1\",\n\"192.0.2.2\"", "$.p[*]");
    assert!(list.is_empty());
    assert_eq!((list.bad.count(), list.bad.first()[0].0), (1, 3));
}

#[test]
fn known_documents_are_read_and_say_how() {
    for (text, ipv4, ipv6, left_out, name) in [
        (
            r#"{"t":"1","prefixes":[{"ipv4Prefix":"45.4.0.0/16"},{"ipv6Prefix":"2404:6800::/32"}]}"#,
            1,
            1,
            0,
            "Google",
        ),
        (
            r#"{"prefixes":[{"ip_prefix":"192.0.2.0/24","region":"x"}],"ipv6_prefixes":[{"ipv6_prefix":"2001:db8::/32"}]}"#,
            1,
            1,
            0,
            "Amazon",
        ),
        (
            r#"{"values":[{"name":"A","properties":{"addressPrefixes":["192.0.2.0/24","2001:db8::/32"]}}]}"#,
            1,
            1,
            0,
            "Azure",
        ),
        (r#"["192.0.2.0/24", "2001:db8::/32"]"#, 1, 1, 0, "array"),
        (
            r#"{"data":{"resource":"3333","prefixes":[{"prefix":"192.0.2.0/24","timelines":[]}]}}"#,
            1,
            0,
            0,
            "RIPEstat",
        ),
        (
            r#"{"type":"bundle","objects":[{"type":"ipv4-addr","value":"192.0.2.1"},{"type":"domain-name","value":"a.example"},
             {"name":"198.51.100.9","type":"malware"}]}"#,
            1,
            0,
            2,
            "STIX",
        ),
        (
            r#"{"Event":{"info":"x","Attribute":[{"type":"ip-dst","value":"192.0.2.1"},{"type":"md5","value":"ab"}]}}"#,
            1,
            0,
            1,
            "MISP",
        ),
    ] {
        assert_eq!(recognise_list(text), Ok(Format::Json), "{text}");
        let list = read_list(text, Format::Json, &Selection::default());
        assert_eq!(
            (list.ipv4.len(), list.ipv6.len(), list.left_out),
            (ipv4, ipv6, left_out),
            "{text}"
        );
        assert_eq!(list.bad.count(), 0, "{:?}", list.bad);
        assert!(list.how.unwrap().contains(name), "{name}");
    }
}

#[test]
fn stix_patterns_with_more_than_an_address_are_bad() {
    let text = r#"{"type":"bundle","objects":[{"type":"indicator","pattern":"[ipv4-addr:value = '192.0.2.1' AND network-traffic:dst_port = 80]"},
                  {"type":"indicator","pattern":"[ipv4-addr:value = '192.0.2.2']"}]}"#;
    let list = read_list(text, Format::Json, &Selection::default());
    assert_eq!((list.ipv4.len(), list.bad.count()), (1, 1));
}

#[test]
fn another_document_lists_its_paths_with_a_line_to_copy() {
    let text = "{\"me\":\"203.0.113.9\",\"rows\":[{\"dst ip\":\"192.0.2.1\"},{\"dst ip\":\"2001:db8::1\"}]}";
    let refused = recognise_list(text).unwrap_err();
    let shown = refused.why.to_string();
    for part in [
        "1 IPv4 address at `$.me`",
        "1 IPv4 and 1 IPv6 addresses at `$.rows[*][\"dst ip\"]`",
    ] {
        assert!(shown.contains(part), "{shown}");
    }
    let help = refused.why.help_for("x.json");
    assert!(
        help.contains("{list: x.json, path: '$.rows[*][\"dst ip\"]'}"),
        "{help}"
    );
    let damaged = recognise_list("{\n\"a\": [1,\n").unwrap_err();
    assert!(
        matches!(damaged.why, Why::DamagedJson { .. }),
        "{damaged:?}"
    );
}

#[test]
fn a_path_that_needs_the_document_has_a_limit() {
    let text = format!("[{}0]", "{},".repeat(120_000));
    let list = by_path(&text, "$[?@.x == 1]");
    let error = list.bad.first()[0].1.to_string();
    assert!(error.contains("too large"), "{error}");
    assert_eq!(by_path(&text, "$[*].x").bad.count(), 0);
}

#[test]
fn a_value_that_is_not_text_has_its_own_line() {
    let text = "{\"p\": [\n\"192.0.2.1\",\n\n7,\n{\"a\": 1},\n[],\n\n-1.5e3,\ntrue\n]}\n";
    let list = by_path(text, "$.p[*]");
    let lines: Vec<u32> = list.bad.first().iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [4, 5, 6, 8, 9]);
    assert_eq!(list.ipv4[0].1, 2);
}

#[test]
fn parts_of_ranges_and_networks_are_not_offered() {
    for (text, keys) in [
        (
            r#"{"set":[{"range":["45.1.0.0","45.1.0.9"]},{"prefix":{"addr":"45.2.0.0","len":16}}]}"#,
            vec![],
        ),
        (r#"{"r":[{"start":"45.1.0.0","end":"45.1.0.9"}]}"#, vec![]),
        (
            r#"{"r":[{"ip":"45.1.0.0","x":1}]}"#,
            vec!["path: '$.r[*].ip'"],
        ),
    ] {
        let Why::Json(seen) = recognise_list(text).unwrap_err().why else {
            panic!("{text}")
        };
        assert_eq!(seen.keys, keys, "{text}");
    }
}
