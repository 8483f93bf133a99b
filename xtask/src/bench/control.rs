//! Cost of the control plane by size of the ruleset: time to check, start, reload and
//! block, and kernel memory.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use aya::maps::MapData;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, SysconfVar, sysconf};
use tempfile::TempDir;

use super::report::Report;
use super::sets;
use crate::netns::Namespace;
use crate::system::{BPFFS, Tree, output};

/// Time for which an idle daemon is observed.
const IDLE: Duration = Duration::from_secs(10);
/// The longest time that a daemon may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Measures a daemon with each set of prefixes.
pub(crate) fn measure(
    tree: &Tree,
    rounds: usize,
    stop: &AtomicBool,
    report: &mut Report,
) -> Result<()> {
    let ranges = sets::ranges(&tree.root);
    let table = |file: &str| sets::lines(&ranges.join(file));
    let (ipv4, ipv6) = (table("asn-v4-cidr.txt.gz")?, table("asn-v6-cidr.txt.gz")?);
    let mut measure = |name: &str, prefixes: &[String], policies| {
        ensure!(!stop.load(Ordering::Relaxed), "interrupted");
        measure_one(tree, rounds, (name, prefixes, policies), report)
    };
    for count in [1_000, 10_000, 100_000] {
        let prefixes = sets::random(count).prefixes.into_iter();
        let lines = prefixes.map(|prefix| format!("{}/{}", prefix.address, prefix.length));
        measure(
            &format!("random /24 ({count})"),
            &lines.collect::<Vec<_>>(),
            1,
        )?;
    }
    let whole: Vec<String> = ipv4.into_iter().chain(ipv6).collect();
    let name = format!("whole tables ({})", whole.len());
    measure(&name, &whole, 1)?;
    measure(&format!("{name}, 1000 policies"), &whole, 1000)
}

fn measure_one(
    tree: &Tree,
    rounds: usize,
    (name, prefixes, policies): (&str, &[String], usize),
    report: &mut Report,
) -> Result<()> {
    eprintln!("control: {name}");
    let bench = Bench::new(tree, prefixes, policies)?;
    let mut add = |what: &str, unit, value| {
        report.add("control", name, [(what, unit)], Ok([value]));
    };
    for _ in 0..rounds {
        let (seconds, mebibytes) = bench.check()?;
        add("check, whole process", "s", seconds);
        add("check, peak memory", "MiB", mebibytes);
    }
    for _ in 1..rounds {
        let (daemon, seconds) = bench.start()?;
        add("start until ready", "s", seconds);
        daemon.end(&bench)?;
    }
    let (daemon, seconds) = bench.start()?;
    add("start until ready", "s", seconds);
    add("maps of the generation", "MiB", bench.kernel_memory()?);
    for round in 0..rounds {
        bench.write_small(round + 1)?;
        let (seconds, cpu) = daemon.reload(&bench)?;
        add("reload, one policy changed", "s", seconds);
        add("reload, one policy changed, CPU time", "s", cpu);
        bench.change_line(round)?;
        let (seconds, cpu) = daemon.reload(&bench)?;
        add("reload, one prefix of a list changed", "s", seconds);
        add("reload, one prefix of a list changed, CPU time", "s", cpu);
        let block = r#"{"verb":"change","effect":{"block":"203.0.113.77"},"device":null,"seconds":60,"undo":false,"reason":null}"#;
        add("`block`, until it is in force", "s", bench.ask(block)?);
    }
    add("daemon, idle", "% of a CPU", daemon.idle()?);
    let [anonymous, shared, files] = daemon.resident()?;
    add("daemon, own memory", "MiB", anonymous + shared);
    // Pages of the program, which the kernel can drop and read again.
    add("daemon, mapped files", "MiB", files);
    daemon.end(&bench)
}

/// Policies, a network namespace and a pin directory. Dropping the value removes them.
struct Bench<'a> {
    tree: &'a Tree,
    directory: TempDir,
    namespace: Namespace,
    pins: PathBuf,
}

struct Daemon(Child);

impl<'a> Bench<'a> {
    fn new(tree: &'a Tree, prefixes: &[String], policies: usize) -> Result<Self> {
        let name = format!("monitor-bench-{}", std::process::id());
        let bench = Self {
            tree,
            directory: TempDir::new()?,
            namespace: Namespace::new(name.clone()),
            pins: Path::new(BPFFS).join(name),
        };
        bench.namespace.add()?;
        bench
            .namespace
            .ip("link add wlan0 type veth peer name phone0")?;
        bench.namespace.ip("link set wlan0 up")?;
        bench.write(prefixes, policies)?;
        bench.write_small(0)?;
        Ok(bench)
    }

