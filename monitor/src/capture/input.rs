//! Reads the bytes of a capture, one record at a time.

use std::io::{self, BufReader, Cursor, Read};

use super::Problem;

/// Maximum length of a record, in bytes. Capturing programs store at most 256 KiB of
/// a frame. The limit keeps a damaged length from using up the memory.
const LONGEST_RECORD: u64 = 16 << 20;

/// Number of bytes read to recognise the format: the length of a pcap header.
const LONGEST_HEADER: usize = 24;

/// A reader that holds one record, and counts bytes and packets for error messages.
pub(super) struct Input {
    reader: Box<dyn Read + Send>,
    record: Vec<u8>,
    /// Position of `record` in the file, in bytes.
    offset: u64,
    /// Number of frames returned so far.
    packet: u64,
}

impl Input {
    pub(super) fn new(reader: Box<dyn Read + Send>) -> Self {
        Self {
            reader: Box::new(BufReader::with_capacity(64 << 10, reader)),
            record: Vec::new(),
            offset: 0,
            packet: 0,
        }
    }

    /// Returns the bytes read since the last call of `begin`.
    pub(super) fn record(&self) -> &[u8] {
        &self.record
    }

    /// Returns the number of the next frame, counted from 1.
    pub(super) fn next_packet(&self) -> u64 {
        self.packet + 1
    }

    /// Counts one more returned frame.
    pub(super) fn packet_done(&mut self) {
        self.packet += 1;
    }

    /// Returns the position of the record in the file, in bytes.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Reads the file header, or less if the file is shorter.
    pub(super) fn peek_header(&mut self) -> Result<(), Problem> {
        self.append(LONGEST_HEADER as u64)
    }

    /// Puts the bytes that `peek_header` read back in front of the reader.
    pub(super) fn rewind_header(&mut self) {
        let header = Cursor::new(std::mem::take(&mut self.record));
        let rest = std::mem::replace(&mut self.reader, Box::new(io::empty()));
        self.reader = Box::new(header.chain(rest));
    }

    /// Starts the next record and reads its first `length` bytes. Returns false at the
    /// end of the file.
    pub(super) fn begin(&mut self, length: u64) -> Result<bool, Problem> {
        self.offset += self.record.len() as u64;
        self.record.clear();
        self.append(length)?;
        match self.record.len() as u64 {
            0 => Ok(false),
            read if read < length => Err(self.cut_short()),
            _ => Ok(true),
        }
    }

    /// Reads the rest of the record, which has `length` bytes in total.
    pub(super) fn complete(&mut self, length: u64) -> Result<(), Problem> {
        if length > LONGEST_RECORD {
            return Err(Problem::TooLong {
                offset: self.offset,
                packet: self.packet,
                length,
                limit: LONGEST_RECORD,
            });
        }
        self.append(length.saturating_sub(self.record.len() as u64))?;
        if (self.record.len() as u64) < length {
            return Err(self.cut_short());
        }
        Ok(())
    }

    /// Skips the rest of the record, which has `length` bytes in total. The length has
    /// no limit, because the bytes are not stored.
    pub(super) fn skip(&mut self, length: u64) -> Result<(), Problem> {
        let rest = length.saturating_sub(self.record.len() as u64);
        let skipped = io::copy(&mut self.reader.by_ref().take(rest), &mut io::sink());
        if skipped.map_err(|source| self.failed(source))? < rest {
            return Err(self.cut_short());
        }
        self.offset += rest;
        Ok(())
    }

    /// Returns the error for a record whose fields contradict each other.
    pub(super) fn malformed(&self) -> Problem {
        Problem::Malformed {
            offset: self.offset,
            packet: self.packet,
        }
    }

    /// Returns the error for a file that ends within the record.
    pub(super) fn cut_short(&self) -> Problem {
        Problem::CutShort {
            offset: self.offset,
            packet: self.packet,
        }
    }

    /// Appends up to `length` bytes to the record. The memory grows with the bytes
    /// that the file really has, not with `length`.
    fn append(&mut self, length: u64) -> Result<(), Problem> {
        let read = self
            .reader
            .by_ref()
            .take(length)
            .read_to_end(&mut self.record);
        read.map(drop).map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> Problem {
        Problem::Read {
            packet: self.packet,
            source,
        }
    }
}
