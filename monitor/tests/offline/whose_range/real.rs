//! Published tables.

use std::{fs, net::IpAddr, path::Path, sync::LazyLock};

use monitor::{address::Derivation, data::Data};

use super::{about, lines, load};
use crate::support::data::folder;

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
            format!("country (as the table states): {country} (asn-country-ipv4.csv.gz"),
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
