//! Sends the same frames through a filtered and an open gateway. The open one
//! shows what Linux delivers; the filtered one must follow its rules.

use nix::{
    sched::{CpuSet, sched_getcpu, sched_setaffinity},
    unistd::Pid,
};

use crate::{
    case::{
        ALLOWED_PORT, BLOCKED_PORT, Case, Envelope, Ip, Length, OTHER_PORT, PppProtocol, Target,
        Upper,
    },
    grammar::STRIPPED,
    ground::{Ground, Observer, Seat, Seen},
    wire::{MARKERS, frames},
};

/// Frames that are sent before all of them are awaited: fewer than a veth pair queues.
pub(crate) const BATCH: usize = 100;

/// VLAN tags that a frame may have and still be read by the filter, whatever
/// the filter does with more of them.
const READ_TAGS: usize = 28;
/// Number of IPv6 extension headers before a port that the filter still reads.
const READ_EXTENSIONS: usize = 16;

/// A case on which filter and rules disagree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A packet got past a `drop`; this observer saw it.
    Leaked(Observer),
    /// A packet that no policy drops is missing at this observer.
    Missing(Observer),
}

impl Fault {
    /// True if both faults are of the same kind, at any observer.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        matches!(self, Self::Leaked(_)) == matches!(other, Self::Leaked(_))
    }
}

pub(crate) struct Judge {
    filtered: Ground,
    open: Ground,
    next: u32,
    seat: Seat,
}

impl Judge {
    pub(crate) fn new(test: &str, seat: Seat) -> Self {
        stay_on_one_cpu();
        Self {
            filtered: Ground::new(&format!("{test}f"), seat, true),
            open: Ground::new(&format!("{test}o"), seat, false),
            next: 0,
            seat,
        }
    }

    /// Each frame that met the filter is counted, once.
    pub(crate) fn check_counted(&self) {
        // Bridges before the filter keep some frames to themselves.
        if matches!(self.seat, Seat::Native | Seat::Generic | Seat::BridgePort) {
            self.filtered.check_counted();
        }
    }

    /// Sends cases, which have fewer than [`BATCH`] frames; returns their faults,
    /// and which of them Linux delivers without the filter.
    pub(crate) fn try_all(&mut self, cases: &mut [Case]) -> Vec<(Option<Fault>, bool)> {
        for case in &mut *cases {
            self.next = self.next % (MARKERS - 1) + 1;
            case.marker = self.next;
        }
        let all: Vec<Vec<u8>> = cases.iter().flat_map(frames).collect();
        let open = self.open.send(&all);
        let filtered = self.filtered.send(&all);
        cases
            .iter()
            .map(|case| (fault(case, &filtered, &open), delivered(case, &open)))
            .collect()
    }

    /// The fault of one case.
    pub(crate) fn try_one(&mut self, case: &Case) -> (Option<Fault>, bool) {
        self.try_all(&mut [case.clone()]).pop().unwrap()
    }
}

/// Pins the thread to one CPU, so that every queue on the way keeps the order
/// of the frames.
fn stay_on_one_cpu() {
    let mut cpus = CpuSet::new();
    cpus.set(sched_getcpu().unwrap()).unwrap();
    sched_setaffinity(Pid::from_raw(0), &cpus).unwrap();
}

const SOCKETS: [Observer; 3] = [
    Observer::Socket(BLOCKED_PORT),
    Observer::Socket(ALLOWED_PORT),
    Observer::Socket(OTHER_PORT),
];

const DELIVERED: [Observer; 6] = [
    Observer::Gateway,
    Observer::Internet,
    Observer::Socket(BLOCKED_PORT),
    Observer::Socket(ALLOWED_PORT),
    Observer::Socket(OTHER_PORT),
    Observer::Answer,
];

fn saw(seen: &Seen, case: &Case, observer: Observer) -> u32 {
    seen.get(&(case.marker, observer))
        .copied()
        .unwrap_or_default()
}

fn delivered(case: &Case, open: &Seen) -> bool {
    if let Envelope::Session(_) = case.envelope {
        return session_delivers(case);
    }
    let observers = match (case.target, case.upper) {
        _ if case.ip.source_route.is_some() => vec![Observer::Internet],
        (Target::Service | Target::AllowedService, Upper::Udp(_)) => SOCKETS.to_vec(),
        _ => DELIVERED.to_vec(),
    };
    observers
        .into_iter()
        .any(|observer| saw(open, case, observer) > 0)
}

