//! The source tree, running commands, and preparing the machine for them.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context as _, Result, ensure};
use nix::unistd::{Pid, geteuid};

pub(crate) use monitor::demo::process::{BPFFS, call, display, mount_bpffs, output};

/// The source tree and the daemon built from it.
pub(crate) struct Tree {
    /// Folder of the workspace.
    pub(crate) root: PathBuf,
    /// Binary of the daemon.
    pub(crate) monitor: PathBuf,
}

impl Tree {
    /// The tree of this program. Builds the daemon, unless `monitor` names a binary.
    pub(crate) fn with_monitor(given: Option<PathBuf>) -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("xtask has no folder above it")?
            .to_path_buf();
        let monitor = match given {
            Some(file) => {
                fs::canonicalize(&file).with_context(|| format!("--monitor {}", file.display()))?
            }
            None => build_daemon(&root)?,
        };
        Ok(Self { root, monitor })
    }
}

/// A command that runs `cargo` without the variables that cargo sets for the programs that it
/// starts. Some build scripts run again if such a variable changes, and with them everything
/// that needs their package.
pub(crate) fn cargo_command(cargo: OsString) -> Command {
    let mut command = Command::new(cargo);
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }
    command
}

fn build_daemon(root: &Path) -> Result<PathBuf> {
    // Cargo sets CARGO. The process that sudo starts does not have it; the user's process
    // has built the daemon already.
    if let Some(cargo) = env::var_os("CARGO") {
        let built = cargo_command(cargo)
            .args(["build", "--release", "--quiet", "--bin", "monitor"])
            .current_dir(root)
            .status()
            .context("cargo build")?;
        ensure!(built.success(), "cargo build --bin monitor: {built}");
    }
    let monitor = env::current_exe()
        .context("path of xtask")?
        .with_file_name("monitor");
    ensure!(
        monitor.exists(),
        "{} is not there: run `make build`",
        monitor.display()
    );
    Ok(monitor)
}

/// Continues as root. If the user is not root, sudo runs this program again.
pub(crate) fn become_root() -> Result<()> {
    if geteuid().is_root() {
        return Ok(());
    }
    let program = env::current_exe().context("path of xtask")?;
    println!("This needs root: sudo may ask for your password.");
    let error = Command::new("sudo")
        .arg(program)
        .args(env::args_os().skip(1))
        .exec();
    Err(error).context("sudo: run this as root, or install sudo")
}

/// Replaces this process by the daemon on real interfaces.
pub(crate) fn exec_daemon(tree: &Tree, interfaces: &[String]) -> Result<()> {
    mount_bpffs()?;
    let mut command = Command::new(&tree.monitor);
    command.arg("run");
    for interface in interfaces {
        command.args(["--interface", interface]);
    }
    command.arg("--policies").arg(tree.root.join("policies"));
    println!("{}", display(&command));
    Err(command.exec()).with_context(|| tree.monitor.display().to_string())
}

/// Replaces this process by the demonstration.
pub(crate) fn exec_demo(tree: &Tree, reports: &Path) -> Result<()> {
    let mut command = Command::new(&tree.monitor);
    command.arg("demo").arg("--report-dir").arg(reports);
    Err(command.exec()).with_context(|| tree.monitor.display().to_string())
}

/// Raises the priority of a thread and of its later children.
pub(crate) fn prefer(thread: Pid) -> Result<()> {
    call("renice", ["-n", "-20", "-p", &thread.to_string()])
}
