//! Lease files of Kea's memfile backend, for IPv4 and IPv6 (`CSVLeaseFile4`,
//! `CSVLeaseFile6` and `CSVRow` in its sources).
//!
//! The first line names the columns, whose number grew with the versions. Kea appends a
//! row for each change, so the last row of an address holds. Kea does not quote: it writes
//! separators and bytes that are not printable ASCII within a value as `&#xNN`.
//!
//! Kea's clean-up moves older rows to `FILE.1`, `FILE.2` or `FILE.completed`.

use super::{Found, InvalidLeaseFile, InvalidLine, Lease, LeaseFormat, address, mac, number, time};
use crate::devices::lines::{complete, host_name, lines};

/// Lifetime of a lease without an end, in seconds (RFC 2131, section 3.3).
const INFINITE: u64 = 0xffff_ffff;

/// State of a lease in use.
const STATE_DEFAULT: u64 = 0;

/// State of an address that the device itself made and registered (RFC 9686).
const STATE_REGISTERED: u64 = 4;

/// `lease_type` of a delegated prefix.
const TYPE_PREFIX: u64 = 2;

/// `hwaddr_source` of a MAC that Kea took from the DUID.
const SOURCE_DUID: u64 = 2;

/// Most columns that are read. Kea 3.0 writes 18.
const COLUMNS: usize = 64;

/// Returns true if a line is the header of a lease file.
pub(super) fn is_header(line: &[u8]) -> bool {
    Columns::of(line).is_some()
}

pub(super) fn parse(bytes: &[u8], found: &mut Found) -> Result<(), InvalidLeaseFile> {
    let mut lines = lines(complete(bytes)).filter(|(_, line)| !line.trim_ascii().is_empty());
    let Some((_, header)) = lines.next() else {
        return Ok(());
    };
    let columns = Columns::of(header).ok_or(InvalidLeaseFile::Header)?;
    for (line_number, line) in lines {
        let values: Vec<&[u8]> = values(line).collect();
        if let Err(error) = columns.row(&values, found) {
            found.skip(line_number, &error);
        }
    }
    Ok(())
}

fn values(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b',').take(COLUMNS)
}

/// Index of each column that is used.
struct Columns {
    address: usize,
    valid_lifetime: usize,
    expire: usize,
    hwaddr: Option<usize>,
    hwaddr_source: Option<usize>,
    host_name: Option<usize>,
    state: Option<usize>,
    lease_type: Option<usize>,
}

impl Columns {
    /// Returns the columns of a header. Returns `None` if a needed one is missing.
    fn of(header: &[u8]) -> Option<Self> {
        let index = |name: &str| values(header).position(|value| value == name.as_bytes());
        Some(Self {
            address: index("address")?,
            valid_lifetime: index("valid_lifetime")?,
            expire: index("expire")?,
            hwaddr: index("hwaddr"),
            hwaddr_source: index("hwaddr_source"),
            host_name: index("hostname"),
            state: index("state"),
            lease_type: index("lease_type"),
        })
    }

    fn row(&self, values: &[&[u8]], found: &mut Found) -> Result<(), InvalidLine> {
        let needed = self.address.max(self.valid_lifetime).max(self.expire) + 1;
        let missing = InvalidLine::Fields {
            found: values.len(),
            needed,
        };
        let value = |index: usize| values.get(index).copied().ok_or(missing);
        let optional = |index: Option<usize>| {
            let value = index.and_then(|index| values.get(index).copied());
            value.filter(|value| !value.is_empty())
        };
        let number_of = |index: Option<usize>| optional(index).map(number::<u64>).transpose();
        let address = address(value(self.address)?)?;
        let lifetime: u64 = number(value(self.valid_lifetime)?)?;
        let expire: u64 = number(value(self.expire)?)?;
        let state = number_of(self.state)?.unwrap_or(STATE_DEFAULT);
        if number_of(self.lease_type)? == Some(TYPE_PREFIX) {
            found.prefix();
            return Ok(());
        }
        // A lifetime of zero is how Kea writes that it removed the lease.
        if lifetime == 0 || !matches!(state, STATE_DEFAULT | STATE_REGISTERED) {
            found.end(address);
            return Ok(());
        }
        let is_of_duid = number_of(self.hwaddr_source)? == Some(SOURCE_DUID);
        let name = optional(self.host_name).map(unescape);
        found.lease(Lease {
            mac: optional(self.hwaddr).filter(|_| !is_of_duid).and_then(mac),
            address,
            host_name: name.and_then(|name| host_name(&name)),
            expires: time(expire).filter(|_| lifetime != INFINITE),
            source: LeaseFormat::Kea,
        });
        Ok(())
    }
}

/// Replaces each `&#xNN` by its byte.
fn unescape(value: &[u8]) -> Vec<u8> {
    let mut rest = value;
    let mut plain = Vec::with_capacity(value.len());
    while let [first, after @ ..] = rest {
        if let [b'&', b'#', b'x', high, low, after @ ..] = rest
            && let Some(byte) = byte_of(*high, *low)
        {
            plain.push(byte);
            rest = after;
        } else {
            plain.push(*first);
            rest = after;
        }
    }
    plain
}

fn byte_of(high: u8, low: u8) -> Option<u8> {
    let digit = |digit: u8| char::from(digit).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}