fn fault(case: &Case, filtered: &Seen, open: &Seen) -> Option<Fault> {
    let leaked = forbidden(case)
        .into_iter()
        .find(|observer| saw(filtered, case, *observer) > 0);
    if let Some(observer) = leaked {
        return Some(Fault::Leaked(observer));
    }
    let missing = promised(case)
        .into_iter()
        .find(|observer| saw(filtered, case, *observer) < saw(open, case, *observer));
    missing.map(Fault::Missing)
}

/// The observers that must not see a packet of the case.
fn forbidden(case: &Case) -> Vec<Observer> {
    match case.target {
        _ if matches!(case.envelope, Envelope::Control(_)) => Vec::new(),
        // The gateway is the destination, and may answer; it may not route on.
        Target::Dropped if case.ip.source_route.is_some() => vec![Observer::Internet],
        Target::Dropped if session_delivers(case) => vec![Observer::Behind],
        Target::Dropped => DELIVERED.to_vec(),
        Target::Service => vec![Observer::Socket(BLOCKED_PORT)],
        Target::AllowedService => SOCKETS
            .into_iter()
            .filter(|socket| *socket != Observer::Socket(ALLOWED_PORT))
            .collect(),
        Target::Innocent => Vec::new(),
    }
}

/// The observers that must see the case as often as without the filter.
fn promised(case: &Case) -> Vec<Observer> {
    let ways = vec![Observer::Gateway, Observer::Internet];
    // A `drop` stops packets that hide their port.
    let readable = case.chain.len() <= READ_EXTENSIONS
        && case.pieces.is_empty()
        && case.cut.is_none()
        && case.ip == Ip::default()
        && case.chain.iter().all(|header| header.claimed.is_none());
    match case.target {
        // A frame with more tags may hide its destination.
        _ if case.tags.len() > READ_TAGS => Vec::new(),
        _ if matches!(case.envelope, Envelope::Control(_)) => vec![Observer::Behind],
        Target::Innocent => match case.envelope {
            Envelope::Session(session) if plain_protocol(session.protocol) => {
                vec![Observer::Behind]
            }
            _ => [ways, SOCKETS.to_vec()].concat(),
        },
        _ if readable && !drop_matches(case) => ways,
        _ => Vec::new(),
    }
}

/// True if a `drop` matches the packet, regardless of the headers before its
/// port.
fn drop_matches(case: &Case) -> bool {
    match case.target {
        Target::Innocent => false,
        Target::Dropped => true,
        // Some other numbers are those of headers that hide the port, or of a tunnel.
        Target::Service => matches!(case.upper, Upper::Udp(BLOCKED_PORT) | Upper::Other(_)),
        Target::AllowedService => case.upper != Upper::Udp(ALLOWED_PORT),
    }
}

/// The frame carries an IP packet as it is, or a control protocol.
fn plain_protocol(protocol: PppProtocol) -> bool {
    match protocol {
        PppProtocol::Full | PppProtocol::Short => true,
        PppProtocol::Number(number) => number >= 0x8000,
        PppProtocol::Framed | PppProtocol::ShortNumber(_) => false,
    }
}

/// Linux with PPP would deliver the session's packet: `pppoe_rcv` looks at neither
/// version nor code, refuses a length beyond the frame and trims to the length;
/// `ppp_input` expands a protocol of one byte. The kernel of a test may have no PPP,
/// so that only the verdict of the filter is seen, right behind it.
fn session_delivers(case: &Case) -> bool {
    let Envelope::Session(session) = case.envelope else {
        return false;
    };
    let number = match session.protocol {
        PppProtocol::Full | PppProtocol::Short => true,
        PppProtocol::Number(number) => hides_a_packet(number),
        PppProtocol::ShortNumber(number) => hides_a_packet(number.into()),
        PppProtocol::Framed => false,
    };
    let accepted = |ip: &Ip| {
        ip.version.is_none() && ip.words.is_none() && ip.length == Length::Right && !ip.bad_checksum
    };
    number
        && session.length == Length::Right
        && accepted(&case.ip)
        && case.cut.is_none()
        && case.tags.iter().all(|tag| STRIPPED.contains(&tag.protocol))
}

/// VJ, multilink, and compressed frames: forms in which an IP packet may hide.
fn hides_a_packet(protocol: u16) -> bool {
    matches!(protocol, 0x2d | 0x2f | 0x3d | 0xfb | 0xfd)
}
