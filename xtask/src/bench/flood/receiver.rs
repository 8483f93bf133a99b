//! Counts the packets that the gateway receives and forwards, and their CPU time.

use std::time::Duration;
use std::{fs, thread};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use aya::Ebpf;
use nix::unistd::Pid;

use super::filters::Hook;
use super::generator::{self, Generator};
use super::network::{Lan, Network};
use super::object::{self, Object};
use crate::system;

/// Processor of the gateway and the sink.
const RECEIVER_CPU: usize = 1;
/// The largest share of a flood for which other processes may delay the receiving thread.
/// Beyond it, the flood is repeated, up to [`TRIES`] floods.
const WAITING: f64 = 0.05;
const TRIES: u32 = 12;
/// The largest plausible use of the processor. It may exceed 1 a little: the packets in
/// the rings are processed after the flood.
const MOST_BUSY: f64 = 1.02;
/// Time until all packets have arrived.
const DRAIN: Duration = Duration::from_millis(20);

/// Result of one flood.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flood {
    /// Packets per second that the gateway received.
    pub(crate) taken: f64,
    /// Packets per second that reached the sink.
    pub(crate) forwarded: f64,
    /// CPU time of the receiving thread per received packet, in nanoseconds.
    pub(crate) nanoseconds: f64,
    /// Packets of this flood and of its repetitions.
    pub(crate) total: Total,
}

/// Numbers of packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Total {
    pub(crate) taken: u64,
    pub(crate) forwarded: u64,
}

/// The far side of the gateway.
pub(crate) struct Receiver<'a> {
    network: &'a Network<'a>,
    paths: [Path; 2],
}

/// What counts on one path through the gateway.
struct Path {
    /// The program that counts and drops at the sink.
    sink: Ebpf,
    /// The gateway's receiving thread.
    thread: Pid,
}

/// Counters between two floods. The kernel updates the times of a thread when the thread
/// sleeps.
#[derive(Clone, Copy)]
struct Sample {
    taken: u64,
    forwarded: u64,
    ran: u64,
    waited: u64,
}

impl<'a> Receiver<'a> {
    /// Attaches the sink's program, and binds the gateway's receiving threads.
    pub(crate) fn new(network: &'a Network<'a>, object: &Object) -> Result<Self> {
        let path = |lan: Lan| -> Result<Path> {
            let mut sink = object.load(0)?;
            let interfaces = [lan.sink()];
            let to = (&network.sink, &interfaces[..]);
            object::attach_xdp(&mut sink, "sink", to, Hook::Native)?;
            let thread = napi_thread(lan)?;
            generator::pin(thread, RECEIVER_CPU)?;
            system::prefer(thread)?;
            Ok(Path { sink, thread })
        };
        Ok(Self {
            network,
            paths: [path(Lan::First)?, path(Lan::Second)?],
        })
    }

    /// Floods one of the gateway's interfaces for about `time`. Repeats the flood if
    /// another process used the gateway's processor, or if the times are implausible.
    pub(crate) fn flood(&self, generator: &Generator, lan: Lan, time: Duration) -> Result<Flood> {
        let mut total = Total::default();
        let mut why = anyhow!("other processes kept the gateway's processor busy");
        for _ in 0..TRIES {
            let before = self.sample(lan)?;
            let sent = generator.flood(self.network, lan, time)?;
            thread::sleep(DRAIN);
            let after = self.sample(lan)?;
            total = total.plus(after.since(before));
            let waited = Duration::from_nanos(after.waited - before.waited);
            if waited <= sent.mul_f64(WAITING) {
                match rates(before, after, sent, total) {
                    Ok(flood) => return Ok(flood),
                    Err(error) => why = error,
                }
            }
        }
        Err(why.context(format!("no good one of {TRIES} tries")))
    }

    /// Sends frames slowly, and returns how many were received and forwarded.
    pub(crate) fn trickle(&self, generator: &Generator, lan: Lan, frames: u32) -> Result<Total> {
        let before = self.sample(lan)?;
        generator.trickle(self.network, lan, frames)?;
        thread::sleep(DRAIN);
        let total = self.sample(lan)?.since(before);
        ensure!(
            total.taken == u64::from(frames),
            "of {frames} frames sent slowly the gateway took in {}",
            total.taken
        );
        Ok(total)
    }

    fn sample(&self, lan: Lan) -> Result<Sample> {
        let [first, second] = &self.paths;
        let path = match lan {
            Lan::First => first,
            Lan::Second => second,
        };
        let taken = self.network.gateway.enter(Network::counters)?;
        let (ran, waited) = times(path.thread)?;
        Ok(Sample {
            taken: taken.received(lan)?,
            forwarded: object::received(&path.sink)?,
            ran,
            waited,
        })
    }
}

impl Total {
    fn plus(self, other: Self) -> Self {
        Self {
            taken: self.taken + other.taken,
            forwarded: self.forwarded + other.forwarded,
        }
    }
}

impl Sample {
    fn since(self, before: Self) -> Total {
        Total {
            taken: self.taken - before.taken,
            forwarded: self.forwarded - before.forwarded,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn rates(before: Sample, after: Sample, sent: Duration, total: Total) -> Result<Flood> {
    let between = after.since(before);
    ensure!(between.taken > 0, "no packet came to the gateway");
    let taken = between.taken as f64;
    let flood = Flood {
        taken: taken / sent.as_secs_f64(),
        forwarded: between.forwarded as f64 / sent.as_secs_f64(),
        nanoseconds: (after.ran - before.ran) as f64 / taken,
        total,
    };
    let busy = flood.taken * flood.nanoseconds / 1e9;
    ensure!(
        busy <= MOST_BUSY,
        "one processor cannot be busy for {busy:.2} of the time: {flood:?}"
    );
    Ok(flood)
}

/// Nanoseconds that a thread has run, and that it has waited for a processor
/// (Documentation/scheduler/sched-stats.rst).
fn times(thread: Pid) -> Result<(u64, u64)> {
    let path = format!("/proc/{thread}/schedstat");
    let text = fs::read_to_string(&path).with_context(|| path.clone())?;
    let mut numbers = text.split_whitespace().map_while(|word| word.parse().ok());
    numbers
        .next()
        .zip(numbers.next())
        .with_context(|| format!("{path}: {text}"))
}

/// Finds the kernel thread that receives for an interface (`napi/NAME-ID`).
fn napi_thread(lan: Lan) -> Result<Pid> {
    let wanted = format!("napi/{}-", lan.interface());
    for entry in fs::read_dir("/proc").context("/proc")?.flatten() {
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        if let (true, Some(Ok(pid))) = (
            name.starts_with(&wanted),
            entry.file_name().to_str().map(str::parse),
        ) {
            return Ok(Pid::from_raw(pid));
        }
    }
    bail!(
        "no thread {wanted}*: is NAPI of {} threaded?",
        lan.interface()
    )
}
