//! Kinds of MAC addresses (IEEE 802-2014, section 8).

use crate::policy::MacAddress;

/// Returns true if `mac` can be the address of one device. A group address
/// (multicast, broadcast) and the address of zeros cannot.
#[must_use]
pub fn is_device(mac: MacAddress) -> bool {
    let [first, ..] = mac.0;
    first & 1 == 0 && mac.0 != [0; 6]
}

/// Returns true if `mac` is locally administered, which means that no vendor assigned it
/// (IEEE 802, section 8.4). Phones choose such a MAC at random for each network. Virtual
/// machines and containers have such MACs too.
#[must_use]
pub fn is_randomised(mac: MacAddress) -> bool {
    let [first, ..] = mac.0;
    first & 2 != 0
}

/// Returns `mac` as a number of 48 bits.
#[must_use]
pub(super) fn number(mac: MacAddress) -> u64 {
    mac.0
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Parses six parts of one or two hexadecimal digits, with `:` or `-` between.
/// `ether_aton(3)` accepts parts of one digit, so `/etc/ethers` may have them.
#[must_use]
pub(super) fn parse_short(text: &str) -> Option<MacAddress> {
    let separator = if text.contains(':') { ':' } else { '-' };
    let mut bytes = [0; 6];
    let mut parts = text.split(separator);
    for byte in &mut bytes {
        let part = parts.next()?;
        let is_hexadecimal = part.bytes().all(|digit| digit.is_ascii_hexdigit());
        if !matches!(part.len(), 1 | 2) || !is_hexadecimal {
            return None;
        }
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(MacAddress(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mac(text: &str) -> MacAddress {
        text.parse().unwrap()
    }

    #[test]
    fn groups_and_zeros_are_not_devices() {
        for text in [
            "64:cc:2e:11:22:33",
            "02:00:00:00:00:01",
            "00:00:00:00:00:01",
        ] {
            assert!(is_device(mac(text)), "{text}");
        }
        for text in [
            "00:00:00:00:00:00",
            "ff:ff:ff:ff:ff:ff",
            "01:00:5e:00:00:fb",
            "33:33:00:00:00:01",
        ] {
            assert!(!is_device(mac(text)), "{text}");
        }
    }

    #[test]
    fn the_second_bit_marks_randomised_addresses() {
        for digit in ["2", "6", "a", "e"] {
            assert!(is_randomised(mac(&format!("d{digit}:11:22:33:44:55"))));
        }
        for digit in ["0", "4", "8", "c"] {
            assert!(!is_randomised(mac(&format!("d{digit}:11:22:33:44:55"))));
        }
    }

    #[test]
    fn short_parts_are_read() {
        assert_eq!(parse_short("8:0:20:1:2:fe"), Some(mac("08:00:20:01:02:fe")));
        assert_eq!(
            parse_short("08-00-20-01-02-FE"),
            Some(mac("08:00:20:01:02:fe"))
        );
        for text in [
            "",
            "8:0:20:1:2",
            "8:0:20:1:2:3:4",
            "8:0:20:1:2:+3",
            "108:0:20:1:2:3",
        ] {
            assert_eq!(parse_short(text), None, "{text}");
        }
    }
}
