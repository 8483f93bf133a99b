use proptest::prelude::*;

use self::samples::*;
use super::*;
use crate::devices::lines::MAX_HOST_NAME;

mod samples;

/// A time at which every lease of the samples holds.
fn long_ago() -> Timestamp {
    Timestamp::UNIX_EPOCH
}

/// Returns each lease as a line.
fn leases(text: &str, format: LeaseFormat) -> (Vec<String>, LeaseFile) {
    let file = parse(text.as_bytes(), format, long_ago()).unwrap();
    let line = |lease: &Lease| {
        assert_eq!(lease.source, format);
        let mac = lease.mac.map_or("-".to_owned(), |mac| mac.to_string());
        let name = lease.host_name.as_deref().unwrap_or("-");
        let expires = lease
            .expires
            .map_or("-".to_owned(), |time| time.as_second().to_string());
        format!("{} {mac} {name} {expires}", lease.address)
    };
    (file.leases.iter().map(line).collect(), file)
}

fn counts(file: &LeaseFile) -> [u64; 4] {
    [file.ended, file.prefixes, file.not_kept, file.skipped.count]
}

#[test]
fn dnsmasq() {
    let (found, file) = leases(DNSMASQ, LeaseFormat::Dnsmasq);
    assert_eq!(
        found,
        [
            "192.168.50.10 64:cc:2e:11:22:33 Redmi-Note-8T 1796000000",
            "192.168.50.11 64:cc:2e:11:22:34 - -",
            "192.168.50.12 64:cc:2e:11:22:35 no-clock -",
            "192.168.50.13 - other-hardware 1796000000",
            "2001:db8::10 - Redmi-Note-8T 1796000000",
            "2001:db8::11 - - 1796000000",
        ]
    );
    assert_eq!(counts(&file), [0; 4]);
}

#[test]
fn kea_takes_the_last_row_and_unescapes() {
    let (found, file) = leases(KEA4, LeaseFormat::Kea);
    assert_eq!(
        found,
        [
            "192.168.50.10 64:cc:2e:11:22:33 redmi-note.lan 1796000000",
            "192.168.50.11 64:cc:2e:11:22:34 a,b\\x1b -",
        ]
    );
    assert_eq!(counts(&file), [3, 0, 0, 0]);
    let (found, _) = leases(KEA_OLD, LeaseFormat::Kea);
    assert_eq!(found, ["192.168.50.10 64:cc:2e:11:22:33 redmi 1796000000"]);
}

#[test]
fn kea_does_not_take_a_mac_from_a_duid() {
    let (found, file) = leases(KEA6, LeaseFormat::Kea);
    assert_eq!(
        found,
        [
            "2001:db8::10 64:cc:2e:11:22:33 redmi 1796000000",
            "2001:db8::11 - tv 1796000000",
            "2001:db8::12 - self-made 1796000000",
        ]
    );
    assert_eq!(counts(&file), [0, 1, 0, 0]);
}

#[test]
fn isc_takes_the_last_declaration_and_keeps_to_its_blocks() {
    let (found, file) = leases(ISC4, LeaseFormat::Isc);
    assert_eq!(
        found,
        [
            "192.168.50.10 64:cc:2e:11:22:33 Redmi-Note-8T 1796000000",
            "192.168.50.11 64:cc:2e:11:22:34 a\"b\\x1b\\x5cc;} -",
        ]
    );
    assert_eq!(counts(&file), [1, 0, 0, 0]);
    let (found, file) = leases(ISC6, LeaseFormat::Isc);
    assert_eq!(found, ["2001:db8::10 - - 1796002400"]);
    assert_eq!(counts(&file), [1, 1, 0, 0]);
}

