//! Network interfaces of this network namespace, as the kernel lists them over
//! netlink. Not `/sys`, which may show another namespace.

use std::io;

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{LinkAttribute, LinkMessage, LinkXdp},
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

/// An interface, as far as the filter cares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Name.
    pub name: String,
    /// Index, unique in its namespace.
    pub index: u32,
    /// Index of the bridge (or bond) that it is a port of.
    pub controller: Option<u32>,
    /// Id of the XDP program that it runs, whoever attached it.
    pub program: Option<u32>,
}

/// Every interface, in the kernel's order.
pub fn list() -> io::Result<Vec<Interface>> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.send(&request(), 0)?;
    let mut interfaces = Vec::new();
    loop {
        let (reply, _) = socket.recv_from_full()?;
        let mut rest = reply.as_slice();
        while let Some(length) = message_length(rest) {
            // What the library cannot read is about some other kind of device.
            if let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest) {
                match message.payload {
                    NetlinkPayload::Done(_) => return Ok(interfaces),
                    NetlinkPayload::Error(error) => return Err(error.to_io()),
                    NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => {
                        interfaces.push(interface(link));
                    }
                    _ => {}
                }
            }
            rest = rest.get(length..).unwrap_or_default();
        }
    }
}

/// Bytes to the next message: the first field of the header (netlink(7)), padded to four.
fn message_length(rest: &[u8]) -> Option<usize> {
    let length = u32::from_ne_bytes(*rest.first_chunk()?);
    (length > 0).then(|| (length as usize).next_multiple_of(4))
}

fn request() -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let message = RouteNetlinkMessage::GetLink(LinkMessage::default());
    let mut request = NetlinkMessage::new(header, NetlinkPayload::from(message));
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    bytes
}

fn interface(link: LinkMessage) -> Interface {
    let mut interface = Interface {
        name: String::new(),
        index: link.header.index,
        controller: None,
        program: None,
    };
    for attribute in link.attributes {
        match attribute {
            LinkAttribute::IfName(name) => interface.name = name,
            LinkAttribute::Controller(index) => interface.controller = Some(index),
            LinkAttribute::Xdp(attributes) => {
                interface.program = attributes.into_iter().find_map(|xdp| match xdp {
                    LinkXdp::ProgId(id) => Some(id),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    interface
}
