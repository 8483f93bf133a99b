//! Reads a data file: unpacks gzip, and splits text into lines. Uses a fixed amount of
//! memory, whatever the file contains.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::GzDecoder;

use crate::lists::MAX_LINE;

/// Maximum size of the unpacked content in bytes.
pub(super) const MAX_UNPACKED: u64 = 256 * 1024 * 1024;

/// The first bytes of a gzip member (RFC 1952, section 2.3.1).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Number of bytes of the beginning that decide about the kind of a file.
const SAMPLE: usize = 64 * 1024;

/// The unpacked content of a file.
pub(super) struct Input<'a> {
    reader: BufReader<Box<dyn Read + 'a>>,
}

impl<'a> Input<'a> {
    /// Opens the content of `packed`, which may be gzip.
    pub(super) fn new(packed: impl Read + 'a) -> io::Result<Self> {
        let mut packed = BufReader::new(packed);
        let is_gzip = packed.fill_buf()?.starts_with(&GZIP);
        let unpacked: Box<dyn Read + 'a> = if is_gzip {
            Box::new(Members::new(packed))
        } else {
            Box::new(packed)
        };
        let limited = Limited {
            inner: unpacked,
            left: MAX_UNPACKED,
        };
        Ok(Self {
            reader: BufReader::with_capacity(SAMPLE, Box::new(limited)),
        })
    }

    /// Returns up to 64 KiB from the beginning. Call it before any line is read.
    pub(super) fn sample(&mut self) -> io::Result<&[u8]> {
        self.reader.fill_buf()
    }

    /// Reads everything.
    pub(super) fn all(mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.reader.read_to_end(&mut bytes)?;
        Ok(bytes)
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
