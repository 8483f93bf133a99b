//! What a hostile RDAP server can answer, and what must not be asked.

use monitor::data::rdap::Answer;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Answers, HttpServer, answer, card, of_a_member, redirect, text};

#[test]
fn redirects_in_a_circle_and_into_private_networks_are_refused() {
    let refused = |to: &dyn Fn(&str) -> String| {
        let server = HttpServer::start(|url| {
            Answers::from([("/ip/42.62.48.1".to_owned(), redirect(&to(url)))])
        });
        let error = server.ask("42.62.48.1").unwrap_err().to_string();
        (error, server.requests.lock().unwrap().len())
    };
    let (error, requests) = refused(&|url| format!("{url}/ip/42.62.48.1"));
    assert!(error.contains("redirects more than 5 times"), "{error}");
    assert_eq!(requests, 6);
    for inside in [
        "http://192.168.1.1/ip/42.62.48.1",
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]/",
        "http://127.0.0.2/",
        "http://localhost/",
    ] {
        let (error, requests) = refused(&|_| inside.to_owned());
        assert!(
            error.contains("no RDAP server may lead there"),
            "{inside}: {error}"
        );
        assert_eq!(requests, 1);
    }
    let (error, _) = refused(&|_| "file:///etc/passwd".to_owned());
    assert!(error.contains("redirects to file:"), "{error}");
}

#[test]
fn hostile_answers_are_errors() {
    let deep = |field: &str, open: &str, close: &str| {
        let (open, close) = (open.repeat(40_000), close.repeat(40_000));
        format!("{{\"{field}\":{open}{close}}}")
    };
    let about = |first: &str, last: &str| {
        let mut object = of_a_member();
        object["startAddress"] = json!(first);
        object["endAddress"] = json!(last);
        object.to_string()
    };
    for (body, expected) in [
        (" ".repeat(300 * 1024), "larger than 256 KiB"),
        (deep("name", "[", "]"), "recursion limit"),
        (deep("entities", "[", "]"), "recursion limit"),
        (deep("remarks", "{\"a\":", ""), "recursion limit"),
        (deep("unknown", "[", "]"), "names no range"),
        (String::new(), "not a JSON object"),
        ("[]".to_owned(), "not a JSON object"),
        ("null".to_owned(), "not a JSON object"),
        ("<html>".to_owned(), "not a JSON object"),
        ("{}".to_owned(), "names no range"),
        (
            json!({"errorCode": 500, "title": "x"}).to_string(),
            "names no range",
        ),
        (
            json!({"objectClassName": "entity\u{1b}"}).to_string(),
            "of class `entity",
        ),
        (
            about("43.0.0.0", "43.255.255.255"),
            "it is about 43.0.0.0 - 43.255.255.255",
        ),
        (about("42.255.255.255", "42.0.0.0"), "it is about"),
        (about("0.0.0.0", "ffff::"), "it is about"),
        (about("::", "ffff::"), "it is about"),
        (about("x", "y"), "names no range"),
    ] {
        let error = answer(&body).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
        assert!(error.chars().count() < 3000, "{error}");
    }
}

#[test]
fn an_endless_answer_ends_at_the_limit() {
    let mut endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..64 {
        endless.extend(b"4000\r\n");
        endless.extend(vec![b' '; 0x4000]);
        endless.extend(b"\r\n");
    }
    let server = HttpServer::start(|_| Answers::from([("/ip/42.62.48.1".to_owned(), endless)]));
    let error = server.ask("42.62.48.1").unwrap_err().to_string();
    assert!(error.contains("larger than 256 KiB"), "{error}");
}

#[test]
fn no_server_is_asked_about_an_inside_address() {
    let server = HttpServer::start(|_| Answers::new());
    for address in [
        "192.168.1.1",
        "10.0.0.1",
        "127.0.0.1",
        "fe80::1",
        "fd12::1",
        "::ffff:10.0.0.1",
    ] {
        let error = server.ask(address).unwrap_err().to_string();
        assert!(error.contains("no registry delegates it"), "{error}");
    }
    assert_eq!(server.requests.lock().unwrap().len(), 0);
}

