//! Packets of both directions and both families while generations change.

use std::{
    net::UdpSocket,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};

use monitor::{
    policy::Direction,
    snapshot::{Count, Mode, Snapshot, Verdicts},
};

use super::{
    sums::{agree_with_the_kernel, sum},
    world::{
        Arrivals, PORT, STOPPED, WATCHED, World, egress_mode, frames, interface, policy, widen,
    },
};
use crate::support::lab::{Namespace, any_like, poll};

/// Rounds of every sender before the next generation.
const ROUNDS: u64 = 5;

/// The generations that follow the first one.
const GENERATIONS: [&str; 6] = ["count", "drop", "count", "drop", "count", "drop"];

/// Sends one datagram in each round to each address, and receives the answers.
struct Sender<'a> {
    from: &'a Namespace,
    /// Its length tells the sender of a datagram.
    payload: Vec<u8>,
    rounds: AtomicU64,
    /// No more rounds begin.
    rests: AtomicBool,
    answers: Arrivals,
}

/// What the test tells its senders.
#[derive(Default)]
struct Orders {
    /// Send no more.
    rest: AtomicBool,
    /// Receive no more.
    end: AtomicBool,
}

/// Ends the senders, also if the test fails.
struct End<'a>(&'a Orders);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.end.store(true, Ordering::SeqCst);
    }
}

impl<'a> Sender<'a> {
    fn new(from: &'a Namespace, payload: usize) -> Self {
        Self {
            from,
            payload: vec![b'q'; payload],
            rounds: AtomicU64::new(0),
            rests: AtomicBool::new(false),
            answers: Arrivals::default(),
        }
    }

    /// Sends and receives inside the namespace, until the order to end.
    fn run(&self, orders: &Orders) {
        self.from.run(|| self.run_inside(orders));
    }

    fn run_inside(&self, orders: &Orders) {
        let sockets = WATCHED.map(|like| {
            let socket = UdpSocket::bind((any_like(like), 0)).unwrap();
            widen(&socket);
            let short = Some(Duration::from_millis(1));
            socket.set_read_timeout(short).unwrap();
            socket
        });
        while !orders.end.load(Ordering::SeqCst) {
            if orders.rest.load(Ordering::SeqCst) {
                self.rests.store(true, Ordering::SeqCst);
            } else {
                for ((socket, watched), stopped) in sockets.iter().zip(WATCHED).zip(STOPPED) {
                    socket.send_to(&self.payload, (watched, PORT)).unwrap();
                    // A dropped datagram of the gateway itself may be an error.
                    let _ = socket.send_to(&self.payload, (stopped, PORT));
                }
                self.rounds.fetch_add(1, Ordering::SeqCst);
            }
            let mut buffer = [0; 64];
            for socket in &sockets {
                while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                    self.answers.add(from.ip(), length);
                }
            }
        }
    }

    fn rounds(&self) -> u64 {
        self.rounds.load(Ordering::SeqCst)
    }

    /// Frames of this sender.
    fn frames(&self, address: &str, packets: u64) -> Count {
        frames(address, packets, self.payload.len())
    }

    /// Frames to a counted address, and from it.
    fn watched(&self, address: &str) -> Count {
        self.frames(address, self.rounds())
    }

    /// Frames to an address that is dropped at times: what passed has arrived.
    fn stopped(&self, world: &World, address: &str) -> Verdicts {
        let arrived = world.arrived.of(address, self.payload.len());
        Verdicts {
            passed: self.frames(address, arrived),
            dropped: self.frames(address, self.rounds() - arrived),
        }
    }

    /// Answers from such an address: all that arrived were answered.
    fn stopped_answers(&self, world: &World, address: &str) -> Verdicts {
        let arrived = world.arrived.of(address, self.payload.len());
        let answers = self.answers.of(address, self.payload.len());
        Verdicts {
            passed: self.frames(address, answers),
            dropped: self.frames(address, arrived - answers),
        }
    }
}

#[test]
fn no_packet_is_lost_or_counted_twice_while_generations_change() {
    generations_change(Mode::Generic);
}

#[test]
fn no_packet_is_lost_or_counted_twice_while_generations_change_in_native_mode() {
    generations_change(Mode::Native);
}

