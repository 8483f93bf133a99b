//! Bytes of a capture, record by record.

use std::io::{self, BufReader, Cursor, Read};

use super::Problem;

/// Longest record in bytes. Capturing programs keep at most 256 KiB of a frame;
/// a damaged length must not take the machine's memory.
const LONGEST_RECORD: u64 = 16 << 20;

/// What is read to recognise the format: the length of a pcap header in bytes.
const LONGEST_HEADER: usize = 24;

/// A reader that knows where it is, for errors.
pub(super) struct Input {
    reader: Box<dyn Read + Send>,
    record: Vec<u8>,
    /// Bytes before `record`.
    offset: u64,
    /// Frames handed out.
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

    /// What was read since the last `begin`.
    pub(super) fn record(&self) -> &[u8] {
        &self.record
    }

    /// Number of the frame that would be handed out next, from 1.
    pub(super) fn next_packet(&self) -> u64 {
        self.packet + 1
    }

    /// Counts a frame as handed out.
    pub(super) fn packet_done(&mut self) {
        self.packet += 1;
    }

    /// Where the record begins, in bytes.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Reads as much of a file header as there is.
    pub(super) fn peek_header(&mut self) -> Result<(), Problem> {
        self.append(LONGEST_HEADER as u64)
    }

    /// Gives back what `peek_header` read.
    pub(super) fn rewind_header(&mut self) {
        let header = Cursor::new(std::mem::take(&mut self.record));
        let rest = std::mem::replace(&mut self.reader, Box::new(io::empty()));
        self.reader = Box::new(header.chain(rest));
    }

    /// Begins a record with its first `length` bytes; false at the end of the file.
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

    /// Reads the record on, up to `length` bytes in all.
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

    /// Passes over the rest of a record of `length` bytes in all, however long.
    pub(super) fn skip(&mut self, length: u64) -> Result<(), Problem> {
        let rest = length.saturating_sub(self.record.len() as u64);
        let skipped = io::copy(&mut self.reader.by_ref().take(rest), &mut io::sink());
        if skipped.map_err(|source| self.failed(source))? < rest {
            return Err(self.cut_short());
        }
        self.offset += rest;
        Ok(())
    }

    /// The record contradicts itself.
    pub(super) fn malformed(&self) -> Problem {
        Problem::Malformed {
            offset: self.offset,
            packet: self.packet,
        }
    }

    /// The file ends within the record.
    pub(super) fn cut_short(&self) -> Problem {
        Problem::CutShort {
            offset: self.offset,
            packet: self.packet,
        }
    }

    /// Appends up to `length` bytes; memory grows with what is there, not with
    /// what is asked for.
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
