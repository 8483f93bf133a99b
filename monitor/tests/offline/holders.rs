//! Whose range a destination is, as the real binary prints it: `explain`, `data`, `flows`
//! and `replay`.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod feeds_and_authors;
mod rdap;

use crate::support;

use std::{
    fs::{self, File},
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Output},
};

use nix::{sys::stat::Mode, unistd::mkfifo};
use serde_json::{Value, json};
use support::{
    data::folder,
    lab::{binary, text},
    mmdb::{Value as Entry, Writer, text as words},
};
use tempfile::TempDir;

const DELEGATED: &str = "2|apnic|20210715|69826|19830613|20210714|+1000
apnic|*|ipv4|*|47067|summary
apnic|CN|ipv4|42.62.0.0|32768|20110310|allocated
";

/// A directory with a config file, data files, and the policies that ship.
struct Gateway {
    directory: TempDir,
}

impl Gateway {
    fn new(config: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let ships = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies");
        let own = format!(
            "policies: {}\nstate_dir: state\nsocket: none.sock\npin_dir: /sys/fs/bpf/monitor-none\n{config}",
            ships.display()
        );
        fs::write(directory.path().join("config.yaml"), own).unwrap();
        Self { directory }
    }

    fn with(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        fs::write(self.directory.path().join(name), content).unwrap();
        self
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let command = &mut Command::new("timeout");
        command.args(["120", "prlimit", "--as=4000000000"]);
        command.arg(binary()).args(arguments);
        let command = command.arg("--config").arg(self.path("config.yaml"));
        command.output().unwrap()
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    /// What a verb prints.
    fn prints(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.prints(&[arguments, &["--json"]].concat())).unwrap()
    }
}

/// The lines of a field, and of the statements below it.
fn field<'a>(printed: &'a str, name: &str) -> Vec<&'a str> {
    let mut lines = printed.lines().skip_while(|line| !line.starts_with(name));
    let first = lines.next().unwrap();
    let others = lines.take_while(|line| line.starts_with("    also: "));
    std::iter::once(first).chain(others).collect()
}

#[test]
fn a_fresh_install_says_what_the_author_of_the_shipped_policy_knows() {
    let gateway = Gateway::new("");
    let printed = gateway.prints(&["explain", "42.62.48.181"]);
    let author = field(&printed, "list author")[0];
    assert!(
        author.starts_with(
            "list author: a Beijing hosting company (\"Forest Eternal\") (stated by the author of policy range-42.62.48.0-24 as of 2014-07-30, from tuexperto, 30 July 2014; "
        ),
        "{author}"
    );
    assert!(author.contains("range-42.62.48.0-24.yaml:"), "{author}");
    assert_eq!(field(&printed, "holder"), ["holder: unknown"]);
    let shown = gateway.json(&["explain", "42.62.48.181"]);
    let holder = &shown["holder"];
    assert_eq!(holder["list_author"][0]["policy"], "range-42.62.48.0-24");
    assert_eq!(holder["list_author"][0]["stated_as_of"], "2014-07-30");
    for unknown in ["registry", "holder", "origin_as", "country"] {
        assert!(holder[unknown].is_null(), "{holder}");
    }
    assert!(holder.get("failed").is_none(), "{holder}");
    let other = gateway.json(&["explain", "42.62.49.1"]);
    assert!(other["holder"]["list_author"].is_null(), "{other}");
}