/// Six generations follow each other on three hooks, while the phone and the gateway send. Each
/// packet counts once, and each that passed arrived.
fn generations_change(mode: Mode) {
    let world = World::in_mode(&format!("reloads-{}", mode.name()), mode);
    let daemon = world.start(&["--no-watch"]);
    let start = world.settled();
    let phone = Sender::new(&world.lab.phone, 8);
    let gateway = Sender::new(&world.lab.gateway, 24);
    let senders = [&phone, &gateway];
    let orders = Orders::default();
    thread::scope(|scope| {
        let _end = End(&orders);
        for sender in senders {
            scope.spawn(|| sender.run(&orders));
        }
        wait_for_rounds(&senders);
        for second in GENERATIONS {
            world.reload(second, &[]);
            wait_for_rounds(&senders);
        }
        orders.rest.store(true, Ordering::SeqCst);
        wait_for_answers(&world, &senders);
    });
    let end = world.settled();
    for (name, direction, mode) in [
        ("wan0", Direction::In, mode),
        ("wan0", Direction::Out, egress_mode()),
        ("wlan0", Direction::Out, mode),
    ] {
        let one = interface(&end.0, name, direction);
        assert_eq!((one.mode, one.generation), (Some(mode), Some(7)), "{name}");
    }
    policies_count(&world, &end.0, &senders);
    interfaces_count(&world, &end.0, &phone, &gateway);
    let mut forwarded = Vec::new();
    for (watched, stopped) in WATCHED.into_iter().zip(STOPPED) {
        forwarded.push(phone.watched(watched));
        forwarded.push(phone.stopped(&world, stopped).passed);
    }
    agree_with_the_kernel(&start, &end, sum(forwarded));
    drop(daemon);
}

/// Waits until the generation in force has examined packets of every sender.
fn wait_for_rounds(senders: &[&Sender<'_>]) {
    let before: Vec<_> = senders.iter().map(|sender| sender.rounds()).collect();
    poll("every sender sends", || {
        let mut senders = senders.iter().zip(&before);
        senders.all(|(sender, before)| sender.rounds() >= before + ROUNDS)
    });
}

/// Waits until all packets are counted, and all answers that passed are received.
fn wait_for_answers(world: &World, senders: &[&Sender<'_>]) {
    poll("the senders rest", || {
        let mut senders = senders.iter();
        senders.all(|sender| sender.rests.load(Ordering::SeqCst))
    });
    let to_each = 2 * senders.iter().map(|one| one.rounds()).sum::<u64>();
    let received = || senders.iter().map(|one| one.answers.all()).sum::<u64>();
    poll("all packets are counted, and all answers received", || {
        let found = world.snapshot();
        let both = ["watched", "stopped"].map(|name| policy(&found, name));
        let mut back = Verdicts::default();
        for policy in both {
            back += policy.incoming;
        }
        both.iter()
            .all(|policy| policy.matched.packets() == to_each)
            && back.packets() == world.arrived.all()
            && back.passed.packets == received()
    });
}

fn policies_count(world: &World, found: &Snapshot, senders: &[&Sender<'_>]) {
    let [mut watched, mut stopped, mut back] = [Verdicts::default(); 3];
    for sender in senders {
        for address in WATCHED {
            let rounds = sender.rounds();
            let payload = sender.payload.len();
            assert_eq!(world.arrived.of(address, payload), rounds, "{address}");
            assert_eq!(sender.answers.of(address, payload), rounds, "{address}");
            watched.passed += sender.watched(address);
        }
        for address in STOPPED {
            let sent = sender.stopped(world, address);
            let both = [sent.passed.packets, sent.dropped.packets];
            assert!(both.iter().all(|packets| *packets >= ROUNDS), "{both:?}");
            stopped += sent;
            back += sender.stopped_answers(world, address);
        }
    }
    let policy = |name| policy(found, name);
    assert_eq!(policy("watched").matched, watched);
    assert_eq!(policy("watched").incoming, watched);
    assert_eq!(policy("stopped").matched, stopped);
    assert_eq!(policy("stopped").incoming, back);
}

/// IPv4 has no other packets than those of this test. Of IPv6, neighbour discovery passes too.
fn interfaces_count(world: &World, found: &Snapshot, phone: &Sender<'_>, gateway: &Sender<'_>) {
    let sent = |sender: &Sender<'_>| {
        [0, 1].map(|family| {
            let mut sent = sender.stopped(world, STOPPED[family]);
            sent.passed += sender.watched(WATCHED[family]);
            sent
        })
    };
    let answers = [0, 1].map(|family| {
        let mut answers = Verdicts::default();
        for sender in [phone, gateway] {
            answers.passed += sender.watched(WATCHED[family]);
            answers += sender.stopped_answers(world, STOPPED[family]);
        }
        answers
    });
    for (name, direction, expected) in [
        ("wlan0", Direction::Out, sent(phone)),
        ("wan0", Direction::Out, sent(gateway)),
        ("wan0", Direction::In, answers),
    ] {
        let one = interface(found, name, direction);
        assert_eq!(one.ipv4, expected[0], "{name} {direction:?}");
        let dropped = expected[1].dropped;
        assert_eq!(one.ipv6.dropped, dropped, "{name} {direction:?}");
    }
}
