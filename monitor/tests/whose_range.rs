//! Whose range an address is: delegated files, databases and tables, the real ones too.

#![expect(clippy::unwrap_used, reason = "a test panics where it fails")]

#[expect(dead_code, reason = "each test file uses a part of it")]
mod support;

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use jiff::civil::Date;
use monitor::{
    address::Derivation,
    data::{Author, Data, DataFile, DataSources, Source, SourceKind, Statement, Statements},
    feeds::Good,
    lists::FeedUrl,
};
use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use serde_json::{Value as Json, json};
use support::{
    data::folder,
    mmdb::{Value, Writer, text},
};
use tempfile::TempDir;

/// A folder with data files.
struct Files {
    directory: TempDir,
    paths: Vec<PathBuf>,
}

impl Files {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            paths: Vec::new(),
        }
    }

    fn with(mut self, name: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.directory.path().join(name);
        fs::write(&path, content).unwrap();
        let changed = fs::File::options().write(true).open(&path).unwrap();
        let at = std::time::UNIX_EPOCH + std::time::Duration::from_hours(24 * 20_000);
        changed.set_modified(at).unwrap();
        self.paths.push(path);
        self
    }

    fn data(&self) -> Data {
        load(&self.paths, None)
    }
}

fn load(paths: &[PathBuf], before: Option<&Data>) -> Data {
    let sources = DataSources {
        files: paths.to_vec(),
        feeds: Vec::new(),
    };
    let tables = tempfile::tempdir().unwrap();
    Data::load(&sources, &|_| Ok(None), tables.path(), before)
}

fn about(data: &Data, address: &str) -> Statements {
    data.about(address.parse().unwrap(), &Derivation::default())
}

fn lines(data: &Data, address: &str) -> Vec<String> {
    let text = about(data, address).to_string();
    text.lines().map(str::to_owned).collect()
}

fn today() -> Date {
    "2024-10-14".parse().unwrap()
}

const DELEGATED: &str = "2|apnic|20210715|69826|19830613|20210714|+1000
apnic|*|ipv4|*|47067|summary
apnic|CN|asn|4538|1|20000426|allocated
apnic|CN|ipv4|42.62.0.0|32768|20110310|allocated
apnic|CN|ipv6|2001:250::|35|20000426|allocated
apnic||ipv4|42.96.0.0|256||reserved
";

#[test]
fn without_data_everything_is_unknown() {
    let unknown = [
        "registry: unknown",
        "holder: unknown",
        "origin AS: unknown",
        "country of delegation: unknown",
        "list author: unknown",
    ];
    assert_eq!(lines(&Data::default(), "42.62.48.1"), unknown);
    let shown = serde_json::to_value(about(&Data::default(), "42.62.48.1")).unwrap();
    let expected = json!({
        "registry": null, "holder": null, "origin_as": null, "country": null, "list_author": null,
    });
    assert_eq!(shown, expected);
    let listing = Data::default().listing(today()).to_string();
    assert!(listing.contains("under `data:`"), "{listing}");
}

#[test]
fn a_delegated_file_states_the_registry_and_never_a_holder() {
    let files = Files::new().with("delegated-apnic", DELEGATED);
    let data = files.data();
    let expected = [
        "registry: APNIC (delegated 2011-03-10, CN; delegated-apnic of 2021-07-14)",
        "holder: unknown",
        "origin AS: unknown",
        "country of delegation: CN (delegated-apnic of 2021-07-14)",
        "list author: unknown",
    ];
    assert_eq!(lines(&data, "42.62.48.1"), expected);
    assert_eq!(lines(&data, "::ffff:42.62.48.1"), expected);
    assert!(lines(&data, "2001:250::1")[0].contains("delegated 2000-04-26, CN"));
    assert!(lines(&data, "42.96.0.9")[0].starts_with("registry: APNIC (reserved; "));
    assert_eq!(lines(&data, "42.62.128.0")[0], "registry: unknown");
    let shown = serde_json::to_value(about(&data, "42.62.48.1")).unwrap();
    let source = json!({
        "name": files.paths[0], "kind": "delegated-file",
        "as_of": "2021-07-14", "dated_by": "content",
    });
    let registry = json!([{
        "value": "APNIC", "delegated": "2011-03-10", "country": "CN",
        "status": "allocated", "source": source,
    }]);
    assert_eq!(shown["registry"], registry);
    let country = json!([{"value": "CN", "meaning": "delegation", "source": source}]);
    assert_eq!(shown["country"], country);
}

