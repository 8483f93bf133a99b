//! `explain --rdap`, as the real binary prints it.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    thread,
};

use serde_json::json;

use super::{Gateway, field};
use crate::support::lab::text;

/// Answers every request with `body`. Returns the URL.
fn rdap_server(status: &'static str, body: String) -> (String, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (seen, requests) = std::sync::mpsc::channel();
    thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && matches!(client.read(&mut byte), Ok(1)) {
                head.push(byte[0]);
            }
            let head = String::from_utf8_lossy(&head).into_owned();
            let _ = seen.send(head.lines().next().unwrap_or_default().to_owned());
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Type: application/rdap+json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
            );
            let _ = client.write_all(head.as_bytes());
            let _ = client.write_all(body.as_bytes());
        }
    });
    (url, requests)
}

/// An object as APNIC answers for a range that a member of CNNIC holds; the names are made
/// up.
fn object_of_a_member() -> String {
    json!({
        "objectClassName": "ip network", "handle": "42.62.0.0 - 42.62.127.255",
        "startAddress": "42.62.0.0", "endAddress": "42.62.127.255", "ipVersion": "v4",
        "name": "EXAMPLE-HOSTING", "country": "CN", "port43": "whois.apnic.net",
        "events": [{"eventAction": "last changed", "eventDate": "2021-06-16T01:21:16Z"}],
        "remarks": [{"title": "description", "description": ["CNNIC", "Example Hosting Co. Ltd"]}],
        "entities": [
            {"handle": "IRT-CNNIC-CN", "roles": ["abuse"], "vcardArray": ["vcard", [["fn", {}, "text", "IRT-CNNIC-CN"]]]},
            {"handle": "MAINT-CNNIC-AP", "roles": ["registrant"], "vcardArray": ["vcard", [["fn", {}, "text", "China Internet Network Information Center"]]]},
        ],
    })
    .to_string()
}

#[test]
fn rdap_is_asked_only_when_told_and_a_registry_is_not_the_holder() {
    let (url, requests) = rdap_server("200 OK", object_of_a_member());
    let gateway = Gateway::new("");
    gateway.prints(&["explain", "42.62.48.181"]);
    assert!(requests.try_recv().is_err());
    let rdap = ["explain", "42.62.48.181", "--rdap", "--rdap-server", &url];
    let printed = gateway.prints(&rdap);
    assert_eq!(requests.recv().unwrap(), "GET /ip/42.62.48.181 HTTP/1.1");
    let holders = field(&printed, "holder");
    assert!(
        holders[0].starts_with("holder: EXAMPLE-HOSTING (netname; 127.0.0.1 asked 2"),
        "{printed}"
    );
    assert!(
        holders[1].contains("also: Example Hosting Co. Ltd (descr; "),
        "{printed}"
    );
    assert!(
        !holders.iter().any(|holder| holder.contains("CNNIC")),
        "{printed}"
    );
    let registries = field(&printed, "registry");
    assert!(
        registries[0].starts_with("registry: APNIC (127.0.0.1 asked 2"),
        "{printed}"
    );
    assert!(
        registries[1].contains("CNNIC (national registry under APNIC; "),
        "{printed}"
    );
    assert!(printed.ends_with("last changed 2021-06-16\n"), "{printed}");
    let shown = gateway.json(&rdap);
    assert_eq!(shown["rdap"]["server"], "127.0.0.1");
    assert_eq!(shown["rdap"]["last_changed"], "2021-06-16");
    assert_eq!(shown["holder"]["registry"][1]["value"], "CNNIC");
    assert_eq!(shown["holder"]["registry"][1]["under"], "APNIC");
    let names: Vec<_> = shown["holder"]["holder"]
        .as_array()
        .unwrap()
        .iter()
        .map(|holder| &holder["value"])
        .collect();
    assert_eq!(names, ["EXAMPLE-HOSTING", "Example Hosting Co. Ltd"]);
}

#[test]
fn rdap_is_asked_about_the_ipv4_address_that_an_ipv6_address_carries() {
    let (url, requests) = rdap_server("200 OK", object_of_a_member());
    let gateway = Gateway::new("");
    let rdap = [
        "explain",
        "64:ff9b::2a3e:30b5",
        "--rdap",
        "--rdap-server",
        &url,
    ];
    let printed = gateway.prints(&rdap);
    assert_eq!(requests.recv().unwrap(), "GET /ip/42.62.48.181 HTTP/1.1");
    assert!(
        printed.contains("RDAP 127.0.0.1 about 42.62.48.181: "),
        "{printed}"
    );
    assert_eq!(gateway.json(&rdap)["rdap"]["address"], "42.62.48.181");
}

#[test]
fn without_an_answer_of_rdap_the_decision_is_printed_and_the_verb_fails() {
    let gateway = Gateway::new("");
    let (url, _requests) = rdap_server("404 Not Found", "{}".to_owned());
    for (address, server, expected) in [
        (
            "42.62.48.181",
            url.as_str(),
            "127.0.0.1 has no object for 42.62.48.181",
        ),
        ("192.168.1.1", url.as_str(), "no registry delegates it"),
        ("42.62.48.181", "http://127.0.0.1:1", "ask 127.0.0.1: "),
    ] {
        let output = gateway.run(&["explain", address, "--rdap", "--rdap-server", server]);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains(expected), "{error}");
        assert!(text(&output.stdout).contains("list author: "), "{error}");
    }
    let output = gateway.run(&[
        "explain",
        "42.62.48.181",
        "--rdap",
        "--rdap-server",
        "rdap.apnic.net",
    ]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("https://rdap.apnic.net/"));
}
