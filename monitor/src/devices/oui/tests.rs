use std::fmt::Write as _;

use jiff::civil::date;
use proptest::prelude::*;

use super::*;

const CSV: &str = "Registry,Assignment,Organization Name,Organization Address\r
MA-L,64CC2E,Xiaomi Communications Co Ltd,\"The Rainbow City of China Resources, NO.68 Beijing CN 100085 \"\r
MA-L,286FB9,\"Nokia Shanghai Bell Co., Ltd.\",\"No.388 Ning Qiao Road,Jin Qiao Pudong CN 201206 \"\r
MA-L,8C1F64,IEEE Registration Authority,445 Hoes Lane Piscataway NJ US 08554 \r
MA-L,70B3D5,\"Says \"\"hello\"\"  Ltd\",Nowhere\r
MA-M,741AE09,Private,\r
MA-S,8C1F64AFA,\"DATA ELECTRONIC DEVICES, INC\",32 NORTHWESTERN DR SALEM NH US 03079 \r
";

const TEXT: &str = "OUI/MA-L                                                    Organization
company_id                                                  Organization
                                                            Address

64-CC-2E   (hex)\t\tXiaomi Communications Co Ltd
64CC2E     (base 16)\t\tXiaomi Communications Co Ltd
\t\t\t\tThe Rainbow City of China Resources
\t\t\t\tBeijing    100085
\t\t\t\tCN

40-11-75   (hex)\t\tDisco Corporation
C00000-CFFFFF     (base 16)\t\tDisco Corporation
8C-1F-64   (hex)\t\tDATA ELECTRONIC DEVICES, INC
AFA000-AFAFFF     (base 16)\t\tDATA ELECTRONIC DEVICES, INC
";

const MANUF: &str = "# This is the list of vendors
64:CC:2E\tXiaomiCommun\tXiaomi Communications Co Ltd
40:11:75:C0:00:00/28\tDisco\tDisco Corporation
8C:1F:64:AF:A0:00/36\tDataElectron\tDATA ELECTRONIC DEVICES, INC
00:00:00\tXerox\t# XEROX CORPORATION
";

const NMAP: &str = "# generated with make-mac-prefixes.pl
64CC2E Xiaomi Communications
401175C Disco
8C1F64AFA Data Electronic Devices
";

const DAY: Date = date(2026, 11, 1);

fn mac(text: &str) -> MacAddress {
    text.parse().unwrap()
}

/// Returns the vendor's name with its source, and the length of its prefix.
fn vendor(vendors: &Vendors, text: &str) -> String {
    match vendors.owner(mac(text)) {
        Owner::Vendor(Vendor {
            name, source, bits, ..
        }) => {
            format!("{name} /{bits} {}", source.word())
        }
        other => format!("{other:?}"),
    }
}

fn of(bytes: &[u8]) -> (Vendors, VendorFile) {
    let mut vendors = Vendors::default();
    let report = vendors.add(bytes, DAY).unwrap();
    (vendors, report)
}

#[test]
fn each_format_gives_the_same_vendors() {
    for (text, prefixes, names) in [
        (
            CSV,
            6,
            [
                "Xiaomi Communications Co Ltd /24 file",
                "DATA ELECTRONIC DEVICES, INC /36 file",
            ],
        ),
        (
            TEXT,
            3,
            [
                "Xiaomi Communications Co Ltd /24 file",
                "DATA ELECTRONIC DEVICES, INC /36 file",
            ],
        ),
        (
            MANUF,
            4,
            [
                "Xiaomi Communications Co Ltd /24 file",
                "DATA ELECTRONIC DEVICES, INC /36 file",
            ],
        ),
        (
            NMAP,
            3,
            [
                "Xiaomi Communications /24 file",
                "Data Electronic Devices /36 file",
            ],
        ),
    ] {
        for text in [
            text.to_owned(),
            text.replace('\n', "\r\n"),
            format!("\u{feff}{text}"),
        ] {
            let (vendors, report) = of(text.as_bytes());
            assert_eq!(
                (report.prefixes, report.skipped),
                (prefixes, Skipped::default()),
                "{text}"
            );
            assert_eq!(vendor(&vendors, "64:cc:2e:11:22:33"), names[0], "{text}");
            assert_eq!(vendor(&vendors, "8c:1f:64:af:a1:23"), names[1], "{text}");
        }
    }
    let (vendors, _) = of(TEXT.as_bytes());
    assert_eq!(
        vendor(&vendors, "40:11:75:cf:ff:ff"),
        "Disco Corporation /28 file"
    );
    let (vendors, _) = of(MANUF.as_bytes());
    assert_eq!(
        vendor(&vendors, "00:00:00:00:00:01"),
        "XEROX CORPORATION /24 file"
    );
    let (vendors, _) = of(CSV.as_bytes());
    assert_eq!(
        vendor(&vendors, "70:b3:d5:00:00:01"),
        "Says \"hello\" Ltd /24 file"
    );
}

