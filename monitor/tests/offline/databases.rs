//! Reads MMDB databases that the tests write, and compares them with text
//! tables of the same content.

#![expect(clippy::unwrap_used, reason = "a test panics where it fails")]

use crate::command;
use crate::data;
use crate::support;

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use command::{corpus, directory, json_of, monitor, policy, text as shown};
use flate2::{Compression, write::GzEncoder};
use monitor::lists::{DatabaseError, Key, List, Selection, is_database, read_database};
use serde_json::json;
use support::{
    mmdb::{Value, Writer, text},
    reference::Block,
};

const RECORD_SIZES: [u16; 3] = [24, 28, 32];

fn block(text: &str) -> Block {
    text.parse().unwrap()
}

fn asn(number: u32) -> Value {
    Value::Map(vec![
        ("autonomous_system_number", Value::Number(number)),
        ("autonomous_system_organization", text("Example")),
    ])
}

fn country(code: &str) -> Value {
    let names = Value::Map(vec![("en", text("Somewhere"))]);
    let country = Value::Map(vec![("iso_code", text(code)), ("names", names)]);
    let registered = Value::Map(vec![("iso_code", text("US"))]);
    Value::Map(vec![
        ("country", country),
        ("registered_country", registered),
    ])
}

fn keys(keys: impl IntoIterator<Item = Key>) -> Selection {
    Selection {
        keys: keys.into_iter().collect(),
        ..Selection::default()
    }
}

fn of_country(code: &str) -> Selection {
    keys([Key::Country(code.parse().unwrap())])
}

/// Networks, as text, in the order of the list.
fn networks(list: &List) -> Vec<String> {
    let ipv4 = list.ipv4.iter().map(|(interval, _)| interval.networks());
    let ipv6 = list.ipv6.iter().map(|(interval, _)| interval.networks());
    let ipv4 = ipv4.flatten().map(|network| network.to_string());
    ipv4.chain(ipv6.flatten().map(|network| network.to_string()))
        .collect()
}

/// A database of three systems, with the repetitions that publishers put in.
fn of_three_systems() -> Writer {
    let mut writer = Writer::of_both_families("GeoLite2-ASN");
    for (network, number) in [
        ("192.0.2.0/24", 64500),
        ("198.51.100.7/32", 64501),
        ("203.0.113.0/25", 64500),
        ("2001:db8::/32", 64500),
        ("2001:db9::1/128", 64502),
        ("::2:0:0/96", 64501),
    ] {
        writer.add(block(network), &asn(number));
    }
    for repetition in ["::ffff:0:0/96", "2001::/32", "2002::/16", "64:ff9b::/96"] {
        writer.alias(block(repetition));
    }
    writer
}

#[test]
fn several_numbers_of_both_families_in_one_walk_and_no_repetitions() {
    for size in RECORD_SIZES {
        let file = of_three_systems().finish(size);
        assert!(is_database(&file));
        let list = read_database(&file, &keys([64500, 64501].map(Key::Asn))).unwrap();
        let expected = [
            "192.0.2.0/24",
            "198.51.100.7/32",
            "203.0.113.0/25",
            "::2:0:0/96",
            "2001:db8::/32",
        ];
        assert_eq!(networks(&list), expected, "records of {size} bits");
        assert_eq!(list.left_out, 1);
        assert_eq!(list.missing, []);
        let lines = list.ipv4.iter().map(|(_, line)| *line);
        assert!(lines.eq([0, 0, 0]), "a database has no lines");
    }
}

#[test]
fn what_the_database_does_not_hold_is_told() {
    let file = of_three_systems().finish(24);
    let list = read_database(&file, &keys([64500, 64511].map(Key::Asn))).unwrap();
    assert_eq!(networks(&list).len(), 3);
    assert_eq!(list.missing, [Key::Asn(64511)]);
}

