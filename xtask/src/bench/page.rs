//! The pages of a daemon whose store has 100,000 contacts of 1,000 devices of a day: time to
//! the first byte, time to the last byte, and what an open page costs.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use jiff::{SignedDuration, Timestamp};
use monitor::evidence::{Direction, Flow, FlowKey, Port};
use monitor::store::{Drained, Instance, Store, StoreLimits, StoreSettings};
use monitor_common::Count;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::report::Report;
use super::store::{claim, mac};
use crate::netns::Namespace;
use crate::system::{Tree, call, output};

const SET: &str = "1,000 devices, 100,000 contacts";
const DEVICES: u32 = 1_000;
const CONTACTS: u32 = 100_000;
/// Tables that are written, one for each five minutes of the day.
const TABLES: u32 = 288;
/// How often a day has a packet of the same contact.
const REPEATS: u32 = 3;
const PAGE: ([u8; 4], u16) = ([127, 0, 0, 1], 9641);
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How long the daemon is watched with an open page, and without one, in each round.
const OPEN: Duration = Duration::from_secs(20);
const POLICIES: &str = "version: 1
policies:
  - {name: seen, action: count, destinations: [42.0.0.0/8]}
  - {name: stopped, action: drop, destinations: [43.0.0.0/8]}
";

/// Measures the pages.
pub(crate) fn measure(tree: &Tree, rounds: usize, report: &mut Report) -> Result<()> {
    let directory = tempfile::tempdir()?;
    fs::create_dir(directory.path().join("policies"))?;
    fs::write(directory.path().join("policies/policies.yaml"), POLICIES)?;
    fill(&directory.path().join("state"))?;
    let gateway = Namespace::new("monitor-bench-page".to_owned());
    if gateway.exists() {
        gateway.delete()?;
    }
    gateway.add()?;
    let measured = with_daemon(tree, &gateway, directory.path(), rounds, report);
    measured.and(gateway.delete())
}

fn with_daemon(
    tree: &Tree,
    gateway: &Namespace,
    directory: &Path,
    rounds: usize,
    report: &mut Report,
) -> Result<()> {
    gateway.ip("link set lo up")?;
    gateway.ip("link add lan0 type veth peer name lan1")?;
    gateway.ip("link set lan0 up")?;
    let pins = "/sys/fs/bpf/monitor-bench-page";
    let socket = directory.join("monitor.sock");
    let own = |command: &mut std::process::Command| {
        command
            .arg("--pin-dir")
            .arg(pins)
            .arg("--socket")
            .arg(&socket);
    };
    let mut run = gateway.command(&tree.monitor);
    run.args([
        "run",
        "--interface",
        "lan0",
        "--mode",
        "generic",
        "--listen",
        "127.0.0.1:9641",
    ]);
    run.arg("--policies").arg(directory.join("policies"));
    run.arg("--state-dir").arg(directory.join("state"));
    own(&mut run);
    let log = File::create(directory.join("log"))?;
    let mut daemon = run
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()?;
    let measured = wait(gateway).and_then(|()| {
        pages(gateway, rounds, report);
        open_page(gateway, &daemon, rounds, report)
    });
    let mut detach = gateway.command(&tree.monitor);
    detach.arg("detach");
    own(&mut detach);
    let detached = output(&mut detach).map(drop);
    let _ = kill(Pid::from_raw(i32::try_from(daemon.id())?), Signal::SIGTERM);
    daemon.wait()?;
    measured.and(detached)
}

