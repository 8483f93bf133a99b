//! Packets of both directions while generations change.

use std::{
    net::UdpSocket,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use super::world::{PORT, STOPPED, WATCHED, World, packets, policy};
use crate::support::lab::{Namespace, any_like, poll};

/// Datagrams of one sender.
struct Sent {
    /// To an address whose packets pass always, and to one whose packets are dropped at times.
    watched: u64,
    stopped: u64,
    answers: u64,
}

/// Sends to both addresses until `is_over`, then waits for the last answers.
fn send(from: &Namespace, is_over: &AtomicBool) -> Sent {
    from.run(|| {
        let socket = UdpSocket::bind((any_like(WATCHED[0]), 0)).unwrap();
        let mut buffer = [0; 64];
        let mut sent = Sent {
            watched: 0,
            stopped: 0,
            answers: 0,
        };
        socket
            .set_read_timeout(Some(Duration::from_millis(1)))
            .unwrap();
        while !is_over.load(Ordering::SeqCst) {
            socket.send_to(b"question", (WATCHED[0], PORT)).unwrap();
            sent.watched += 1;
            // A dropped datagram of the gateway itself may be an error.
            let _ = socket.send_to(b"question", (STOPPED[0], PORT));
            sent.stopped += 1;
            while socket.recv_from(&mut buffer).is_ok() {
                sent.answers += 1;
            }
        }
        let quiet = Some(Duration::from_millis(300));
        socket.set_read_timeout(quiet).unwrap();
        while socket.recv_from(&mut buffer).is_ok() {
            sent.answers += 1;
        }
        sent
    })
}

/// Six generations follow each other on three hooks, while the phone and the gateway send. Each
/// packet counts once, and each that passed arrived.
#[test]
fn no_packet_is_lost_or_counted_twice_while_generations_change() {
    let world = World::new("reloads");
    let daemon = world.start(&["--no-watch"]);
    let is_over = AtomicBool::new(false);
    let before = world.snapshot();
    let sent = thread::scope(|scope| {
        let senders =
            [&world.lab.phone, &world.lab.gateway].map(|from| scope.spawn(|| send(from, &is_over)));
        for second in ["count", "drop", "count", "drop", "count", "drop"] {
            world.reload(second, &[]);
        }
        is_over.store(true, Ordering::SeqCst);
        senders.map(|sender| sender.join().unwrap())
    });
    let total = |part: fn(&Sent) -> u64| sent.iter().map(part).sum::<u64>();
    let (watched, stopped) = (total(|sent| sent.watched), total(|sent| sent.stopped));
    poll("all packets are counted", || {
        let found = world.snapshot();
        policy(&found, "stopped").matched.packets() == stopped
    });
    let after = world.snapshot();
    let counted = |name: &str, incoming: bool| {
        let [(passed, dropped), (p, d)] = [&after, &before].map(|at| {
            let policy = policy(at, name);
            packets(if incoming {
                policy.incoming
            } else {
                policy.matched
            })
        });
        (passed - p, dropped - d)
    };
    assert_eq!(counted("watched", false), (watched, 0));
    assert_eq!(counted("watched", true), (watched, 0));
    let (passed, dropped) = counted("stopped", false);
    assert!(
        passed > 0 && dropped > 0,
        "{passed} passed, {dropped} dropped"
    );
    // What passed arrived and was answered, and each answer counts where it arrives.
    assert_eq!(world.arrived.load(Ordering::SeqCst), watched + passed);
    let (back, stopped_back) = counted("stopped", true);
    assert_eq!(back + stopped_back, passed);
    assert_eq!(total(|sent| sent.answers), watched + back);
    drop(daemon);
}
