//! Lists, tables and documents as their publishers write them.

use std::collections::BTreeSet;

use monitor::lists::{Format, Key, Selection, read, recognise};

/// The documents of providers are known.
#[test]
fn every_known_document_is_read_without_a_key() {
    for (text, name, ipv4, ipv6) in [
        (
            r#"[{"id":1,"urls":["a.example"],"ips":["45.1.0.0/24","2a00:1::/32"]},{"id":2}]"#,
            "Microsoft 365",
            1,
            1,
        ),
        (
            r#"{"last_updated_timestamp":"x","regions":[{"region":"r","cidrs":[{"cidr":"45.1.0.0/24","tags":["OCI"]}]}]}"#,
            "Oracle",
            1,
            0,
        ),
        (
            r#"{"addresses":["45.1.0.0/24"],"ipv6_addresses":["2a00:1::/32"]}"#,
            "Fastly",
            1,
            1,
        ),
        (
            r#"{"result":{"ipv4_cidrs":["45.1.0.0/24"],"ipv6_cidrs":["2a00:1::/32"],"etag":"x"},"success":true}"#,
            "Cloudflare",
            1,
            1,
        ),
        (
            r#"{"hooks":["45.1.0.0/24"],"web":["45.2.0.0/24"],"api":["2a00:1::/32"],"domains":{"x":["a.example"]}}"#,
            "GitHub",
            2,
            1,
        ),
        (
            r#"{"country":"x","subnets":{"ipv4":["45.1.0.0/24"],"ipv6":["2a00:1::/32"]}}"#,
            "ipverse",
            1,
            1,
        ),
        (
            r#"{"asn":1,"prefixes":{"ipv4":["45.1.0.0/24"],"ipv6":[]}}"#,
            "ipverse",
            1,
            0,
        ),
        (
            r#"{"data":{"resources":{"asn":["1"],"ipv4":["45.1.0.0-45.1.0.255"],"ipv6":["2a00:1::/32"]}}}"#,
            "RIPEstat",
            1,
            1,
        ),
    ] {
        assert_eq!(recognise(text), Ok(Format::Json), "{text}");
        let list = read(text, Format::Json, &Selection::default());
        let how = list.how.unwrap_or_default();
        assert!(how.contains(name), "{name}: {how}");
        assert_eq!(
            (list.ipv4.len(), list.ipv6.len(), list.bad.count()),
            (ipv4, ipv6, 0),
            "{name}"
        );
    }
}

/// Tables as their publishers write them.
#[test]
fn published_tables_are_read_by_key() {
    let asn = Key::Asn(64500);
    let country = Key::Country("CN".parse().unwrap());
    for (text, key) in [
        (
            "45.1.0.0,45.1.0.255,64500,\"A, Inc\"\n45.2.0.0,45.2.0.255,64501,B\n",
            asn,
        ),
        ("45.1.0.0,45.1.0.255,CN\n45.2.0.0,45.2.0.255,US\n", country),
        ("755040256,755040511,CN\n755105792,755106047,US\n", country),
        (
            "45.1.0.0\t45.1.0.255\t64500\tCN\tA\n45.2.0.0\t45.2.0.255\t0\tNone\tNot routed\n",
            asn,
        ),
        (
            "network,autonomous_system_number,autonomous_system_organization\n45.1.0.0/24,64500,A\n45.2.0.0/24,64501,\"B, C\"\n",
            asn,
        ),
        ("45.1.0.0/24,AS64500\n45.2.0.0/24,AS64501\n", asn),
        ("45.1.0.0/24\t64500\n45.2.0.0/24\t64501\n", asn),
        (
            "45.1.0.0\t24\t64500_64501\n45.2.0.0\t24\t64502,64503\n",
            asn,
        ),
    ] {
        let format = recognise(text).unwrap_or_else(|refused| panic!("{text}: {refused:?}"));
        let selection = Selection {
            keys: [key].into(),
            ..Selection::default()
        };
        let list = read(text, format, &selection);
        assert_eq!(
            (list.ipv4.len(), list.left_out, list.bad.count()),
            (1, 1, 0),
            "{format}: {text}"
        );
    }
}

/// Lists that earlier versions refused: form, content, IPv4 and IPv6 destinations.
#[test]
fn lists_of_real_exports_are_read() {
    for (format, text, ipv4, ipv6) in [
        (Format::Cisco, "ip prefix-list X permit 45.7.0.0/16\n", 1, 0),
        (
            Format::RangeCsv,
            "#\n#   DShield.org Recommended Block List\n#\nStart\tEnd\tNetmask\tAttacks\tName\tCountry\temail\n\
             5.61.209.0\t5.61.209.255\t24\t2323\tEXAMPLE\tNL\tabuse@example.net\n",
            1,
            0,
        ),
        (
            Format::Json,
            r#"{"syncToken":"1","prefixes":[{"ipv4Prefix":"45.4.0.0/16"},{"ipv6Prefix":"2404:6800::/32"}]}"#,
            1,
            1,
        ),
        (
            Format::IpsetSave,
            "create bl hash:net family inet hashsize 1024 maxelem 65536\nadd bl 45.1.0.0/24\nadd bl 45.2.0.0/16 timeout 300\n",
            2,
            0,
        ),
        (
            Format::RangeCsv,
            "1.0.0.0\t1.0.0.255\t13335\tUS\tCLOUDFLARENET\n1.0.1.0\t1.0.3.255\t0\tNone\tNot routed\n1.0.4.0\t1.0.5.255\t38803\tAU\tX\n",
            3,
            0,
        ),
        (Format::Plain, "# caf\u{fffd}\n203.0.114.0/24\n", 1, 0),
        (
            Format::Mikrotik,
            "/ip firewall address-list\nadd list=CN address=45.6.0.0/16 comment=\"x y\"\n",
            1,
            0,
        ),
        (
            Format::Plain,
            "45.16.0.0/255.255.0.0\n45.17.0.0 255.255.255.0\n",
            2,
            0,
        ),
        (Format::Plain, "45.14.0.*\n45.15.*.*\n", 2, 0),
    ] {
        assert_eq!(recognise(text), Ok(format), "{text}");
        let list = read(text, format, &Selection::default());
        let found = (list.ipv4.len(), list.ipv6.len(), list.bad.count());
        assert_eq!(found, (ipv4, ipv6, 0), "{text}");
    }
}

/// The examples in the table of forms are read in their format.
#[test]
fn the_examples_of_the_manual_are_read() {
    let manual = include_str!("../../../docs/lists.md").replace("\\|", "\u{1}");
    let mut seen = BTreeSet::new();
    for row in manual.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let name = cells.get(3).map(|cell| cell.trim_matches('`'));
        let Some(format) = name.and_then(|name| name.parse::<Format>().ok()) else {
            continue;
        };
        seen.insert(format);
        let examples = cells[2].split('`').skip(1).step_by(2);
        let text = examples
            .collect::<Vec<_>>()
            .join("\n")
            .replace('\u{1}', "|");
        if matches!(format, Format::Csv | Format::Json) {
            continue;
        }
        let selection = Selection {
            ignore_ports: true,
            ..Selection::default()
        };
        let list = read(&text, format, &selection);
        assert!(!list.is_empty(), "{row}");
        assert_eq!(list.bad.count(), 0, "{row}: {:?}", list.bad);
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), Format::ALL);
}