#[test]
fn the_same_entry_outside_of_a_missing_ipv4_part_is_no_repetition() {
    let mut writer = Writer::of_both_families("x");
    for network in ["::/8", "2001:db8::/32", "2002::/16"] {
        writer.add(block(network), &asn(64500));
    }
    let list = read_database(&writer.finish(28), &keys([Key::Asn(64500)])).unwrap();
    assert_eq!(networks(&list), ["::/8", "2001:db8::/32", "2002::/16"]);
}

#[test]
fn ipv4_that_is_written_as_ipv4_mapped_too_comes_once() {
    let mut writer = Writer::of_both_families("x");
    for network in [
        "192.0.2.0/24",
        "::ffff:192.0.2.0/120",
        "::ffff:198.51.100.0/120",
    ] {
        writer.add(block(network), &asn(64500));
    }
    let list = read_database(&writer.finish(24), &keys([Key::Asn(64500)])).unwrap();
    assert_eq!(networks(&list), ["192.0.2.0/24", "198.51.100.0/24"]);
}

#[test]
fn a_tree_of_ipv4_alone() {
    let mut writer = Writer::of_ipv4("x");
    writer.add(block("0.0.0.0/1"), &asn(64500));
    writer.add(block("255.255.255.255/32"), &asn(64500));
    let list = read_database(&writer.finish(24), &keys([Key::Asn(64500)])).unwrap();
    assert_eq!(networks(&list), ["0.0.0.0/1", "255.255.255.255/32"]);
}

