//! Unpacks gzip, which is recognised by its first bytes.

use std::io::{self, Read as _};

use flate2::bufread::GzDecoder;

/// The first bytes of a gzip member (RFC 1952, section 2.3.1).
const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Maximum size of an unpacked list, in bytes. Published lists are far smaller, and a
/// gateway has little memory.
const MAX_UNPACKED: u64 = 256 * 1024 * 1024;

/// The reason why a list cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The content is damaged or truncated.
    #[error("unpack gzip: {0}")]
    Damaged(#[source] io::Error),
    /// The unpacked content is larger than the limit.
    #[error("unpacked it is larger than {} MiB", limit / (1024 * 1024))]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
}

/// Unpacks gzip. Content in any other form is returned unchanged.
pub fn unpack(bytes: Vec<u8>) -> Result<Vec<u8>, UnpackError> {
    unpack_up_to(bytes, MAX_UNPACKED)
}

pub(super) fn unpack_up_to(bytes: Vec<u8>, limit: u64) -> Result<Vec<u8>, UnpackError> {
    if !bytes.starts_with(&MAGIC) {
        return Ok(bytes);
    }
    let mut unpacked = Vec::new();
    let mut packed = bytes.as_slice();
    while !is_padding(packed) {
        let left = limit + 1 - unpacked.len() as u64;
        GzDecoder::new(&mut packed)
            .take(left)
            .read_to_end(&mut unpacked)
            .map_err(UnpackError::Damaged)?;
        if unpacked.len() as u64 > limit {
            return Err(UnpackError::TooLarge { limit });
        }
    }
    Ok(unpacked)
}

/// Returns true if `rest` is empty or has only zero bytes. Programs that write whole
/// blocks pad files in this way, and gzip(1) ignores the padding too.
fn is_padding(rest: &[u8]) -> bool {
    rest.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn text_is_unchanged_and_every_member_of_gzip_is_unpacked() {
        assert_eq!(unpack(b"192.0.2.1\n".to_vec()).unwrap(), b"192.0.2.1\n");
        assert_eq!(unpack(Vec::new()).unwrap(), b"");
        let two = [packed(b"192.0.2.1\n"), packed(b"192.0.2.2\n")].concat();
        assert_eq!(unpack(two).unwrap(), b"192.0.2.1\n192.0.2.2\n");
    }

    #[test]
    fn zeros_after_the_last_member_are_padding_and_other_bytes_are_not() {
        let list = b"192.0.2.1\n";
        for zeros in [1, 511, 4096] {
            let padded = [packed(list), vec![0; zeros]].concat();
            assert_eq!(unpack(padded).unwrap(), list, "{zeros}");
        }
        let hidden = [packed(list), vec![0; 512], packed(list)].concat();
        assert!(matches!(unpack(hidden), Err(UnpackError::Damaged(_))));
        let text = [packed(list), list.to_vec()].concat();
        assert!(matches!(unpack(text), Err(UnpackError::Damaged(_))));
    }

    #[test]
    fn the_limit_is_kept_to_the_byte() {
        let bytes = packed(&[b'#'; 1000]);
        assert_eq!(unpack_up_to(bytes.clone(), 1000).unwrap().len(), 1000);
        let error = unpack_up_to(bytes, 999).unwrap_err();
        assert!(matches!(error, UnpackError::TooLarge { limit: 999 }));
        let shown = UnpackError::TooLarge {
            limit: MAX_UNPACKED,
        }
        .to_string();
        assert_eq!(shown, "unpacked it is larger than 256 MiB");
    }

    #[test]
    fn a_truncated_file_is_an_error() {
        let bytes = packed(b"192.0.2.0/24\n198.51.100.0/24\n");
        let error = unpack(bytes[..bytes.len() - 6].to_vec()).unwrap_err();
        assert!(error.to_string().starts_with("unpack gzip: "), "{error}");
    }
}
