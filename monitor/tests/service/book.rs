//! The pages of `docs/` for people: each command that they show runs on a gateway with the real
//! systemd, in the order of the page, and prints what the page shows.

mod blocks;
mod gateway;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
};

use self::{
    blocks::{Block, blocks, code_spans},
    gateway::Gateway,
};
use super::{
    machine::here,
    support::lab::{binary, text},
};

/// Pages whose commands a test of this file runs.
const RUN: [&str; 10] = [
    "docs/coming-from.md",
    "docs/commands.md",
    "docs/evidence.md",
    "docs/lists.md",
    "docs/policies.md",
    "docs/privacy.md",
    "docs/recipes.md",
    "docs/report.md",
    "docs/start.md",
    "docs/troubleshooting.md",
];

const BUILDS: &str =
    "it builds, and then runs the demonstration, whose story the tests in `demo` follow";
const PACKAGE: &str = "`make test-dist` builds the package, installs it and sets it up";
const STAMPS: &str = "the tests `offline: publish` run it with an authority of their own";

/// Blocks of commands that no test of this file runs: page, begin of the block, and why.
const NOT_RUN: [(&str, &str, &str); 12] = [
    ("README.md", "make run", BUILDS),
    ("README.md", "make dist", PACKAGE),
    ("docs/start.md", "make dist", PACKAGE),
    ("docs/service.md", "make dist", PACKAGE),
    (
        "docs/service.md",
        "opkg install",
        "there is no OpenWrt here",
    ),
    (
        "docs/service.md",
        "make build",
        "it builds; boot.sh installs the same files for this program",
    ),
    (
        "docs/service.md",
        "install -m 0640 -g monitor",
        "the test about the group of the service makes the same file",
    ),
    (
        "docs/service.md",
        "sudo monitor backup",
        "docs/recipes.md has the same commands",
    ),
    (
        "docs/performance.md",
        "make bench",
        "it takes twenty minutes",
    ),
    (
        "docs/report.md",
        "monitor report --since 7d --format html --output report.html\n$ monitor report publish",
        STAMPS,
    ),
    (
        "docs/report.md",
        "monitor report verify report.html --tsa-ca",
        STAMPS,
    ),
    ("docs/report.md", "monitor report head", STAMPS),
];

#[test]
fn the_first_ten_minutes_are_as_the_page_says() {
    let Some(gateway) = Gateway::boot("start") else {
        return;
    };
    gateway.has_an_internet();
    gateway.is_fresh();
    assert!(gateway.follow_exactly("docs/start.md", &[]) >= 10);
}

#[test]
fn every_recipe_works() {
    let Some(gateway) = Gateway::running("recipes") else {
        return;
    };
    gateway.has_guests();
    gateway.has_an_internet();
    let server = gateway.web_server();
    server.gives("apnic|CN|ipv4|45.9.0.0|256|20110310|allocated\n");
    let urls = [
        (
            "https://ftp.apnic.net/stats/apnic/delegated-apnic-latest",
            server.url("/apnic"),
        ),
        ("https://ntfy.example.net/house", server.url("/house")),
    ];
    assert!(gateway.follow_exactly("docs/recipes.md", &urls) >= 20);
}

#[test]
fn every_command_for_people_who_come_from_another_filter_works() {
    let Some(gateway) = Gateway::running("from") else {
        return;
    };
    assert!(gateway.follow("docs/coming-from.md", &[]) >= 4);
}

#[test]
fn every_command_of_the_troubleshooting_works() {
    let Some(gateway) = Gateway::running("trouble") else {
        return;
    };
    assert!(gateway.follow("docs/troubleshooting.md", &[]) >= 9);
}

#[test]
fn every_command_about_reports_works() {
    let Some(gateway) = Gateway::running("report") else {
        return;
    };
    gateway.sh(
        "mkdir .ssh; ssh-keygen -q -t ed25519 -N '' -f .ssh/id_ed25519
        echo \"anna@example.net $(cat .ssh/id_ed25519.pub)\" >allowed_signers",
    );
    let replace = [
        ("--for 30m", "--for 1s".to_owned()),
        (
            "--since 2026-11-30T12:00:00Z --until 2026-11-30T12:31:00Z",
            "--since 1h".to_owned(),
        ),
        (
            "--key monitor-evidence/5f0c… ",
            "--key \"$(monitor report key)\" ".to_owned(),
        ),
    ];
    assert!(gateway.follow("docs/report.md", &replace) >= 9);
}

