//! Recognises the commands of other programs by their first words.

use super::Format;

/// Returns the format whose command `line` is. The command itself may be wrong.
pub(super) fn command_of(line: &str) -> Option<Format> {
    let mut words = line.split_whitespace().peekable();
    words.next_if(|word| *word == "ipset");
    let three = (words.next()?, words.next()?, words.next()?);
    match three {
        ("create" | "-N", _, kind) if is_set_type(kind) => Some(Format::IpsetSave),
        ("add" | "-A", _, entry) if begins_with_address(entry) => Some(Format::IpsetSave),
        _ => None,
    }
}

/// Returns true for a set type of ipset, such as `hash:net`.
fn is_set_type(word: &str) -> bool {
    ["hash:", "bitmap:", "list:"]
        .iter()
        .any(|method| word.starts_with(method))
}

/// Returns true if the text up to the first `,`, `/` or `-` is an address.
pub(super) fn begins_with_address(word: &str) -> bool {
    let address = word.split([',', '/', '-']).next().unwrap_or_default();
    address.parse::<std::net::IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_of_other_programs_are_not_taken_for_a_list() {
        for line in [
            "-A INPUT -s 203.0.114.0/24 -j DROP",
            "add list=bad address=203.0.114.0/24",
            "add rule inet filter input",
            "create table x",
            "ipset",
            "",
        ] {
            assert_eq!(command_of(line), None, "{line}");
        }
    }
}
