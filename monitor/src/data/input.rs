//! Reads a data file: unpacks gzip, and splits text into lines. Uses a fixed amount of
//! memory, whatever the file contains: binary content goes to a temporary file.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Cursor, Read},
    path::Path,
};

use flate2::bufread::GzDecoder;

use crate::lists::MAX_LINE;

/// Maximum size of the unpacked content in bytes.
pub(super) const MAX_UNPACKED: u64 = 256 * 1024 * 1024;

/// The first bytes of a gzip member (RFC 1952, section 2.3.1).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Number of bytes of the beginning that decide about the kind of a file.
const SAMPLE: usize = 64 * 1024;

/// Maximum size of an unpacked MMDB database in bytes.
pub(super) const MAX_BINARY: u64 = 64 * 1024 * 1024;

/// The unpacked content of a file.
pub(super) struct Input<'a> {
    sample: Vec<u8>,
    reader: BufReader<Box<dyn Read + 'a>>,
}

impl<'a> Input<'a> {
    /// Opens the content of `packed`, which may be gzip, and reads its first 64 KiB.
    pub(super) fn new(packed: impl Read + 'a) -> io::Result<Self> {
        let mut packed = packed;
        let first = beginning(&mut packed, GZIP.len())?;
        let is_gzip = first == GZIP;
        let packed = BufReader::new(Cursor::new(first).chain(packed));
        let unpacked: Box<dyn Read + 'a> = if is_gzip {
            Box::new(Members::new(packed))
        } else {
            Box::new(packed)
        };
        let mut limited = Limited {
            inner: unpacked,
            left: MAX_UNPACKED,
        };
        // One read may return less than there is, for example only one member of gzip.
        let sample = beginning(&mut limited, SAMPLE)?;
        let all = Cursor::new(sample.clone()).chain(limited);
        Ok(Self {
            sample,
            reader: BufReader::with_capacity(SAMPLE, Box::new(all)),
        })
    }

    /// Returns up to 64 KiB from the beginning. It is shorter only if the content is.
    pub(super) fn sample(&self) -> &[u8] {
        &self.sample
    }

    /// Writes the content to a temporary file without a name in `directory`. Returns `None`
    /// if the content is larger than [`MAX_BINARY`]. Call it before any line is read.
    pub(super) fn spool(self, directory: &Path) -> io::Result<Option<File>> {
        let mut file = tempfile::tempfile_in(directory)?;
        let size = io::copy(&mut self.reader.take(MAX_BINARY + 1), &mut file)?;
        Ok((size <= MAX_BINARY).then_some(file))
    }

    /// Reads the next line into `line`, without its end. Returns `None` at the end of the
    /// file, otherwise the length of the line in bytes. Of a line that is longer than
    /// [`MAX_LINE`], only the beginning is stored.
    pub(super) fn line(&mut self, line: &mut Vec<u8>) -> io::Result<Option<usize>> {
        line.clear();
        let mut length = 0;
        loop {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                return Ok((length > 0).then_some(length));
            }
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let part = buffer.get(..end.unwrap_or(buffer.len())).unwrap_or(buffer);
            let room = MAX_LINE.saturating_sub(line.len());
            line.extend(part.iter().take(room));
            length += part.len();
            let used = part.len() + usize::from(end.is_some());
            self.reader.consume(used);
            if end.is_some() {
                return Ok(Some(length));
            }
        }
    }
}

