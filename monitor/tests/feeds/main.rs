//! Feeds from servers that fail in many ways.

#![expect(clippy::unwrap_used, reason = "a test panics where it fails")]

mod bad;
mod data;
mod fetch;
mod hostile;
mod inside;
mod server;
#[expect(dead_code, reason = "each test file uses a part of it")]
#[path = "../support/mod.rs"]
mod support;

use std::{
    fs::File,
    io::Write as _,
    process::{Command, Output},
};

use bad::{contents, endings, networks, packed};
use serde_json::Value;
use server::{Server, answer};
use sha2::{Digest as _, Sha256};
use support::lab::{Daemon, Lab, binary, poll, text};

/// A list of 100 destinations; the phone sends to the first.
fn list() -> String {
    networks("45.9", 100)
}

const HELD: &str = "45.9.0.9";

fn policies(url: &str, keys: &str) -> String {
    format!(
        "version: 1\npolicies:\n  - name: bad\n    action: drop\n    destinations:\n      - {{list: \"{url}\"{keys}}}\n"
    )
}

/// A gateway with a server on its loopback interface, and a policy with a feed
/// from it.
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

    /// Runs `feed fetch --json`, and returns the only feed.
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

    /// Starts a daemon, with the good list in force.
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
    for told in [&metrics, &human] {
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
        // The earlier reply had neither `ETag` nor `Last-Modified`, so the
        // request has no condition.
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

#[test]
fn whatever_a_server_does_the_last_good_list_stays_in_force() {
    let gateway = Gateway::new("bad");
    let daemon = gateway.start();
    let generation = gateway.lab.generation("wlan0");
    for (state, reason, does) in contents().into_iter().chain(endings()) {
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

/// Runs `monitor feed accept bad` on a terminal, and types `answer`.
fn accept_on_a_terminal(lab: &Lab, answer: &str) -> Output {
    let terminal = nix::pty::openpty(None, None).unwrap();
    let mut keyboard = File::from(terminal.master);
    keyboard.write_all(answer.as_bytes()).unwrap();
    let mut command = Command::new(binary());
    command.args(["feed", "accept", "bad", "--socket"]);
    command.arg(lab.socket()).stdin(terminal.slave);
    command.output().unwrap()
}

#[test]
fn on_a_terminal_accept_asks_and_only_yes_is_yes() {
    let gateway = Gateway::new("ask");
    let _daemon = gateway.start();
    gateway.server.gives("45.9.1.0/24\n45.10.0.0/16\n");
    assert_eq!(gateway.fetch()["state"], "refused");
    for answer in ["n\n", "\n", "yes, later\n"] {
        let output = accept_on_a_terminal(&gateway.lab, answer);
        assert_eq!(output.status.code(), Some(1), "{answer:?}");
        let said = text(&output.stderr);
        assert!(said.contains("put this update in force? [y/N]"), "{said}");
        assert!(said.contains("nothing is changed"), "{said}");
        assert!(gateway.is_dropped(HELD), "{answer:?}");
    }
    let output = accept_on_a_terminal(&gateway.lab, "y\n");
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(!gateway.is_dropped(HELD));
    assert!(gateway.is_dropped("45.10.7.7"));
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
        feed["reason"]
            .as_str()
            .unwrap()
            .contains("accepts only 0000"),
        "{feed:#}"
    );
    let right = hex::encode(Sha256::digest(list()));
    gateway
        .lab
        .write_policies(&policies(&url, &format!(", sha256: {right}")));
    gateway.server.gives(list());
    poll("its content is the right one", || {
        gateway.fetch()["state"] == "current"
    });
    assert!(gateway.is_dropped(HELD));
}

#[test]
fn what_the_guard_refuses_does_not_come_in_by_a_feed() {
    let gateway = Gateway::new("guard");
    gateway.server.gives("45.9.0.0/24\n128.0.0.0/3\n");
    let _daemon = gateway.lab.start(&[]);
    poll("it is refused", || gateway.status()["state"] == "refused");
    let feed = gateway.status();
    let reason = feed["reason"].as_str().unwrap();
    assert!(
        reason.contains("the policies cannot be used with it"),
        "{reason}"
    );
    assert!(reason.contains("128.0.0.0/3"), "{reason}");
    assert_eq!(feed["destinations"], 0);
    assert_eq!(feed["candidate"], Value::Null, "nobody can accept it");
    gateway.server.gives(list());
    assert_eq!(gateway.fetch()["state"], "current");
    assert!(gateway.is_dropped(HELD));
}

#[test]
fn without_a_daemon_the_store_tells_and_damage_is_told_too() {
    let gateway = Gateway::new("store");
    let daemon = gateway.start();
    daemon.kill();
    let state = gateway.lab.directory.path().join("state");
    let (state_dir, policies) = (state.to_str().unwrap().to_owned(), gateway.lab.policies());
    let list = |arguments: &[&str]| {
        let policies = policies.to_str().unwrap();
        let own = [
            "feed",
            "list",
            "--state-dir",
            &state_dir,
            "--policies",
            policies,
        ];
        gateway.lab.monitor(&[&own[..], arguments].concat())
    };
    let output = list(&["--json"]);
    let feeds: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(feeds[0]["state"], "current", "{feeds:#}");
    assert_eq!(feeds[0]["destinations"], 100);
    for entry in walk(&state.join("feeds")) {
        std::fs::write(entry, "damage").unwrap();
    }
    let output = list(&[]);
    assert!(
        text(&output.stdout).contains("never fetched"),
        "{}",
        text(&output.stdout)
    );
    gateway.server.behaves(|_, _| Ok(()));
    let daemon = gateway.lab.start(&[]);
    assert!(
        daemon.log().contains("counts as never fetched"),
        "{}",
        daemon.log()
    );
    assert!(!gateway.is_dropped(HELD));
    gateway.server.gives(self::list());
    assert_eq!(gateway.fetch()["state"], "current");
    assert!(gateway.is_dropped(HELD));
}

/// All files in the subdirectories of a directory.
fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = |folder: &std::path::Path| -> Vec<_> {
        std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect()
    };
    entries(folder)
        .iter()
        .flat_map(|folder| entries(folder))
        .collect()
}