#[test]
fn isc_loses_only_the_declaration_that_is_torn() {
    let one = "lease 192.168.50.1 {\n  binding state active;\n  client-hostname \"a\";\n}\n";
    let torn = "lease 192.168.50.2 {\n  ends 3 2026/11/25";
    for (text, expected, reason) in [
        (
            format!("{torn}\n{one}"),
            1,
            "line 1: the declaration has no end",
        ),
        (
            format!("{one}{torn}"),
            1,
            "line 5: the declaration has no end",
        ),
        (
            format!("}}\n{one}"),
            1,
            "line 1: the declaration has no end",
        ),
        (
            one.replace("\"a\"", "\"a"),
            1,
            "line 3: the declaration has no end",
        ),
        (
            one.replace("state active;", "state active; ends 3 x y;"),
            0,
            "line 1: a field is not a time",
        ),
        (
            one.replace("192.168.50.1 ", "300.1.1.1 "),
            0,
            "line 1: a field is not an IP",
        ),
        (
            one.replace("state active;", "state active; ends 3 2026/13/01 0:0:0;"),
            0,
            "is not a time",
        ),
    ] {
        let (found, file) = leases(&text, LeaseFormat::Isc);
        assert_eq!(found.len(), expected, "{text}");
        let first = file.skipped.first[0].to_string();
        assert!(first.contains(reason), "{first}");
    }
}

#[test]
fn networkd() {
    let (found, file) = leases(NETWORKD, LeaseFormat::Networkd);
    assert_eq!(
        found,
        [
            "192.168.50.10 64:cc:2e:11:22:33 Redmi-Note-8T 1796000000",
            "192.168.50.11 64:cc:2e:11:22:34 - -",
            "192.168.50.12 - - -",
        ]
    );
    assert_eq!(counts(&file), [0, 0, 0, 1]);
    let first = file.skipped.first[0].to_string();
    assert!(
        first.starts_with("line 3: the element is not a lease"),
        "{first}"
    );
    let (found, _) = leases(NETWORKD_256, LeaseFormat::Networkd);
    assert_eq!(found, ["192.168.50.10 64:cc:2e:11:22:33 redmi -"]);
    for text in ["{", "[1", "null", "{\"Leases\":{}}", "1"] {
        let error = parse(text.as_bytes(), LeaseFormat::Networkd, long_ago()).unwrap_err();
        assert!(
            error.to_string().contains("name another format"),
            "{text}: {error}"
        );
    }
    let deep = "[".repeat(1 << 20);
    parse(deep.as_bytes(), LeaseFormat::Networkd, long_ago()).unwrap_err();
}

#[test]
fn odhcpd() {
    let (found, file) = leases(ODHCPD, LeaseFormat::Odhcpd);
    assert_eq!(
        found,
        [
            "192.168.50.10 64:cc:2e:11:22:33 Redmi-Note-8T 1796000000",
            "192.168.50.11 64:cc:2e:11:22:34 - -",
            "192.168.50.12 64:cc:2e:11:22:35 my_phone 1796000000",
            "2001:db8::a10 - Redmi-Note-8T 1796000000",
            "fd00::a10 - Redmi-Note-8T 1796000000",
            "fd00:aaaa::3 - test -",
        ]
    );
    assert_eq!(counts(&file), [1, 1, 0, 0]);
}

#[test]
fn each_format_is_recognised() {
    for (text, expected) in [
        (DNSMASQ, Some(LeaseFormat::Dnsmasq)),
        ("duid 00:01\n", Some(LeaseFormat::Dnsmasq)),
        (KEA4, Some(LeaseFormat::Kea)),
        (KEA6, Some(LeaseFormat::Kea)),
        (ISC4, Some(LeaseFormat::Isc)),
        ("\n\nlease 192.168.50.1 {\n", Some(LeaseFormat::Isc)),
        (ISC6, Some(LeaseFormat::Isc)),
        (NETWORKD, Some(LeaseFormat::Networkd)),
        (NETWORKD_256, Some(LeaseFormat::Networkd)),
        (ODHCPD, Some(LeaseFormat::Odhcpd)),
        (
            "# br-lan 64cc2e112234 ipv4 - -1 c0a8320b 32 192.168.50.11/32\n",
            Some(LeaseFormat::Odhcpd),
        ),
        ("", None),
        ("# a comment\nhello\n", None),
    ] {
        assert_eq!(LeaseFormat::recognise(text.as_bytes()), expected, "{text}");
    }
}

