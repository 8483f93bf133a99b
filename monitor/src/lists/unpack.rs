//! Unpacks gzip, zstd, xz and zip, which are recognised by their first bytes.

use std::io::{self, Cursor, Read};

use flate2::bufread::GzDecoder;
use lzma_rust2::XzReader;
use ruzstd::decoding::StreamingDecoder;
use zip::ZipArchive;

/// Maximum size of an unpacked list, in bytes. Published lists are far smaller, and a
/// gateway has little memory.
const MAX_UNPACKED: u64 = 256 * 1024 * 1024;

/// Maximum memory of a decoder for the text that it may repeat, in bytes. A packed file
/// says how much it needs. `zstd -19` needs 8 MiB, `xz -9` 64 MiB.
const MAX_WINDOW: u64 = 65 * 1024 * 1024;

/// Maximum number of entries of a zip. A list is one file.
const MAX_ZIP_ENTRIES: usize = 1000;

/// The first bytes of an entry in the directory of a zip.
const ZIP_ENTRY: &[u8] = b"PK\x01\x02";

/// Maximum number of gzip members or zstd frames. Each costs time, even if it is empty.
const MAX_PARTS: usize = 10_000;

/// A way to compress a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// gzip (RFC 1952).
    Gzip,
    /// Zstandard (RFC 8878).
    Zstd,
    /// xz.
    Xz,
    /// A zip with one file.
    Zip,
}

impl Packing {
    const ALL: [Self; 4] = [Self::Gzip, Self::Zstd, Self::Xz, Self::Zip];

    /// Returns the name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Zip => "zip",
        }
    }

    /// Returns the first bytes of a file that is packed in this way.
    const fn magic(self) -> &'static [u8] {
        match self {
            Self::Gzip => &[0x1f, 0x8b],
            Self::Zstd => &[0x28, 0xb5, 0x2f, 0xfd],
            Self::Xz => &[0xfd, b'7', b'z', b'X', b'Z', 0],
            Self::Zip => b"PK\x03\x04",
        }
    }

    fn of(bytes: &[u8]) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        let found = all.find(|packing| bytes.starts_with(packing.magic()));
        found.or(is_skippable(bytes).then_some(Self::Zstd))
    }
}

/// The reason why a list cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The content is damaged or truncated.
    #[error("unpack {}: {source}", .packing.name())]
    Damaged {
        /// How it is packed.
        packing: Packing,
        /// The error of the decoder.
        source: io::Error,
    },
    /// The unpacked content is larger than the limit.
    #[error("unpacked it is larger than {} MiB", limit / (1024 * 1024))]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// The content has too many members or frames.
    #[error("unpack {}: it has more than {MAX_PARTS} parts", .packing.name())]
    Parts {
        /// How it is packed.
        packing: Packing,
    },
    /// A zip has no file, or several.
    #[error("unpack zip: it has {count} files, and a list is one file")]
    Files {
        /// Number of files, without folders.
        count: usize,
    },
    /// The content is a file of another kind.
    #[error("it is {what}, which is not read")]
    Other {
        /// The kind of file.
        what: &'static str,
    },
    /// The file in a zip is encrypted, or compressed in another way than deflate.
    #[error("unpack zip: its file is encrypted or not compressed with deflate")]
    Method,
}

/// Unpacks a list. Content in any other form is returned unchanged.
pub fn unpack(bytes: Vec<u8>) -> Result<Vec<u8>, UnpackError> {
    unpack_up_to(bytes, MAX_UNPACKED)
}

/// Unpacks a list that was fetched, within the limits of a feed.
pub fn unpack_fetched(bytes: Vec<u8>) -> Result<Vec<u8>, UnpackError> {
    unpack_up_to(bytes, super::MAX_FEED_BYTES)
}

pub(super) fn unpack_up_to(bytes: Vec<u8>, limit: u64) -> Result<Vec<u8>, UnpackError> {
    let unpacked = unpack_once(bytes, limit)?;
    match other_kind(&unpacked) {
        Some(what) => Err(UnpackError::Other { what }),
        None => Ok(unpacked),
    }
}

fn unpack_once(bytes: Vec<u8>, limit: u64) -> Result<Vec<u8>, UnpackError> {
    let Some(packing) = Packing::of(&bytes) else {
        return Ok(bytes);
    };
    let mut unpacked = Unpacked {
        packing,
        limit,
        bytes: Vec::new(),
        parts: 0,
    };
    let mut packed = bytes.as_slice();
    match packing {
        Packing::Zip => return zip(&bytes, unpacked),
        Packing::Xz => {
            let memory = u32::try_from(MAX_WINDOW / 1024).unwrap_or(u32::MAX);
            unpacked.read(XzReader::new_mem_limit(packed, true, memory))?;
        }
        Packing::Gzip => {
            while !is_padding(packed) {
                unpacked.read(GzDecoder::new(&mut packed))?;
            }
        }
        Packing::Zstd => {
            while !is_padding(packed) {
                match skippable(packed) {
                    Some(after) => packed = after,
                    None => zstd_frame(&mut packed, &mut unpacked)?,
                }
            }
        }
    }
    if Packing::of(&unpacked.bytes).is_some() {
        let what = "compressed twice";
        return Err(UnpackError::Other { what });
    }
    Ok(unpacked.bytes)
}

