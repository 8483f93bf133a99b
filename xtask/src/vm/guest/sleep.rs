//! The machine sleeps (ACPI S3, woken by its clock) across the edge of a schedule and
//! across the end of a command. Sleep resets the devices, and the host's files cannot be
//! read afterwards. So this is the last scenario of a machine, and it copies its files
//! into memory first.

use std::env::set_current_dir;
use std::fs;
use std::mem::ManuallyDrop;
use std::os::unix::fs::chroot;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::time::ClockId;

use super::gateway::Gateway;
use super::phone::{ALL, FILTERED};
use super::time::{AT_NIGHT, NIGHT, NOON, Testbed, changes, resting, seconds, set_clock};
use super::{Guest, must_be, seen, wait_for};
use crate::system::{call, output};
use crate::vm::tools::Tools;

const IN_MEMORY: &str = "/run/in-memory";
/// How long the machine sleeps, in seconds.
const ASLEEP: u32 = 8;

pub(super) fn play(guest: &Guest) -> Result<()> {
    // Removing the gateway would need programs that cannot be read any more.
    let testbed = ManuallyDrop::new(Testbed::make(guest, "lan9", 19)?);
    let guest = move_to_memory(guest)?;
    set_clock(NOON)?;
    let mut gateway = Gateway::new(&guest, "sleep", AT_NIGHT)?;
    gateway.start("lan9", &[])?;
    over_edges(&gateway, &testbed)?;
    gateway.must_have_no_errors()?;
    gateway.stop()
}

/// Sleeps once across the edge of a schedule and the end of one command, but not the end
/// of another. There is one sleep only, because the machine wakes at once from a second.
fn over_edges(gateway: &Gateway<'_>, testbed: &Testbed) -> Result<()> {
    set_clock(NIGHT - 4)?;
    wait_for("the evening is known", || Ok(resting(gateway)? == 1))?;
    gateway.ask("block", &["203.0.113.1", "--for", "6s"])?;
    gateway.ask("block", &["203.0.113.2", "--for", "10m"])?;
    must_be("in the evening", &testbed.round()?, &ALL)?;
    must_be("changes before", &changes(gateway)?, &2)?;
    let slept = sleep()?;
    let woke = Instant::now();
    let now = seconds(ClockId::CLOCK_REALTIME)?;
    ensure!(
        now >= NIGHT,
        "{now} after waking: the edge did not pass during sleep"
    );
    wait_for("the night is known", || Ok(resting(gateway)? == 0))?;
    wait_for("the block has ended", || Ok(changes(gateway)? == 1))?;
    wait_for("the night is in force", || Ok(testbed.round()? == FILTERED))?;
    let took = woke.elapsed().as_millis();
    seen(format!(
        "slept {slept} s across a schedule's edge: it was in force {took} ms after waking, by itself"
    ));
    let changes = gateway.ask("status", &[])?["daemon"]["changes"].to_string();
    ensure!(
        changes.contains("203.0.113.2"),
        "changes in force: {changes}"
    );
    seen("of two commands, that of 6 s was gone on waking and that of 10 m stood");
    Ok(())
}

/// Seconds of sleep, as counted by the kernel.
fn sleep() -> Result<i64> {
    let asleep = || {
        let all = seconds(ClockId::CLOCK_BOOTTIME)?;
        anyhow::Ok(all - seconds(ClockId::CLOCK_MONOTONIC)?)
    };
    let before = asleep()?;
    for (file, value) in [
        ("/sys/power/mem_sleep", "deep"),
        ("/sys/class/rtc/rtc0/wakealarm", "0"),
        ("/sys/class/rtc/rtc0/wakealarm", &format!("+{ASLEEP}")),
        ("/sys/power/state", "mem"),
    ] {
        fs::write(file, value).with_context(|| format!("{value} to {file}"))?;
    }
    let slept = asleep()? - before;
    ensure!(slept > 0, "the machine did not sleep");
    Ok(slept)
}

/// Moves to a root file system in memory, with the daemon and its libraries, and locks
/// this process in memory.
fn move_to_memory(guest: &Guest) -> Result<Guest> {
    let root = Path::new(IN_MEMORY);
    let libraries = output(Command::new("ldd").arg(&guest.monitor))?;
    let libraries = libraries.split_whitespace();
    for library in libraries.filter(|word| word.starts_with('/')) {
        copy(Path::new(library), &root.join(&library[1..]))?;
    }
    copy(&guest.monitor, &root.join("monitor"))?;
    for kept in ["/dev", "/proc", "/sys", "/run"] {
        let there = root.join(&kept[1..]);
        fs::create_dir_all(&there).with_context(|| there.display().to_string())?;
        call(
            "mount",
            ["--rbind".as_ref(), kept.as_ref(), there.as_os_str()],
        )?;
    }
    chroot(root).context(IN_MEMORY)?;
    set_current_dir("/").context("the new root")?;
    mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE).context("mlockall")?;
    Ok(Guest {
        monitor: "/monitor".into(),
        tools: Tools::at(guest.tools.root().to_owned()),
        kernel: guest.kernel.clone(),
        programs: Vec::new(),
    })
}

fn copy(file: &Path, to: &Path) -> Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    fs::copy(file, to)
        .with_context(|| file.display().to_string())
        .map(drop)
}
