//! The real data: lists of a country, the whole table, and selections from tables.

#![expect(clippy::unwrap_used, reason = "a test panics where it fails")]

#[expect(dead_code, reason = "each test file uses a part of it")]
mod command;
mod data;

use std::{fs, path::Path};

use command::{directory, json_of, monitor, policy, text};
use monitor::{
    address::Address,
    policy::{Destinations, Disk, Policy, load},
};
use serde_json::json;

/// First and last address of each run of addresses, as numbers.
fn runs<A: Address>(destinations: &Destinations<A>) -> Vec<(u128, u128)> {
    let entries = destinations.entries().iter();
    let mut parts: Vec<(u128, u128)> = entries
        .map(|entry| {
            let interval = entry.network().interval();
            (interval.first().to_number(), interval.last().to_number())
        })
        .collect();
    parts.sort_unstable();
    let mut runs: Vec<(u128, u128)> = Vec::new();
    for (first, last) in parts {
        match runs.last_mut() {
            Some(run) if first <= run.1 + 1 => run.1 = run.1.max(last),
            Some(_) | None => runs.push((first, last)),
        }
    }
    runs
}

/// The lists of each network's prefixes were taken out of the same tables by
/// another program.
#[test]
fn a_table_gives_what_its_networks_announce() {
    let Some(ranges) = data::ranges() else { return };
    let path = |name: &str| ranges.join(name).display().to_string();
    let destinations = |name: &str, entries: &str| {
        format!("  - {{name: {name}, action: count, destinations: [{entries}]}}\n")
    };
    let text = [
        "version: 1\npolicies:\n".to_owned(),
        destinations(
            "csv",
            &format!(
                "{{asn: [24406, AS24409], table: {}}}, {{asn: 24409, table: {}}}",
                path("asn-ipv4.csv.gz"),
                path("asn-ipv6.csv.gz")
            ),
        ),
        destinations(
            "prefixes",
            &format!(
                "{{asn: [24406, 24409], table: {}}}",
                path("asn-v4-cidr.txt.gz")
            ),
        ),
        destinations(
            "expected",
            &["24406-v4", "24409-v4", "24409-v6"]
                .map(|name| format!("{{list: {}}}", path(&format!("asn-select-AS{name}.txt"))))
                .join(", "),
        ),
        destinations(
            "country",
            &format!(
                "{{country: [cn], table: {}}}",
                path("asn-country-ipv4.csv.gz")
            ),
        ),
    ];
    let folder = directory(&[("p.yaml", &text.concat())]);
    let loaded = load(&[folder.path().join("p.yaml")], &Disk);
    assert!(
        !loaded.diagnostics.has_errors(),
        "{}",
        loaded.diagnostics.render(false)
    );
    let of = |name: &str| -> &Policy {
        let mut policies = loaded.policies.iter();
        policies
            .find(|policy| policy.name().as_str() == name)
            .unwrap()
    };
    let expected = runs(of("expected").ipv4());
    assert!(expected.len() > 5, "{expected:?}");
    assert_eq!(runs(of("csv").ipv4()), expected);
    assert_eq!(runs(of("prefixes").ipv4()), expected);
    let expected = runs(of("expected").ipv6());
    assert!(expected.len() > 5, "{expected:?}");
    assert_eq!(runs(of("csv").ipv6()), expected);
    assert_eq!(
        runs(of("country").ipv4()),
        ranges_of_country(&ranges, "CN"),
        "the country's rows, read by splitting at commas"
    );
}

fn ranges_of_country(ranges: &Path, country: &str) -> Vec<(u128, u128)> {
    let table = data::unpacked(&ranges.join("asn-country-ipv4.csv.gz"));
    let mut runs: Vec<(u128, u128)> = Vec::new();
    for row in table.lines() {
        let columns: Vec<&str> = row.split(',').collect();
        if columns[2] != country {
            continue;
        }
        let number = |text: &str| u128::from(text.parse::<std::net::Ipv4Addr>().unwrap().to_bits());
        let (first, last) = (number(columns[0]), number(columns[1]));
        match runs.last_mut() {
            Some(run) if first == run.1 + 1 => run.1 = last,
            Some(_) | None => runs.push((first, last)),
        }
    }
    runs
}

#[test]
fn the_real_chinese_prefixes() {
    let Some(ranges) = data::ranges() else { return };
    let v4 = ranges.join("cn-v4.rir-ip.txt");
    let v6 = ranges.join("cn-v6.rir-ip.txt");
    let lists = format!("{{list: {}}}, {{list: {}}}", v4.display(), v6.display());
    let files = directory(&[("cn.yaml", &policy("cn", "drop", &lists))]);
    let output = monitor(files.path(), &["check", "cn.yaml", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let report = json_of(&output);
    // No two of the IPv4 prefixes join.
    assert_eq!(
        report["prefixes"],
        json!({"v4": 5501, "v6": 2024 + 3 * 5501})
    );
    assert_eq!(report["derived"]["prefixes"], 3 * 5501);
    assert_eq!(report["warnings"], json!([]));
}

#[test]
fn the_whole_table() {
    let Some(ranges) = data::ranges() else { return };
    let files = directory(&[(
        "all.yaml",
        &policy("all", "count", "{list: v4.txt}, {list: v6.txt}"),
    )]);
    for family in ["v4", "v6"] {
        let table = data::prefixes(&ranges.join(format!("asn-{family}-cidr.txt.gz")));
        fs::write(files.path().join(format!("{family}.txt")), table).unwrap();
    }
    let output = monitor(files.path(), &["check", "all.yaml", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let report = json_of(&output);
    // 564,580 lines, of which one names a prefix a second time.
    let derived = report["derived"]["prefixes"].as_u64().unwrap();
    assert_eq!(
        report["prefixes"],
        json!({"v4": 564_579, "v6": 167_903 + derived})
    );
    // Of one policy, most neighbours join.
    assert!(derived > 0 && derived < 2 * 564_579, "{derived}");
    let warnings = report["warnings"].as_array().unwrap();
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings[0]["message"]
            .as_str()
            .unwrap()
            .ends_with("is named twice in one policy")
    );
}
