//! Lists that are fetched, from servers that behave badly in every way.

#![expect(clippy::unwrap_used, reason = "a test panics where it fails")]

mod fetch;
mod server;
#[expect(dead_code, reason = "each test file uses a part of it")]
#[path = "../support/mod.rs"]
mod support;

use std::{io::Write as _, process::Output};

use flate2::{Compression, write::GzEncoder};
use serde_json::Value;
use server::{Server, Stream, answer};
use support::lab::{Daemon, Lab, poll, text};

/// 100 destinations; the phone sends to the first.
fn list() -> String {
    (0..100).map(|last| format!("45.9.{last}.0/24\n")).collect()
}

const HELD: &str = "45.9.0.9";

fn policies(url: &str, keys: &str) -> String {
    format!(
        "version: 1\npolicies:\n  - name: bad\n    action: drop\n    destinations:\n      - {{list: \"{url}\"{keys}}}\n"
    )
}

/// A gateway with a server on its loopback, and a policy that names it.
struct Gateway {
    lab: Lab,
    server: Server,
}

impl Gateway {
    fn new(name: &str) -> Self {
        let lab = Lab::new(name);
        let server = Server::on(lab.listen_tcp("127.0.0.1"), None);
        lab.write_policies(&policies(&server.url("/list?key=secret"), ""));
        Self { lab, server }
    }

    fn feed(&self, arguments: &[&str]) -> Output {
        self.lab.monitor(&[&["feed"], arguments].concat())
    }