#[test]
fn a_bad_line_is_counted_with_its_fix_and_the_rest_is_read() {
    let good = "1796000000 64:cc:2e:11:22:33 192.168.50.10 a *\n";
    let (found, file) = leases(
        &format!("x y\n<b> y z w *\n1 a 300.0.0.1 b *\n{good}"),
        LeaseFormat::Dnsmasq,
    );
    assert_eq!(found.len(), 1);
    let reasons: Vec<_> = file.skipped.first.iter().map(ToString::to_string).collect();
    assert_eq!(
        reasons,
        [
            "line 1: it has 2 fields and not 5; check which server writes the file",
            "line 2: a field is not a number; check which server writes the file",
            "line 3: a field is not an IP address; check which server writes the file",
        ]
    );
    let (found, file) = leases(
        &format!("{KEA_OLD}192.168.50.11\n192.168.50.12,,,x,1,,,,\n"),
        LeaseFormat::Kea,
    );
    assert_eq!((found.len(), file.skipped.count), (1, 2));
    let (found, file) = leases(
        "# br-lan x\nname address\n# a b ipv4 - 1 2 32 x/32\n",
        LeaseFormat::Odhcpd,
    );
    assert_eq!((found.len(), file.skipped.count), (0, 3));
    let error = parse(b"a,b,c\n", LeaseFormat::Kea, long_ago())
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("the first line does not name"), "{error}");
}

#[test]
fn ipv6_leases_beyond_the_limit_take_no_room_from_ipv4_and_the_oldest_go() {
    let line = |number| format!("1796000000 1 2001:db8::{number:x} a *\n");
    let mut text: String = (1..=MAX_LEASES + 7).map(line).collect();
    text.push_str("1796000000 64:cc:2e:11:22:33 192.168.50.10 a *\n");
    let read = |text: &str| parse(text.as_bytes(), LeaseFormat::Dnsmasq, long_ago()).unwrap();
    let file = read(&text);
    assert_eq!((file.leases.len(), file.not_kept), (MAX_LEASES + 1, 7));
    let has = |file: &LeaseFile, address: &str| {
        let address: IpAddr = address.parse().unwrap();
        file.leases.iter().any(|lease| lease.address == address)
    };
    assert!(!has(&file, "2001:db8::7") && has(&file, "2001:db8::8"));
    assert!(has(&file, &format!("2001:db8::{:x}", MAX_LEASES + 7)));
    // A lease that is renewed is the newest.
    text.push_str("1796000009 1 2001:db8::8 b *\n1796000009 1 2001:db8:1::1 c *\n");
    let file = read(&text);
    assert!(has(&file, "2001:db8::8") && !has(&file, "2001:db8::9"));
    assert!(
        file.leases
            .iter()
            .any(|lease| lease.host_name.as_deref() == Some("b"))
    );
}

/// A flood of leases that have ended does not take the room of others.
#[test]
fn leases_that_have_ended_take_no_room() {
    let row = |number: usize, expire: u32| format!("2001:db8::{number:x},,1,{expire},1,0,0,a,0\n");
    let columns =
        "address,hwaddr,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state\n";
    let ended: String = (2..MAX_LEASES + 9).map(|number| row(number, 10)).collect();
    let text = format!("{columns}{}{ended}", row(1, 1_796_000_000));
    let now = Timestamp::from_second(1_790_000_000).unwrap();
    let file = parse(text.as_bytes(), LeaseFormat::Kea, now).unwrap();
    assert_eq!((file.leases.len(), file.not_kept), (1, 0));
    // The last row of an address holds, also if it has ended.
    let text = format!("{columns}{}{}", row(1, 1_796_000_000), row(1, 10));
    let file = parse(text.as_bytes(), LeaseFormat::Kea, now).unwrap();
    assert_eq!((file.leases.len(), file.ended), (0, 1));
}

