//! The gateway's receiving thread and the sink: what arrived, and at what cost.

use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context as _, Result, bail, ensure};
use aya::Ebpf;
use nix::unistd::Pid;

use super::filters::Hook;
use super::generator::{self, Generator};
use super::network::{Lan, Network};
use super::object::{self, Object};

/// The gateway's processor; the sink's work is done on it as well.
const RECEIVER_CPU: usize = 1;
/// Until the rings are full and the caches warm.
const WARM_UP: Duration = Duration::from_millis(60);
/// The part of a measurement for which other processes may keep the receiving
/// thread waiting, and how often it is measured again where they do.
const WAITING: f64 = 0.05;
const TRIES: u32 = 12;
/// Counters that were read within this time belong together.
const AT_ONCE: Duration = Duration::from_millis(1);
const SAMPLES: u32 = 100;
/// Until what is under way has arrived.
const DRAIN: Duration = Duration::from_millis(30);

/// What happened in one flood.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flood {
    /// While it was measured: packets a second taken in by the gateway.
    pub(crate) taken: f64,
    /// While it was measured: packets a second that reached the sink.
    pub(crate) forwarded: f64,
    /// Nanoseconds of the receiving thread per packet taken in.
    pub(crate) nanoseconds: f64,
    /// Share of the time for which the receiving thread waited for its processor.
    waited: f64,
    /// Whether the flood lasted as long as the measurement.
    whole: bool,
    /// From before the flood to after the last packet.
    pub(crate) total: Total,
}

/// Packets, all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Total {
    pub(crate) taken: u64,
    pub(crate) forwarded: u64,
}

/// The far side of the gateway.
pub(crate) struct Receiver<'a> {
    network: &'a Network<'a>,
    sink: Ebpf,
    /// Of `Lan::First` and `Lan::Second`.
    threads: [Pid; 2],
}

#[derive(Clone, Copy)]
struct Sample {
    at: Instant,
    taken: u64,
    forwarded: u64,
    ran: u64,
    waited: u64,
}

impl<'a> Receiver<'a> {
    /// Attaches the sink's program, and binds the gateway's receiving threads.
    pub(crate) fn new(network: &'a Network<'a>, object: &Object) -> Result<Self> {
        let mut sink = object.load(0)?;
        object::attach_xdp(&mut sink, "sink", (&network.sink, "eth0"), Hook::Native)?;
        let threads = [napi_thread(Lan::First)?, napi_thread(Lan::Second)?];
        for thread in threads {
            generator::pin(thread, RECEIVER_CPU)?;
            generator::prefer(thread)?;
        }
        Ok(Self {
            network,
            sink,
            threads,
        })
    }

    /// Floods one of the gateway's interfaces, and measures for a time; again
    /// where something else ran on the gateway's processor meanwhile.
    pub(crate) fn flood(&self, generator: &Generator, lan: Lan, time: Duration) -> Result<Flood> {
        let mut total = Total::default();
        for _ in 0..TRIES {
            let mut flood = self.flood_once(generator, lan, time)?;
            total.taken += flood.total.taken;
            total.forwarded += flood.total.forwarded;
            if flood.whole && flood.waited <= WAITING {
                flood.total = total;
                return Ok(flood);
            }
        }
        bail!(
            "in {TRIES} tries the flood was too short or other processes kept the gateway's processor busy"
        )
    }

    fn flood_once(&self, generator: &Generator, lan: Lan, time: Duration) -> Result<Flood> {
        let before = self.sample(lan)?;
        let (start, end, lasted) = thread::scope(|scope| {
            // A quarter more: the speed is that of the last time.
            let whole = (WARM_UP + time) * 5 / 4;
            let sender = scope.spawn(move || generator.flood(self.network, lan, whole));
            thread::sleep(WARM_UP);
            let start = self.sample(lan);
            thread::sleep(time);
            let end = self.sample(lan);
            let sent = sender
                .join()
                .unwrap_or_else(|payload| std::panic::resume_unwind(payload));
            Ok::<_, anyhow::Error>((start?, end?, sent?))
        })?;
        thread::sleep(DRAIN);
        let mut flood = rates(start, end, self.sample(lan)?.since(before))?;
        flood.whole = lasted >= end.at - before.at;
        Ok(flood)
    }

    /// Sends some frames slowly, and tells what became of them.
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
        let thread = match lan {
            Lan::First => self.threads[0],
            Lan::Second => self.threads[1],
        };
        self.network.gateway.enter(|| {
            for _ in 0..SAMPLES {
                let at = Instant::now();
                let taken = Network::counters()?.received(lan)?;
                let (ran, waited) = times(thread)?;
                let forwarded = object::received(&self.sink)?;
                if at.elapsed() < AT_ONCE {
                    return Ok(Sample {
                        at,
                        taken,
                        forwarded,
                        ran,
                        waited,
                    });
                }
            }
            bail!("the counters could not be read within {AT_ONCE:?}, {SAMPLES} times")
        })
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
fn rates(start: Sample, end: Sample, total: Total) -> Result<Flood> {
    let seconds = (end.at - start.at).as_secs_f64();
    let between = end.since(start);
    ensure!(between.taken > 0, "no packet came to the gateway");
    Ok(Flood {
        taken: between.taken as f64 / seconds,
        forwarded: between.forwarded as f64 / seconds,
        nanoseconds: (end.ran - start.ran) as f64 / between.taken as f64,
        whole: true,
        waited: (end.waited - start.waited) as f64 / 1e9 / seconds,
        total,
    })
}

/// Nanoseconds that a thread has run, and that it was ready to and did not
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

/// The kernel's thread that receives for an interface (`napi/NAME-ID`).
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
