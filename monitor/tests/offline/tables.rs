//! The real data: country lists, a whole routing table, and selections from
//! tables.

#![expect(clippy::unwrap_used, reason = "a test panics where it fails")]

use crate::command;
use crate::data;

use std::{fs, path::Path};

use command::{directory, json_of, monitor, policy, text};
use monitor::{
    address::Address,
    policy::{Destinations, Disk, Policy, load},
};
use serde_json::json;

/// First and last address of each run of addresses, as numbers.
fn runs<A: Address>(destinations: &Destinations<A>) -> Vec<(u128, u128)> {
    let entries = destinations.entries();
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

/// Another program extracted the lists of each network's prefixes from the same
/// tables.
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
    // No two IPv4 prefixes can be joined.
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
    // With a single policy, most neighbours are joined.
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

/// The output of `check` for one destination whose file `t` has this content.
fn check_of(content: &[u8], entry: &str) -> std::process::Output {
    let files = directory(&[("p.yaml", &policy("a", "count", entry))]);
    std::fs::write(files.path().join("t"), content).unwrap();
    monitor(files.path(), &["check", "p.yaml", "--json"])
}

/// Tables as they are published: with a header or without, by commas or tabs.
#[test]
fn tables_as_they_are_published_give_their_one_network() {
    let ranges = |header: &str, number: &str| {
        format!("{header}1.0.0.0,1.0.0.255,{number}13335,A\n1.0.4.0,1.0.7.255,{number}38803,B\n")
    };
    let tables = [
        ranges("", ""),
        ranges("start_ip,end_ip,asn,org\n", ""),
        ranges("", "AS"),
        "prefix,number\n1.0.0.0/24,13335\n1.0.4.0/22,38803\n".to_owned(),
        "network,autonomous_system_number,autonomous_system_organization\n\
         1.0.0.0/24,13335,A\n1.0.4.0/22,38803,\"B, C\"\n"
            .to_owned(),
        "network,country,country_code,continent,asn,as_name\n\
         1.0.0.0/24,Australia,AU,Oceania,AS13335,\"A, Inc.\"\n\
         1.0.4.0/22,Australia,AU,Oceania,AS38803,B\n"
            .to_owned(),
        "1.0.0.0\t1.0.0.255\t13335\tAU\tA\n1.0.1.0\t1.0.3.255\t0\tNone\tNot routed\n\
         1.0.4.0\t1.0.7.255\t38803\tCN\t\"B\n"
            .to_owned(),
        "asn,prefix\n13335,1.0.0.0/24\n38803,1.0.4.0/22\n".to_owned(),
        "1.0.0.0/24 AS13335\n1.0.4.0/22 AS38803\n".to_owned(),
    ];
    for table in tables {
        let output = check_of(table.as_bytes(), "{asn: [13335], table: t}");
        assert_eq!(
            output.status.code(),
            Some(0),
            "{table}{}",
            text(&output.stderr)
        );
        let prefixes = &json_of(&output)["prefixes"];
        assert_eq!(prefixes["v4"], 1, "{table}");
        if table.contains("AU") {
            let output = check_of(table.as_bytes(), "{country: au, table: t}");
            assert_eq!(
                output.status.code(),
                Some(0),
                "{table}{}",
                text(&output.stderr)
            );
        }
    }
}

#[test]
fn a_block_list_with_the_length_beside_its_ranges_is_read() {
    let list = "# blocks\n#\nStart\tEnd\tNetmask\tAttacks\tName\tCountry\temail\n\
        203.0.113.0\t203.0.113.255\t24\t2323\tEXAMPLE, Inc.\tNL\tabuse@example.net\n\
        203.0.115.0\t203.0.115.255\t24\t100\tOTHER\tUS\tabuse@example.org\n";
    let output = check_of(list.as_bytes(), "{list: t}");
    let report = json_of(&output);
    assert_eq!(report["prefixes"]["v4"], 2, "{}", text(&output.stderr));
    assert_eq!(report["lists"][0]["format"], "range-csv");
    let output = check_of(list.as_bytes(), "{list: t, country: NL}");
    assert_eq!(
        json_of(&output)["prefixes"]["v4"],
        1,
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn a_byte_of_another_encoding_spoils_nothing_but_the_address_that_holds_it() {
    let comment = b"# caf\xe9\n203.0.113.0/24 # \xfcber\n";
    let output = check_of(comment, "{list: t}");
    assert_eq!(
        json_of(&output)["prefixes"]["v4"],
        1,
        "{}",
        text(&output.stderr)
    );
    let address = b"203.0.113.0/24\n203.0.1\xff4.0/24\n";
    let errors = json_of(&check_of(address, "{list: t}"))["errors"].clone();
    assert_eq!(errors[0]["line"], 2, "{errors}");
    let skipped = json_of(&check_of(address, "{list: t, on_bad_line: skip}"));
    assert_eq!(skipped["prefixes"]["v4"], 1);
    assert_eq!(skipped["lists"][0]["skipped"], 1);
}

#[test]
fn two_networks_in_one_row_are_not_taken_for_one() {
    for row in ["203.0.113.0/24,203.0.115.0/24\n", "203.0.113.0/24,\n"] {
        let output = check_of(row.as_bytes(), "{list: t}");
        assert_eq!(output.status.code(), Some(3), "{row}");
    }
}

#[test]
fn rules_for_another_filter_are_told_as_commands() {
    let rules = "-A INPUT -s 203.0.113.0/24 -j DROP\n-A INPUT -s 203.0.115.0/24 -j DROP\n";
    let errors = json_of(&check_of(rules.as_bytes(), "{list: t}"))["errors"].clone();
    let message = errors[0]["message"].as_str().unwrap();
    assert!(message.contains("commands for another filter"), "{message}");
}
