//! Sends millions of frames a second: an XDP program that answers every frame
//! of a test run by sending it out, instead of a process that writes them.

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

/// The generator's processor.
pub(crate) const SENDER_CPU: usize = 0;
/// Ethernet, IPv4, UDP and payload, without the checksum of the frame.
const FRAME: usize = 60;
/// What the kernel sends at once, at most (`TEST_XDP_MAX_BATCH` in
/// `net/bpf/test_run.c`); more than a veth's ring of 256 takes is lost anyway.
const BATCH: u32 = 64;
/// Frames of one test run, at most.
const MOST: u64 = 20_000_000;
/// What it is taken to make in a second before it was seen to.
const FIRST_GUESS: u64 = 1_000_000;
/// Frames that a receiver takes without loss, in one go.
const SPARE: u32 = 128;

/// Sends frames to destinations of one set.
pub(crate) struct Generator {
    ebpf: Ebpf,
    /// As it was the last time.
    frames_per_second: AtomicU64,
}

impl Generator {
    /// Sends to these, used again and again where they are fewer than its map holds.
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

    /// As fast as it can, for about a time; returns for how long it sent. The
    /// kernel measures that: to begin and to end a test run takes milliseconds
    /// more, in which nothing is sent.
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

    /// So many frames, slowly enough that none is lost on the way.
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
        // For each frame, in whole nanoseconds.
        Ok(result.duration * frames)
    }
}

/// `struct xdp_md`: data, end of data, metadata, interface, queue, egress.
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

/// Binds a thread, 0 for this one, to a processor.
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