#[test]
fn each_statement_names_its_source_and_date() {
    let mut writer = Writer::of_both_families("Example");
    let entry = Entry::Map(vec![
        ("autonomous_system_number", Entry::Number(23724)),
        ("autonomous_system_organization", words("IDC Example")),
    ]);
    writer.add("42.62.0.0/17".parse().unwrap(), &entry);
    let holders = "# of 2026-02-01\nnetwork,holder\n42.62.48.0/24,Example Hosting Ltd\n";
    let gateway = Gateway::new("data: {files: [delegated, asn.mmdb, holders.csv]}\n")
        .with("delegated", DELEGATED)
        .with("asn.mmdb", writer.finish(28))
        .with("holders.csv", holders);
    let printed = gateway.prints(&["explain", "42.62.48.181"]);
    for line in [
        "registry: APNIC (delegated 2011-03-10, CN; delegated of 2021-07-14)",
        "holder: Example Hosting Ltd (holder; holders.csv of 2026-02-01)",
        "origin AS: AS23724 IDC Example (asn.mmdb of 2023-11-14)",
        "country of delegation: CN (delegated of 2021-07-14)",
    ] {
        assert!(
            printed.lines().any(|printed| printed == line),
            "{line}\n{printed}"
        );
    }
    let holder = &gateway.json(&["explain", "42.62.48.181"])["holder"];
    assert_eq!(
        holder["holder"],
        json!([{
            "value": "Example Hosting Ltd", "field": "holder",
            "source": {
                "name": gateway.path("holders.csv"), "kind": "table",
                "as_of": "2026-02-01", "dated_by": "content",
            },
        }])
    );
    assert_eq!(holder["origin_as"][0]["value"], "AS23724");
    let listing = gateway.json(&["data"]);
    let sources = listing["sources"].as_array().unwrap();
    let kinds: Vec<_> = sources.iter().map(|source| &source["kind"]).collect();
    assert_eq!(kinds, ["delegated-file", "mmdb", "table"]);
    for source in sources {
        assert_eq!(source["ipv4_rows"], 1, "{source}");
        assert!(source["age_days"].as_i64().unwrap() > 0, "{source}");
        assert!(source["error"].is_null(), "{source}");
    }
    let listing = gateway.prints(&["data"]);
    assert!(
        listing.contains("asn.mmdb: MMDB database, 1 IPv4 and 0 IPv6 rows, of 2023-11-14 ("),
        "{listing}"
    );
}

/// A table, a database and the author of a policy name the registry as if it were the
/// holder.
#[test]
fn cnnic_is_never_printed_as_the_holder() {
    let mut writer = Writer::of_ipv4("Example");
    let entry = Entry::Map(vec![(
        "organization",
        words("China Internet Network Infomation Center"),
    )]);
    writer.add("42.62.0.0/17".parse().unwrap(), &entry);
    let policy = "version: 1\npolicies:\n  - name: a\n    action: count\n    about: {holder: CNNIC, as_of: 2014, source: whois}\n    destinations: [42.62.48.0/24]\n";
    let gateway = Gateway::new("data: {files: [holders.csv, x.mmdb]}\n")
        .with(
            "holders.csv",
            "network,holder\n42.62.48.0/24,MAINT-CNNIC-AP\n",
        )
        .with("x.mmdb", writer.finish(24))
        .with("p.yaml", policy);
    let policies = gateway.path("p.yaml");
    let policies = ["--policies", policies.to_str().unwrap()];
    let explain = [&["explain", "42.62.48.181"], &policies[..]].concat();
    let printed = gateway.prints(&explain);
    assert_eq!(field(&printed, "holder"), ["holder: unknown"]);
    let registries = field(&printed, "registry");
    assert_eq!(registries.len(), 2, "{printed}");
    for registry in registries {
        assert!(
            registry.contains("CNNIC (national registry under APNIC; "),
            "{printed}"
        );
    }
    assert!(
        field(&printed, "list author")[0].contains("CNNIC [CNNIC is a registry, not a holder]"),
        "{printed}"
    );
    let shown = gateway.json(&explain);
    assert!(shown["holder"]["holder"].is_null(), "{shown}");
    let check = gateway.run(&[&["check"], &policies[..]].concat());
    assert!(check.status.success());
    let warning = text(&check.stderr) + &text(&check.stdout);
    assert!(
        warning.contains("CNNIC is a registry, and `holder` names it"),
        "{warning}"
    );
    assert!(warning.contains("p.yaml:5:21"), "{warning}");
}

