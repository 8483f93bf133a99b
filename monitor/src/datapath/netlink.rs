//! Reads lists from the kernel over rtnetlink. The kernel calls them dumps.
//!
//! The kernel fills one datagram after another, and the list may change between two
//! datagrams. Then an entry may be missing or appear twice. For links and
//! addresses, the kernel marks the next message with `NLM_F_DUMP_INTR` (Linux 3.1,
//! commit 670dc2833d14), and [`dump`] requests the whole list again. For neighbour
//! tables, the kernel marks no change. The daemon finds a missing neighbour ten
//! seconds later, when it reads the table again.

use std::io;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

/// Number of attempts to read a list that does not change meanwhile. One attempt
/// takes less than 1 ms for 100 interfaces.
const ATTEMPTS: usize = 16;

/// Byte offset of the flags in the header of a message (netlink(7)).
const FLAGS: usize = 6;

/// What one datagram of a dump means for the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Another datagram follows.
    More,
    /// The list ends here.
    Complete,
    /// The list changed while the kernel wrote it.
    Changed,
}

/// Requests a list from the kernel. Calls `read` with each message, and returns the
/// values in the kernel's order.
///
/// # Errors
///
/// Returns the kernel's error, or an error if the list changed during every attempt.
pub(super) fn dump<T>(
    request: &RouteNetlinkMessage,
    mut read: impl FnMut(RouteNetlinkMessage) -> Option<T>,
) -> io::Result<Vec<T>> {
    until_complete(|| Dump::begin(request)?.finish(&mut read))
}

/// Requests a change. `flags` are added to the request.
///
/// # Errors
///
/// Returns the kernel's error.
pub(super) fn change(request: &RouteNetlinkMessage, flags: u16) -> io::Result<()> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.send(&serialized(request, flags | NLM_F_ACK), 0)?;
    let (answer, _) = socket.recv_from_full()?;
    let answer =
        NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer).map_err(io::Error::other)?;
    match answer.payload {
        NetlinkPayload::Error(error) if error.code.is_some() => Err(error.to_io()),
        _ => Ok(()),
    }
}

/// Repeats `attempt` until it returns a list, at most [`ATTEMPTS`] times.
fn until_complete<T>(
    mut attempt: impl FnMut() -> io::Result<Option<Vec<T>>>,
) -> io::Result<Vec<T>> {
    for _ in 0..ATTEMPTS {
        if let Some(list) = attempt()? {
            return Ok(list);
        }
    }
    Err(io::Error::other(format!(
        "the list changed while it was read, {ATTEMPTS} times in a row; try again"
    )))
}

/// One attempt to read a list. Each attempt opens its own socket, so it receives no
/// datagrams of an earlier attempt.
struct Dump(Socket);

impl Dump {
    fn begin(request: &RouteNetlinkMessage) -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        socket.send(&serialized(request, NLM_F_DUMP), 0)?;
        Ok(Self(socket))
    }

    /// Reads the list. `None` if the list changed meanwhile.
    fn finish<T>(
        &self,
        mut read: impl FnMut(RouteNetlinkMessage) -> Option<T>,
    ) -> io::Result<Option<Vec<T>>> {
        let mut list = Vec::new();
        loop {
            let (datagram, _) = self.0.recv_from_full()?;
            let progress = netlink_reply(&datagram, |message| list.extend(read(message)))?;
            match progress {
                Progress::More => {}
                Progress::Complete => return Ok(Some(list)),
                Progress::Changed => return Ok(None),
            }
        }
    }
}

fn serialized(message: &RouteNetlinkMessage, flags: u16) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | flags;
    let mut request = NetlinkMessage::new(header, NetlinkPayload::from(message.clone()));
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    bytes
}

/// Calls `found` with each message of one datagram of a dump.
///
/// # Errors
///
/// Returns the error that the kernel reports in the datagram, also if it reports it
/// in the message that ends the list.
pub fn netlink_reply(
    reply: &[u8],
    mut found: impl FnMut(RouteNetlinkMessage),
) -> io::Result<Progress> {
    let mut rest = reply;
    while let Some(length) = message_length(rest) {
        // Check the flags first, because the library cannot decode every message.
        if flags(rest) & NLM_F_DUMP_INTR != 0 {
            return Ok(Progress::Changed);
        }
        // A message that the library cannot decode describes another kind of
        // device.
        if let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest) {
            match message.payload {
                NetlinkPayload::Done(done) if done.code < 0 => {
                    return Err(io::Error::from_raw_os_error(done.code.saturating_neg()));
                }
                NetlinkPayload::Done(_) => return Ok(Progress::Complete),
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                NetlinkPayload::Overrun(_) => {
                    return Err(io::Error::from_raw_os_error(libc::ENOBUFS));
                }
                NetlinkPayload::InnerMessage(message) => found(message),
                _ => {}
            }
        }
        rest = rest.get(length..).unwrap_or_default();
    }
    Ok(Progress::More)
}

/// Bytes to the next message: the first field of the header (netlink(7)), rounded
/// up to a multiple of 4. `None` at the end of the datagram.
fn message_length(rest: &[u8]) -> Option<usize> {
    let length = u32::from_ne_bytes(*rest.first_chunk()?);
    (length > 0).then(|| (length as usize).next_multiple_of(4))
}