/// The pages of reference share a gateway.
#[test]
fn every_command_of_the_reference_works() {
    let Some(gateway) = Gateway::running("reference") else {
        return;
    };
    let server = gateway.web_server();
    server.gives("{\"prefixes\": [{\"ipv4Prefix\": \"203.0.113.0/24\"}]}\n");
    let url = [(
        "https://lists.example/ranges.json",
        server.url("/ranges.json"),
    )];
    gateway.sh(
        "printf '%s\n' 'dst_ip,status' '203.0.113.7,online' >threats.csv
        printf '%s\n' 'define blocklist = { 203.0.113.0/24 }' 'define x = { 192.0.2.1 }' >sets.nft
        echo 203.0.113.0/24 | gzip >ranges.gz
        monitor capture seen --for 1s --output capture.pcap
        monitor report --format json --output report.json",
    );
    let key = "monitor-evidence/5f0c…+1b2c3d4e+AX…";
    let key = [(key, "\"$(monitor report key)\"".to_owned())];
    assert!(gateway.follow("docs/lists.md", &url) >= 1);
    assert!(gateway.follow("docs/evidence.md", &[]) >= 3);
    assert!(gateway.follow("docs/policies.md", &[]) >= 1);
    assert!(gateway.follow("docs/commands.md", &key) >= 2);
    assert!(gateway.follow("docs/privacy.md", &[]) >= 1);
    assert_eq!(gateway.follow("README.md", &[]), 1);
    gateway.sh("monitor check /etc/monitor/policies.d");
}

/// Why no test of this file runs a block of commands; `None` if one does.
fn reason_not_to_run(page: &str, block: &Block) -> Option<&'static str> {
    let mut found = NOT_RUN.iter();
    let begins = |begin: &str| {
        let text = block.text.trim_start_matches("$ ");
        block.has_commands() && text.starts_with(begin)
    };
    let found = found.find(|(of_page, begin, _)| *of_page == page && begins(begin));
    found.map(|(_, _, reason)| *reason)
}

/// The pages for people, by path.
fn pages() -> BTreeMap<String, String> {
    let root = here().join("..");
    let mut names = vec!["README.md".to_owned()];
    for entry in fs::read_dir(root.join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        names.extend(name.strip_suffix(".md").map(|_| format!("docs/{name}")));
    }
    let read = |name: String| {
        let text = fs::read_to_string(root.join(&name)).unwrap();
        (name, text)
    };
    names.into_iter().map(read).collect()
}

#[test]
fn every_block_of_commands_runs_or_has_a_reason() {
    let mut reasons = BTreeSet::new();
    for (page, text) in pages() {
        for block in blocks(&text).into_iter().filter(Block::has_commands) {
            let place = format!("{page}:{}", block.line);
            match reason_not_to_run(&page, &block) {
                Some(reason) => {
                    reasons.insert((page.clone(), reason));
                }
                None => assert!(RUN.contains(&page.as_str()), "{place}: no test runs it"),
            }
        }
    }
    let known = NOT_RUN.map(|(page, _, reason)| (page.to_owned(), reason));
    assert_eq!(reasons, BTreeSet::from(known), "a reason is left over");
}

/// Commands within the text name verbs and options that exist.
#[test]
fn every_command_in_the_text_exists() {
    let mut helps: BTreeMap<String, String> = BTreeMap::new();
    let mut wrong = Vec::new();
    let mut checked = 0;
    for (page, text) in pages() {
        for (line, code) in code_spans(&text) {
            let code = code.trim_start_matches("sudo ");
            let Some(words) = code.strip_prefix("monitor ") else {
                continue;
            };
            let words: Vec<&str> = words.split_whitespace().collect();
            let verbs = words.iter().take_while(|word| is_verb(word));
            let verbs: Vec<&str> = verbs.copied().take(2).collect();
            let help = helps.entry(verbs.join(" ")).or_insert_with(|| help(&verbs));
            let options = words.iter().filter(|word| word.starts_with("--"));
            let unknown: Vec<_> = options.filter(|option| !names(help, option)).collect();
            if help.is_empty() || !unknown.is_empty() {
                wrong.push(format!("{page}:{line}: {code}: {unknown:?}"));
            }
            checked += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(checked > 150, "{checked}");
}

fn is_verb(word: &str) -> bool {
    word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-')
}

/// The help of a verb, or of a verb below it. Empty if there is none. The second word can also be
/// an argument.
fn help(verbs: &[&str]) -> String {
    let ask = |verbs: &[&str]| {
        let output = Command::new(binary()).args(verbs).arg("--help").output();
        let output = output.unwrap();
        output.status.success().then(|| text(&output.stdout))
    };
    let shorter = || verbs.split_last().and_then(|(_, shorter)| ask(shorter));
    ask(verbs).or_else(shorter).unwrap_or_default()
}

fn names(help: &str, option: &str) -> bool {
    let option = option.split('=').next().unwrap_or(option);
    let mut words = help.split(|c: char| c.is_whitespace() || ",[]`".contains(c));
    words.any(|word| word == option)
}
