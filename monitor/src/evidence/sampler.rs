//! Takes payload samples of connections and returns what they tell: names of destinations
//! and models of devices.
//!
//! ```text
//! Sample -> open connections (table) -> TCP: Stream -> tls, http, mi_push -> Fact
//!                                    -> UDP: quic ----------------------->
//! ```
//!
//! The sampler discards a payload once it is parsed. It keeps the beginning of a message
//! whose end is missing, for at most [`LIFE`].

mod conversation;
mod table;

use std::net::IpAddr;

use jiff::Timestamp;

use crate::{
    evidence::{
        claim::{Claim, Ech, FlowEnd, NameSource},
        names::{quic, text, tls::ClientHello},
    },
    policy::MacAddress,
};
use conversation::{Conversation, Found};
use table::{State, Table};

pub use table::{LIFE, MAX_CONNECTIONS, MAX_PER_DEVICE};

const TCP: u8 = 6;
const UDP: u8 = 17;

/// The TCP flag SYN (RFC 9293, section 3.1).
const SYN: u8 = 2;

/// The payload of one packet, or its beginning.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    /// Time of the packet.
    pub at: Timestamp,
    /// Source MAC of the packet.
    pub device: MacAddress,
    /// Source address.
    pub source: IpAddr,
    /// Source port.
    pub source_port: u16,
    /// Destination address.
    pub destination: IpAddr,
    /// Destination port.
    pub port: u16,
    /// Protocol number (IANA): 6 for TCP, 17 for UDP. The sampler ignores others.
    pub protocol: u8,
    /// TCP sequence number of the packet. 0 for UDP.
    pub sequence: u32,
    /// TCP flags (RFC 9293, section 3.1), or 0 where they are unknown.
    pub flags: u8,
    /// The payload of TCP or UDP, from its first byte.
    pub payload: &'a [u8],
    /// Length of the whole payload, in bytes. It is more than the length of `payload` if
    /// the sample was cut.
    pub whole_length: u16,
}

/// What a sample tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A name of a destination, or a name that a device asked for.
    Name {
        /// The end of the flow to which the name belongs.
        end: FlowEnd,
        /// The name, and how it was learnt.
        claim: Claim,
    },
    /// The model that a device states.
    Model {
        /// Source MAC of the packet.
        device: MacAddress,
        /// The model, in printable ASCII.
        model: String,
        /// The message that states the model.
        source: ModelSource,
        /// Time of the packet.
        at: Timestamp,
    },
}

/// The message that states a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ModelSource {
    /// The first message of Xiaomi's push service.
    MiPush,
    /// The field `User-Agent` of an HTTP request.
    UserAgent,
}

impl ModelSource {
    /// The word of JSON and of the store.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::MiPush => "mi-push",
            Self::UserAgent => "user-agent",
        }
    }
}

/// A `ClientHello` with an outer ECH extension. The extension is real or GREASE (RFC 9849,
/// section 6.2).
#[derive(Clone, Copy, Debug)]
pub struct OuterHello<'a> {
    /// Source MAC of the packet.
    pub device: MacAddress,
    /// The server name. It is the public name if the extension is real.
    pub server_name: &'a str,
    /// The `config_id` of the extension.
    pub config_id: u8,
    /// Time of the packet.
    pub at: Timestamp,
}

/// Tells what is known about the ECH extension of a hello, from DNS answers.
pub type EchJudge<'a> = &'a dyn Fn(&OuterHello<'_>) -> Ech;

/// What the sampler lost, since it was created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Connections that were closed before their time because their device had
    /// [`MAX_PER_DEVICE`] others.
    pub device_full: u64,
    /// Connections that were closed before their time because [`MAX_CONNECTIONS`] were
    /// open.
    pub table_full: u64,
    /// Connections that ended with a message whose end is missing.
    pub unfinished: u64,
    /// Samples that do not hold the whole payload.
    pub cut: u64,
    /// Bytes that found no room in their connection.
    pub bytes: u64,
    /// Hellos that are malformed.
    pub malformed: u64,
    /// QUIC Initial packets that no keys opened. Those of servers are among them.
    pub unopened: u64,
    /// Names that are longer than 255 bytes.
    pub long_names: u64,
    /// Names beyond the first 32 of one connection.
    pub more_names: u64,
}

/// The open connections, and what was lost.
#[derive(Default)]
pub struct Sampler {
    table: Table,
    losses: Losses,
}