#[test]
fn what_sources_state_differently_stays_side_by_side() {
    let files = Files::new()
        .with("asn.tsv", "47.241.0.0/16\t45102\n")
        .with("one.csv", "47.241.0.0,47.241.255.255,US\n")
        .with("two.csv", "47.241.64.0/20,SG\n");
    assert_eq!(
        lines(&files.data(), "47.241.69.153")[2..5],
        [
            "origin AS: AS45102 (asn.tsv changed on disk 2024-10-04)",
            "country of delegation: US (as the table states; one.csv changed on disk 2024-10-04)",
            "    also: SG (as the table states; two.csv changed on disk 2024-10-04)",
        ]
    );
}

#[test]
fn a_holder_that_is_a_registry_becomes_the_registry() {
    let table = "network,holder
42.62.0.0/24,MAINT-CNNIC-AP
42.62.1.0/24,China Internet Network Information Center
42.62.2.0/24,Forest Eternal
42.62.3.0/24,-
";
    let data = Files::new().with("holders.csv", table).data();
    let source = "holders.csv changed on disk 2024-10-04";
    for address in ["42.62.0.1", "42.62.1.1"] {
        let lines = lines(&data, address);
        let registry = format!("registry: CNNIC (national registry under APNIC; {source})");
        assert_eq!(lines[..2], [registry.as_str(), "holder: unknown"]);
    }
    let holder = format!("holder: Forest Eternal (holder; {source})");
    assert_eq!(
        lines(&data, "42.62.2.1")[..2],
        ["registry: unknown", holder.as_str()]
    );
    assert_eq!(lines(&data, "42.62.3.1")[1], "holder: unknown");
}

#[test]
fn the_author_of_a_policy_is_shown_as_its_author() {
    let author = |holder: &str| {
        let value = Author {
            holder: holder.to_owned(),
            policy: "range-42.62.48.0-24".to_owned(),
            stated_as_of: "2014-07".parse().ok(),
            stated_source: Some("https://example.net/2014".to_owned()),
        };
        let source = Source {
            name: "range.yaml:3".to_owned(),
            kind: SourceKind::Policy,
            as_of: None,
        };
        let statements = Statements {
            list_author: vec![Statement { value, source }],
            ..Statements::default()
        };
        statements.to_string().lines().last().unwrap().to_owned()
    };
    assert_eq!(
        author("a hosting company"),
        "list author: a hosting company (stated by the author of policy range-42.62.48.0-24 as of 2014-07, from https://example.net/2014; range.yaml:3)"
    );
    assert!(author("CNNIC").contains("[CNNIC is a registry, not a holder]"));
    assert!(author("a\u{1b}[2J\nb").contains("a\\u{1b}[2J\\u{a}b"));
}

