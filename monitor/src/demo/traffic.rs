//! Traffic with real sockets: a phone, and servers that echo.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::demo::namespace::Namespace;
use crate::demo::topology::{Expected, Target};

/// Datagrams in one round to one target.
pub(crate) const DATAGRAMS: usize = 10;
/// How long a phone waits for an answer that may be missing. On two virtual links, an answer takes
/// well under a millisecond.
pub(crate) const SHORT: Duration = Duration::from_secs(1);
/// How long a phone waits for an answer that must come. On a busy machine, servers answer late.
pub(crate) const LONG: Duration = Duration::from_secs(30);
/// Time after which a phone sends again what has no answer.
const ASK_AGAIN: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(20);

/// Result of a phone's round for one target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) target: Target,
    /// Answers to `DATAGRAMS` datagrams.
    pub(crate) udp_answered: usize,
    /// True if a TCP connection was made and its bytes came back.
    pub(crate) tcp_answered: bool,
}

impl Outcome {
    pub(crate) fn is_as_expected(&self) -> bool {
        match self.target.expected {
            Expected::Answer => self.udp_answered == DATAGRAMS && self.tcp_answered,
            Expected::Silence => self.udp_answered == 0 && !self.tcp_answered,
        }
    }
}

/// Echo servers. Dropping the value ends them.
pub(crate) struct Servers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Servers {
    /// Starts a UDP and a TCP server on each address, so that answers have that source
    /// address.
    pub(crate) fn start(internet: &Namespace, addresses: &[SocketAddr]) -> Result<Self> {
        let sockets = internet.enter(|| {
            addresses
                .iter()
                .map(|&address| bind(address).with_context(|| format!("listen on {address}")))
                .collect::<Result<Vec<_>>>()
        })?;
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for (udp, tcp) in sockets {
            let stopped = Arc::clone(&stop);
            threads.push(thread::spawn(move || serve_udp(&udp, &stopped)));
            let stopped = Arc::clone(&stop);
            threads.push(thread::spawn(move || serve_tcp(&tcp, &stopped)));
        }
        Ok(Self { stop, threads })
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for server in self.threads.drain(..) {
            if server.join().is_err() {
                eprintln!("monitor: an echo server panicked");
            }
        }
    }
}

fn bind(address: SocketAddr) -> Result<(UdpSocket, TcpListener)> {
    let udp = UdpSocket::bind(address)?;
    udp.set_read_timeout(Some(POLL))?;
    let tcp = TcpListener::bind(address)?;
    tcp.set_nonblocking(true)?;
    Ok((udp, tcp))
}

fn serve_udp(socket: &UdpSocket, stop: &AtomicBool) {
    let mut buffer = [0; 64];
    while !stop.load(Ordering::Relaxed) {
        // Errors are ignored: the phone counts a missing answer.
        if let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let _sent = socket.send_to(&buffer[..length], from);
        }
    }
}

fn serve_tcp(listener: &TcpListener, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        match listener.accept() {
            // Errors are ignored: the phone may close the connection early.
            Ok((stream, _)) => drop(echo(stream)),
            Err(_) => thread::sleep(POLL),
        }
    }
}

fn echo(mut stream: TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(SHORT))?;
    let mut buffer = [0; 64];
    let length = stream.read(&mut buffer)?;
    stream.write_all(&buffer[..length])
}

/// One round: the phone talks to all targets at the same time. It waits for the answers that the
/// unchanged policies let pass as long as `patience`.
pub(crate) fn round(
    phone: &Namespace,
    targets: &[Target],
    patience: Duration,
) -> Result<Vec<Outcome>> {
    thread::scope(|scope| {
        let asked: Vec<_> = targets
            .iter()
            .map(|&target| scope.spawn(move || phone.enter(|| ask(target, patience))))
            .collect();
        asked
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|payload| std::panic::resume_unwind(payload))
            })
            .collect()
    })
}

/// Waits until every target answers the phone. No filter may be on. Right after the links are up,
/// the kernel still loses packets.
pub(crate) fn wait_for_answers(phone: &Namespace, targets: &[Target]) -> Result<()> {
    phone.enter(|| {
        for target in targets {
            let server = target.server();
            let answered = ask_udp(server, LONG).with_context(|| format!("UDP to {server}"))?;
            ensure!(
                answered == DATAGRAMS,
                "{server}: {answered} of {DATAGRAMS} datagrams are answered after {LONG:?}"
            );
        }
        Ok(())
    })
}

fn ask(target: Target, patience: Duration) -> Result<Outcome> {
    let server = target.server();
    let patience = match target.expected {
        Expected::Answer => patience,
        Expected::Silence => SHORT,
    };
    Ok(Outcome {
        target,
        udp_answered: ask_udp(server, patience).with_context(|| format!("UDP to {server}"))?,
        tcp_answered: ask_tcp(server, patience).with_context(|| format!("TCP to {server}"))?,
    })
}

/// Sends datagrams, and those without an answer again. Returns the number of those with one.
fn ask_udp(server: SocketAddr, patience: Duration) -> io::Result<usize> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(server)?;
    let deadline = Instant::now() + patience;
    let mut missing: BTreeSet<usize> = (0..DATAGRAMS).collect();
    while !missing.is_empty() && Instant::now() < deadline {
        for number in &missing {
            match socket.send(&number.to_be_bytes()) {
                Ok(_) => {}
                // The error is about an earlier datagram.
                Err(error) if is_no_answer(&error) => {}
                Err(error) => return Err(error),
            }
        }
        let again = deadline.min(Instant::now() + ASK_AGAIN);
        receive(&socket, &mut missing, again)?;
    }
    Ok(DATAGRAMS - missing.len())
}

/// Removes the numbers that are answered until a time.
fn receive(socket: &UdpSocket, missing: &mut BTreeSet<usize>, until: Instant) -> io::Result<()> {
    while !missing.is_empty() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        socket.set_read_timeout(Some(left))?;
        let mut number = [0; size_of::<usize>()];
        match socket.recv(&mut number) {
            Ok(_) => drop(missing.remove(&usize::from_be_bytes(number))),
            Err(error) if is_no_answer(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Sends bytes by TCP, and again after a second if they do not come back. Returns true if they do.
pub(crate) fn ask_tcp(server: SocketAddr, patience: Duration) -> io::Result<bool> {
    let deadline = Instant::now() + patience;
    let left = || deadline.saturating_duration_since(Instant::now());
    while !left().is_zero() {
        if ask_tcp_once(server, left())? {
            return Ok(true);
        }
        thread::sleep(left().min(ASK_AGAIN));
    }
    Ok(false)
}

fn ask_tcp_once(server: SocketAddr, patience: Duration) -> io::Result<bool> {
    if patience.is_zero() {
        return Ok(false);
    }
    let mut stream = match TcpStream::connect_timeout(&server, patience) {
        Ok(stream) => stream,
        Err(error) if is_no_answer(&error) => return Ok(false),
        Err(error) => return Err(error),
    };
    stream.set_read_timeout(Some(patience))?;
    let question = *b"is anyone there?";
    stream.write_all(&question)?;
    let mut answer = [0; 16];
    match stream.read_exact(&mut answer) {
        Ok(()) => Ok(answer == question),
        Err(error) if is_no_answer(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// True for errors of a socket whose peer does not answer. The last three are what Linux makes of
/// the ICMP messages by which a policy rejects. The servers close a connection that is silent.
pub(crate) fn is_no_answer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::TimedOut
            | ErrorKind::WouldBlock
            | ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::UnexpectedEof
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::PermissionDenied
    )
}
