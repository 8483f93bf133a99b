//! Lease file and hosts file of odhcpd (`statefiles.c` in its sources, `dhcpv6-ia.c`
//! before 2025-11).
//!
//! ```text
//! 192.168.50.10<TAB>Redmi-Note-8T.lan<TAB>Redmi-Note-8T
//! # br-lan 64cc2e112233 ipv4 Redmi-Note-8T 1796000000 c0a8320a 32 192.168.50.10/32
//! # br-lan 00030001… 2e112233 Redmi-Note-8T 1796000000 a10 128 2001:db8::a10/128
//! ```
//!
//! The fields after `#` are: interface, MAC or DUID, `ipv4` or the IAID, host name, end of
//! the lease (-1: none, 0: over), address as a number, prefix length, addresses. The
//! hosts file has only lines of the first kind.

use std::net::IpAddr;

use super::{Found, InvalidLine, Lease, LeaseFormat, address, mac_of_bytes, number, time, words};
use crate::devices::lines::{complete, host_name, lines};

/// Number of fields before the addresses.
const FIELDS: usize = 8;

/// Most addresses of one line. odhcpd writes at most 512 bytes a line.
const ADDRESSES: usize = 64;

/// Mark before a host name that is not valid as a name in the DNS. odhcpd writes these
/// characters.
const BROKEN: &[u8] = b"broken\\x20";

/// Returns true if a line looks like one of odhcpd.
pub(super) fn is_line(line: &[u8]) -> bool {
    let mut fields = words(line);
    match fields.next() {
        Some(b"#") => {
            let numbers = [fields.nth(4), fields.nth(1)];
            let is_number =
                |text: Option<&[u8]>| text.is_some_and(|text| number::<i64>(text).is_ok());
            numbers.into_iter().all(is_number)
        }
        Some(first) => address(first).is_ok() && fields.next().is_some(),
        None => false,
    }
}

pub(super) fn parse(bytes: &[u8], found: &mut Found) {
    for (line_number, line) in lines(complete(bytes)) {
        let parsed = match words(line).next() {
            None => Ok(()),
            Some(b"#") => state(line, found),
            Some(_) => host(line, found),
        };
        if let Err(error) = parsed {
            found.skip(line_number, &error);
        }
    }
}

/// Parses a line with `#`.
fn state(line: &[u8], found: &mut Found) -> Result<(), InvalidLine> {
    let fields: Vec<&[u8]> = words(line).take(FIELDS + ADDRESSES).collect();
    let missing = InvalidLine::Fields {
        found: fields.len(),
        needed: FIELDS,
    };
    let Some(([_, _, device, iaid, name, expires, _, _], addresses)) =
        fields.split_first_chunk::<FIELDS>()
    else {
        return Err(missing);
    };
    let expires: i64 = number(expires)?;
    let mac = hexadecimal(device).filter(|_| *iaid == b"ipv4");
    let mac = mac.and_then(|bytes| mac_of_bytes(&bytes));
    let plain = name.strip_prefix(BROKEN).unwrap_or(name);
    let name = host_name(plain).filter(|_| plain != b"-");
    for text in addresses {
        let Some(address) = single(text)? else {
            found.prefix();
            continue;
        };
        if expires == 0 {
            found.end(address);
            continue;
        }
        found.lease(Lease {
            mac,
            address,
            host_name: name.clone(),
            expires: u64::try_from(expires).ok().and_then(time),
            source: LeaseFormat::Odhcpd,
        });
    }
    Ok(())
}

/// Parses a line of the hosts file. The last name has no domain.
fn host(line: &[u8], found: &mut Found) -> Result<(), InvalidLine> {
    let mut fields = words(line);
    let address = address(fields.next().unwrap_or_default())?;
    let name = fields.take(ADDRESSES).last().and_then(host_name);
    // A line with `#` says more about the same address.
    if !found.has(address) {
        found.lease(Lease {
            mac: None,
            address,
            host_name: name,
            expires: None,
            source: LeaseFormat::Odhcpd,
        });
    }
    Ok(())
}

/// Returns the address of `ADDRESS/LENGTH`. Returns `None` for a prefix.
fn single(text: &[u8]) -> Result<Option<IpAddr>, InvalidLine> {
    let mut parts = text.splitn(2, |byte| *byte == b'/');
    let ip = address(parts.next().unwrap_or_default())?;
    let full = if ip.is_ipv4() { 32 } else { 128 };
    let length: u8 = match parts.next() {
        Some(length) => number(length).map_err(|_| InvalidLine::Address)?,
        None => full,
    };
    Ok((length == full).then_some(ip))
}

/// Returns the bytes of pairs of hexadecimal digits.
fn hexadecimal(text: &[u8]) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_chunks();
    let byte = |[high, low]: &[u8; 2]| {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
    };
    let bytes: Option<Vec<u8>> = pairs.iter().take(8).map(byte).collect();
    bytes.filter(|_| rest.is_empty())
}
