//! Files about devices: leases, whose host names devices choose, vendors and names.

use jiff::civil::date;
use monitor::{
    devices::{
        leases::{self, LeaseFormat, MAX_LEASES},
        lines::{MAX_HOST_NAME, Skipped},
        names::{self, NamesFormat},
        oui::{Owner, Vendors},
    },
    evidence::identity::Identities,
    policy::MacAddress,
};

use super::NOW;

/// Host names are printable and bounded, and each list is bounded, whatever the bytes are.
pub fn devices(bytes: &[u8]) {
    let recognised = LeaseFormat::recognise(bytes);
    let mut identities = Identities::default();
    for format in LeaseFormat::ALL {
        // The recognised format must be one that can be read, but its file may be broken.
        let Ok(file) = leases::parse(bytes, format, NOW) else {
            continue;
        };
        assert!(file.leases.len() <= 2 * MAX_LEASES);
        check(&file.skipped);
        for name in file
            .leases
            .iter()
            .filter_map(|lease| lease.host_name.as_ref())
        {
            let is_plain = name.bytes().all(|byte| matches!(byte, b' '..=b'~'));
            assert!(is_plain && name.len() <= MAX_HOST_NAME, "{name:?}");
        }
        if recognised == Some(format) {
            identities.leases(&file.leases, NOW);
        }
    }
    for (_, device) in identities.iter() {
        drop(device.several());
    }
    for format in [NamesFormat::Names, NamesFormat::Ethers] {
        check(&names::parse(bytes, format).skipped);
    }
    let mut vendors = Vendors::default();
    if let Ok(report) = vendors.add(bytes, date(2026, 1, 1)) {
        check(&report.skipped);
    }
    if let Some(mac) = bytes.first_chunk() {
        let owner = vendors.owner(MacAddress(*mac));
        assert!(!matches!(owner, Owner::Vendor(vendor) if vendor.name.is_empty()));
    }
}

/// Each skipped line has a number and a short reason.
fn check(skipped: &Skipped) {
    for line in &skipped.first {
        assert!(line.line > 0 && line.reason.len() < 1000, "{line:?}");
    }
}
