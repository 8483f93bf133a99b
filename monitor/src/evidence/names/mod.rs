//! Parsers that find names in the bytes of the network.

pub mod asked;
pub mod dns;
pub mod dns_tcp;
pub mod domain_text;
pub mod ech_config;
pub mod fragments;
pub mod http;
pub mod mi_push;
pub mod quic;
pub mod reader;
pub mod stream;
pub mod text;
pub mod tls;

/// The result of a parser on bytes that may begin with a message of its protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<T> {
    /// The bytes begin with a whole message.
    Whole {
        /// Content of the message.
        content: T,
        /// Length of the message in bytes. It can be more than the bytes at hand where
        /// the rest holds nothing that the parser reads.
        length: usize,
    },
    /// The bytes begin with a message, but its end is missing.
    Incomplete {
        /// Content of the part at hand, where the parser can read a part.
        content: Option<T>,
    },
    /// The bytes are no message of this protocol.
    Other,
}

impl<T> Message<T> {
    /// Changes the content.
    #[must_use]
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Message<U> {
        match self {
            Self::Whole { content, length } => Message::Whole {
                content: change(content),
                length,
            },
            Self::Incomplete { content } => Message::Incomplete {
                content: content.map(change),
            },
            Self::Other => Message::Other,
        }
    }
}
