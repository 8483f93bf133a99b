//! Reads a destination in the spellings of other programs: an address and a netmask, and
//! octets with `*`.

use std::net::Ipv4Addr;

use super::line::InvalidLine;
use crate::{address::Destination, quoted::quoted};

/// Parses `text` as a policy does, and otherwise as one of the spellings of IPv4
/// networks: `192.0.2.0/255.255.255.0`, `192.0.2.0 255.255.255.0` or `192.0.2.*`.
pub(super) fn destination(text: &str) -> Result<Destination, InvalidLine> {
    let error = match text.parse() {
        Ok(destination) => return Ok(destination),
        Err(error) => error,
    };
    let spelled = with_stars(text).or_else(|| with_mask(text));
    spelled.unwrap_or_else(|| Err(error.into()))
}

/// Parses octets, the last ones of which are `*`. Returns `None` for another text.
fn with_stars(text: &str) -> Option<Result<Destination, InvalidLine>> {
    let allowed = |c: char| c.is_ascii_digit() || matches!(c, '.' | '*');
    if !text.contains('*') || !text.chars().all(allowed) {
        return None;
    }
    let octets: Vec<&str> = text.split('.').collect();
    let given = octets.iter().take_while(|octet| **octet != "*").count();
    let rest = &octets[given..];
    let is_mixed = octets[..given].iter().any(|octet| octet.contains('*'));
    if octets.len() != 4 || given == 0 || is_mixed || rest.iter().any(|octet| *octet != "*") {
        return Some(Err(InvalidLine::Stars { text: quoted(text) }));
    }
    let network = format!("{}/{}", text.replace('*', "0"), 8 * given);
    Some(network.parse().map_err(InvalidLine::from))
}

/// Parses an IPv4 address and a mask. Returns `None` for another text.
fn with_mask(text: &str) -> Option<Result<Destination, InvalidLine>> {
    let (address, mask) = text.split_once(['/', ' ', '\t'])?;
    let address: Ipv4Addr = address.trim().parse().ok()?;
    let mask: Ipv4Addr = mask.trim().parse().ok()?;
    if text.contains('\t') && is_netmask_of(mask, address) {
        return Some(Err(InvalidLine::RangeOrNetmask));
    }
    // `0.0.0.0` is the netmask of all addresses and the wildcard mask of one.
    // `255.255.255.255` is the opposite.
    let is_either = mask.is_unspecified() || (mask.is_broadcast() && address.is_unspecified());
    if is_either || length(!mask).is_some_and(|_| length(mask).is_none()) {
        return Some(Err(InvalidLine::WildcardMask { mask }));
    }
    let Some(length) = length(mask) else {
        return Some(Err(InvalidLine::Mask { mask }));
    };
    let network = format!("{address}/{length}");
    Some(network.parse().map_err(InvalidLine::from))
}

/// Returns the number of ones if they all come before the zeros.
fn length(mask: Ipv4Addr) -> Option<u32> {
    let bits = mask.to_bits();
    let ones = bits.leading_ones();
    (ones + bits.trailing_zeros() == u32::BITS).then_some(ones)
}

/// Returns true for a netmask with at least eight ones, such as `255.255.0.0`.
pub(super) fn is_netmask(text: &str) -> bool {
    let mask = text
        .starts_with("255.")
        .then(|| text.parse().ok())
        .flatten();
    mask.is_some_and(|mask| length(mask).is_some())
}

/// Returns true if `address` is a network of at least two addresses with this netmask.
pub(super) fn is_netmask_of(mask: Ipv4Addr, address: Ipv4Addr) -> bool {
    let is_mask = length(mask).is_some_and(|length| (1..u32::BITS).contains(&length));
    is_mask && address.to_bits() & !mask.to_bits() == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lists::{Format, Selection, read, recognise};

    #[test]
    fn netmasks_and_stars_are_networks() {
        for (text, network) in [
            ("45.16.0.0/255.255.0.0", "45.16.0.0/16"),
            ("45.17.0.0 255.255.255.0", "45.17.0.0/24"),
            ("45.17.0.0   255.255.255.128", "45.17.0.0/25"),
            ("192.0.2.1/255.255.255.255", "192.0.2.1/32"),
            ("45.14.0.*", "45.14.0.0/24"),
            ("45.15.*.*", "45.15.0.0/16"),
            ("45.*.*.*", "45.0.0.0/8"),
        ] {
            assert_eq!(
                destination(text).unwrap(),
                network.parse().unwrap(),
                "{text}"
            );
            assert_eq!(recognise(&format!("{text}\n")), Ok(Format::Plain), "{text}");
        }
    }

    #[test]
    fn masks_and_stars_with_another_meaning_are_refused() {
        for (text, message) in [
            (
                "45.16.0.0 0.0.255.255",
                "`0.0.255.255` may be the wildcard mask",
            ),
            ("45.16.0.0/0.0.255.255", "may be the wildcard mask"),
            ("45.16.0.1 0.0.0.0", "may be the wildcard mask"),
            ("0.0.0.0 255.255.255.255", "may be the wildcard mask"),
            ("45.16.0.0 255.0.255.0", "`255.0.255.0` is not a netmask"),
            ("45.16.0.1/255.255.0.0", "bits set after its first 16"),
            (
                "45.17.0.0\t255.255.255.0",
                "a range or an address and its netmask",
            ),
            ("45.*.0.1", "`*` may only stand for the last octets"),
            ("45.1*.*.*", "`*` may only stand for the last octets"),
            ("*.*.*.*", "`*` may only stand for the last octets"),
            ("45.14.*", "`*` may only stand for the last octets"),
            ("045.14.0.*", "leading zero"),
            ("*.example.com", "is a name"),
        ] {
            let error = destination(text).unwrap_err().to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
    }

    #[test]
    fn two_columns_that_may_be_a_range_or_a_netmask_are_no_table() {
        let text = "45.17.0.0\t255.255.255.0\n45.18.0.0,255.255.0.0\n";
        assert_eq!(recognise(text), Ok(Format::Plain));
        let list = read(text, Format::RangeCsv, &Selection::default());
        assert_eq!((list.ipv4.len(), list.bad.count()), (0, 2));
        let range = read(
            "1.0.0.0,1.255.255.255\n",
            Format::RangeCsv,
            &Selection::default(),
        );
        assert_eq!(range.ipv4.len(), 1);
    }
}
