//! Names that the operator gives to MACs: a file of lines `MAC NAME`, and `/etc/ethers`.

use std::{collections::BTreeMap, net::IpAddr};

use super::{
    lines::{Skipped, lines},
    mac,
};
use crate::policy::MacAddress;

/// Maximum number of names.
pub const MAX_NAMES: usize = 16_384;

/// Maximum length of a name, in characters.
pub const MAX_NAME: usize = 64;

/// The format of a file of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NamesFormat {
    /// Lines of a MAC and a name, which may have spaces.
    Names,
    /// `/etc/ethers` (`ethers(5)`): lines of a MAC and a host name or an address.
    Ethers,
}

impl NamesFormat {
    /// Returns the word of JSON and of the store.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Names => "names",
            Self::Ethers => "ethers",
        }
    }
}

/// Why a line is skipped. The texts quote nothing of the line, because they are logged, and
/// the line is about a household.
#[derive(Debug, thiserror::Error)]
enum InvalidLine {
    #[error(
        "it does not begin with a MAC address; write six pairs of hexadecimal digits: 64:cc:2e:11:22:33"
    )]
    Mac,
    #[error("the MAC is a group address or all zeros; write the MAC of one device")]
    NotADevice,
    #[error("there is no name behind the MAC; write one")]
    NoName,
    #[error("the name is not UTF-8 text; save the file as UTF-8")]
    NotUtf8,
    #[error("the name has more than {MAX_NAME} characters; write a shorter one")]
    TooLong,
    #[error("line {0} names the same MAC; remove one of the two")]
    Twice(u64),
    #[error("there are more than {MAX_NAMES} names; remove those of old devices")]
    TooMany,
}

/// A name that the operator gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The name. It can have any characters, so the caller escapes it.
    pub text: String,
    /// The format of the file.
    pub source: NamesFormat,
    /// Number of the line, from 1.
    pub line: u64,
}

/// What was read from a file of names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamesFile {
    /// The names, by MAC.
    pub names: BTreeMap<MacAddress, Name>,
    /// Number of lines of `/etc/ethers` that give an address in place of a name.
    pub addresses: u64,
    /// Lines that are not valid.
    pub skipped: Skipped,
}

/// Parses a file of names. Comments begin with `#` at the start of a line.
#[must_use]
pub fn parse(bytes: &[u8], source: NamesFormat) -> NamesFile {
    let mut file = NamesFile::default();
    for (number, line) in lines(bytes) {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        if let Err(error) = file.line(line, number, source) {
            file.skipped.add(number, || error.to_string());
        }
    }
    file
}

