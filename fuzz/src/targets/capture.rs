//! Captures.

use std::io::{self, Cursor, Read};

use monitor::{
    capture::{Capture, Frame},
    error_text::error_text,
};

/// A pcap or pcapng file. Reading it at once and byte by byte must give the same frames.
pub fn capture(bytes: &[u8]) {
    let (frames, ended) = frames_of(Cursor::new(bytes.to_vec()));
    let held: usize = frames.iter().map(|frame| frame.data.len()).sum();
    assert!(held <= bytes.len(), "{held} bytes of {}", bytes.len());
    let slowly = frames_of(OneByte(Cursor::new(bytes.to_vec())));
    assert_eq!(slowly, (frames, ended));
}

fn frames_of(reader: impl Read + Send + 'static) -> (Vec<Frame>, Option<String>) {
    let mut frames = Vec::new();
    let capture = match Capture::new("made", Box::new(reader)) {
        Ok(capture) => capture,
        Err(error) => return (frames, Some(error_text(&error))),
    };
    for frame in capture {
        match frame {
            Ok(frame) => frames.push(frame),
            Err(error) => return (frames, Some(error_text(&error))),
        }
    }
    (frames, None)
}

/// A reader that returns one byte at a time, as a pipe may.
struct OneByte<R>(R);

impl<R: Read> Read for OneByte<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(1);
        self.0.read(&mut buffer[..length])
    }
}