/// A server may be writing the file while it is read.
#[test]
fn half_a_file_has_only_leases_of_the_whole_one() {
    for (text, format, end) in [
        (DNSMASQ, LeaseFormat::Dnsmasq, "\n"),
        (KEA4, LeaseFormat::Kea, "\n"),
        (KEA6, LeaseFormat::Kea, "\n"),
        (KEA_OLD, LeaseFormat::Kea, "\n"),
        (ISC4, LeaseFormat::Isc, "}\n"),
        (ISC6, LeaseFormat::Isc, "}\n"),
        (NETWORKD, LeaseFormat::Networkd, "\n"),
        (NETWORKD_256, LeaseFormat::Networkd, "]"),
        (ODHCPD, LeaseFormat::Odhcpd, "\n"),
    ] {
        let read = |length: usize| {
            let bytes = &text.as_bytes()[..length];
            let is_same = |found| found == format;
            assert!(
                LeaseFormat::recognise(bytes).is_none_or(is_same),
                "{format:?}"
            );
            let file = parse(bytes, format, long_ago()).unwrap_or_default();
            file.leases
        };
        // Later rows replace earlier ones, so these are the leases of all whole rows.
        let ends = text.match_indices(end).map(|(start, _)| start + end.len());
        let whole: Vec<Lease> = ends.flat_map(read).collect();
        assert!(!whole.is_empty(), "{format:?}");
        for length in 0..text.len() {
            for lease in read(length) {
                assert!(whole.contains(&lease), "{format:?} {length} {lease:?}");
            }
        }
    }
}

#[test]
fn a_lease_ends_at_its_time() {
    let (_, file) = leases(DNSMASQ, LeaseFormat::Dnsmasq);
    let at = |second| Timestamp::from_second(second).unwrap();
    assert!(!file.leases[0].has_ended(at(1_795_999_999)));
    assert!(file.leases[0].has_ended(at(1_796_000_000)));
    assert!(!file.leases[1].has_ended(Timestamp::MAX));
}

/// The seeds of the fuzz target reach the parsers.
#[test]
fn each_seed_of_the_fuzz_target_gives_a_lease() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/devices");
    for (name, format) in [
        ("dnsmasq", LeaseFormat::Dnsmasq),
        ("isc4", LeaseFormat::Isc),
        ("isc6", LeaseFormat::Isc),
        ("kea4", LeaseFormat::Kea),
        ("kea6", LeaseFormat::Kea),
        ("kea_old", LeaseFormat::Kea),
        ("networkd", LeaseFormat::Networkd),
        ("networkd_256", LeaseFormat::Networkd),
        ("odhcpd", LeaseFormat::Odhcpd),
    ] {
        let bytes = std::fs::read(format!("{folder}/{name}")).unwrap();
        assert_eq!(LeaseFormat::recognise(&bytes), Some(format), "{name}");
        let file = parse(&bytes, format, long_ago()).unwrap();
        assert!(!file.leases.is_empty(), "{name}");
    }
}

/// Returns a sample in which some bytes were replaced, removed or inserted.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let samples = [DNSMASQ, KEA4, KEA6, ISC4, ISC6, NETWORKD, ODHCPD];
    let change = (any::<prop::sample::Index>(), 0..3_u8, any::<u8>());
    let changes = prop::collection::vec(change, 0..12);
    (prop::sample::select(samples.to_vec()), changes).prop_map(|(sample, changes)| {
        let mut bytes = sample.as_bytes().to_vec();
        for (index, kind, byte) in changes {
            let index = index.index(bytes.len());
            match kind {
                0 => bytes[index] = byte,
                1 => bytes.insert(index, byte),
                _ => bytes.truncate(index.max(1)),
            }
        }
        bytes
    })
}

proptest! {
    #[test]
    fn any_file_is_read_within_the_limits(bytes: Vec<u8>, damaged in damaged()) {
        for bytes in [&bytes, &damaged] {
            let _ = LeaseFormat::recognise(bytes);
            for format in LeaseFormat::ALL {
                let Ok(file) = parse(bytes, format, long_ago()) else { continue };
                prop_assert!(file.leases.len() <= 2 * MAX_LEASES);
                prop_assert!(file.leases.is_sorted_by(|a, b| a.address < b.address));
                for lease in &file.leases {
                    let name = lease.host_name.as_deref().unwrap_or("-");
                    prop_assert!((1..=MAX_HOST_NAME).contains(&name.len()));
                    prop_assert!(name.bytes().all(|byte| matches!(byte, b' '..=b'~')));
                    prop_assert!(lease.mac.is_none_or(mac::is_device));
                }
            }
        }
    }
}
