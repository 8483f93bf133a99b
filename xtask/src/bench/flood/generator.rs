//! Sends millions of frames a second: the kernel runs an XDP program on live frames
//! (`BPF_PROG_TEST_RUN`), and the program returns `XDP_TX` for each.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use aya::Ebpf;
use aya::programs::{TestRun as _, TestRunAttrs, TestRunOptions, Xdp};
use nix::net::if_::if_nametoindex;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use super::network::{GATEWAY_MAC, Lan, Network, PHONE, PHONE_MAC};
use super::object::{self, Object, Template};
use crate::bench::object::fill_array;

/// Processor of the generator.
pub(crate) const SENDER_CPU: usize = 0;
/// Bytes of a frame: Ethernet, IPv4, UDP and payload, without the checksum.
const FRAME: usize = 60;
/// Frames that the kernel sends at once: below its limit (`TEST_XDP_MAX_BATCH` in
/// `net/bpf/test_run.c`), and below the 256 frames of a veth's ring.
const BATCH: u32 = 64;
/// The most frames of one test run.
const MOST: u64 = 20_000_000;
/// Assumed frames per second before the first measurement.
const FIRST_GUESS: u64 = 1_000_000;
/// Frames that a receiver takes at once without loss.
const SPARE: u32 = 128;

/// Sends frames to a set of destinations.
pub(crate) struct Generator {
    ebpf: Ebpf,
    /// Speed of the previous flood.
    frames_per_second: AtomicU64,
}

impl Generator {
    /// Makes a generator for `destinations`, which are repeated to fill its map.
    pub(crate) fn new(object: &Object, destinations: &[Ipv4Addr]) -> Result<Self> {
        let mut ebpf = object.load(0)?;
        let cells: Vec<[u8; 4]> = destinations
            .iter()
            .cycle()
            .take(super::sets::DESTINATIONS)
            .map(Ipv4Addr::octets)
            .collect();
        fill_array(&mut ebpf, "DESTINATIONS", &cells)?;
        fill_array(&mut ebpf, "TEMPLATE", &[template()])?;
        object::xdp(&mut ebpf, "generate")?;
        Ok(Self {
            ebpf,
            frames_per_second: AtomicU64::new(FIRST_GUESS),
        })
    }

    /// Sends as fast as possible for about `time`. Returns the time spent sending, as the
    /// kernel measured it: starting and ending a test run takes milliseconds more.
    pub(crate) fn flood(
        &self,
        network: &Network<'_>,
        lan: Lan,
        time: Duration,
    ) -> Result<Duration> {
        network.generator.enter(|| {
            pin(Pid::from_raw(0), SENDER_CPU)?;
            let speed = self.frames_per_second.load(Ordering::Relaxed);
            let milliseconds = u64::try_from(time.as_millis())?;
            let frames = (speed * milliseconds / 1000).clamp(BATCH.into(), MOST);
            let lasted = self.send(lan, u32::try_from(frames)?)?;
            let speed = frames * 1_000_000 / u64::try_from(lasted.as_micros())?.max(1);
            self.frames_per_second.store(speed, Ordering::Relaxed);
            Ok(lasted)
        })
    }

    /// Sends `frames` frames so slowly that none is lost.
    pub(crate) fn trickle(&self, network: &Network<'_>, lan: Lan, frames: u32) -> Result<()> {
        network.generator.enter(|| {
            pin(Pid::from_raw(0), SENDER_CPU)?;
            for _ in 0..frames / SPARE {
                self.send(lan, SPARE)?;
                thread::sleep(Duration::from_millis(2));
            }
            Ok(())
        })
    }

    fn send(&self, lan: Lan, frames: u32) -> Result<Duration> {
        let program: &Xdp = self
            .ebpf
            .program("generate")
            .context("no program generate")?
            .try_into()?;
        let interface = if_nametoindex(lan.interface()).context(lan.interface())?;
        let result = program
            .test_run(TestRunOptions {
                data_in: Some(&[0; FRAME]),
                ctx_in: Some(&context(interface)),
                repeat: frames,
                attrs: TestRunAttrs::new().xdp_live_frames(BATCH),
                ..TestRunOptions::new()
            })
            .context("send")?;
        // The kernel returns the time per frame, in whole nanoseconds.
        Ok(result.duration * frames)
    }
}

/// `struct xdp_md`: data, end of data, metadata, ingress interface, queue, egress interface.
fn context(interface: u32) -> [u8; 24] {
    let length = u32::try_from(FRAME).unwrap_or_default();
    let mut bytes = [0; 24];
    let (cells, _) = bytes.as_chunks_mut::<4>();
    for (cell, value) in cells.iter_mut().zip([0, length, 0, interface, 0, 0_u32]) {
        *cell = value.to_ne_bytes();
    }
    bytes
}

fn template() -> Template {
    let length = u16::try_from(FRAME - 14).unwrap_or_default().to_be_bytes();
    let mut headers = [0; 34];
    headers[..6].copy_from_slice(&GATEWAY_MAC);
    headers[6..12].copy_from_slice(&PHONE_MAC);
    headers[12] = 0x08;
    headers[14] = 0x45;
    headers[16..18].copy_from_slice(&length);
    headers[22] = 64;
    headers[23] = 17;
    headers[26..30].copy_from_slice(&PHONE);
    let (words, _) = headers[14..].as_chunks::<2>();
    Template {
        sum: words
            .iter()
            .map(|word| u32::from(u16::from_be_bytes(*word)))
            .sum(),
        headers,
        padding: [0; 2],
    }
}

/// Binds a thread to a processor; 0 is the calling thread.
pub(crate) fn pin(thread: Pid, cpu: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu).context("processor")?;
    sched_setaffinity(thread, &set).with_context(|| format!("bind {thread} to processor {cpu}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn template_is_an_ipv4_header_whose_words_are_summed() {
        let Template { headers, sum, .. } = template();
        assert_eq!(headers[12..18], [0x08, 0x00, 0x45, 0x00, 0, 46]);
        assert_eq!(sum, 0x4500 + 46 + 0x4011 + 0xc0a8 + 0x320a);
    }

    #[test]
    fn context_names_the_interface_and_the_end_of_the_data() {
        let bytes = context(7);
        assert_eq!(bytes[4..8], 60_u32.to_ne_bytes());
        assert_eq!(bytes[12..16], 7_u32.to_ne_bytes());
    }
}
