//! A filter in use for as long as one likes: traffic of every kind, reloads,
//! links that go and come, scrapes, blocks. Then everything is added up.

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
use self::verdict::{Holding, Row};
use crate::lab::{metrics, stop_flag};
use crate::system::{Tree, mount_bpffs};

/// Between batches: far below what a veth pair carries.
const PAUSE: Duration = Duration::from_millis(2);

/// Between one disturbance and the next.
const STEP: Duration = Duration::from_secs(1);

/// Before the memory of the daemon is taken as the beginning.
const WARM_UP: u64 = 10;

/// A link that traffic goes through, and what went through those before it.
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

    /// Nothing is sent until another link is put in its place.
    fn close(&mut self) -> Result<()> {
        if let Some(link) = &mut self.link {
            link.settle()?;
        }
        self.before = self.tally();
        self.link = None;
        Ok(())
    }
}

/// What was done to the filter.
#[derive(Default)]
struct Disturbances {
    reloads: u64,
    flaps: u64,
    remakes: u64,
    blocks: u64,
    scrapes: u64,
}

/// Soaks, prints, and says whether everything was as it must be.
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
    ensure!(wrong == 0, "{wrong} figures are not as they must be");
    println!("All as it must be.");
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
        &Holding::settled(network, &start)?,
    ));
    let held = Holding::of(network)?;
    network.detach()?;
    rows.push(verdict::left(&held));
    Ok((rows, done))
}

/// Sends through a link for as long as there is one.
fn pump(stream: &Mutex<Stream>, end: &AtomicBool) -> Result<()> {
    while !end.load(Ordering::Relaxed) {
        if let Some(link) = &mut lock(stream).link {
            link.batch()?;
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}

/// One thing after another until the time is over. What the daemon held after a
/// while of it.
fn disturb(
    network: &Network,
    second: &Mutex<Stream>,
    time: Duration,
    stop: &AtomicBool,
) -> Result<(Holding, Disturbances)> {
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
            start = Some(Holding::of(network)?);
        }
        thread::sleep(STEP);
    }
    Ok((start.context("too short a soak")?, done))
}

/// Other policies around the same ones: by file, command or signal.
fn reload(network: &Network, round: u64) -> Result<()> {
    network.write_policies(&policies(round))?;
    match round % 3 {
        0 => network.hang_up(),
        1 => network.verb(&["reload"]).map(drop),
        // It sees the file by itself.
        _ => Ok(()),
    }
}

/// Takes the second link down and up, or away and back. Nothing is sent
/// meanwhile: what comes before the filter is back is nobody's to count.
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

/// The same drops and counts among others that change.
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

/// A panic of another thread leaves the counts as they were.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
