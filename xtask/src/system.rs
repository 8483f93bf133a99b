//! The source tree, the commands that are run, and what they need of the machine.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};
use nix::unistd::{Pid, geteuid};

/// Where pinned programs and maps live.
pub(crate) const BPFFS: &str = "/sys/fs/bpf";

/// The source tree and the daemon built from it.
pub(crate) struct Tree {
    /// The workspace's folder.
    pub(crate) root: PathBuf,
    /// The daemon's binary.
    pub(crate) monitor: PathBuf,
}

impl Tree {
    /// The tree that this program was built from; builds the daemon unless one is given.
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

fn build_daemon(root: &Path) -> Result<PathBuf> {
    // Cargo sets CARGO; the copy that sudo starts has none, and the user's copy built already.
    if let Some(cargo) = env::var_os("CARGO") {
        let built = Command::new(cargo)
            .args(["build", "--release", "--quiet", "--bin", "monitor"])
            .current_dir(root)
            .status()
            .context("cargo build")?;
        ensure!(built.success(), "cargo build --bin monitor: {built}");
    }
    let monitor = env::current_exe()
        .context("where xtask lies")?
        .with_file_name("monitor");
    ensure!(
        monitor.exists(),
        "{} is not there: run `make build`",
        monitor.display()
    );
    Ok(monitor)
}

/// Goes on as root, through sudo where that is needed.
pub(crate) fn become_root() -> Result<()> {
    if geteuid().is_root() {
        return Ok(());
    }
    let program = env::current_exe().context("where xtask lies")?;
    println!("This needs root: sudo may ask for your password.");
    let error = Command::new("sudo")
        .arg(program)
        .args(env::args_os().skip(1))
        .exec();
    Err(error).context("sudo: run this as root, or install sudo")
}

/// Becomes the daemon on real interfaces.
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

/// Mounts bpffs where no one has: systemd does, smaller systems do not.
pub(crate) fn mount_bpffs() -> Result<()> {
    if statfs(BPFFS)
        .with_context(|| format!("statfs {BPFFS}"))?
        .filesystem_type()
        == BPF_FS_MAGIC
    {
        return Ok(());
    }
    println!("{BPFFS} is not mounted: mounting it");
    // Without a mode every user may make directories there, as in /tmp.
    call("mount", ["-t", "bpf", "-o", "mode=0700", "bpf", BPFFS])
}

/// Runs a command to its end; what it printed becomes the error.
pub(crate) fn call<I, A>(program: &str, arguments: I) -> Result<()>
where
    I: IntoIterator<Item = A>,
    A: AsRef<OsStr>,
{
    let mut command = Command::new(program);
    command.args(arguments);
    output(&mut command).map(drop)
}

/// Lets a thread run before whatever else the machine does, its later children too.
pub(crate) fn prefer(thread: Pid) -> Result<()> {
    call("renice", ["-n", "-20", "-p", &thread.to_string()])
}

/// Runs a command to its end and returns what it wrote to standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let shown = display(command);
    let done = command.output().with_context(|| shown.clone())?;
    if !done.status.success() {
        bail!(
            "{shown}: {}: {}",
            done.status,
            String::from_utf8_lossy(&done.stderr).trim_end()
        );
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

/// The command as a person would type it; none of ours needs quoting.
pub(crate) fn display(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}
