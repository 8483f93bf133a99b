//! Pings of an innocent phone during a flood.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::generator::Generator;
use super::network::{Lan, Network, PINGED};
use crate::bench::statistics::{quantile, sorted};

const PINGS: u32 = 100;
/// Duration of one flood. Floods follow each other while pings are sent.
const TIME: Duration = Duration::from_secs(2);
/// Time from the start of the first flood to the first ping.
const BEFORE: Duration = Duration::from_millis(100);

/// Median and 99th percentile in microseconds, and lost pings in percent.
pub(crate) struct Pings {
    pub(crate) half: f64,
    pub(crate) nearly_all: f64,
    pub(crate) lost: f64,
}

/// Pings the sink, during floods if a generator is given.
pub(crate) fn measure(network: &Network<'_>, flood: Option<&Generator>) -> Result<Pings> {
    let Some(generator) = flood else {
        return ping(network);
    };
    let answered = AtomicBool::new(false);
    thread::scope(|scope| {
        let sender = scope.spawn(|| -> Result<()> {
            while !answered.load(Ordering::Relaxed) {
                generator.flood(network, Lan::First, TIME)?;
            }
            Ok(())
        });
        thread::sleep(BEFORE);
        let pings = ping(network);
        answered.store(true, Ordering::Relaxed);
        let sent = sender
            .join()
            .unwrap_or_else(|payload| std::panic::resume_unwind(payload));
        sent.and(pings)
    })
}

fn ping(network: &Network<'_>) -> Result<Pings> {
    let mut command = network.generator.command("ping");
    command.args([
        "-n",
        "-i",
        "0.01",
        "-W",
        "0.5",
        "-c",
        &PINGS.to_string(),
        PINGED,
    ]);
    // `ping` fails if no answer came at all. That is a result too.
    let done = command.output().context("ping")?;
    let text = String::from_utf8_lossy(&done.stdout);
    ensure!(
        text.contains("packets transmitted"),
        "ping: {text}{}",
        String::from_utf8_lossy(&done.stderr)
    );
    let times = sorted(&text.lines().filter_map(time).collect::<Vec<_>>());
    #[expect(clippy::cast_precision_loss, reason = "at most a few hundred")]
    let lost = 100.0 * (1.0 - times.len() as f64 / f64::from(PINGS));
    Ok(Pings {
        half: quantile(&times, 0.5).context("every ping was lost")?,
        nearly_all: quantile(&times, 0.99).context("every ping was lost")?,
        lost,
    })
}

/// Parses `… time=0.055 ms`, in microseconds.
fn time(line: &str) -> Option<f64> {
    let milliseconds: f64 = line
        .split_once(" time=")?
        .1
        .split_whitespace()
        .next()?
        .parse()
        .ok()?;
    Some(milliseconds * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_answers_only() {
        let line = "64 bytes from 10.77.0.2: icmp_seq=1 ttl=63 time=0.5 ms";
        assert_eq!(time(line), Some(500.0));
        assert_eq!(
            time("150 packets transmitted, 150 received, 0% packet loss, time 1490ms"),
            None
        );
    }
}
