//! Sends datagrams from the phone, and counts those that arrive.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};

use nix::sys::socket::{setsockopt, sockopt};

use super::lab::{Lab, any_like, bind_udp};

/// Size of the receive buffer, in bytes: holds all datagrams that arrive while
/// a busy machine does not run the reader.
const RECEIVE_BUFFER: usize = 64 << 20;

/// Counts the datagrams that arrive at an address of the gateway.
pub(crate) fn count_arrivals(lab: &Lab, address: &str) -> (SocketAddr, &'static AtomicU64) {
    let socket = lab.gateway.run(|| bind_udp(address));
    setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).unwrap();
    let bound = socket.local_addr().unwrap();
    // Leaked because the thread reads datagrams until the process ends.
    let arrived: &'static AtomicU64 = Box::leak(Box::default());
    thread::spawn(move || {
        let mut buffer = [0; 64];
        while socket.recv_from(&mut buffer).is_ok() {
            arrived.fetch_add(1, Ordering::Relaxed);
        }
    });
    (bound, arrived)
}

pub(crate) fn send(lab: &Lab, to: SocketAddr, packets: u64) {
    lab.phone.run(|| {
        let socket = socket_to(to);
        for _ in 0..packets {
            socket.send_to(b"x", to).unwrap();
        }
    });
}

/// Sends datagrams to the addresses in turn until `stop`. Returns the number
/// sent to each.
pub(crate) fn send_until(lab: &Lab, stop: &AtomicBool, to: &[SocketAddr]) -> u64 {
    lab.phone.run(|| {
        let sockets: Vec<_> = to.iter().map(|to| (socket_to(*to), *to)).collect();
        let mut rounds = 0;
        while !stop.load(Ordering::Relaxed) {
            for (socket, to) in &sockets {
                socket.send_to(b"x", to).unwrap();
            }
            rounds += 1;
            // Slow enough that no socket buffer overflows.
            thread::sleep(Duration::from_micros(200));
        }
        rounds
    })
}

fn socket_to(to: SocketAddr) -> UdpSocket {
    UdpSocket::bind((any_like(&to.ip().to_string()), 0)).unwrap()
}
