//! Whose range an address is: delegated files, databases and tables, the real ones too.

#![expect(clippy::unwrap_used, reason = "a test panics where it fails")]

mod real;
mod sources;

use crate::support;

use std::{fs, path::PathBuf};

use jiff::civil::Date;
use monitor::{
    address::Derivation,
    data::{Author, Data, DataFile, DataSources, Source, SourceKind, Statement, Statements},
};
use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use serde_json::json;
use support::mmdb::{Value, Writer, text};
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
        lines(&files.data(), "47.241.69.153")[2..6],
        [
            "origin AS: AS45102 (asn.tsv changed on disk 2024-10-04)",
            "country of delegation: unknown",
            "country (as the table states): US (one.csv changed on disk 2024-10-04)",
            "    also: SG (two.csv changed on disk 2024-10-04)",
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
42.62.4.0/24,IPv4 address block not managed by the RIPE NCC
42.62.5.0/24,Allocated to KRNIC Member.
42.62.6.0/24,CNN\u{200b}IC
42.62.7.0/24,Arin Ltd
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
    for address in ["42.62.3.1", "42.62.4.1", "42.62.5.1", "42.62.6.1"] {
        assert_eq!(lines(&data, address)[1], "holder: unknown", "{address}");
    }
    let holder = format!("holder: Arin Ltd (holder; {source})");
    assert_eq!(lines(&data, "42.62.7.1")[1], holder);
}

#[test]
fn the_author_of_a_policy_is_shown_as_its_author() {
    let author = |holder: &str| {
        let value = Author {
            holder: holder.to_owned(),
            policy: "range-42.62.48.0-24".to_owned(),
            resting: false,
            stated_as_of: "2014-07".parse().ok(),
            stated_source: Some("https://example.net/2014".to_owned()),
        };
        let source = Source {
            name: "range.yaml:3".into(),
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
        let expected = [
            "country of delegation: unknown".to_owned(),
            format!("country (estimated place of use): CN ({of})"),
        ];
        assert_eq!(first[3..5], expected);
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

#[test]
fn each_entry_of_a_database_is_decoded_once_and_a_huge_one_not_at_all() {
    let entry = |values: usize, number| {
        let mut fields = vec![("asn", Value::Number(number))];
        fields.resize(values, ("x", Value::Number(1)));
        Value::Map(fields)
    };
    let tables = tempfile::tempdir().unwrap();
    let read = |entries: [Value; 2], networks: u32| {
        let mut writer = Writer::of_ipv4("Example");
        for network in 0..networks {
            let block = format!("10.{}.{}.0/24", network >> 8, network & 0xff);
            writer.add(block.parse().unwrap(), &entries[network as usize % 2]);
        }
        DataFile::read(writer.finish(28).as_slice(), "x", None, tables.path())
    };
    // Two entries in turn: decoded for each network, they have 80 million values.
    let file = read([entry(2000, 1), entry(2000, 2)], 20_000).unwrap();
    assert_eq!(file.contents().ipv4_rows, 20_000);
    let error = read([entry(3000, 1), entry(2, 2)], 2).unwrap_err();
    assert!(
        error.to_string().contains("more than 4096 values"),
        "{error}"
    );
}

#[test]
fn the_field_that_names_a_holder_is_shown() {
    let table = "network,netname\n42.62.0.0/24,LABEL-1\n";
    let mut writer = Writer::of_ipv4("Example");
    let entry = Value::Map(vec![("organization", text("Example Ltd"))]);
    writer.add("42.62.0.0/17".parse().unwrap(), &entry);
    let files = Files::new()
        .with("t.csv", table)
        .with("x.mmdb", writer.finish(24));
    let lines = lines(&files.data(), "42.62.0.1");
    assert!(
        lines[1].starts_with("holder: LABEL-1 (netname; t.csv "),
        "{lines:?}"
    );
    assert!(
        lines[2].contains("Example Ltd (organization; x.mmdb "),
        "{lines:?}"
    );
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