#[test]
fn a_block_of_the_registry_and_a_hidden_name_are_no_vendor() {
    let (vendors, _) = of(CSV.as_bytes());
    for text in ["8c:1f:64:00:00:00", "74:1a:e0:90:00:00"] {
        assert_eq!(vendors.owner(mac(text)), Owner::Unknown, "{text}");
    }
    // The built-in table says the same of the whole block.
    let none = Vendors::default();
    assert_eq!(none.owner(mac("8c:1f:64:00:2f:ff")), Owner::Unknown);
}

#[test]
fn randomised_addresses_and_groups_have_no_vendor() {
    // The CID registry assigns EA2701, and the first is a Docker container.
    let vendors = Vendors::default();
    for text in [
        "02:42:ac:11:00:02",
        "ea:27:01:00:00:01",
        "da:a1:19:00:00:01",
    ] {
        assert_eq!(vendors.owner(mac(text)), Owner::Randomised, "{text}");
    }
    for text in [
        "ff:ff:ff:ff:ff:ff",
        "01:00:5e:00:00:01",
        "00:00:00:00:00:00",
    ] {
        assert_eq!(vendors.owner(mac(text)), Owner::NotADevice, "{text}");
    }
}

#[test]
fn the_file_comes_before_the_built_in_table_and_each_has_its_date() {
    let (vendors, _) = of(b"64CC2E My own name\n");
    for (text, name, source, as_of) in [
        ("64:cc:2e:00:00:01", "My own name", VendorSource::File, DAY),
        (
            "00:00:00:00:00:01",
            "XEROX CORPORATION",
            VendorSource::BuiltIn,
            BUILTIN_DATE,
        ),
    ] {
        let bits = 24;
        let expected = Vendor {
            name,
            source,
            as_of,
            bits,
        };
        assert_eq!(vendors.owner(mac(text)), Owner::Vendor(expected));
    }
}

#[test]
fn the_newer_of_two_files_decides() {
    for [first, second] in [[2024, 2025], [2025, 2024]] {
        let mut vendors = Vendors::default();
        for year in [first, second] {
            let line = format!("64CC2E Name of {year}");
            vendors.add(line.as_bytes(), date(year, 1, 1)).unwrap();
        }
        assert_eq!(
            vendor(&vendors, "64:cc:2e:00:00:01"),
            "Name of 2025 /24 file"
        );
    }
}

#[test]
fn a_bad_line_is_counted_with_its_fix_and_the_rest_is_read() {
    let text =
        "64CC2E Xiaomi\nxyz Nobody\n64CC2F\n00:00:0C/99\tX\n00:00:0C/64\tX\n\n00000C Cisco\n";
    let (vendors, report) = of(text.as_bytes());
    let reasons: Vec<String> = report
        .skipped
        .first
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        reasons,
        [
            "line 2: `xyz` is not a MAC prefix; write at least six hexadecimal digits, such as 64CC2E or 64:cc:2e",
            "line 3: there is no vendor behind the prefix; write its name",
            "line 4: `99` is not a length of a MAC prefix; write 24 to 48",
            "line 5: `64` is not a length of a MAC prefix; write 24 to 48",
        ]
    );
    assert_eq!(vendor(&vendors, "00:00:0c:00:00:01"), "Cisco /24 file");
    let text = TEXT.replace("C00000-CFFFFF", "C00000-CFFFFE");
    let (_, report) = of(text.as_bytes());
    assert!(
        report.skipped.first[0]
            .reason
            .contains("`C00000-CFFFFE` is not the first")
    );
}

