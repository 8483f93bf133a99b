//! Traffic with real sockets: a phone, and servers that echo.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::demo::namespace::Namespace;
use crate::demo::topology::{Expected, Target};

/// Datagrams in one round to one target.
pub(crate) const DATAGRAMS: usize = 10;
/// Time to wait for an answer. It takes well under a millisecond on two virtual links.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);
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
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut buffer = [0; 64];
    let length = stream.read(&mut buffer)?;
    stream.write_all(&buffer[..length])
}

/// One round: the phone talks to all targets at the same time.
pub(crate) fn round(phone: &Namespace, targets: &[Target]) -> Result<Vec<Outcome>> {
    thread::scope(|scope| {
        let asked: Vec<_> = targets
            .iter()
            .map(|&target| scope.spawn(move || phone.enter(|| ask(target))))
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

fn ask(target: Target) -> Result<Outcome> {
    let server = target.server();
    Ok(Outcome {
        target,
        udp_answered: ask_udp(server).with_context(|| format!("UDP to {server}"))?,
        tcp_answered: ask_tcp(server).with_context(|| format!("TCP to {server}"))?,
    })
}

fn ask_udp(server: SocketAddr) -> io::Result<usize> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(server)?;
    for number in 0..DATAGRAMS {
        socket.send(&number.to_be_bytes())?;
    }
    let deadline = Instant::now() + PATIENCE;
    let mut answered = 0;
    while answered < DATAGRAMS {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        socket.set_read_timeout(Some(left))?;
        match socket.recv(&mut [0; 64]) {
            Ok(_) => answered += 1,
            Err(error) if is_no_answer(&error) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(answered)
}

pub(crate) fn ask_tcp(server: SocketAddr) -> io::Result<bool> {
    let mut stream = match TcpStream::connect_timeout(&server, PATIENCE) {
        Ok(stream) => stream,
        Err(error) if is_no_answer(&error) => return Ok(false),
        Err(error) => return Err(error),
    };
    stream.set_read_timeout(Some(PATIENCE))?;
    let question = *b"is anyone there?";
    stream.write_all(&question)?;
    let mut answer = [0; 16];
    match stream.read_exact(&mut answer) {
        Ok(()) => Ok(answer == question),
        Err(error) if is_no_answer(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

pub(crate) fn is_no_answer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::TimedOut
            | ErrorKind::WouldBlock
            | ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
    )
}