impl NamesFile {
    fn line(&mut self, line: &[u8], number: u64, source: NamesFormat) -> Result<(), InvalidLine> {
        let end = line.iter().position(u8::is_ascii_whitespace);
        let (start, rest) = line.split_at(end.unwrap_or(line.len()));
        let text = str::from_utf8(start).map_err(|_| InvalidLine::Mac)?;
        let address = mac::parse_short(text).ok_or(InvalidLine::Mac)?;
        if !mac::is_device(address) {
            return Err(InvalidLine::NotADevice);
        }
        let name = str::from_utf8(rest)
            .map_err(|_| InvalidLine::NotUtf8)?
            .trim();
        let name = match source {
            NamesFormat::Names => name,
            NamesFormat::Ethers => name.split_whitespace().next().unwrap_or_default(),
        };
        if name.is_empty() {
            return Err(InvalidLine::NoName);
        }
        if name.chars().count() > MAX_NAME {
            return Err(InvalidLine::TooLong);
        }
        if source == NamesFormat::Ethers && name.parse::<IpAddr>().is_ok() {
            self.addresses = self.addresses.saturating_add(1);
            return Ok(());
        }
        if let Some(first) = self.names.get(&address) {
            return Err(InvalidLine::Twice(first.line));
        }
        if self.names.len() >= MAX_NAMES {
            return Err(InvalidLine::TooMany);
        }
        let name = Name {
            text: name.to_owned(),
            source,
            line: number,
        };
        self.names.insert(address, name);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(file: &NamesFile) -> Vec<String> {
        let names = file.names.iter();
        names
            .map(|(mac, name)| format!("{mac} {} {}", name.text, name.line))
            .collect()
    }

    fn reasons(file: &NamesFile) -> Vec<String> {
        file.skipped.first.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn names_may_have_spaces_and_any_characters() {
        let text =
            "# devices\n64:cc:2e:11:22:33 Küche, Anna's phone\r\n\n  64-CC-2E-11-22-34\tTV  \n";
        let file = parse(text.as_bytes(), NamesFormat::Names);
        assert_eq!(
            names(&file),
            [
                "64:cc:2e:11:22:33 Küche, Anna's phone 2",
                "64:cc:2e:11:22:34 TV 4"
            ]
        );
        assert_eq!(file.skipped, Skipped::default());
    }

    #[test]
    fn ethers_gives_host_names_and_not_addresses() {
        let text = "08:00:20:00:61:CA  pal\n8:0:20:1:2:3 192.168.50.10\n0:3:ba:26:1:b0 nas # old\n";
        let file = parse(text.as_bytes(), NamesFormat::Ethers);
        assert_eq!(
            names(&file),
            ["00:03:ba:26:01:b0 nas 3", "08:00:20:00:61:ca pal 1"]
        );
        assert_eq!((file.addresses, file.skipped.count), (1, 0));
    }

    #[test]
    fn a_bad_line_is_counted_with_its_fix() {
        let mut text = b"192.168.50.10 tv\nff:ff:ff:ff:ff:ff all\n64:cc:2e:11:22:33\n".to_vec();
        text.extend(b"64:cc:2e:11:22:34 \xff\n64:cc:2e:11:22:35 a\n64:cc:2e:11:22:35 b\n");
        text.extend(format!("64:cc:2e:11:22:36 {}\n", "é".repeat(65)).bytes());
        text.extend(format!("64:cc:2e:11:22:37 {}", "é".repeat(64)).bytes());
        let file = parse(&text, NamesFormat::Names);
        assert_eq!(
            reasons(&file),
            [
                "line 1: it does not begin with a MAC address; write six pairs of hexadecimal digits: 64:cc:2e:11:22:33",
                "line 2: the MAC is a group address or all zeros; write the MAC of one device",
                "line 3: there is no name behind the MAC; write one",
                "line 4: the name is not UTF-8 text; save the file as UTF-8",
                "line 6: line 5 names the same MAC; remove one of the two",
                "line 7: the name has more than 64 characters; write a shorter one",
            ]
        );
        assert_eq!(file.names.len(), 2);
        // The reasons are logged.
        for private in ["192.168", "64:cc:2e:11:22:36", "all\"", "é"] {
            assert!(!reasons(&file).concat().contains(private));
        }
    }

    #[test]
    fn the_number_of_names_is_bounded() {
        let line = |number: usize| format!("64:cc:2e:0:{:x}:{:x} x\n", number >> 8, number & 255);
        let text: String = (0..MAX_NAMES + 3).map(line).collect();
        let file = parse(text.as_bytes(), NamesFormat::Names);
        assert_eq!((file.names.len(), file.skipped.count), (MAX_NAMES, 3));
    }

    proptest! {
        #[test]
        fn any_file_is_read(bytes: Vec<u8>, text in "([0-9a-f:]{11,17}[ \t][^\n]{0,70}\n){0,5}") {
            for bytes in [&bytes, text.as_bytes()] {
                for format in [NamesFormat::Names, NamesFormat::Ethers] {
                    let file = parse(bytes, format);
                    for name in file.names.values() {
                        prop_assert!((1..=MAX_NAME).contains(&name.text.chars().count()));
                    }
                }
            }
        }
    }
}
