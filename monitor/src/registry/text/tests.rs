use super::*;

#[test]
fn handles_and_names_of_registries_name_only_a_registry() {
    for (text, registry) in [
        ("MAINT-CNNIC-AP", Registry::Cnnic),
        ("IRT-CNNIC-CN", Registry::Cnnic),
        ("CNNIC-AP", Registry::Cnnic),
        ("CNNIC-CRITICAL-CN", Registry::Cnnic),
        ("MAINT-JPNIC", Registry::Jpnic),
        ("JPNIC-NET-JP-ERX", Registry::Jpnic),
        ("JPNIC-NET-JP", Registry::Jpnic),
        ("MNT-KRNIC-AP", Registry::Krnic),
        ("MAINT-TW-TWNIC", Registry::Twnic),
        ("MAINT-IN-IRINN", Registry::Irinn),
        ("MAINT-VN-VNNIC", Registry::Vnnic),
        ("MNT-APJII-ID", Registry::Idnic),
        ("APNIC-HM", Registry::Apnic),
        ("APNIC-SERVICES", Registry::Apnic),
        ("APNIC-ERX-150", Registry::Apnic),
        ("IANA-BLK", Registry::Iana),
        ("ARIN-CIDR-BLOCK", Registry::Arin),
        ("RIPE-NCC-HM-MNT", Registry::RipeNcc),
        ("RIPE-NCC-END-MNT", Registry::RipeNcc),
        ("RIPE-NCC-LEGACY-MNT", Registry::RipeNcc),
        ("RIPE-NCC-LOCKED-MNT", Registry::RipeNcc),
        ("RIPE", Registry::RipeNcc),
        (
            "China Internet Network Information Center (CNNIC)",
            Registry::Cnnic,
        ),
        ("China Internet Network Infomation Center", Registry::Cnnic),
        ("Korea Internet & Security Agency", Registry::Krnic),
        ("Asia Pacific Network Information Centre", Registry::Apnic),
        (
            "Asia Pacific Network Information Centre, Pty. Ltd.",
            Registry::Apnic,
        ),
        (
            "Regional Internet Registry for the Asia-Pacific Region",
            Registry::Apnic,
        ),
        (
            "American Registry for Internet Numbers, Ltd. (ARIN)",
            Registry::Arin,
        ),
        ("APNIC Pty Ltd", Registry::Apnic),
        ("APNIC, CNNIC", Registry::Cnnic),
        ("Internet Assigned Numbers Authority", Registry::Iana),
        ("iana", Registry::Iana),
        ("NIC México", Registry::NicMx),
    ] {
        assert_eq!(only_in(text), Some(registry), "{text}");
    }
}

#[test]
fn a_text_with_other_words_names_a_holder() {
    for text in [
        "",
        "-",
        "MAINT",
        "CNNIC member: Example Ltd",
        "MAINT-CNNIC-AP Forest Eternal",
        "Forest Eternal",
        "APNIC Research and Development",
        "Ripe Fruit Company",
        "Ripe Inc",
        "Arin Ltd",
        "The Arin Co Ltd",
        "Kisa Limited",
        "Iana Corp",
        "Arinna",
        "IDNIC-TADULAKO-ID",
        "CNNIC-EXAMPLE",
        "Xiaomi Technology",
        &"CNNIC ".repeat(MAX_WORDS + 1),
    ] {
        assert_eq!(only_in(text), None, "{text}");
        assert!(!is_placeholder(text), "{text}");
    }
}

#[test]
fn characters_that_show_nothing_and_wide_letters_hide_no_registry() {
    for hidden in [
        "CNN\u{200b}IC",
        "CN\u{200c}N\u{200d}IC",
        "CNNIC\u{2060}",
        "\u{feff}CNNIC",
        "CNN\u{ad}IC",
        "ＣＮＮＩＣ",
        "ｃｎｎｉｃ",
        "China\u{3000}Internet Network Information Center",
    ] {
        assert_eq!(only_in(hidden), Some(Registry::Cnnic), "{hidden:?}");
    }
    assert_eq!(plain("Ｅx\u{200b}ample é"), "Example é");
}

#[test]
fn texts_in_place_of_a_holder_are_known() {
    for text in [
        "NON-RIPE-NCC-MANAGED-ADDRESS-BLOCK",
        "IPv4 address block not managed by the RIPE NCC",
        "JPNIC Allocation Block",
        "Allocated to KRNIC Member.",
        "Unallocated",
        "N/A",
    ] {
        assert!(is_placeholder(text), "{text}");
    }
    for text in [
        "Reserved Parking Ltd",
        "Allocation Services Ltd",
        "Unknown Worlds",
    ] {
        assert!(!is_placeholder(text), "{text}");
    }
}

#[test]
fn handles_of_authorisation_objects_are_known() {
    for handle in [
        "meta-mnt",
        "MNT-EXAMPLE",
        "IRT-EXAMPLE-CN",
        "MAINT-XX",
        "AS64500-MNTNER",
    ] {
        assert!(is_authorisation(handle), "{handle}");
    }
    for handle in ["ORG-EX1-RIPE", "MNT Holding Ltd", "MNTX", ""] {
        assert!(!is_authorisation(handle), "{handle}");
    }
}