#[test]
fn a_file_of_something_else_is_refused() {
    let mut vendors = Vendors::default();
    for text in ["", "<!doctype html>\n<title>404</title>\n", "10.0.0.0/8\n"] {
        let error = vendors.add(text.as_bytes(), DAY).unwrap_err().to_string();
        assert!(error.contains("give oui.csv"), "{error}");
    }
    for _ in 0..MAX_FILES {
        vendors.add(NMAP.as_bytes(), DAY).unwrap();
    }
    let error = vendors.add(NMAP.as_bytes(), DAY).unwrap_err();
    assert_eq!(error, InvalidVendorFile::TooManyFiles);
}

#[test]
fn prefixes_beyond_the_limit_are_counted() {
    let mut text = String::new();
    for number in 0..MAX_PREFIXES + 5 {
        let _ = writeln!(text, "{:06X} x", number * 4);
    }
    let (vendors, report) = of(text.as_bytes());
    assert_eq!((report.prefixes, report.not_kept), (MAX_PREFIXES, 5));
    assert_eq!(vendors.prefixes.len(), MAX_PREFIXES);
}

proptest! {
    #[test]
    fn the_longest_prefix_wins_as_a_linear_search_finds_it(
        prefixes in prop::collection::btree_set((0..4_u64, 0..16_u64, 0..3_usize), 0..40),
        macs in prop::collection::vec((0..4_u64, 0..16_u64), 0..40),
    ) {
        // The first two digits are one of four, so that many prefixes cover a MAC.
        let value = |high: u64, low: u64| (high * 4) << 40 | low << 20 | low << 12;
        let prefixes = prefixes.iter().map(|(high, low, length)| {
            let bits = [24, 28, 36][*length];
            (parse::masked(value(*high, *low), bits), bits)
        });
        let prefixes: std::collections::BTreeSet<_> = prefixes.collect();
        let mut text = String::new();
        for (value, bits) in &prefixes {
            let digits = format!("{value:012X}");
            let _ = writeln!(text, "{} v{value:x}/{bits}", &digits[..usize::from(*bits) / 4]);
        }
        let mut vendors = Vendors::default();
        let _ = vendors.add(text.as_bytes(), DAY);
        for (high, low) in macs {
            let number = value(high, low);
            let [_, _, mac @ ..] = number.to_be_bytes();
            let covers = |(value, bits): &&(u64, u8)| parse::masked(number, *bits) == *value;
            let longest = prefixes.iter().filter(covers).max_by_key(|(_, bits)| *bits);
            let expected = longest.map(|(value, bits)| format!("v{value:x}/{bits}"));
            let found = match vendors.owner(MacAddress(mac)) {
                Owner::Vendor(vendor) if vendor.source == VendorSource::File => {
                    Some(vendor.name.to_owned())
                }
                _ => None,
            };
            if number != 0 {
                prop_assert_eq!(found, expected);
            }
        }
    }

    #[test]
    fn any_file_is_read_within_the_limits(
        bytes: Vec<u8>,
        lines in prop::collection::vec("[0-9A-Fa-f:/-]{0,14}[ \t,\"#]{0,3}[a-z,\" ]{0,9}(\\(hex\\)|\\(base 16\\))?[\t]?[a-z]?", 0..20),
        header in prop::sample::select(vec!["", "Registry,Assignment,Organization Name\n", "x (hex)\n"]),
    ) {
        let text = format!("{header}{}", lines.join("\n"));
        for bytes in [&bytes, text.as_bytes()] {
            let mut vendors = Vendors::default();
            let kept = match vendors.add(bytes, DAY) {
                Ok(report) => report.prefixes,
                Err(_) => 0,
            };
            prop_assert!(kept <= lines.len().max(bytes.len()));
            for prefix in &vendors.prefixes {
                prop_assert!((parse::MIN_BITS..=parse::MAX_BITS).contains(&prefix.bits));
                prop_assert_eq!(parse::masked(prefix.value, prefix.bits), prefix.value);
                prop_assert!(prefix.value < 1 << 48);
            }
        }
    }
}