    fn policies(&self) -> PathBuf {
        self.directory.path().join("policies")
    }

    /// Writes the policies. Each has a list with its part of the prefixes.
    fn write(&self, prefixes: &[String], policies: usize) -> Result<()> {
        let folder = self.policies();
        fs::create_dir(&folder)?;
        let mut yaml = "version: 1\npolicies:\n".to_owned();
        for policy in 0..policies {
            let list = prefixes.iter().skip(policy).step_by(policies);
            let list: Vec<&str> = list.map(String::as_str).collect();
            fs::write(folder.join(format!("{policy}.txt")), list.join("\n"))?;
            writeln!(
                yaml,
                "  - {{name: p{policy}, action: count, destinations: [{{list: {policy}.txt}}]}}"
            )?;
        }
        fs::write(folder.join("large.yaml"), yaml)?;
        Ok(())
    }

    /// Writes the policy that changes in each round.
    fn write_small(&self, round: usize) -> Result<()> {
        let yaml = format!(
            "version: 1\npolicies:\n  - {{name: small, action: count, destinations: [203.0.113.{}]}}\n",
            round + 1
        );
        fs::write(self.policies().join("small.yaml"), yaml)?;
        Ok(())
    }

    /// Replaces one prefix in the middle of the first list by a prefix that was not there.
    fn change_line(&self, round: usize) -> Result<()> {
        let path = self.policies().join("0.txt");
        let text = fs::read_to_string(&path)?;
        let mut lines: Vec<&str> = text.lines().collect();
        // Of 192.0.2.0/24 (RFC 5737), which is in no table.
        let new = format!("192.0.2.{}/32", round + 1);
        let middle = lines.len() / 2;
        lines[middle] = &new;
        fs::write(path, lines.join("\n"))?;
        Ok(())
    }

