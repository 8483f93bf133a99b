//! Soak test: traffic of every kind, reloads, flapping links, scrapes and blocks for a
//! chosen time. Then all counters are compared with the frames sent.

#[path = "../../../monitor/tests/support/kernel_ids.rs"]
mod kernel_ids;
mod network;
mod traffic;
mod verdict;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use self::network::{LINKS, Network};
use self::traffic::{AT_TIMES, Link, Tally};
use self::verdict::{Resources, Row};
use crate::system::{Tree, mount_bpffs};
use monitor::demo::{metrics, stop_flag};

/// Pause between batches. The rate stays far below the capacity of a veth pair.
const PAUSE: Duration = Duration::from_millis(2);

/// Pause between disturbances.
const STEP: Duration = Duration::from_secs(1);

/// Time before the first measurement of the daemon's memory.
const WARM_UP: u64 = 10;

/// The current link for traffic, and the counts of all earlier links.
#[derive(Default)]
struct Stream {
    link: Option<Link>,
    before: Tally,
}

impl Stream {
    fn tally(&self) -> Tally {
        let mut tally = self.before;
        if let Some(link) = &self.link {
            for (total, (sent, came)) in tally.iter_mut().zip(link.tally) {
                total.0 += sent;
                total.1 += came;
            }
        }
        tally
    }

    /// Removes the link. No traffic is sent until there is a new link.
    fn close(&mut self) -> Result<()> {
        if let Some(link) = &mut self.link {
            link.settle()?;
        }
        self.before = self.tally();
        self.link = None;
        Ok(())
    }
}

/// Numbers of disturbances.
#[derive(Default)]
struct Disturbances {
    reloads: u64,
    flaps: u64,
    remakes: u64,
    blocks: u64,
    scrapes: u64,
}

/// Runs the soak test and prints the result. Fails if a figure is wrong.
pub(crate) fn run(tree: &Tree, minutes: u64) -> Result<()> {
    let stop = stop_flag()?;
    mount_bpffs()?;
    let mut network = Network::make(tree)?;
    network.write_policies(&policies(0))?;
    network.start_daemon()?;
    let (rows, done) = soak(&mut network, Duration::from_secs(minutes * 60), &stop)
        .with_context(|| format!("the daemon said:\n{}", tail(&network.log())))?;
    println!("{}", verdict::table(&rows));
    println!(
        "{} reloads, {} links down and up, {} links deleted and made again, {} blocks, {} scrapes",
        done.reloads, done.flaps, done.remakes, done.blocks, done.scrapes
    );
    let wrong = rows.iter().filter(|row| !row.is_right()).count();
    ensure!(wrong == 0, "{wrong} figures are not as expected");
    println!("All as expected.");
    Ok(())
}

fn soak(
    network: &mut Network,
    time: Duration,
    stop: &AtomicBool,
) -> Result<(Vec<Row>, Disturbances)> {
    let streams: [Mutex<Stream>; 2] = Default::default();
    for (stream, name) in streams.iter().zip(LINKS) {
        lock(stream).link = Some(Link::open(&network.phone, &network.gateway, name)?);
    }
    let end = Arc::new(AtomicBool::new(false));
    let (start, done) = thread::scope(|scope| {
        let senders: Vec<_> = streams
            .iter()
            .map(|stream| scope.spawn(|| pump(stream, &end)))
            .collect();
        let disturbed = disturb(network, &streams[1], time, stop);
        end.store(true, Ordering::Relaxed);
        for sender in senders {
            sender.join().expect("a sender does not panic")?;
        }
        disturbed
    })?;
    let mut tallies = Vec::new();
    for stream in &streams {
        let mut stream = lock(stream);
        stream.close()?;
        tallies.push(stream.tally());
    }
    let mut rows = verdict::counts(&network.status()?, &tallies)?;
    rows.extend(verdict::holdings(
        &start,
        &Resources::settled(network, &start)?,
    ));
    let held = Resources::of(network)?;
    network.detach()?;
    rows.push(verdict::left(&held));
    Ok((rows, done))
}

/// Sends through the current link, until the test ends.
fn pump(stream: &Mutex<Stream>, end: &AtomicBool) -> Result<()> {
    while !end.load(Ordering::Relaxed) {
        if let Some(link) = &mut lock(stream).link {
            link.batch()?;
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}

/// Disturbs the filter until the time is over. Returns what the daemon held after the
/// warm-up.
fn disturb(
    network: &Network,
    second: &Mutex<Stream>,
    time: Duration,
    stop: &AtomicBool,
) -> Result<(Resources, Disturbances)> {
    let deadline = Instant::now() + time;
    let mut done = Disturbances::default();
    let mut start = None;
    for round in 1.. {
        if Instant::now() > deadline && start.is_some() {
            break;
        }
        if stop.load(Ordering::Relaxed) {
            bail!("interrupted");
        }
        reload(network, round)?;
        done.reloads += 1;
        if round % 5 == 0 {
            network.verb(&["block", AT_TIMES, "--for", "1h"])?;
            thread::sleep(STEP / 2);
            network.verb(&["block", AT_TIMES, "--undo"])?;
            done.blocks += 1;
        }
        match round % 20 {
            7 | 17 => {
                flap(network, second, false)?;
                done.flaps += 1;
            }
            12 => {
                flap(network, second, true)?;
                done.remakes += 1;
            }
            _ => {}
        }
        let page = metrics::fetch(&network.gateway)?;
        ensure!(
            page.ends_with("# EOF\n"),
            "the page of metrics is cut short"
        );
        done.scrapes += 1;
        if round == WARM_UP {
            start = Some(Resources::of(network)?);
        }
        thread::sleep(STEP);
    }
    Ok((start.context("too short a soak")?, done))
}

/// Reloads with other policies beside the same ones: by file, command or signal.
fn reload(network: &Network, round: u64) -> Result<()> {
    network.write_policies(&policies(round))?;
    match round % 3 {
        0 => network.hang_up(),
        1 => network.verb(&["reload"]).map(drop),
        // The daemon notices the changed file.
        _ => Ok(()),
    }
}

/// Sets the second link down and up, or removes and makes it. No traffic is sent until the
/// filter is back, because no counter would count it.
fn flap(network: &Network, stream: &Mutex<Stream>, remake: bool) -> Result<()> {
    let name = LINKS[1];
    let mut stream = lock(stream);
    stream.close()?;
    if remake {
        network.gateway.ip(&format!("link del {name}"))?;
        network.connect(name)?;
    } else {
        for state in ["down", "up"] {
            network.gateway.ip(&format!("link set {name} {state}"))?;
        }
    }
    network.wait_filtered(name)?;
    stream.link = Some(Link::open(&network.phone, &network.gateway, name)?);
    Ok(())
}

/// The policies of the test, among others that change.
fn policies(round: u64) -> String {
    let third = round % 200;
    let others: Vec<String> = (0..=round % 50 * 10)
        .map(|number| format!("11.{third}.{}.{}", number / 256, number % 256))
        .collect();
    let others = others.join(", ");
    format!(
        "version: 1
policies:
  - {{name: suspect, action: drop, destinations: [198.51.100.0/24, 2001:db8:bad::/48]}}
  - {{name: seen, action: count, destinations: [192.0.2.0/24, 2001:db8:5ee::/48]}}
  - {{name: changing, action: drop, destinations: [{others}], services: [tcp/80]}}
"
    )
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// Locks the counts, also after a panic of another thread.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