/// Any JSON value, up to three levels deep.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i32>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(json!("registrant")),
        Just(json!("vcard")),
        Just(json!("fn")),
        Just(json!("MAINT-CNNIC-AP")),
    ];
    leaf.prop_recursive(3, 32, 4, |inner| {
        let key = prop_oneof![
            Just("roles".to_owned()),
            Just("handle".to_owned()),
            Just("vcardArray".to_owned()),
            Just("description".to_owned()),
            any::<String>(),
        ];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::hash_map(key, inner, 0..4)
                .prop_map(|map| map.into_iter().collect()),
        ]
    })
}

/// A text that names only a registry, as servers write it.
fn registry_text() -> impl Strategy<Value = String> {
    let name = proptest::sample::select(vec![
        "CNNIC", "JPNIC", "KRNIC", "TWNIC", "IRINN", "VNNIC", "APNIC", "RIPE-NCC", "ARIN", "LACNIC",
    ]);
    let handle = (
        proptest::sample::select(vec!["", "MAINT-", "IRT-", "MNT-"]),
        name,
        proptest::sample::select(vec![
            "", "-AP", "-MNT", "-HM-MNT", "-END-MNT", "-ERX", "-CN",
        ]),
    );
    let handle = handle.prop_map(|(before, name, after)| format!("{before}{name}{after}"));
    let full = proptest::sample::select(vec![
        "China Internet Network Information Center",
        "Japan Network Information Center",
        "Asia Pacific Network Information Centre, Pty. Ltd.",
        "Regional Internet Registry for the Asia-Pacific Region",
        "Réseaux IP Européens Network Coordination Centre (RIPE NCC)",
        "IPv4 address block not managed by the RIPE NCC",
    ]);
    let text = prop_oneof![handle, full.prop_map(str::to_owned)];
    let hidden = (text, any::<bool>(), any::<bool>(), 0..100_usize);
    hidden.prop_map(|(text, is_lower, is_hidden, at)| {
        let mut text = if is_lower { text.to_lowercase() } else { text };
        if is_hidden {
            let at = text.floor_char_boundary(at % text.len());
            text.insert(at, '\u{200b}');
        }
        text
    })
}

proptest! {
    #[test]
    fn no_text_of_a_registry_becomes_a_holder(
        name in registry_text(),
        description in proptest::collection::vec(registry_text(), 0..3),
        remarks in proptest::collection::vec(registry_text(), 0..3),
        registrants in proptest::collection::vec((registry_text(), any::<bool>()), 0..4),
    ) {
        let registrants: Vec<Value> = registrants
            .iter()
            .map(|(name, is_org)| {
                let kind = if *is_org { "org" } else { "individual" };
                json!({"handle": name, "roles": ["registrant"], "vcardArray": card(name, kind)})
            })
            .collect();
        let mut object = of_a_member();
        object["name"] = json!(name);
        object["entities"] = json!(registrants);
        object["remarks"] = json!([
            {"title": "description", "description": description},
            {"title": "remarks", "description": remarks},
        ]);
        let address = "42.62.48.1".parse().unwrap();
        let now = jiff::Timestamp::UNIX_EPOCH;
        let answer = Answer::parse(object.to_string().as_bytes(), address, "x", now).unwrap();
        prop_assert_eq!(answer.statements.holder, []);
    }

    #[test]
    fn no_answer_brings_the_parser_down(
        entities in value(),
        remarks in value(),
        name in value(),
        bytes: Vec<u8>,
    ) {
        let address = "42.62.48.1".parse().unwrap();
        let now = jiff::Timestamp::UNIX_EPOCH;
        let _ = Answer::parse(&bytes, address, "x", now);
        let mut object = of_a_member();
        object["entities"] = entities;
        object["remarks"] = remarks;
        object["name"] = name;
        let answer = Answer::parse(object.to_string().as_bytes(), address, "x", now).unwrap();
        for holder in &answer.statements.holder {
            prop_assert!(holder.value.name.len() <= 255);
        }
        let shown = text(&answer);
        prop_assert!(!shown.chars().any(|c| c != '\n' && monitor::printable::acts(c)));
    }
}