fn flags(message: &[u8]) -> u16 {
    let flags = message.get(FLAGS..).and_then(<[u8]>::first_chunk);
    flags.map_or(0, |flags| u16::from_ne_bytes(*flags))
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write as _,
        process::{Command, Stdio},
        thread,
    };

    use netlink_packet_core::{DoneMessage, NLM_F_MULTIPART};
    use netlink_packet_route::{
        address::AddressMessage, link::LinkMessage, neighbour::NeighbourMessage,
    };
    use nix::sched::{CloneFlags, unshare};

    use super::*;

    fn message(payload: NetlinkPayload<RouteNetlinkMessage>, flags: u16) -> Vec<u8> {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_MULTIPART | flags;
        let mut message = NetlinkMessage::new(header, payload);
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        bytes
    }

    fn address(flags: u16) -> Vec<u8> {
        let address = RouteNetlinkMessage::NewAddress(AddressMessage::default());
        message(address.into(), flags)
    }

    fn done(code: i32, flags: u16) -> Vec<u8> {
        let mut done = DoneMessage::default();
        done.code = code;
        message(NetlinkPayload::Done(done), flags)
    }

    /// The progress, and the number of messages in `reply`.
    fn read(reply: &[u8]) -> (io::Result<Progress>, usize) {
        let mut found = 0;
        (netlink_reply(reply, |_| found += 1), found)
    }

    #[test]
    fn a_message_that_is_marked_as_interrupted_says_that_the_list_changed() {
        let interrupted = NLM_F_DUMP_INTR;
        let (progress, found) = read(&[address(0), address(0)].concat());
        assert_eq!((progress.unwrap(), found), (Progress::More, 2));
        let (progress, found) = read(&[address(0), done(0, 0)].concat());
        assert_eq!((progress.unwrap(), found), (Progress::Complete, 1));
        // The kernel marks the first message after the change, which may be the end.
        let unread = [24_u32.to_ne_bytes(), [0xff, 0xff, 0x10, 0], [0; 4], [0; 4]].concat();
        for reply in [
            [address(0), address(interrupted), done(0, 0)].concat(),
            [address(0), done(0, interrupted)].concat(),
            [unread, vec![0; 8], done(0, 0)].concat(),
        ] {
            assert_eq!(read(&reply).0.unwrap(), Progress::Changed);
        }
    }

    #[test]
    fn an_error_at_the_end_of_the_list_is_an_error() {
        let (progress, _) = read(&[address(0), done(-libc::ENOMEM, 0)].concat());
        assert_eq!(progress.unwrap_err().raw_os_error(), Some(libc::ENOMEM));
    }

    #[test]
    fn a_list_is_asked_for_again_until_it_is_complete_but_not_for_ever() {
        let mut left = ATTEMPTS - 1;
        let list = until_complete(|| {
            let changed = left > 0;
            left = left.saturating_sub(1);
            Ok((!changed).then(|| vec![7]))
        });
        assert_eq!(list.unwrap(), [7]);
        let mut asked = 0;
        let error = until_complete(|| {
            asked += 1;
            Ok(None::<Vec<u8>>)
        });
        let error = error.unwrap_err().to_string();
        assert!(error.contains("changed while it was read"), "{error}");
        assert_eq!(asked, ATTEMPTS);
    }

    fn ip(batch: &str) {
        let mut child = Command::new("ip")
            .args(["-batch", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(batch.as_bytes()).unwrap();
        drop(input);
        assert!(child.wait().unwrap().success(), "ip -batch");
    }

    fn lines(count: u32, line: impl Fn(u32, u32) -> String) -> String {
        let each = (0..count).map(|number| line(number / 250, number % 250 + 1) + "\n");
        each.collect()
    }

    /// Each list is longer than one datagram. The kernel writes the first datagram
    /// before the change, and the others after it.
    #[test]
    fn the_kernel_marks_changes_of_links_and_addresses_between_two_datagrams() {
        let inside = thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            ip(&lines(70, |_, n| format!("link add b{n} type bridge")));
            ip("link set b1 address 02:00:00:00:00:01 up\n");
            ip(&lines(2000, |a, b| {
                format!("address add 10.7.{a}.{b}/32 dev b1")
            }));
            ip(&lines(700, |a, b| {
                format!("neighbour add 10.8.{a}.{b} lladdr 02:00:00:00:{a:02}:{b:02x} dev b1")
            }));
            for (request, entries, change) in [
                (
                    RouteNetlinkMessage::GetLink(LinkMessage::default()),
                    71,
                    "link add c0 type bridge\n",
                ),
                (
                    RouteNetlinkMessage::GetAddress(AddressMessage::default()),
                    2000,
                    "address add 10.9.9.9/32 dev b1\n",
                ),
            ] {
                let list = dump(&request, Some).unwrap();
                assert!(list.len() >= entries, "{}", list.len());
                let begun = Dump::begin(&request).unwrap();
                let (first, _) = begun.0.recv_from_full().unwrap();
                assert_eq!(read(&first).0.unwrap(), Progress::More);
                ip(change);
                assert!(begun.finish(Some).unwrap().is_none(), "{change}");
            }
            let request = RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default());
            let begun = Dump::begin(&request).unwrap();
            let (first, _) = begun.0.recv_from_full().unwrap();
            let (progress, found) = read(&first);
            assert_eq!(progress.unwrap(), Progress::More);
            ip("neighbour add 10.9.9.9 lladdr 02:00:00:00:09:09 dev b1\n");
            let rest = begun
                .finish(Some)
                .unwrap()
                .expect("the kernel marks nothing");
            assert!(found + rest.len() >= 700, "{found} + {}", rest.len());
        });
        inside.join().unwrap();
    }
}
