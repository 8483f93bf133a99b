//! Finds messages in the first bytes that a device sends on a TCP connection.
//!
//! A message begins at the first byte of a segment, or directly behind another message.
//! Positions inside a known message are not looked at.

use crate::evidence::{
    claim::NameSource,
    names::{
        Message, http,
        mi_push::{self, Connect},
        stream::Stream,
        tls::{self, ClientHello},
    },
};

use super::ModelSource;

/// Maximum number of names and models of one connection.
const MAX_FOUND: usize = 32;

/// A name or a model in a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The hello of a connection to the destination itself.
    Hello(ClientHello),
    /// A name that is not from such a hello.
    Name(NameSource, Vec<u8>),
    /// A model.
    Model(ModelSource, String),
}

/// The result of one segment.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) found: Vec<Found>,
    /// Number of bytes that found no room.
    pub(super) lost: usize,
    /// Number of names and models that found no room.
    pub(super) more_names: u64,
    /// True if a hello is malformed.
    pub(super) malformed: bool,
    /// True if the conversation is over, and the end of a message is missing.
    pub(super) unfinished: bool,
}

/// The first bytes that a device sends on a TCP connection, and what was found in them.
pub(super) struct Conversation {
    stream: Stream,
    found: Vec<Found>,
    more_names: u64,
    unfinished: bool,
}

/// What was read at one position of the stream.
struct Run {
    /// Length of the messages, in bytes. It covers what is missing of the last.
    length: usize,
    is_over: bool,
}

enum Content {
    Hello(ClientHello),
    Request(http::Request),
    MiPush(Connect),
}

impl Conversation {
    /// Creates a conversation whose first sampled byte has sequence number `first`.
    pub(super) fn new(first: u32) -> Self {
        Self {
            stream: Stream::new(first),
            found: Vec::new(),
            more_names: 0,
            unfinished: false,
        }
    }

    pub(super) const fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Returns true if a message has begun whose end is missing, and which told nothing
    /// yet.
    pub(super) const fn is_unfinished(&self) -> bool {
        self.unfinished
    }

    /// Takes a segment and returns what was not found before.
    pub(super) fn take(&mut self, sequence: u32, payload: &[u8]) -> Taken {
        let mut taken = Taken::default();
        if self.stream.is_closed() {
            return taken;
        }
        taken.lost = self.stream.add(sequence, payload);
        let is_over = self.read(&mut taken);
        if is_over || self.stream.is_full() {
            taken.unfinished = self.unfinished && !is_over;
            self.unfinished = false;
            self.found = Vec::new();
            self.stream.close();
        }
        taken
    }

    /// Reads all messages. Returns true if nothing more can be found.
    fn read(&mut self, taken: &mut Taken) -> bool {
        let mut known_to = i64::MIN;
        let mut in_tunnel = false;
        let mut more_names = 0;
        self.unfinished = false;
        for start in self.stream.starts().to_vec() {
            if start < known_to {
                continue;
            }
            let bytes = self.stream.from(start);
            let (run, found) = self.read_run(&bytes, &mut in_tunnel, taken);
            for found in found {
                more_names += u64::from(!self.add(found, taken));
            }
            if run.is_over {
                return true;
            }
            known_to = start.saturating_add(i64::try_from(run.length).unwrap_or(i64::MAX));
        }
        taken.more_names = more_names.saturating_sub(self.more_names);
        self.more_names = self.more_names.max(more_names);
        false
    }

    /// Reads the messages at the front of `bytes`.
    fn read_run(
        &mut self,
        bytes: &[u8],
        in_tunnel: &mut bool,
        taken: &mut Taken,
    ) -> (Run, Vec<Found>) {
        let mut found = Vec::new();
        let mut run = Run {
            length: 0,
            is_over: false,
        };
        while let Some(rest) = bytes.get(run.length..).filter(|rest| !rest.is_empty()) {
            match message(rest) {
                Message::Whole { content, length } => {
                    run.length = run.length.saturating_add(length.max(1));
                    run.is_over = matches!(content, Content::Hello(_));
                    let opens_tunnel = matches!(&content, Content::Request(r) if r.is_tunnel);
                    found.extend(names(content, *in_tunnel));
                    *in_tunnel |= opens_tunnel;
                    if run.is_over {
                        break;
                    }
                }
                Message::Incomplete { content } => {
                    run.length = bytes.len();
                    self.unfinished |= content.is_none();
                    found.extend(content.into_iter().flat_map(|c| names(c, *in_tunnel)));
                }
                Message::Other => {
                    taken.malformed |= begins_hello(rest);
                    run.is_over = taken.malformed;
                    break;
                }
            }
        }
        (run, found)
    }

    /// Adds what was not found before. Returns false if there is no room.
    fn add(&mut self, found: Found, taken: &mut Taken) -> bool {
        if self.found.contains(&found) {
            return true;
        }
        if self.found.len() >= MAX_FOUND {
            return false;
        }
        self.found.push(found.clone());
        taken.found.push(found);
        true
    }
}

/// Returns the message at the front of `bytes`.
fn message(bytes: &[u8]) -> Message<Content> {
    let hello = tls::records(bytes);
    if !matches!(hello, Message::Other) {
        return hello.map(Content::Hello);
    }
    let request = http::request(bytes);
    if !matches!(request, Message::Other) {
        return request.map(Content::Request);
    }
    mi_push::connect(bytes).map(Content::MiPush)
}

/// Returns true if `bytes` begin with a record that begins with a `ClientHello`.
fn begins_hello(bytes: &[u8]) -> bool {
    matches!(bytes, [22, 3, _, _, _, 1, ..])
}

/// Returns what a message tells. In a tunnel, its names belong to another server.
fn names(content: Content, in_tunnel: bool) -> Vec<Found> {
    let of = |source| if in_tunnel { NameSource::Asked } else { source };
    let asked = |name: String| Found::Name(NameSource::Asked, name.into_bytes());
    match content {
        Content::Hello(hello) if in_tunnel => {
            let name = hello
                .server_name
                .map(|name| Found::Name(NameSource::Asked, name));
            name.into_iter().collect()
        }
        Content::Hello(hello) => vec![Found::Hello(hello)],
        Content::Request(request) => {
            let host = request
                .host
                .map(|host| Found::Name(of(NameSource::HttpHost), host));
            let model = request
                .model
                .map(|model| Found::Model(ModelSource::UserAgent, model));
            let asked = request.asked.into_iter().map(asked);
            host.into_iter().chain(asked).chain(model).collect()
        }
        Content::MiPush(connect) => {
            let model = connect
                .model
                .map(|model| Found::Model(ModelSource::MiPush, model));
            model.into_iter().chain(connect.host.map(asked)).collect()
        }
    }
}