/// Reads up to `length` bytes; fewer only at the end of the content.
fn beginning(reader: &mut impl Read, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(length as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Unpacks every member of a gzip file. Zero bytes after the last member are padding.
struct Members<R> {
    /// The decoder of the current member. `None` after the last.
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Members<R> {
    fn new(packed: R) -> Self {
        Self {
            member: Some(GzDecoder::new(packed)),
        }
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(member) = &mut self.member else {
                return Ok(0);
            };
            let read = member
                .read(buffer)
                .map_err(|error| io::Error::new(error.kind(), format!("unpack gzip: {error}")))?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let mut packed = match self.member.take() {
                Some(member) => member.into_inner(),
                None => return Ok(0),
            };
            if skip_zeros(&mut packed)? {
                self.member = Some(GzDecoder::new(packed));
            }
        }
    }
}

/// Skips zero bytes. Returns true if other bytes follow.
fn skip_zeros(packed: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let buffer = packed.fill_buf()?;
        if buffer.is_empty() {
            return Ok(false);
        }
        let zeros = buffer.iter().take_while(|byte| **byte == 0).count();
        let all = zeros == buffer.len();
        packed.consume(zeros);
        if !all {
            return Ok(true);
        }
    }
}

/// Fails after [`MAX_UNPACKED`] bytes.
struct Limited<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| {
            let limit = MAX_UNPACKED / (1024 * 1024);
            let message = format!("unpacked it is larger than {limit} MiB");
            io::Error::new(io::ErrorKind::FileTooLarge, message)
        })?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn lines(packed: &[u8]) -> io::Result<Vec<(String, usize)>> {
        let mut input = Input::new(packed)?;
        let (mut line, mut lines) = (Vec::new(), Vec::new());
        while let Some(length) = input.line(&mut line)? {
            lines.push((String::from_utf8(line.clone()).unwrap(), length));
        }
        Ok(lines)
    }

    #[test]
    fn text_and_every_member_of_gzip_are_read() {
        let expected = vec![("a".to_owned(), 1), (String::new(), 0), ("b".to_owned(), 1)];
        assert_eq!(lines(b"a\n\nb").unwrap(), expected);
        assert_eq!(lines(b"a\n\nb\n").unwrap(), expected);
        let members = [gzip(b"a\n"), vec![0; 600], gzip(b"\nb\n"), vec![0; 512]].concat();
        assert_eq!(lines(&members).unwrap(), expected);
        assert_eq!(lines(b"").unwrap(), []);
    }

    #[test]
    fn of_a_long_line_only_the_beginning_is_stored() {
        let text = format!("{}\nb\n", "a".repeat(3 * SAMPLE));
        let lines = lines(text.as_bytes()).unwrap();
        assert_eq!(lines[0].1, 3 * SAMPLE);
        assert_eq!(lines[0].0.len(), MAX_LINE);
        assert_eq!(lines[1].0, "b");
    }

    #[test]
    fn the_sample_reaches_over_members_of_gzip() {
        let members = [gzip(b"# comment\n"), gzip(b"a|b\n"), gzip(&[0; 9])].concat();
        let input = Input::new(members.as_slice()).unwrap();
        assert_eq!(input.sample(), b"# comment\na|b\n\0\0\0\0\0\0\0\0\0");
        let long = vec![b'a'; 2 * SAMPLE];
        let input = Input::new(long.as_slice()).unwrap();
        assert_eq!(input.sample().len(), SAMPLE);
    }

    #[test]
    fn binary_content_is_spooled_up_to_its_limit() {
        let directory = tempfile::tempdir().unwrap();
        let spool = |length| {
            let input = Input::new(io::repeat(0).take(length)).unwrap();
            let file = input.spool(directory.path()).unwrap();
            file.map(|file| file.metadata().unwrap().len())
        };
        assert_eq!(spool(3 * SAMPLE as u64), Some(3 * SAMPLE as u64));
        assert_eq!(spool(MAX_BINARY), Some(MAX_BINARY));
        assert_eq!(spool(MAX_BINARY + 1), None);
        assert_eq!(directory.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn a_damaged_or_huge_file_is_an_error() {
        let packed = gzip(b"a\nb\n");
        let error = lines(&packed[..packed.len() - 4]).unwrap_err();
        assert!(error.to_string().starts_with("unpack gzip: "), "{error}");
        let trailing = [gzip(b"a\n"), b"text".to_vec()].concat();
        lines(&trailing).unwrap_err();
        let mut endless = Limited {
            inner: io::repeat(0),
            left: 1000,
        };
        let error = io::copy(&mut endless, &mut io::sink()).unwrap_err();
        assert_eq!(error.to_string(), "unpacked it is larger than 256 MiB");
    }
}
