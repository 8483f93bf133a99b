//! Lease file of dnsmasq (`lease_update_file` in its `src/lease.c`).
//!
//! ```text
//! 1796000000 64:cc:2e:11:22:33 192.168.50.10 Redmi-Note-8T 01:64:cc:2e:11:22:33
//! duid 00:01:00:01:2a:5b:1c:3d:64:cc:2e:11:22:33
//! 1796000000 287454020 2001:db8::10 Redmi-Note-8T 00:01:00:01:…
//! ```
//!
//! The fields are: end of the lease, MAC, address, host name, client identifier. In IPv6
//! lines the second field is the IAID, and the last one is the client's DUID. The line
//! `duid` holds the server's own.

use super::{Found, InvalidLine, Lease, LeaseFormat, address, mac, number, time, words};
use crate::devices::lines::{complete, host_name, lines};

/// Numbers below this one are no times: dnsmasq on a machine without a clock writes the
/// length of the lease. The value is 2001-09-09.
const FIRST_TIME: u64 = 1_000_000_000;

/// Number of fields that every version writes. The last one is not used, but it shows that
/// the host name before it is complete.
const FIELDS: usize = 5;

/// Returns true if a line looks like one of dnsmasq.
pub(super) fn is_line(line: &[u8]) -> bool {
    line.starts_with(b"duid ") || matches!(lease(line), Ok(Some(_)))
}

pub(super) fn parse(bytes: &[u8], found: &mut Found) {
    for (line_number, line) in lines(complete(bytes)) {
        match lease(line) {
            Ok(None) => {}
            Ok(Some(lease)) => found.lease(lease),
            Err(error) => found.skip(line_number, &error),
        }
    }
}

fn lease(line: &[u8]) -> Result<Option<Lease>, InvalidLine> {
    let fields: Vec<&[u8]> = words(line).take(FIELDS).collect();
    let (expires, device, ip, name) = match fields[..] {
        [] | [b"duid", ..] => return Ok(None),
        [expires, device, ip, name, _] => (expires, device, ip, name),
        _ => {
            let found = fields.len();
            let needed = FIELDS;
            return Err(InvalidLine::Fields { found, needed });
        }
    };
    let expires: u64 = number(expires)?;
    let address = address(ip)?;
    Ok(Some(Lease {
        // Before the address of other hardware than Ethernet, dnsmasq writes the type of
        // the hardware and `-`.
        mac: mac(device).filter(|_| address.is_ipv4()),
        address,
        host_name: host_name(name).filter(|_| name != b"*"),
        expires: time(expires).filter(|_| expires >= FIRST_TIME),
        source: LeaseFormat::Dnsmasq,
    }))
}