    /// `feed fetch --json`: the one feed after it.
    fn fetch(&self) -> Value {
        let output = self.feed(&["fetch", "--json"]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let feeds: Value = serde_json::from_slice(&output.stdout).unwrap();
        feeds[0].clone()
    }

    fn status(&self) -> Value {
        self.lab.status()["feeds"][0].clone()
    }

    fn is_dropped(&self, address: &str) -> bool {
        let before = self.lab.policy("bad").1;
        self.lab.send_udp(address, 3);
        let dropped = self.lab.policy("bad").1 - before;
        assert!(dropped == 0 || dropped == 3, "{dropped}");
        dropped == 3
    }

    /// With the good list in force.
    fn start(&self) -> Daemon {
        self.server.gives(list());
        let daemon = self.lab.start(&[]);
        poll("the list is in force", || {
            self.status()["state"] == "current" && self.is_dropped(HELD)
        });
        daemon
    }
}

#[test]
fn a_feed_is_fetched_and_stays_in_force_without_its_server() {
    let gateway = Gateway::new("feed");
    let check = gateway.lab.monitor(&["status"]);
    assert!(!check.status.success() || !text(&check.stdout).contains("feed"));
    let daemon = gateway.start();
    let shown = gateway.status();
    assert_eq!(shown["destinations"], 100, "{shown:#}");
    assert_eq!(shown["policies"][0], "bad");
    let label = format!("{}/list", gateway.server.address);
    assert_eq!(shown["feed"], label.as_str());
    let metrics = gateway.lab.metrics();
    for line in [
        format!("monitor_feed_destinations{{feed=\"{label}\"}} 100\n"),
        format!("monitor_feed_cut_destinations{{feed=\"{label}\"}} 0\n"),
        format!("monitor_feed_success{{feed=\"{label}\"}} 1\n"),
        format!("monitor_feed_age_seconds{{feed=\"{label}\"}} "),
    ] {
        assert!(metrics.contains(&line), "{line}{metrics}");
    }
    let human = text(&gateway.lab.monitor(&["status"]).stdout);
    assert!(
        human.contains(&label) && human.contains("current"),
        "{human}"
    );
    for told in [&metrics, &human, &daemon.log()] {
        assert!(!told.contains("secret"), "the query is not told: {told}");
    }

    daemon.kill();
    gateway.server.behaves(|_, _| Ok(()));
    let generation = gateway.lab.generation("wlan0");
    let _daemon = gateway.lab.start(&[]);
    assert!(gateway.is_dropped(HELD), "at once, from the store");
    assert_eq!(gateway.lab.policy("bad").1 % 3, 0);
    let failed = gateway.fetch();
    assert_eq!(failed["state"], "failed", "{failed:#}");
    assert!(gateway.is_dropped(HELD));
    assert_ne!(
        gateway.lab.generation("wlan0"),
        generation,
        "a start makes one"
    );
}

#[test]
fn an_unchanged_list_makes_no_generation_and_a_changed_one_does() {
    let gateway = Gateway::new("same");
    let _daemon = gateway.start();
    let first = gateway.lab.generation("wlan0");
    gateway.server.behaves(|head, client| {
        // The conditions are those of an answer without names: none.
        assert!(!head.contains("If-"), "{head}");
        answer(client, "200 OK", "ETag: \"2\"\r\n", list().as_bytes())
    });
    assert_eq!(gateway.fetch()["state"], "current");
    gateway.server.behaves(|head, client| {
        let known = head.to_lowercase().contains("if-none-match: \"2\"");
        answer(
            client,
            if known { "304 Not Modified" } else { "500 No" },
            "",
            b"",
        )
    });
    assert_eq!(gateway.fetch()["state"], "current");
    assert_eq!(gateway.lab.generation("wlan0"), first);
    gateway.server.gives(format!("{}45.10.0.0/24\n", list()));
    assert_eq!(gateway.fetch()["destinations"], 101);
    assert_ne!(gateway.lab.generation("wlan0"), first);
    assert!(gateway.is_dropped("45.10.0.1"));
}

type Bad = (
    &'static str,
    &'static str,
    Box<dyn Fn(&mut dyn Stream) -> std::io::Result<()> + Send>,
);

fn gives(
    status: &'static str,
    body: impl Into<Vec<u8>>,
) -> Box<dyn Fn(&mut dyn Stream) -> std::io::Result<()> + Send> {
    let body = body.into();
    Box::new(move |client| answer(client, status, "", &body))
}

fn packed(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// What the server does, what the state is then, and a part of the reason.
fn misbehaviours() -> Vec<Bad> {
    let ok = "200 OK";
    let half = list()[..list().len() / 3].to_owned();
    let grown: String = (0..200).map(|last| format!("45.9.{last}.0/24\n")).collect();
    let wide = list().replacen("45.9.1.0/24", "64.0.0.0/9", 1);
    let ipv6 = format!("{}2a00:1:2::/48\n", list());
    let reserved: String = (0..101).map(|last| format!("10.1.{last}.0/24\n")).collect();
    let short = list().replacen("45.9.1.0/24", "45.9.0.0/16", 1);
    vec![
        ("failed", "404", gives("404 Not Found", "no")),
        ("failed", "500", gives("500 Internal Server Error", list())),
        ("failed", "204", gives("204 No Content", "")),
        ("refused", "it is empty", gives(ok, "")),
        ("refused", "it is empty", gives(ok, "\n\n")),
        (
            "refused",
            "names no destination",
            gives(ok, "# nothing today\n"),
        ),
        (
            "refused",
            "web page",
            gives(ok, "<!DOCTYPE html><html>Sorry</html>\n"),
        ),
        (
            "refused",
            "hosts file",
            gives(ok, "0.0.0.0 a.example.com\n0.0.0.0 b.example.com\n"),
        ),
        (
            "refused",
            "list of domains",
            gives(ok, "a.example.com\nb.example.com\n"),
        ),
        (
            "refused",
            "not understood",
            gives(ok, format!("{}nonsense here\n", list())),
        ),
        (
            "refused",
            "not UTF-8",
            gives(
                ok,
                [b"45.9.1.0/24 # caf\xe9\n".as_slice(), list().as_bytes()].concat(),
            ),
        ),
        (
            "refused",
            "more than 1000000 lines",
            gives(ok, "1.1.1.1\n".repeat(1_000_002)),
        ),
        (
            "refused",
            "unpack gzip",
            gives(ok, &packed(list().as_bytes())[..60]),
        ),
        (
            "refused",
            "larger than 64 MiB",
            gives(ok, packed(&vec![b'#'; 65 << 20])),
        ),
        (
            "refused",
            "shrinks from 100 to 33 destinations",
            gives(ok, half),
        ),
        (
            "refused",
            "grows from 100 to 200 destinations",
            gives(ok, grown),
        ),
        (
            "refused",
            "grows from 25600 to 8413952 IPv4 addresses",
            gives(ok, wide),
        ),
        (
            "refused",
            "grows from 0 to 1208925819614629174706176 IPv6 addresses",
            gives(ok, ipv6),
        ),
        (
            "refused",
            "10.0.0.0/8), more than 50%",
            gives(ok, format!("{}{reserved}", list())),
        ),
        (
            "refused",
            "all of its destinations are reserved",
            gives(ok, reserved),
        ),
        ("refused", "grows from 25600 to 65536", gives(ok, short)),
        (
            "failed",
            "larger than 64 MiB",
            Box::new(|client| {
                write!(
                    client,
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
                    65 << 20
                )
            }),
        ),
        (
            "failed",
            "larger than 64 MiB",
            Box::new(|client| {
                write!(
                    client,
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                )?;
                loop {
                    write!(client, "10000\r\n{}\r\n", "#".repeat(0x10000))?;
                }
            }),
        ),
        (
            "failed",
            "read the answer",
            Box::new(|client| {
                let length = list().len() + 1;
                write!(
                    client,
                    "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{}",
                    list()
                )
            }),
        ),
        (
            "failed",
            "redirects more than 5 times",
            Box::new(|client| answer(client, "302 Found", "Location: /list\r\n", b"")),
        ),
        ("failed", "", Box::new(|_| Ok(()))),
    ]
}

#[test]
fn whatever_a_server_does_the_last_good_list_stays_in_force() {
    let gateway = Gateway::new("bad");
    let daemon = gateway.start();
    let generation = gateway.lab.generation("wlan0");
    for (state, reason, does) in misbehaviours() {
        gateway.server.behaves(move |_, client| does(client));
        let feed = gateway.fetch();
        assert_eq!(feed["state"], state, "{reason}: {feed:#}");
        let told = feed["reason"].as_str().unwrap();
        assert!(told.contains(reason), "{told} instead of {reason}");
        assert_eq!(feed["destinations"], 100, "{reason}");
        assert_eq!(gateway.status()["state"], state, "{reason}");
        assert!(daemon.log().contains(told), "{told}");
        assert!(gateway.is_dropped(HELD), "{reason}");
        assert_eq!(gateway.lab.generation("wlan0"), generation, "{reason}");
    }
    assert!(
        gateway
            .lab
            .metrics()
            .contains("monitor_feed_success{feed=\"127.0.0.1")
    );
    gateway.server.gives(packed(list().as_bytes()));
    let feed = gateway.fetch();
    assert_eq!(feed["state"], "current", "gzip is fine: {feed:#}");
    assert_eq!(
        feed["candidate"],
        Value::Null,
        "what was refused is out of date"
    );
}

#[test]
fn what_shrinks_is_in_force_after_somebody_accepted_it() {
    let gateway = Gateway::new("accept");
    let _daemon = gateway.start();
    gateway.server.gives("45.9.1.0/24\n45.10.0.0/16\n");
    assert_eq!(gateway.fetch()["state"], "refused");
    assert!(gateway.is_dropped(HELD));
    let diff = gateway.feed(&["diff", "bad", "--json"]);
    assert!(diff.status.success(), "{}", text(&diff.stderr));
    let diff: Value = serde_json::from_slice(&diff.stdout).unwrap();
    assert_eq!(diff["before"]["destinations"], 100, "{diff:#}");
    assert_eq!(diff["after"]["ipv4_addresses"], "65792");
    assert_eq!(diff["removed_count"], 99);
    assert_eq!(diff["removed"].as_array().unwrap().len(), 20);
    assert_eq!(diff["added"], serde_json::json!(["45.10.0.0/16"]));
    let refused = gateway.feed(&["accept", "bad"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        text(&refused.stderr).contains("--yes"),
        "{}",
        text(&refused.stderr)
    );
    assert!(
        text(&refused.stdout).contains("100 -> 2"),
        "{}",
        text(&refused.stdout)
    );
    assert!(gateway.is_dropped(HELD), "nothing is changed");
    let unknown = gateway.feed(&["accept", "nobody", "--yes"]);
    assert!(text(&unknown.stderr).contains("no policy and no feed is called `nobody`"));
    let accepted = gateway.feed(&["accept", "bad", "--yes"]);
    assert!(accepted.status.success(), "{}", text(&accepted.stderr));
    assert!(!gateway.is_dropped(HELD));
    assert!(gateway.is_dropped("45.10.7.7"));
    assert_eq!(gateway.status()["state"], "current");
    let again = gateway.feed(&["accept", "bad", "--yes"]);
    assert!(
        text(&again.stderr).contains("no refused update"),
        "{}",
        text(&again.stderr)
    );
}

#[test]
fn reserved_ranges_and_own_networks_are_cut_out_and_shown() {
    let gateway = Gateway::new("cut");
    gateway.lab.gateway.ip("address add 45.9.5.1/24 dev wlan0");
    gateway
        .server
        .gives(format!("0.0.0.0/8\n192.168.0.0/15\n{}", list()));
    let _daemon = gateway.lab.start(&[]);
    poll("the list is in force", || {
        gateway.status()["state"] == "current" && gateway.is_dropped(HELD)
    });
    let feed = gateway.status();
    assert_eq!(feed["cut"], 3, "{feed:#}");
    assert_eq!(feed["destinations"], 100);
    assert_eq!(
        feed["cut_networks"],
        serde_json::json!(["0.0.0.0/8", "192.168.0.0/16", "45.9.5.0/24"])
    );
    assert!(!gateway.is_dropped("45.9.5.1"), "its own network");
    assert!(gateway.is_dropped("192.169.1.1"), "what is left of a range");
    let url = gateway.server.url("/list?key=secret");
    gateway
        .lab
        .write_policies(&policies(&url, ", reserved: refuse, sha256: \"00\""));
    poll("the broken file is told", || {
        gateway.lab.status()["reload"]["success"] == false
    });
    assert!(gateway.is_dropped(HELD));
    gateway
        .lab
        .write_policies(&policies(&url, ", reserved: refuse"));
    poll("the file is read", || {
        gateway.lab.status()["reload"]["success"] == true
    });
    gateway.server.gives(format!(
        "0.0.0.0/8\n192.168.0.0/15\n{}45.10.0.0/24\n",
        list()
    ));
    let feed = gateway.fetch();
    assert!(
        feed["reason"]
            .as_str()
            .unwrap()
            .contains("`reserved: refuse`"),
        "{feed:#}"
    );
    let other = "0".repeat(64);
    gateway
        .lab
        .write_policies(&policies(&url, &format!(", sha256: \"{other}\"")));
    poll("the file is read", || gateway.status()["destinations"] == 0);
    let feed = gateway.fetch();
    assert!(
        feed["reason"].as_str().unwrap().contains("takes only 0000"),
        "{feed:#}"
    );
}
