//! The file that a capture writes.

use std::{
    fs::{self, File},
    io::{self, IsTerminal as _, Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use monitor::{control::capture::ClientFile, error_text::error_text, new_file, printable};
use sha2::{Digest as _, Sha256};

/// Type of an Enhanced Packet Block.
const PACKET_BLOCK: u32 = 6;

/// A new file or standard output.
pub(super) struct Output {
    place: Place,
    /// Packets that were written.
    packets: u64,
}

enum Place {
    File(Growing),
    /// With the hash of what was written.
    StandardOutput(io::Stdout, Box<Sha256>),
    /// The reader of standard output is gone.
    Closed,
    /// The file cannot be written any more, for this reason.
    Failed(String),
}

/// A file that ends with a whole block.
struct Growing {
    file: File,
    path: PathBuf,
    /// Length of the whole blocks, bytes.
    length: u64,
}

/// What became of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrote {
    /// They are written, or the failure is known already.
    Blocks,
    /// The reader of standard output went away just now.
    ReaderGone,
    /// The file cannot be written any more, since now.
    Failed,
}

impl Output {
    /// Creates the file; `-` is standard output.
    pub(super) fn create(path: &Path) -> anyhow::Result<Self> {
        let place = if path.as_os_str() == "-" {
            let out = standard_output();
            anyhow::ensure!(
                !out.is_terminal(),
                "--output: a terminal cannot show a capture; name a file, or use a pipe"
            );
            Place::StandardOutput(out, Box::default())
        } else {
            let shown = || format!("create {}", printable::path(path));
            let file = match new_file::create_growing(path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    Err(error).with_context(|| format!("{}: name a new file", shown()))?
                }
                file => file.with_context(shown)?,
            };
            Place::File(Growing {
                file,
                path: path.to_owned(),
                length: 0,
            })
        };
        Ok(Self { place, packets: 0 })
    }

    /// Removes the file, which is empty.
    pub(super) fn discard(self) {
        if let Place::File(Growing { path, .. }) = self.place {
            // If it cannot be removed, an empty file stays, and the error is about the capture.
            let _ = fs::remove_file(path);
        }
    }

    /// Writes blocks.
    pub(super) fn write_blocks(&mut self, blocks: &[u8]) -> Wrote {
        match &mut self.place {
            Place::Closed | Place::Failed(_) => Wrote::Blocks,
            Place::File(file) => {
                let Err(error) = file.write_each(blocks, &mut self.packets) else {
                    return Wrote::Blocks;
                };
                let why = file.failure(&error, self.packets);
                self.place = Place::Failed(why);
                Wrote::Failed
            }
            Place::StandardOutput(out, hash) => {
                let mut out = out.lock();
                match out.write_all(blocks).and_then(|()| out.flush()) {
                    Ok(()) => {
                        hash.update(blocks);
                        Wrote::Blocks
                    }
                    Err(error) => {
                        drop(out);
                        if error.kind() == io::ErrorKind::BrokenPipe {
                            self.place = Place::Closed;
                            return Wrote::ReaderGone;
                        }
                        self.place = Place::Failed(format!("write to standard output: {error}"));
                        Wrote::Failed
                    }
                }
            }
        }
    }

    /// Writes the file to disk, and reads it again. Returns what to tell the daemon.
    pub(super) fn finish(&mut self) -> ClientFile {
        match &mut self.place {
            Place::Closed | Place::Failed(_) => ClientFile::Incomplete {},
            Place::StandardOutput(_, hash) => ClientFile::Pipe(hex::encode(hash.finalize_reset())),
            Place::File(file) => match file.on_disk() {
                Ok(sha256) => ClientFile::Disk(sha256),
                Err(error) => {
                    let why = format!(
                        "write {} to disk, and read it again: {error}",
                        printable::path(&file.path)
                    );
                    self.place = Place::Failed(why);
                    ClientFile::Incomplete {}
                }
            },
        }
    }

    /// Why the file is not complete, if it could not be written.
    pub(super) fn failure(&self) -> Option<&str> {
        match &self.place {
            Place::Failed(why) => Some(why),
            Place::File(_) | Place::StandardOutput(..) | Place::Closed => None,
        }
    }
}

impl Growing {
    /// Writes each block with one call. So if this process is killed between two calls, the file
    /// ends with a whole block. Counts packets.
    fn write_each(&mut self, mut blocks: &[u8], packets: &mut u64) -> io::Result<()> {
        while !blocks.is_empty() {
            let (block, rest) = first_block(blocks).ok_or(io::ErrorKind::InvalidData)?;
            self.file.write_all(block)?;
            self.length += block.len() as u64;
            *packets += u64::from(block.starts_with(&PACKET_BLOCK.to_le_bytes()));
            blocks = rest;
        }
        Ok(())
    }

    /// Removes the part of a block at the end of the file. Returns the reason in words.
    fn failure(&mut self, error: &io::Error, packets: u64) -> String {
        let cut = self.file.set_len(self.length);
        let cut = cut.and_then(|()| self.file.sync_all());
        let path = printable::path(&self.path);
        let what = match error.kind() {
            io::ErrorKind::StorageFull => "the disk is full".to_owned(),
            io::ErrorKind::QuotaExceeded => "the quota of the disk is used up".to_owned(),
            io::ErrorKind::FileTooLarge => "the file has the largest size".to_owned(),
            _ => error_text(error),
        };
        match cut {
            Ok(()) => {
                format!("write {path}: {what} after {packets} packets, which the file holds")
            }
            Err(error) => {
                format!("write {path}: {what} after {packets} packets; cut its last block: {error}")
            }
        }
    }

    /// Writes the file to disk. Returns the SHA-256 of what is there, hexadecimal.
    fn on_disk(&mut self) -> io::Result<String> {
        self.file.sync_all()?;
        self.file.rewind()?;
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 64 << 10];
        loop {
            match self.file.read(&mut buffer) {
                Ok(0) => return Ok(hex::encode(hash.finalize())),
                Ok(length) => hash.update(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// The first block of pcapng, and the rest. The length of a block follows its type.
fn first_block(blocks: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = blocks.get(4..8)?.try_into().ok().map(u32::from_le_bytes)?;
    let length = usize::try_from(length)
        .ok()
        .filter(|length| *length >= 12)?;
    blocks.split_at_checked(length)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a capture is no text, and goes to no terminal"
)]
fn standard_output() -> io::Stdout {
    io::stdout()
}
