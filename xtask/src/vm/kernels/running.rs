//! The running kernel: the scenarios run in namespaces of their own, as root.

use std::env;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use nix::sys::utsname::uname;
use nix::unistd::geteuid;

use crate::system::Tree;
use crate::vm::Scenario;
use crate::vm::boot::{Outcomes, directory, watch};

/// VLAN devices and radios need modules that this machine may not have.
const SCENARIOS: [Scenario; 2] = [Scenario::Load, Scenario::Tests];
/// Mounts that belong to the namespaces, and then the program. `/run` has the names of
/// network namespaces, and `/sys` shows the interfaces of its own network namespace.
const PREPARE: &str = "mount -t tmpfs run /run && mount -t sysfs sys /sys && exec \"$@\"";

pub(super) fn run(tree: &Tree, programs: &[PathBuf]) -> Result<Outcomes> {
    let release = uname()
        .context("uname")?
        .release()
        .to_string_lossy()
        .into_owned();
    println!("Linux {release}, the running kernel");
    let began = Instant::now();
    let mut command = if geteuid().is_root() {
        Command::new("unshare")
    } else {
        println!("This needs root: sudo may ask for your password.");
        let mut sudo = Command::new("sudo");
        sudo.arg("unshare");
        sudo
    };
    command
        .args([
            "--net",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
        ])
        .args(["sh", "-c", PREPARE, "sh"])
        .arg(env::current_exe().context("path of xtask")?)
        .arg("--monitor")
        .arg(&tree.monitor)
        .arg("in-vm")
        .arg("--tools")
        .arg(directory()?);
    for scenario in SCENARIOS {
        command.args(["--scenario", scenario.name()]);
    }
    for program in programs {
        command.arg("--program").arg(program);
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("unshare")?;
    let mut lines = BufReader::new(child.stdout.take().context("its output")?).lines();
    let scenarios = watch(&SCENARIOS, || {
        lines
            .next()
            .transpose()
            .context("messages of the scenarios")
    })?;
    let status = child.wait().context("the scenarios")?;
    ensure!(status.success(), "the scenarios: {status}");
    Ok(Outcomes {
        release,
        scenarios,
        took: began.elapsed(),
    })
}
