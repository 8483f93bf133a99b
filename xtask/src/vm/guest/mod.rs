//! The first process of the emulated machine. The machine is the gateway; devices are
//! network namespaces.

mod capture;
mod clock;
mod doctor;
mod gateway;
mod jumbo;
mod load;
mod phone;
mod sleep;
mod tests;
mod time;
mod vlan;
mod wifi;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{self, Command};
use std::time::{Duration, Instant};
use std::{env, fs, io, panic, thread};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::utsname::uname;

use crate::system::{self, Tree, call, output};
use crate::vm::console::Line;
use crate::vm::tools::Tools;
use crate::vm::wifi::{Seat, Security};
use crate::vm::{GuestArguments, Scenario};

const POLL: Duration = Duration::from_millis(50);
/// The shortest time after which a wait for an expected change fails.
const PATIENCE: Duration = Duration::from_secs(60);
/// The fewest attempts after which such a wait fails. On a busy host, the emulated machine
/// makes few attempts in a minute.
const ATTEMPTS: u32 = 100;

/// The emulated machine, seen from inside.
pub(crate) struct Guest {
    monitor: PathBuf,
    tools: Tools,
    /// The folder of the kernel's modules; `None` in namespaces on the running kernel.
    kernel: Option<PathBuf>,
    /// Programs of the scenario `tests`.
    programs: Vec<PathBuf>,
}

/// Runs the scenarios, reports each result, and turns the machine off.
pub(crate) fn run(tree: &Tree, arguments: GuestArguments) -> Result<()> {
    ensure!(
        process::id() == 1,
        "this verb runs as the first process of the emulated machine, or of namespaces of its own"
    );
    let guest = Guest {
        monitor: tree.monitor.clone(),
        tools: Tools::at(arguments.tools),
        kernel: arguments.kernel,
        programs: arguments.programs,
    };
    prepare()?;
    for scenario in arguments.scenarios {
        say(&Line::Began(scenario.to_string()));
        let ended = panic::catch_unwind(|| guest.play(scenario));
        let ended = ended.unwrap_or_else(|_| Err(anyhow!("it panicked, see the console")));
        say(&match ended {
            Ok(()) => Line::Passed(scenario.to_string()),
            Err(error) => Line::Failed(scenario.to_string(), format!("{error:#}")),
        });
    }
    say(&Line::Done);
    if guest.kernel.is_none() {
        return Ok(());
    }
    match reboot(RebootMode::RB_POWER_OFF).context("turn the machine off")? {}
}

/// Sets the environment, mounts the BPF file system and sets the loopback interface up.
fn prepare() -> Result<()> {
    // SAFETY: no other thread is running yet.
    unsafe {
        env::set_var(
            "PATH",
            "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin",
        );
        env::set_var("TMPDIR", "/run");
    }
    system::mount_bpffs()?;
    call("ip", ["link", "set", "lo", "up"])
}

impl Guest {
    fn play(&self, scenario: Scenario) -> Result<()> {
        match scenario {
            Scenario::Load => load::play(self),
            Scenario::Wifi => wifi::play(self, Security::Wpa2, Seat::AccessPoint),
            Scenario::WifiWpa3 => wifi::play(self, Security::Wpa3, Seat::AccessPoint),
            Scenario::WifiBridge => wifi::play(self, Security::Wpa2, Seat::Bridge),
            Scenario::WifiBridgeWpa3 => wifi::play(self, Security::Wpa3, Seat::Bridge),
            Scenario::Vlan => vlan::play(self),
            Scenario::Doctor => doctor::play(self),
            Scenario::Tests => tests::play(self),
            Scenario::Clock => clock::play(self),
            Scenario::Sleep => sleep::play(self),
        }
    }

    /// Loads kernel modules and their dependencies. The running kernel has what it has.
    fn load_modules(&self, names: &[&str]) -> Result<()> {
        self.modprobe(&[&["--all"], names].concat())
    }

    fn modprobe(&self, arguments: &[&str]) -> Result<()> {
        let Some(kernel) = &self.kernel else {
            return Ok(());
        };
        let mut command = self.tools.command("sbin/modprobe");
        command.arg("--dirname").arg(kernel).args(arguments);
        output(&mut command).map(drop)
    }

    fn monitor(&self) -> Command {
        Command::new(&self.monitor)
    }
}

/// Reports a successful check.
fn seen(what: impl Into<String>) {
    say(&Line::Seen(what.into()));
}

/// Reports what the kernel has, or how a part of a scenario ended.
fn fact(key: &str, value: &str) {
    say(&Line::Fact(key.to_owned(), value.to_owned()));
}

/// Prints a message. Errors are ignored, because the console is the only output.
fn say(line: &Line) {
    let mut console = io::stdout().lock();
    let _said = writeln!(console, "{line}").and_then(|()| console.flush());
}

/// Runs `ip …`. Spaces separate the words.
fn ip(words: &str) -> Result<()> {
    call("ip", words.split_whitespace())
}

/// Calls a function until it returns true. Returns the time that took.
fn wait_for(what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<Duration> {
    let began = Instant::now();
    let mut attempts = 0;
    while !is_so()? {
        attempts += 1;
        if began.elapsed() > PATIENCE && attempts >= ATTEMPTS {
            bail!("not within {PATIENCE:?} and {attempts} attempts: {what}");
        }
        thread::sleep(POLL);
    }
    Ok(began.elapsed())
}

/// Checks that two values are equal. The error has both.
fn must_be<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Result<()> {
    ensure!(found == expected, "{what}: {found:?}, must be {expected:?}");
    Ok(())
}

fn write(file: &std::path::Path, text: &str) -> Result<()> {
    fs::write(file, text).with_context(|| file.display().to_string())
}

/// Version of the kernel: major and minor number.
fn kernel_version() -> Result<(u32, u32)> {
    let release = uname().context("uname")?;
    let release = release.release().to_string_lossy().into_owned();
    let mut numbers = release.split(['.', '-']).map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => Ok((major, minor)),
        _ => bail!("an unknown kernel: {release}"),
    }
}