#[test]
fn the_names_that_publishers_use() {
    let map = |entries: Vec<(&'static str, Value)>| Value::Map(entries);
    let number = keys([Key::Asn(64500)]);
    let china = of_country("CN");
    for (value, selection) in [
        (asn(64500), &number),
        (map(vec![("asn", text("AS64500"))]), &number),
        (map(vec![("asn", text("64500"))]), &number),
        (map(vec![("asn", Value::Number(64500))]), &number),
        (country("CN"), &china),
        (map(vec![("country", text("CN"))]), &china),
        (map(vec![("country_code", text("cn"))]), &china),
        (
            map(vec![
                ("country", text("China")),
                ("country_code", text("CN")),
            ]),
            &china,
        ),
    ] {
        let mut writer = Writer::of_ipv4("x");
        writer.add(block("192.0.2.0/24"), &value);
        // Whatever else there is, of any type, or nothing at all.
        writer.add(block("198.51.100.0/24"), &map(vec![("city", text("x"))]));
        writer.add(block("203.0.113.0/24"), &map(vec![]));
        let list = read_database(&writer.finish(24), selection).unwrap();
        assert_eq!(networks(&list), ["192.0.2.0/24"], "{value:?}");
        assert_eq!(list.left_out, 2, "{value:?}");
    }
}

#[test]
fn where_a_holder_is_registered_is_not_where_the_addresses_are() {
    let mut writer = Writer::of_ipv4("GeoLite2-Country");
    writer.add(block("192.0.2.0/24"), &country("CN"));
    let list = read_database(&writer.finish(24), &of_country("US")).unwrap();
    assert_eq!(networks(&list), [""; 0]);
    assert_eq!(list.missing.len(), 1);
}

fn error_of(file: &[u8], selection: &Selection) -> DatabaseError {
    read_database(file, selection).unwrap_err()
}

#[test]
fn other_content_is_refused_by_its_name() {
    let file = of_three_systems().finish(24);
    let error = error_of(&file, &of_country("CN"));
    assert_eq!(
        error.to_string(),
        "no entry of this MMDB database (`GeoLite2-ASN`) has a country code"
    );
    assert!(error.help().contains("`country.iso_code`"));
    for (name, value, found) in [
        ("country", text("China"), "China"),
        ("country_code", text("CHN"), "CHN"),
        ("country", Value::Number(1), "…"),
    ] {
        let mut writer = Writer::of_ipv4("x");
        writer.add(block("192.0.2.0/24"), &Value::Map(vec![(name, value)]));
        let error = error_of(&writer.finish(24), &of_country("CN")).to_string();
        let expected = format!("has `{found}` in place of a country code");
        assert!(error.contains(&expected), "{error}");
    }
    let mut writer = Writer::of_ipv4("x");
    let name = Value::Map(vec![("asn", text("CNNIC"))]);
    writer.add(block("192.0.2.0/24"), &name);
    let error = error_of(&writer.finish(24), &keys([Key::Asn(64500)])).to_string();
    assert!(
        error.contains("has `CNNIC` in place of the number"),
        "{error}"
    );
}

/// With any byte changed, the result is an error or another answer, never a
/// panic or an endless loop.
#[test]
fn a_damaged_database_is_an_error_with_the_reason() {
    let selection = keys([Key::Asn(64500)]);
    let whole = of_three_systems().finish(24);
    let tree_cut = &whole[whole.len() / 2..];
    assert!(matches!(
        error_of(tree_cut, &selection),
        DatabaseError::Damaged(_)
    ));
    let mut errors = 0;
    for at in 0..whole.len() {
        for flipped in [0x01, 0x80, 0xff] {
            let mut file = whole.clone();
            file[at] ^= flipped;
            if let Err(error) = read_database(&file, &selection) {
                errors += 1;
                assert!(!error.to_string().is_empty());
            }
        }
    }
    assert!(errors > whole.len() / 10, "{errors} of {}", whole.len());
}

/// A tree whose nodes all point to the next one twice has 2^127 leaves.
#[test]
fn a_tree_that_doubles_at_every_level_is_no_tree() {
    let mut writer = Writer::of_ipv4("x");
    writer.add(block("192.0.2.1/32"), &asn(64500));
    let mut file = writer.finish(24);
    for node in 0..31_u8 {
        let next = [0, 0, node + 1];
        let start = usize::from(node) * 6;
        file[start..start + 6].copy_from_slice(&[next, next].concat());
    }
    let error = error_of(&file, &keys([Key::Asn(64500)]));
    assert!(matches!(error, DatabaseError::Loops), "{error}");
}

#[test]
fn explain_names_the_file_without_a_line_and_gzip_is_read() {
    let files = directory(&[(
        "p.yaml",
        &policy("systems", "count", "{asn: [64500, 64502], table: t/asn.db}"),
    )]);
    fs::create_dir(files.path().join("t")).unwrap();
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(&of_three_systems().finish(28)).unwrap();
    fs::write(files.path().join("t/asn.db"), packed.finish().unwrap()).unwrap();
    let output = monitor(files.path(), &["check", "p.yaml", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", shown(&output.stderr));
    let report = json_of(&output);
    assert_eq!(report["prefixes"], json!({"v4": 2, "v6": 2 + 3 * 2}));
    assert_eq!(
        report["lists"],
        json!([{"file": "t/asn.db", "format": "mmdb", "destinations": 4, "left_out": 2, "with_options": 0, "skipped": 0}])
    );
    let explained = |address: &str| {
        let arguments = ["explain", address, "--policies", "p.yaml", "--json"];
        json_of(&monitor(files.path(), &arguments))["matches"].clone()
    };
    assert_eq!(explained("192.0.2.9")[0]["source"], "t/asn.db");
    assert_eq!(explained("192.0.2.9")[0]["prefix"], "192.0.2.0/24");
    assert_eq!(explained("2001:db9::1")[0]["prefix"], "2001:db9::1/128");
    // The database repeats its IPv4 tree here; the reader ignores that, so the
    // match is a derived prefix.
    let derived = &explained("2002:c000:200::1")[0]["derived"];
    assert_eq!(derived["from"], "192.0.2.0/24", "a repetition");
    let text = fs::read_to_string(files.path().join("p.yaml")).unwrap();
    let text = text.replace("action:", "derive: none, action:");
    fs::write(files.path().join("p.yaml"), text).unwrap();
    assert_eq!(explained("2002:c000:200::1"), json!([]), "a repetition");
}

/// A text table and a database with the same content give the same policies.
#[test]
fn real_tables_mean_the_same_as_databases() {
    const ROWS: usize = 40_000;
    let Some(ranges) = data::ranges() else { return };
    let files = directory(&[]);
    let mut writer = Writer::of_both_families("asn");
    let mut table = String::new();
    for name in ["asn-v4-cidr.txt.gz", "asn-v6-cidr.txt.gz"] {
        for row in rows(&ranges.join(name), ROWS) {
            let (network, number) = row.split_once('\t').unwrap();
            writer.add(block(network), &asn(number.trim().parse().unwrap()));
            table.push_str(&row);
            table.push('\n');
        }
    }
    fs::write(files.path().join("asn.txt"), &table).unwrap();
    fs::write(files.path().join("asn.mmdb"), writer.finish(28)).unwrap();
    for numbers in ["24406, 24409", "4134", "13335, 4134, 24409", "1, 2, 3"] {
        let of = |table: &str| {
            let destinations = format!("{{asn: [{numbers}], table: {table}}}");
            let name = format!("{table}.yaml");
            fs::write(
                files.path().join(&name),
                policy("x", "count", &destinations),
            )
            .unwrap();
            check(files.path(), &name)
        };
        assert_eq!(of("asn.txt"), of("asn.mmdb"), "{numbers}");
    }
}

/// Rows whose networks neither hold nor lie in one that came before, so that
/// a tree has one leaf for each.
fn rows(table: &Path, most: usize) -> Vec<String> {
    let text = data::unpacked(table);
    let wanted = |row: &&str| !row.starts_with('#');
    let mut last: Option<Block> = None;
    let mut rows = Vec::new();
    let systems = ["24406", "24409", "4134", "13335"];
    for (index, row) in text.lines().filter(wanted).enumerate() {
        let (network, number) = row.split_once('\t').unwrap();
        let network = block(network);
        let asked = systems.contains(&number.trim()) || index < most;
        // Tables are sorted: what holds another one comes before it.
        if !asked || last.is_some_and(|last| last.contains(network.first())) {
            continue;
        }
        last = Some(network);
        rows.push(row.to_owned());
    }
    rows
}

fn check(directory: &Path, file: &str) -> (Option<i32>, serde_json::Value, serde_json::Value) {
    let output = monitor(directory, &["check", file, "--json"]);
    let report = json_of(&output);
    let list = &report["lists"][0];
    let counts = json!([list["destinations"], list["left_out"]]);
    (output.status.code(), report["prefixes"].clone(), counts)
}

/// The databases among the invalid policy files are those that this code
/// writes. `UPDATE_EXPECTED=1` writes them again.
#[test]
fn the_databases_of_the_corpus() {
    let tables: PathBuf = corpus().join("tables");
    let systems = of_three_systems().finish(24);
    let mut countries = Writer::of_ipv4("GeoLite2-Country");
    countries.add(block("192.0.2.0/24"), &country("CN"));
    countries.add(block("198.51.100.0/24"), &country("ES"));
    let countries = countries.finish(24);
    let mut local = Writer::of_ipv4("local");
    local.add(block("224.0.0.0/24"), &asn(64500));
    local.add(block("10.0.0.0/8"), &asn(64501));
    let mut names = Writer::of_ipv4("names");
    let name = Value::Map(vec![("country", text("China"))]);
    names.add(block("192.0.2.0/24"), &name);
    let mut damaged = systems.clone();
    damaged.drain(..200);
    let files = [
        ("asn.mmdb", systems.clone()),
        ("country.mmdb", countries),
        ("local.mmdb", local.finish(24)),
        ("names.mmdb", names.finish(24)),
        ("damaged.mmdb", damaged),
        ("cut.mmdb", systems[..systems.len() / 2].to_vec()),
    ];
    for (name, expected) in files {
        let path = tables.join(name);
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            fs::write(&path, &expected).unwrap();
        }
        assert!(fs::read(&path).unwrap() == expected, "{name}");
    }
}
