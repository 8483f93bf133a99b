//! Reads fields from the front of untrusted bytes. A field that is missing is `None`.

/// The rest of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// Takes the next `length` bytes.
    pub fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// Takes the next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    /// Takes a byte.
    pub fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    /// Takes a 16-bit number in network byte order.
    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// Takes a 32-bit number in network byte order.
    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// Takes a byte that holds a length in bytes, then that many bytes.
    pub fn bytes_of_u8(&mut self) -> Option<&'a [u8]> {
        let length = self.u8()?;
        self.bytes(length.into())
    }

    /// Takes a 16-bit length in bytes, then that many bytes.
    pub fn bytes_of_u16(&mut self) -> Option<&'a [u8]> {
        let length = self.u16()?;
        self.bytes(length.into())
    }

    /// Takes a variable-length integer of QUIC (RFC 9000, section 16).
    pub fn quic_integer(&mut self) -> Option<u64> {
        let first = self.u8()?;
        let mut value = u64::from(first & 0x3f);
        for byte in self.bytes((1 << (first >> 6)) - 1)? {
            value = value << 8 | u64::from(*byte);
        }
        Some(value)
    }

    /// Takes a length in bytes (RFC 9000, section 16), then that many bytes.
    pub fn bytes_of_quic_integer(&mut self) -> Option<&'a [u8]> {
        let length = self.quic_integer()?;
        self.bytes(usize::try_from(length).ok()?)
    }

    /// Takes a base-128 varint of Protocol Buffers. Bits above 64 are an error.
    pub fn protobuf_integer(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_rfc_9000_appendix_a1_are_read() {
        let cases: [(&[u8], u64); 5] = [
            (
                &[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c],
                151_288_809_941_952_652,
            ),
            (&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333),
            (&[0x7b, 0xbd], 15_293),
            (&[0x25], 37),
            (&[0x40, 0x25], 37),
        ];
        for (bytes, value) in cases {
            assert_eq!(Reader(bytes).quic_integer(), Some(value));
            let short = &bytes[..bytes.len() - 1];
            assert_eq!(Reader(short).quic_integer(), None);
        }
    }

    #[test]
    fn a_protobuf_integer_has_at_most_64_bits() {
        assert_eq!(Reader(&[0x96, 0x01]).protobuf_integer(), Some(150));
        let mut most = [0xff; 10];
        most[9] = 1;
        assert_eq!(Reader(&most).protobuf_integer(), Some(u64::MAX));
        most[9] = 2;
        assert_eq!(Reader(&most).protobuf_integer(), None);
        assert_eq!(Reader(&[0xff; 11]).protobuf_integer(), None);
        assert_eq!(Reader(&[0x80]).protobuf_integer(), None);
    }

    #[test]
    fn a_field_that_is_cut_short_is_missing() {
        let mut reader = Reader(&[2, 1]);
        assert_eq!(reader.bytes_of_u8(), None);
        assert_eq!(Reader(&[0, 1]).bytes_of_u16(), None);
        assert_eq!(Reader(&[0, 1, 9]).bytes_of_u16(), Some(&[9][..]));
        assert_eq!(Reader(&[0xff; 8]).bytes_of_quic_integer(), None);
    }
}
