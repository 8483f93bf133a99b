//! Compares the built-in table of vendors with the whole crate from which it is made.

use monitor::{
    devices::oui::{Owner, Vendors},
    policy::MacAddress,
};

/// Returns a MAC that begins with `prefix`. The digits behind it are those that no longer
/// prefix covers, if there are such.
fn owner(vendors: &Vendors, prefix: &str) -> Option<String> {
    let digits = format!("{prefix:0<11}1");
    let [_, _, mac @ ..] = u64::from_str_radix(&digits, 16)
        .expect("hexadecimal digits")
        .to_be_bytes();
    match vendors.owner(MacAddress(mac)) {
        Owner::Vendor(vendor) if usize::from(vendor.bits) == prefix.len() * 4 => {
            Some(vendor.name.to_owned())
        }
        _ => None,
    }
}

#[test]
fn the_table_has_each_vendor_of_the_crate() {
    let vendors = Vendors::default();
    let (mut same, mut none, mut local, mut covered) = (0, 0, 0, 0);
    for (prefix, record) in oui_data::OUI_ENTRIES.entries() {
        let words: Vec<&str> = record.organization().split_whitespace().collect();
        let name = words.join(" ");
        let first = u8::from_str_radix(&prefix[..2], 16).unwrap();
        let found = owner(&vendors, prefix);
        if first & 2 != 0 {
            assert_eq!(found, None, "{prefix}");
            local += 1;
        } else if matches!(name.as_str(), "Private" | "IEEE Registration Authority") {
            none += 1;
            assert_eq!(found, None, "{prefix}");
        } else if found.is_none() {
            // A longer prefix covers the first addresses.
            let longer = format!("{prefix:0<9}");
            let is_covered = [7, 9].iter().any(|digits| {
                *digits > prefix.len() && oui_data::OUI_ENTRIES.contains_key(&longer[..*digits])
            });
            assert!(is_covered, "{prefix} {name}");
            covered += 1;
        } else {
            assert_eq!(found.as_ref(), Some(&name), "{prefix}");
            same += 1;
        }
    }
    println!("same {same}, no vendor {none}, local {local}, covered {covered}");
    assert!(same > 50_000);
    assert_eq!(same + none + local + covered, oui_data::OUI_ENTRIES.len());
}