#[test]
fn a_database_states_as_number_organisation_and_where_it_takes_the_country_from() {
    let map = |fields: &[(&'static str, Value)]| Value::Map(fields.to_vec());
    let code = |code: &str| map(&[("iso_code", text(code))]);
    let mut writer = Writer::of_both_families("Example");
    let asn = map(&[
        ("autonomous_system_number", Value::Number(23724)),
        ("autonomous_system_organization", text("IDC\u{1b}[2J")),
        ("country", code("CN")),
    ]);
    writer.add("42.62.0.0/17".parse().unwrap(), &asn);
    let registered = map(&[("country", code("SG")), ("registered_country", code("US"))]);
    writer.add("47.241.0.0/16".parse().unwrap(), &registered);
    let ipinfo = map(&[
        ("asn", text("AS64500")),
        ("as_name", text("X")),
        ("country_code", text("DE")),
    ]);
    writer.add("2001:db8::/32".parse().unwrap(), &ipinfo);
    let other_types = map(&[
        ("asn", map(&[("x", text("y"))])),
        ("as_name", Value::Number(1)),
        ("country", Value::Number(2)),
        ("organization", text("APNIC")),
    ]);
    writer.add("192.0.2.0/24".parse().unwrap(), &other_types);
    writer.add(
        "198.51.100.0/24".parse().unwrap(),
        &map(&[("x", text("y"))]),
    );
    for record_size in [24, 28, 32] {
        let data = Files::new()
            .with("x.mmdb", writer.finish(record_size))
            .data();
        let of = "x.mmdb of 2023-11-14";
        let first = lines(&data, "42.62.48.1");
        assert_eq!(first[2], format!("origin AS: AS23724 IDC [2J ({of})"));
        let estimate = "estimated place of use, not the delegation";
        let expected = format!("country of delegation: CN ({estimate}; {of})");
        assert_eq!(first[3], expected);
        let expected = format!("country of delegation: US ({of})");
        assert_eq!(lines(&data, "47.241.69.153")[3], expected);
        assert_eq!(
            lines(&data, "2001:db8::1")[2],
            format!("origin AS: AS64500 X ({of})")
        );
        let other = lines(&data, "192.0.2.1");
        assert_eq!(
            other[..2],
            [format!("registry: APNIC ({of})"), "holder: unknown".into()]
        );
        assert_eq!(about(&data, "198.51.100.1"), Statements::default());
        let listing = data.listing(today()).to_string();
        assert!(
            listing.contains("MMDB database, 3 IPv4 and 1 IPv6 rows"),
            "{listing}"
        );
    }
}

/// A damaged database is refused, or read without a panic.
#[test]
fn no_damage_of_a_database_brings_the_reader_down() {
    let mut writer = Writer::of_both_families("Example");
    let entry = Value::Map(vec![("asn", Value::Number(1)), ("country", text("CN"))]);
    writer.add("42.62.0.0/17".parse().unwrap(), &entry);
    let whole = writer.finish(24);
    let tables = tempfile::tempdir().unwrap();
    let read = |bytes: &[u8]| DataFile::read(bytes, "x", None, tables.path());
    read(&whole).unwrap();
    let mut refused = 0;
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0xff;
        refused += usize::from(read(&damaged).is_err());
        refused += usize::from(read(&whole[..at]).is_err());
    }
    assert!(refused > whole.len(), "{refused}");
}

proptest! {
    /// Any text made of parts of real rows is read in bounded time without a panic, and
    /// the counts fit together.
    #[test]
    fn no_text_brings_the_reader_down(parts in proptest::collection::vec(part(), 0..200)) {
        let tables = tempfile::tempdir().unwrap();
        let text = parts.concat();
        let file = DataFile::read(text.as_bytes(), "x", None, tables.path());
        if let Ok(file) = file {
            let contents = file.contents();
            let rows = contents.ipv4_rows + contents.ipv6_rows;
            prop_assert!(rows > 0);
            prop_assert!(rows + contents.bad_lines <= text.lines().count() as u64);
            let mut statements = Statements::default();
            file.state("42.62.48.1".parse().unwrap(), &mut statements).unwrap();
            prop_assert_eq!(statements.holder.len(), 0);
        }
    }
}

fn part() -> impl Strategy<Value = String> {
    prop_oneof![
        proptest::sample::select(vec![
            "\n",
            ",",
            "\t",
            "|",
            "\"",
            "42.62.0.0/17",
            "42.62.0.0",
            "42.62.127.255",
            "0.0.0.0/0",
            "2001:250::/35",
            "::",
            "23724",
            "CN",
            "apnic|CN|ipv4|42.62.0.0|32768|20110310|allocated\n",
            "apnic|CN|ipv6|2001:250::|35|20000426|allocated\n",
            "42.62.0.0/17\t23724\n",
            "1.0.0.0,255.255.255.255,1,\"x\"\n",
            "network,asn\n",
            "# 2026-01-01\n",
            "\u{feff}",
            "é",
        ])
        .prop_map(str::to_owned),
        any::<String>(),
    ]
}

#[test]
fn the_listing_names_kind_rows_age_and_errors() {
    let files = Files::new()
        .with("delegated", DELEGATED)
        .with(
            "t.csv",
            "# of 2024-10-01\n1.0.0.0/24,1\n1.0.0.0/24,2\nx,y,z\n",
        )
        .with("empty", "")
        .with("page.html", "<html>\n")
        .with("hosts", "127.0.0.1 localhost\n")
        .with("noise", [0, 1, 2])
        .with("cut.gz", [0x1f, 0x8b, 8, 0]);
    let mut paths = files.paths.clone();
    paths.push(files.directory.path().join("missing\n\u{1b}[2J"));
    paths.push(files.directory.path().to_owned());
    let data = load(&paths, None);
    let listing = data.listing(today());
    let text = listing.to_string();
    let lines: Vec<&str> = text.lines().collect();
    for (line, expected) in lines.iter().zip([
        "delegated: delegated file, 2 IPv4 and 1 IPv6 rows, of 2021-07-14 (1188 days old)",
        "t.csv: table, 2 IPv4 and 0 IPv6 rows, of 2024-10-01 (13 days old); lines that cannot be read: 1; rows that contradict an earlier row: 1",
        "empty: cannot be used: it contains no row with addresses; use the delegated file",
        "page.html: cannot be used: this is a web page or XML",
        "hosts: cannot be used: this is a hosts file",
        "noise: cannot be used: it is neither text nor an MMDB database",
        "cut.gz: cannot be used: unpack gzip: ",
        "missing\\u{a}\\u{1b}[2J: cannot be used: No such file",
        "cannot be used: not a regular file: it is a folder",
    ]) {
        assert!(line.contains(expected), "{line}\n{expected}");
    }
    assert_eq!(lines.len(), 9);
    let shown = serde_json::to_value(&listing).unwrap();
    assert_eq!(shown["sources"][0]["age_days"], 1188);
    assert_eq!(shown["sources"][0]["kind"], "delegated-file");
    assert_eq!(shown["sources"][2]["kind"], Json::Null);
    // An address is not unknown if a source that may know it cannot be read.
    let notes = about(&data, "8.8.8.8").to_string();
    assert_eq!(
        notes
            .lines()
            .filter(|line| line.starts_with("note: "))
            .count(),
        7
    );
}

#[test]
fn a_feed_is_read_from_the_store_and_dated_by_its_fetch() {
    let feeds = [
        "https://example.net/asn.tsv?key=secret",
        "https://example.net/later",
    ];
    let sources = DataSources {
        files: Vec::new(),
        feeds: feeds.map(|url| url.parse().unwrap()).to_vec(),
    };
    let stored = |url: &FeedUrl| {
        let good = Good {
            sha256: "1".to_owned(),
            size: 1,
            fetched_at: 1_728_000_000,
            checked_at: 1_728_000_000,
            etag: None,
            last_modified: None,
        };
        let content = b"42.62.0.0/17\t23724\n".to_vec();
        let is_there = url.as_str().contains("asn.tsv");
        Ok(is_there.then_some((good, content)))
    };
    let tables = tempfile::tempdir().unwrap();
    let data = Data::load(&sources, &stored, tables.path(), None);
    let text = about(&data, "42.62.48.1").to_string();
    assert!(
        text.contains("AS23724 (asn.tsv?… fetched 2024-10-04)"),
        "{text}"
    );
    assert!(
        text.contains("later could not be asked: the daemon has not fetched it yet"),
        "{text}"
    );
    let listing = data.listing(today()).to_string();
    assert!(
        listing.starts_with("feed https://example.net/asn.tsv?…: table"),
        "{listing}"
    );
    assert!(!listing.contains("secret"), "{listing}");
}

#[test]
fn an_unchanged_file_is_not_read_again_and_a_changed_one_is() {
    let files = Files::new()
        .with("a", "10.0.0.0/8,1\n")
        .with("b", "10.0.0.0/8,2\n");
    let before = files.data();
    // The same size and time, but another inode.
    let replaced = files.directory.path().join("new");
    let files = files.with("new", "10.0.0.0/8,3\n");
    fs::rename(replaced, &files.paths[1]).unwrap();
    let after = load(&files.paths[..2], Some(&before));
    let origins = |data: &Data| {
        let origins = about(data, "10.0.0.1").origin_as;
        origins
            .iter()
            .map(|origin| origin.value.number)
            .collect::<Vec<_>>()
    };
    assert_eq!(origins(&before), [1, 2]);
    assert_eq!(origins(&after), [1, 3]);
    // What was read before is still used after its file is gone from the disk, or broken.
    fs::remove_file(&files.paths[0]).unwrap();
    fs::write(&files.paths[1], "<html>").unwrap();
    let after = load(&files.paths[..2], Some(&after));
    assert_eq!(origins(&after), [1, 3]);
    let failed = about(&after, "10.0.0.1").failed;
    assert!(failed[0].error.contains("No such file"), "{failed:?}");
    assert!(failed[1].error.contains("web page"), "{failed:?}");
    let used = "the content that was read before is used";
    assert!(
        failed.iter().all(|failed| failed.error.contains(used)),
        "{failed:?}"
    );
    let listing = after.listing(today()).to_string();
    assert!(
        listing.contains("table, 1 IPv4 and 0 IPv6 rows"),
        "{listing}"
    );
    assert!(listing.contains(used), "{listing}");
    fs::write(&files.paths[1], "10.0.0.0/8,4\n").unwrap();
    let after = load(&files.paths[..2], Some(&after));
    assert_eq!(origins(&after), [1, 4]);
}

/// The real tables, read once.
static REAL: LazyLock<Option<Data>> = LazyLock::new(|| {
    let folder = folder()?.join("ranges");
    let names = [
        "format-samples/14-delegated-apnic-20210715-slice.txt",
        "asn-ipv4.csv.gz",
        "asn-v4-cidr.txt.gz",
        "asn-v6-cidr.txt.gz",
        "asn-country-ipv4.csv.gz",
    ];
    Some(load(&names.map(|name| folder.join(name)), None))
});

#[test]
fn the_addresses_of_the_case_in_the_real_tables() {
    let Some(data) = REAL.as_ref() else {
        return;
    };
    for (address, number, name, country) in [
        (
            "42.62.48.1",
            23724,
            "IDC, China Telecommunications Corporation",
            "CN",
        ),
        (
            "203.107.1.65",
            37963,
            "Hangzhou Alibaba Advertising Co.,Ltd.",
            "CN",
        ),
        (
            "47.241.69.153",
            45102,
            "Alibaba (US) Technology Co., Ltd.",
            "US",
        ),
    ] {
        let text = about(data, address).to_string();
        for expected in [
            format!("origin AS: AS{number} {name} (asn-ipv4.csv.gz"),
            format!("also: AS{number} (asn-v4-cidr.txt.gz"),
            format!("{country} (as the table states; asn-country-ipv4.csv.gz"),
            "holder: unknown\n".to_owned(),
        ] {
            assert!(text.contains(&expected), "{text}\n{expected}");
        }
    }
    let registry = "registry: APNIC (delegated 2011-03-10, CN; 14-delegated-apnic-20210715-slice.txt of 2021-07-14)";
    assert_eq!(lines(data, "42.62.48.1")[0], registry);
}

/// Another program selected these prefixes by AS number.
#[test]
fn the_selected_prefixes_of_real_systems_are_found_with_their_number() {
    let Some(data) = REAL.as_ref() else {
        return;
    };
    let folder = folder().unwrap().join("ranges");
    for (number, family) in [
        (4611, 4),
        (18245, 4),
        (23724, 4),
        (23724, 6),
        (24405, 4),
        (24406, 4),
        (24409, 4),
        (24409, 6),
        (37963, 4),
        (37963, 6),
        (45102, 4),
        (45102, 6),
        (63855, 4),
        (63915, 4),
    ] {
        let path = folder.join(format!("asn-select-AS{number}-v{family}.txt"));
        for prefix in prefixes(&path) {
            let origins = data.about(prefix, &Derivation::default()).origin_as;
            let numbers: Vec<u32> = origins.iter().map(|origin| origin.value.number).collect();
            assert!(!numbers.is_empty(), "{prefix}");
            assert!(
                numbers.iter().all(|found| *found == number),
                "{prefix}: {numbers:?}"
            );
        }
    }
}

/// The first address of each prefix in a list.
fn prefixes(path: &Path) -> Vec<IpAddr> {
    let text = fs::read_to_string(path).unwrap();
    let prefixes = text.lines().filter(|line| !line.starts_with('#'));
    let first = |line: &str| line.split('/').next().unwrap().parse().unwrap();
    prefixes.map(first).collect()
}