impl Sampler {
    /// Creates a sampler without connections.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a sample and returns the names and models that it completes. `judge` decides
    /// about hellos with ECH.
    pub fn take(&mut self, sample: &Sample<'_>, judge: EchJudge<'_>) -> Vec<Fact> {
        if sample.payload.is_empty() {
            return Vec::new();
        }
        if usize::from(sample.whole_length) > sample.payload.len() {
            self.losses.cut += 1;
        }
        let found = match sample.protocol {
            TCP => self.take_segment(sample),
            UDP => self.take_datagram(sample),
            _ => Vec::new(),
        };
        let mut facts = Vec::new();
        for found in found {
            facts.extend(self.fact(sample, found, judge));
        }
        facts
    }

    /// Closes the connections that are open for longer than [`LIFE`] at the time `now`, and
    /// discards what they hold.
    pub fn expire(&mut self, now: Timestamp) {
        self.table.expire(now, &mut self.losses);
    }

    /// Discards all that is kept of a device.
    pub fn forget(&mut self, device: MacAddress) {
        self.table.forget(device);
    }

    /// Number of connections in the table.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.table.len()
    }

    /// Number of payload bytes that are kept.
    #[must_use]
    pub fn held(&self) -> usize {
        self.table.held()
    }

    /// What was lost since the sampler was created.
    #[must_use]
    pub const fn losses(&self) -> Losses {
        self.losses
    }

    fn take_segment(&mut self, sample: &Sample<'_>) -> Vec<Found> {
        let is_first = sample.flags & SYN != 0;
        // SYN itself has a sequence number.
        let sequence = sample.sequence.wrapping_add(u32::from(is_first));
        let new = || State::Tcp(Conversation::new(sequence));
        let state = self.table.state(sample, new, &mut self.losses);
        let Some(State::Tcp(conversation)) = state else {
            return Vec::new();
        };
        let stream = conversation.stream();
        if is_first && stream.base() != sequence || !stream.is_near(sequence) {
            self.losses.unfinished += u64::from(conversation.is_unfinished());
            *conversation = Conversation::new(sequence);
        }
        let taken = conversation.take(sequence, sample.payload);
        self.losses.bytes += taken.lost as u64;
        self.losses.malformed += u64::from(taken.malformed);
        self.losses.unfinished += u64::from(taken.unfinished);
        self.losses.more_names += taken.more_names;
        taken.found
    }

    fn take_datagram(&mut self, sample: &Sample<'_>) -> Vec<Found> {
        if !quic::may_hold_initial(sample.payload) {
            return Vec::new();
        }
        let new = || State::Quic(Box::default());
        let state = self.table.state(sample, new, &mut self.losses);
        let Some(State::Quic(connection)) = state else {
            return Vec::new();
        };
        let taken = connection.take(sample.payload);
        self.losses.bytes += taken.lost as u64;
        self.losses.malformed += u64::from(taken.malformed);
        self.losses.unfinished += u64::from(taken.unfinished);
        self.losses.unopened += u64::from(taken.unopened);
        taken.hello.map(Found::Hello).into_iter().collect()
    }

    fn fact(&mut self, sample: &Sample<'_>, found: Found, judge: EchJudge<'_>) -> Option<Fact> {
        let (source, name, ech) = match found {
            Found::Model(source, model) => {
                let (device, at) = (sample.device, sample.at);
                return Some(Fact::Model {
                    device,
                    model,
                    source,
                    at,
                });
            }
            Found::Name(source, name) => (source, self.text(&name)?, None),
            Found::Hello(hello) => self.hello(sample, &hello, judge)?,
        };
        let end = FlowEnd {
            device: sample.device,
            destination: sample.destination,
            protocol: sample.protocol,
            port: sample.port,
        };
        let claim = Claim {
            name,
            source,
            server: None,
            chain: Vec::new(),
            ech,
            first: sample.at,
            last: sample.at,
        };
        Some(Fact::Name { end, claim })
    }

    /// Returns the claim of a hello to the destination itself. A real ECH extension makes
    /// its name the public name.
    fn hello(
        &mut self,
        sample: &Sample<'_>,
        hello: &ClientHello,
        judge: EchJudge<'_>,
    ) -> Option<(NameSource, String, Option<Ech>)> {
        let name = self.text(hello.server_name.as_deref()?)?;
        let ech = hello.ech_config_id.map(|config_id| {
            judge(&OuterHello {
                device: sample.device,
                server_name: &name,
                config_id,
                at: sample.at,
            })
        });
        let source = match (ech, sample.protocol) {
            (Some(Ech::Real), _) => NameSource::SniOuter,
            (_, UDP) => NameSource::Quic,
            _ => NameSource::Sni,
        };
        Some((source, name, ech))
    }

    fn text(&mut self, name: &[u8]) -> Option<String> {
        let name_text = text::name(name);
        self.losses.long_names += u64::from(name_text.is_none() && name.len() > text::MAX_NAME);
        name_text
    }
}

#[cfg(test)]
mod tests;
