//! The file that a capture writes.

use std::{
    fs::{self, File},
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use monitor::{new_file, printable};
use sha2::{Digest as _, Sha256};

/// A new file or standard output, and the hash of what was written.
pub(super) struct Output {
    place: Place,
    hash: Sha256,
}

enum Place {
    File(File, PathBuf),
    StandardOutput(io::Stdout),
    /// The reader of standard output is gone.
    Closed,
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
            Place::StandardOutput(out)
        } else {
            let shown = || format!("create {}", printable::path(path));
            let file = match new_file::create_growing(path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    Err(error).with_context(|| format!("{}: name a new file", shown()))?
                }
                file => file.with_context(shown)?,
            };
            Place::File(file, path.to_owned())
        };
        Ok(Self {
            place,
            hash: Sha256::new(),
        })
    }

    /// Removes the file, which is empty.
    pub(super) fn discard(self) {
        if let Place::File(_, path) = self.place {
            // If it cannot be removed, an empty file stays, and the error is about the capture.
            let _ = fs::remove_file(path);
        }
    }

    /// Writes blocks. Returns false if the reader of standard output went away just now.
    pub(super) fn write_blocks(&mut self, blocks: &[u8]) -> anyhow::Result<bool> {
        self.hash.update(blocks);
        match &mut self.place {
            Place::Closed => Ok(true),
            Place::File(file, path) => {
                let written = write_each(file, blocks);
                written.with_context(|| format!("write {}", printable::path(path)))?;
                Ok(true)
            }
            Place::StandardOutput(out) => {
                let mut out = out.lock();
                match out.write_all(blocks).and_then(|()| out.flush()) {
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                        drop(out);
                        self.place = Place::Closed;
                        Ok(false)
                    }
                    written => written.context("write to standard output").map(|()| true),
                }
            }
        }
    }

    /// Writes the file to disk. Returns the SHA-256 of its content, hexadecimal; `None` if the
    /// reader of standard output did not take everything.
    pub(super) fn finish(&mut self) -> anyhow::Result<Option<String>> {
        if let Place::File(file, path) = &self.place {
            file.sync_all()
                .with_context(|| format!("write {} to disk", printable::path(path)))?;
        }
        let hash = hex::encode(self.hash.finalize_reset());
        Ok((!matches!(self.place, Place::Closed)).then_some(hash))
    }
}

/// Writes each block with one call. So if this process is killed between two calls, the file ends
/// with a whole block.
fn write_each(file: &mut File, mut blocks: &[u8]) -> io::Result<()> {
    while !blocks.is_empty() {
        let (block, rest) = first_block(blocks).ok_or(io::ErrorKind::InvalidData)?;
        file.write_all(block)?;
        blocks = rest;
    }
    Ok(())
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
