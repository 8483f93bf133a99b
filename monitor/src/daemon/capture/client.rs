//! The connection to the client of a capture.

use std::{io, sync::Arc};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Chain, Take},
    net::unix::{OwnedReadHalf, OwnedWriteHalf},
    sync::mpsc,
};

use crate::{
    control::{
        MAX_REQUEST,
        capture::{ClientFile, FromClient},
    },
    daemon::core::CaptureShared,
};

/// A message for the client.
pub(super) struct Outgoing {
    /// The message.
    pub(super) bytes: Vec<u8>,
    /// Packets in its blocks.
    pub(super) packets: u64,
    /// Length of its blocks, bytes.
    pub(super) blocks: u64,
}

/// Sends the messages to the client, and counts what it has taken. `None` if the client is gone.
pub(super) async fn send(
    mut queue: mpsc::Receiver<Outgoing>,
    mut to_client: OwnedWriteHalf,
    shared: Arc<CaptureShared>,
) -> Option<OwnedWriteHalf> {
    while let Some(message) = queue.recv().await {
        write_all(&mut to_client, &message.bytes).await.ok()?;
        shared.add_sent(message.packets, message.blocks);
    }
    Some(to_client)
}

pub(super) async fn write_all(to_client: &mut OwnedWriteHalf, bytes: &[u8]) -> io::Result<()> {
    to_client.write_all(bytes).await
}

/// The lines of JSON from the client.
pub(super) struct Lines {
    reader: BufReader<Take<Chain<io::Cursor<Vec<u8>>, OwnedReadHalf>>>,
    /// What was read of the next line.
    line: Vec<u8>,
    /// True after the last line.
    pub(super) ended: bool,
}

impl Lines {
    /// `begun` are bytes that were read before.
    pub(super) fn new(begun: Vec<u8>, from_client: OwnedReadHalf) -> Self {
        let all = io::Cursor::new(begun).chain(from_client);
        Self {
            reader: BufReader::new(all.take(MAX_REQUEST as u64)),
            line: Vec::new(),
            ended: false,
        }
    }

    /// The next line; `None` at the end, or if it is not one of a client. Dropping the future
    /// keeps what was read.
    pub(super) async fn next(&mut self) -> Option<FromClient> {
        // `read_line` would lose the part of a line that it has read when it is dropped.
        let read = self.reader.read_until(b'\n', &mut self.line).await;
        let line = std::mem::take(&mut self.line);
        let parsed = match read {
            Ok(_) => serde_json::from_slice(&line).ok(),
            Err(_) => None,
        };
        self.ended = parsed.is_none();
        parsed
    }

    /// Waits until the client has written its file. Returns what it states of the file; `None`
    /// if the client is gone.
    pub(super) async fn written(&mut self) -> Option<ClientFile> {
        while !self.ended {
            if let Some(FromClient::Written(file)) = self.next().await {
                return Some(file);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{net::UnixStream, time::timeout};

    use super::*;

    /// A line whose future is dropped after each byte, as `select!` does, is not lost.
    #[tokio::test]
    async fn a_line_arrives_whole_although_its_future_is_dropped() {
        let (client, daemon) = UnixStream::pair().unwrap();
        let (from_client, _to_client) = daemon.into_split();
        let (from_daemon, mut to_daemon) = client.into_split();
        let mut lines = Lines::new(b"{\"st".to_vec(), from_client);
        let mut found = Vec::new();
        for byte in b"op\":{}}\n{\"failed\":{}}" {
            let next = timeout(Duration::ZERO, lines.next()).await;
            found.extend(next.ok().flatten());
            write_all(&mut to_daemon, &[*byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        drop((to_daemon, from_daemon));
        while let Some(line) = lines.next().await {
            found.push(line);
        }
        assert_eq!(found, [FromClient::Stop {}, FromClient::Failed {}]);
        assert!(lines.ended);
    }
}