fn wait(gateway: &Namespace) -> Result<()> {
    let deadline = Instant::now() + READY_WITHIN;
    while get(gateway, "/healthz").is_err() {
        ensure!(
            Instant::now() < deadline,
            "the daemon does not serve the page"
        );
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn pages(gateway: &Namespace, rounds: usize, report: &mut Report) {
    let device = mac(7);
    let contact = format!("/contacts/{device}/{}", destination(7));
    let of_device = format!("/devices/{device}");
    let paths = [
        ("/", "overview"),
        ("/devices", "devices"),
        (&of_device, "one device"),
        ("/contacts", "contacts"),
        ("/contacts?verdict=dropped", "contacts that were dropped"),
        ("/contacts?q=host-9", "contacts by part of a name"),
        (&contact, "one contact"),
        ("/policies", "policies"),
        ("/policies/seen", "one policy"),
        ("/coverage", "coverage"),
        ("/search?q=host-77", "search"),
    ];
    for _ in 0..rounds {
        for (path, what) in paths {
            let values = get(gateway, path).and_then(|got| {
                ensure!(got.page.contains("</html>"), "{path} is cut");
                ensure!(!got.page.contains("role=\"alert\""), "{path} has an error");
                Ok([got.first, got.last])
            });
            let (first, last) = (format!("{what}: first byte"), format!("{what}: last byte"));
            report.add("page", SET, [(&first, "ms"), (&last, "ms")], values);
        }
    }
}

/// Holds a stream of events open, and reads the page again as the script does. Measures the
/// time of processors that the daemon uses meanwhile, and without an open page, in turns.
fn open_page(
    gateway: &Namespace,
    daemon: &Child,
    rounds: usize,
    report: &mut Report,
) -> Result<()> {
    let events = |until: Instant| {
        while Instant::now() < until {
            let stream = gateway.enter(|| {
                let mut stream = TcpStream::connect(SocketAddr::from(PAGE))?;
                write!(stream, "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
                Ok(stream)
            });
            let Ok(mut stream) = stream else { return };
            let _ = stream.set_read_timeout(Some(OPEN));
            let _ = stream.read_to_end(&mut Vec::new());
        }
    };
    for _ in 0..rounds {
        let idle = share_while(daemon, || thread::sleep(OPEN))?;
        let open = share_while(daemon, || events(Instant::now() + OPEN))?;
        let what = "an open page, nothing happens";
        let quantities = [(what, "% of a core"), ("no open page", "% of a core")];
        report.add("page", SET, quantities, Ok([open - idle, idle]));
    }
    Ok(())
}

/// Percentage of one processor that the daemon uses during `work`.
fn share_while(daemon: &Child, work: impl FnOnce()) -> Result<f64> {
    let pid = Pid::from_raw(i32::try_from(daemon.id())?);
    let clock = nix::time::clock_getcpuclockid(pid)?;
    let (began, before) = (Instant::now(), clock.now()?);
    work();
    let used = Duration::from(clock.now()?).saturating_sub(before.into());
    Ok(used.as_secs_f64() / began.elapsed().as_secs_f64() * 100.0)
}

struct Got {
    page: String,
    /// Milliseconds to the first byte.
    first: f64,
    /// Milliseconds to the last byte.
    last: f64,
}

fn get(gateway: &Namespace, path: &str) -> Result<Got> {
    gateway.enter(|| {
        let mut stream = TcpStream::connect(SocketAddr::from(PAGE))?;
        let begin = Instant::now();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
        let mut bytes = vec![0];
        stream.read_exact(&mut bytes)?;
        let first = begin.elapsed().as_secs_f64() * 1e3;
        stream.read_to_end(&mut bytes)?;
        let last = begin.elapsed().as_secs_f64() * 1e3;
        let page = String::from_utf8_lossy(&bytes).into_owned();
        if !page.starts_with("HTTP/1.1 200") {
            bail!("{path}: {}", page.lines().next().unwrap_or_default());
        }
        Ok(Got { page, first, last })
    })
}

/// Writes the contacts of a day by the store's own way.
fn fill(state: &Path) -> Result<()> {
    call("mkdir", ["-m", "0700", &state.display().to_string()])?;
    let end = Timestamp::now();
    let begin = end - SignedDuration::from_hours(24);
    // The devices are new, and a store lets new devices have fewer contacts.
    let limits = StoreLimits {
        ends: u32::MAX,
        ends_of_new_devices: u32::MAX,
        devices: u32::MAX,
        claim_bytes: u32::MAX,
        claim_bytes_of_new_devices: u32::MAX,
        ..StoreLimits::default()
    };
    let settings = StoreSettings {
        limits,
        ..StoreSettings::default()
    };
    let (mut store, _) = Store::open(state, settings, begin)?;
    let instance = Instance {
        token: 1,
        boot: None,
    };
    for table in 0..TABLES {
        let at = begin + SignedDuration::from_mins(5 * i64::from(table));
        let numbers = (0..CONTACTS).filter(|number| is_in(*number, table));
        let flows: Vec<_> = numbers.map(|number| flow(number, at)).collect();
        let drained = Drained {
            instance,
            epoch: u64::from(table) + 1,
            flows: &flows,
        };
        store.write_drained(&drained, at)?;
    }
    let claims: Vec<_> = (0..CONTACTS)
        .map(|number| claim(number, mac(number % DEVICES), destination(number), end))
        .collect();
    for chunk in claims.chunks(1_000) {
        store.write_claims(chunk, end)?;
    }
    Ok(())
}

/// True if a contact has packets in a table.
fn is_in(number: u32, table: u32) -> bool {
    let first = number.wrapping_mul(2_654_435_761) % TABLES;
    (0..REPEATS).any(|again| (first + again * TABLES / REPEATS) % TABLES == table)
}

fn flow(number: u32, at: Timestamp) -> Flow {
    let is_stopped = number % 4 == 3;
    let count = Count {
        packets: u64::from(number % 19) + 1,
        bytes: 100 * (u64::from(number % 19) + 1),
    };
    let none = Count::default();
    let policy = if is_stopped { "stopped" } else { "seen" };
    Flow {
        key: FlowKey {
            device: mac(number % DEVICES),
            interface: "lan0".to_owned(),
            direction: Direction::Out,
            destination: destination(number).into(),
            protocol: 6,
            port: Port::Number(443),
        },
        policies: vec![policy.parse().expect("a valid name")],
        passed: if is_stopped { none } else { count },
        dropped: if is_stopped { count } else { none },
        first: at,
        last: at,
    }
}

fn destination(number: u32) -> Ipv4Addr {
    let network = if number % 4 == 3 { 43 } else { 42 };
    Ipv4Addr::from_bits((network << 24) | number)
}