/// Unpacks one frame. If the frame has a checksum, the content must match the checksum.
fn zstd_frame(packed: &mut &[u8], unpacked: &mut Unpacked) -> Result<(), UnpackError> {
    let frame = StreamingDecoder::new_with_max_window_size(packed, MAX_WINDOW);
    let mut frame = frame.map_err(|error| unpacked.damaged(io::Error::other(error)))?;
    unpacked.read(&mut frame)?;
    let expected = frame.decoder.get_checksum_from_data();
    if expected.is_some() && expected != frame.decoder.get_calculated_checksum() {
        return Err(unpacked.damaged(io::Error::other("the checksum is wrong")));
    }
    Ok(())
}

/// Returns what follows a frame of zstd that has no content.
fn skippable(packed: &[u8]) -> Option<&[u8]> {
    if !is_skippable(packed) {
        return None;
    }
    let (size, after) = packed.get(4..)?.split_first_chunk()?;
    after.get(u32::from_le_bytes(*size) as usize..)
}

fn is_skippable(packed: &[u8]) -> bool {
    matches!(packed, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}

/// Returns the kind of a file that has another content than text.
fn other_kind(bytes: &[u8]) -> Option<&'static str> {
    const KINDS: [(&[u8], &str); 8] = [
        (b"PK\x05\x06", "an empty zip"),
        (b"%PDF", "a PDF document"),
        (b"BZh", "compressed with bzip2"),
        (&[0x5d, 0, 0], "compressed with lzma"),
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
        (b"Rar!\x1a\x07", "a RAR archive"),
        (&[0xd0, 0xcf, 0x11, 0xe0], "a spreadsheet or a document"),
        (b"SQLite format 3\0", "an SQLite database"),
    ];
    if bytes.get(257..262) == Some(b"ustar") {
        return Some("a tar archive");
    }
    let found = KINDS.iter().find(|(magic, _)| bytes.starts_with(magic));
    found.map(|(_, what)| *what)
}

/// The unpacked part of a list.
struct Unpacked {
    packing: Packing,
    limit: u64,
    bytes: Vec<u8>,
    /// Number of members, frames or files that were read.
    parts: usize,
}

impl Unpacked {
    /// Reads `reader` to its end, or fails beyond the limit.
    fn read(&mut self, reader: impl Read) -> Result<(), UnpackError> {
        self.parts += 1;
        if self.parts > MAX_PARTS {
            let packing = self.packing;
            return Err(UnpackError::Parts { packing });
        }
        let left = self.limit + 1 - self.bytes.len() as u64;
        let read = self.append(reader.take(left));
        read.map_err(|source| self.damaged(source))?;
        if self.bytes.len() as u64 > self.limit {
            return Err(UnpackError::TooLarge { limit: self.limit });
        }
        Ok(())
    }

    /// Appends everything that `reader` has. The memory grows in steps of a quarter, not
    /// by doubling.
    fn append(&mut self, mut reader: impl Read) -> io::Result<()> {
        const LEAST: usize = 64 * 1024;
        let mut buffer = vec![0; LEAST];
        loop {
            let count = match reader.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if self.bytes.capacity() - self.bytes.len() < count {
                self.bytes.reserve_exact(LEAST.max(self.bytes.len() / 4));
            }
            self.bytes.extend_from_slice(&buffer[..count]);
        }
    }

    fn damaged(&self, source: io::Error) -> UnpackError {
        UnpackError::Damaged {
            packing: self.packing,
            source,
        }
    }
}

/// Unpacks the only file of a zip. Folders do not count.
fn zip(bytes: &[u8], mut unpacked: Unpacked) -> Result<Vec<u8>, UnpackError> {
    let damaged = |error: zip::result::ZipError| UnpackError::Damaged {
        packing: Packing::Zip,
        source: io::Error::other(error),
    };
    // The directory is read as a whole, so its size is limited first.
    let entries = bytes
        .windows(ZIP_ENTRY.len())
        .filter(|window| *window == ZIP_ENTRY);
    let count = entries.count();
    if count > MAX_ZIP_ENTRIES {
        return Err(UnpackError::Files { count });
    }
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(damaged)?;
    // macOS adds files of its own, such as `.DS_Store`.
    let is_file = |name: &String| {
        let last = name.rsplit('/').next().unwrap_or_default();
        !last.is_empty() && !last.starts_with('.') && !name.starts_with("__MACOSX/")
    };
    let names = archive.file_names();
    let names = names.map(|name| Ok(name.map_err(damaged)?.into_owned()));
    let mut names: Vec<String> = names.collect::<Result<_, UnpackError>>()?;
    if names.iter().any(|name| name == "[Content_Types].xml") {
        let what = "a spreadsheet or a document";
        return Err(UnpackError::Other { what });
    }
    names.retain(is_file);
    let [name] = names.as_slice() else {
        return Err(UnpackError::Files { count: names.len() });
    };
    let file = archive.by_name(name).map_err(|error| match error {
        zip::result::ZipError::UnsupportedArchive(_)
        | zip::result::ZipError::CompressionMethodNotSupported(_) => UnpackError::Method,
        error => damaged(error),
    })?;
    unpacked.read(file)?;
    Ok(unpacked.bytes)
}

/// Returns true if `rest` is empty or has only zero bytes. Programs that write whole
/// blocks pad files in this way, and gzip(1) ignores the padding too.
fn is_padding(rest: &[u8]) -> bool {
    rest.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests;
