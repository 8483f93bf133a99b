//! Parses the list of Encrypted Client Hello configurations in the `ech` parameter of an
//! HTTPS or SVCB record (RFC 9848). The format is `ECHConfigList` of RFC 9849, section 4.

use super::domain_text;

/// Maximum number of configurations that are kept from one list.
pub const MAX_CONFIGURATIONS: usize = 16;

/// Version of a configuration as in RFC 9849.
const VERSION: u16 = 0xfe0d;

/// What a client shows of an Encrypted Client Hello configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EchConfiguration {
    /// The identifier that the outer ClientHello carries.
    pub config_id: u8,
    /// The server name of the outer ClientHello. The text is that of
    /// [`domain_text::from_dotted`].
    pub public_name: String,
}

/// Returns the configurations of a list. Configurations of other versions are left out. A
/// list that is not well-formed gives the configurations before the first error.
#[must_use]
pub fn parse(list: &[u8]) -> Vec<EchConfiguration> {
    let mut configurations = Vec::new();
    let mut outer = Reader(list);
    let Some(mut list) = outer.vector16() else {
        return configurations;
    };
    while configurations.len() < MAX_CONFIGURATIONS {
        let Some((version, contents)) = list.configuration() else {
            break;
        };
        if version != VERSION {
            continue;
        }
        let Some(configuration) = contents_of(contents) else {
            break;
        };
        configurations.push(configuration);
    }
    configurations
}

/// Parses `ECHConfigContents`.
fn contents_of(mut contents: Reader<'_>) -> Option<EchConfiguration> {
    let config_id = contents.byte()?;
    let _kem = contents.number16()?;
    let _public_key = contents.vector16()?;
    let _cipher_suites = contents.vector16()?;
    let _maximum_name_length = contents.byte()?;
    let public_name = contents.vector8()?;
    if public_name.0.is_empty() {
        return None;
    }
    Some(EchConfiguration {
        config_id,
        public_name: domain_text::from_dotted(public_name.0),
    })
}

/// Bytes that are still to be read. Numbers are big-endian.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn configuration(&mut self) -> Option<(u16, Self)> {
        Some((self.number16()?, self.vector16()?))
    }

    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    fn number16(&mut self) -> Option<u16> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u16::from_be_bytes(*number))
    }

    fn vector8(&mut self) -> Option<Self> {
        let length = self.byte()?;
        self.take(length.into())
    }

    fn vector16(&mut self) -> Option<Self> {
        let length = self.number16()?;
        self.take(length.into())
    }

    fn take(&mut self, length: usize) -> Option<Self> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(Self(taken))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A list that a resolver gave for a site of Cloudflare. Its configuration has the
    /// identifier 0xf2.
    pub(crate) const CLOUDFLARE: &str = "\
        0045fe0d0041f200200020c221a5373fabf3ebaf09da845166da6d484c07fb5217f3fdd338\
        0ac4c74b512c00040001000100\
        12636c6f7564666c6172652d6563682e636f6d0000";

    pub(crate) fn bytes(hexadecimal: &str) -> Vec<u8> {
        let digits: Vec<u8> = hexadecimal
            .chars()
            .filter_map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
            .collect();
        digits
            .chunks(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect()
    }

    #[test]
    fn a_published_list_gives_its_identifier_and_public_name() {
        let configuration = EchConfiguration {
            config_id: 0xf2,
            public_name: "cloudflare-ech.com".to_owned(),
        };
        assert_eq!(parse(&bytes(CLOUDFLARE)), [configuration]);
    }

    #[test]
    fn another_version_is_skipped_and_an_error_ends_the_list() {
        let published = bytes(CLOUDFLARE);
        let mut two = vec![0, 0, 0xfe, 0x0a, 0, 2, 9, 9];
        two.extend(&published[2..]);
        two[1] = u8::try_from(two.len() - 2).unwrap();
        assert_eq!(parse(&two).len(), 1);
        two.extend([0xfe, 0x0d, 0, 1, 7]);
        two[1] = u8::try_from(two.len() - 2).unwrap();
        assert_eq!(parse(&two).len(), 1);
        for length in 0..published.len() {
            assert_eq!(parse(&published[..length]), []);
        }
    }

    #[test]
    fn a_list_gives_a_bounded_number_of_configurations() {
        let one = bytes(CLOUDFLARE)[2..].to_vec();
        let mut list = u16::try_from(one.len() * 100)
            .unwrap()
            .to_be_bytes()
            .to_vec();
        list.extend(one.repeat(100));
        assert_eq!(parse(&list).len(), MAX_CONFIGURATIONS);
    }

    proptest! {
        #[test]
        fn no_list_makes_the_parser_panic(list in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(parse(&list).len() <= MAX_CONFIGURATIONS);
        }
    }
}