    /// Runs `monitor check`. Returns its seconds and its peak memory in MiB.
    fn check(&self) -> Result<(f64, f64)> {
        let start = Instant::now();
        let mut child = Command::new(&self.tree.monitor)
            .arg("check")
            .arg(self.policies())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        // The peak memory of wait4(2) would include that of the parent before exec.
        let mut peak = 0.0_f64;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            peak = peak.max(mebibytes(child.id(), "VmHWM:").unwrap_or(0.0));
            thread::sleep(Duration::from_millis(1));
        };
        ensure!(status.success(), "monitor check: {status}");
        Ok((start.elapsed().as_secs_f64(), peak))
    }

    /// Starts a daemon. Returns it, and the seconds until it answered.
    fn start(&self) -> Result<(Daemon, f64)> {
        let start = Instant::now();
        let path = |name: &str| self.directory.path().join(name);
        let child = self
            .namespace
            .command(&self.tree.monitor)
            .args(["run", "--interface", "wlan0", "--listen", "127.0.0.1:0"])
            // Without watching: else the daemon would load a changed file by itself.
            .arg("--no-watch")
            .arg("--policies")
            .arg(self.policies())
            .arg("--state-dir")
            .arg(path("state"))
            .arg("--pin-dir")
            .arg(&self.pins)
            .arg("--socket")
            .arg(path("socket"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(path("log"))?)
            .spawn()?;
        let daemon = Daemon(child);
        while self.ask(r#"{"verb":"status"}"#).is_err() {
            ensure!(start.elapsed() < PATIENCE, "the daemon does not answer");
            thread::sleep(Duration::from_millis(2));
        }
        Ok((daemon, start.elapsed().as_secs_f64()))
    }

    /// Sends a request. Returns the seconds until the daemon has carried it out.
    fn ask(&self, line: &str) -> Result<f64> {
        let start = Instant::now();
        let mut stream = UnixStream::connect(self.directory.path().join("socket"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(format!("{line}\n").as_bytes())?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer)?;
        ensure!(!answer.is_empty(), "the daemon closed the connection");
        ensure!(!answer.starts_with(r#"{"refused""#), "{answer}");
        ensure!(!answer.contains(r#""success":false"#), "{answer}");
        Ok(start.elapsed().as_secs_f64())
    }

    fn detach(&self) -> Result<()> {
        let mut command = Command::new(&self.tree.monitor);
        output(command.args(["detach", "--pin-dir"]).arg(&self.pins)).map(drop)
    }

    /// Kernel memory of the maps of the generation in force, in MiB.
    fn kernel_memory(&self) -> Result<f64> {
        let mut bytes = 0_u64;
        for version in fs::read_dir(&self.pins)? {
            let version = version?.path();
            for generation in fs::read_dir(&version)? {
                let generation = generation?.path();
                let is_one = generation
                    .file_name()
                    .is_some_and(|name| name.to_string_lossy().starts_with("gen-"));
                if !is_one {
                    continue;
                }
                for pin in fs::read_dir(&generation)? {
                    bytes += map_memory(&pin?.path())?;
                }
            }
        }
        ensure!(bytes > 0, "no generation under {}", self.pins.display());
        #[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
        Ok(bytes as f64 / f64::from(1 << 20))
    }
}

/// A value of a process's `status` file in MiB.
fn mebibytes(process: u32, name: &str) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kibibytes = line.and_then(|text| text.trim().strip_suffix(" kB"));
    let kibibytes: f64 = kibibytes
        .with_context(|| format!("no {name}"))?
        .trim()
        .parse()?;
    Ok(kibibytes / 1024.0)
}

/// Kernel memory of a pinned map in bytes; 0 for a pinned program.
fn map_memory(pin: &Path) -> Result<u64> {
    let Ok(map) = MapData::from_pin(pin) else {
        return Ok(0);
    };
    let fd = std::os::fd::AsFd::as_fd(map.fd()).as_raw_fd();
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{fd}"))?;
    let memory = info.lines().find_map(|line| line.strip_prefix("memlock:"));
    memory
        .and_then(|bytes| bytes.trim().parse().ok())
        .with_context(|| format!("{}: no memlock in fdinfo", pin.display()))
}

impl Drop for Bench<'_> {
    fn drop(&mut self) {
        // Removes what an error left behind, the namespace last. Errors are printed.
        if self.pins.exists()
            && let Err(error) = self.detach()
        {
            eprintln!("bench: {error:#}");
        }
        if let Err(error) = self.namespace.delete() {
            eprintln!("bench: {error:#}");
        }
    }
}

impl Daemon {
    /// Ends the daemon and detaches the filter, so that the next start is a first start.
    fn end(mut self, bench: &Bench<'_>) -> Result<()> {
        self.kill();
        bench.detach()?;
        fs::remove_dir_all(bench.directory.path().join("state"))?;
        Ok(())
    }

    /// Reloads the policies. Returns the seconds until the daemon has done that, and its CPU
    /// seconds meanwhile.
    fn reload(&self, bench: &Bench<'_>) -> Result<(f64, f64)> {
        let before = self.cpu_seconds()?;
        let seconds = bench.ask(r#"{"verb":"reload"}"#)?;
        Ok((seconds, self.cpu_seconds()? - before))
    }

    fn kill(&mut self) {
        // The daemon may have ended already.
        let _ = kill(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGKILL);
        let _ = self.0.wait();
    }

    /// Resident MiB of the daemon: anonymous, shared, and of mapped files.
    fn resident(&self) -> Result<[f64; 3]> {
        let of = |key| mebibytes(self.0.id(), key);
        Ok([of("RssAnon:")?, of("RssShmem:")?, of("RssFile:")?])
    }

    /// CPU use of the idle daemon in percent of one processor.
    fn idle(&self) -> Result<f64> {
        let before = self.cpu_seconds()?;
        thread::sleep(IDLE);
        let used = self.cpu_seconds()? - before;
        Ok(100.0 * used / IDLE.as_secs_f64())
    }

    /// CPU time of all threads since the start. The kernel gives it in ticks, mostly of 10 ms.
    fn cpu_seconds(&self) -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        // Behind the name, which may hold spaces, utime and stime are fields 12 and 13.
        let (_, rest) = stat.rsplit_once(')').context("a stat without a name")?;
        let fields = rest.split_whitespace().skip(11).take(2);
        let ticks: f64 = fields
            .map(|field| Ok(field.parse::<f64>()?))
            .sum::<Result<_>>()?;
        #[expect(clippy::cast_precision_loss, reason = "it is a hundred")]
        let per_second = sysconf(SysconfVar::CLK_TCK)?.context("no clock ticks")? as f64;
        Ok(ticks / per_second)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}