#[test]
fn the_case_in_the_real_tables() {
    let Some(folder) = folder() else {
        return;
    };
    let ranges = folder.join("ranges");
    let ranges = ranges.display();
    let config = format!(
        "data:\n  files:\n    - {ranges}/format-samples/14-delegated-apnic-20210715-slice.txt\n    - {ranges}/asn-ipv4.csv.gz\n    - {ranges}/asn-country-ipv4.csv.gz\n"
    );
    let gateway = Gateway::new(&config);
    let printed = gateway.prints(&["explain", "42.62.48.181"]);
    assert_eq!(
        field(&printed, "registry"),
        [
            "registry: APNIC (delegated 2011-03-10, CN; 14-delegated-apnic-20210715-slice.txt of 2021-07-14)"
        ]
    );
    assert_eq!(field(&printed, "holder"), ["holder: unknown"]);
    let origin = field(&printed, "origin AS")[0];
    assert!(
        origin.starts_with(
            "origin AS: AS23724 IDC, China Telecommunications Corporation (asn-ipv4.csv.gz "
        ),
        "{origin}"
    );
    assert_eq!(
        field(&printed, "country of delegation").len(),
        1,
        "{printed}"
    );
    assert_eq!(field(&printed, "country (as the table states)").len(), 1);
    let listing = gateway.prints(&["data"]);
    assert_eq!(listing.lines().count(), 3, "{listing}");
    assert!(!listing.contains("cannot be used"), "{listing}");
}

#[test]
fn a_source_that_cannot_be_used_is_named_and_the_others_answer() {
    let gateway = Gateway::new(
        "data: {files: [fifo, zero, page.html, huge, cut.gz, missing, folder, good.csv]}\n",
    )
    .with("page.html", "<html>\n")
    .with("cut.gz", [0x1f, 0x8b, 8, 0])
    .with("good.csv", "42.62.0.0/17,23724\nbroken\n");
    mkfifo(&gateway.path("fifo"), Mode::S_IRWXU).unwrap();
    symlink("/dev/zero", gateway.path("zero")).unwrap();
    fs::create_dir(gateway.path("folder")).unwrap();
    let huge = File::create(gateway.path("huge")).unwrap();
    huge.set_len(1 << 40).unwrap();
    let listing = gateway.json(&["data"]);
    let sources = listing["sources"].as_array().unwrap();
    for (source, expected) in sources.iter().zip([
        "not a regular file: it is a FIFO",
        "not a regular file: it is a device",
        "this is a web page or XML",
        "256.0 MiB, the limit for data about ranges; remove the rows",
        "unpack gzip",
        "No such file",
        "not a regular file: it is a folder",
    ]) {
        let error = source["error"].as_str().unwrap_or_default();
        assert!(error.contains(expected), "{expected}: {source}");
        assert!(source["kind"].is_null(), "{source}");
    }
    assert_eq!(sources[7]["ipv4_rows"], 1);
    assert_eq!(sources[7]["bad_lines"], 1);
    let printed = gateway.prints(&["explain", "42.62.48.181"]);
    assert!(
        printed.contains("origin AS: AS23724 (good.csv changed on disk "),
        "{printed}"
    );
    let notes = printed.lines().filter(|line| line.starts_with("note: "));
    assert_eq!(notes.count(), 7, "{printed}");
    let failed = &gateway.json(&["explain", "42.62.48.181"])["holder"]["failed"];
    assert_eq!(failed.as_array().unwrap().len(), 7, "{failed}");
}

#[test]
fn a_wrong_config_names_file_line_and_fix() {
    for (config, place, fix) in [
        ("data: {file: x}\n", "config.yaml:5:", "`files`"),
        (
            "data:\n  files: [https://example.net/x]\n",
            "config.yaml:6:",
            "`data.feeds`",
        ),
        (
            "data:\n  feeds: [x.csv]\n",
            "config.yaml:6:",
            "`data.files`",
        ),
    ] {
        let output = Gateway::new(config).run(&["data"]);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains(place) && error.contains(fix), "{error}");
    }
}

#[test]
fn a_replay_says_whose_range_its_destinations_are() {
    let Some(folder) = folder() else {
        return;
    };
    let policy =
        "version: 1\npolicies:\n  - {name: all, action: count, destinations: [203.107.1.0/24]}\n";
    let gateway = Gateway::new("data: {files: asn.tsv}\n")
        .with("asn.tsv", "203.107.1.0/24\t37963\n")
        .with("p.yaml", policy);
    let capture = folder.join("captures/ndpi__xiaomi.pcap");
    let policies = gateway.path("p.yaml");
    let shown = gateway.json(&[
        "replay",
        "--evidence",
        capture.to_str().unwrap(),
        "--policies",
        policies.to_str().unwrap(),
    ]);
    let holder = &shown["flows"][0]["holder"];
    assert_eq!(holder["origin_as"][0]["value"], "AS37963", "{shown}");
    assert!(holder["holder"].is_null(), "{shown}");
}
