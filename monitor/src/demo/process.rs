//! Runs the programs of the system that the demonstration needs, and prepares the BPF file
//! system.

use std::ffi::OsStr;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

/// Mount point of the BPF file system.
pub const BPFFS: &str = "/sys/fs/bpf";

/// Mounts the BPF file system if it is not mounted. Systems without systemd may not do
/// that.
///
/// # Errors
///
/// The error of the system if the directory is missing or the mount fails.
pub fn mount_bpffs() -> Result<()> {
    if statfs(BPFFS)
        .with_context(|| format!("statfs {BPFFS}"))?
        .filesystem_type()
        == BPF_FS_MAGIC
    {
        return Ok(());
    }
    println!("Mounting the BPF file system at {BPFFS}");
    // Without a mode, every user could make directories there, as in /tmp.
    call("mount", ["-t", "bpf", "-o", "mode=0700", "bpf", BPFFS])
}

/// Runs a command.
///
/// # Errors
///
/// The output of the command if it fails.
pub fn call<I, A>(program: &str, arguments: I) -> Result<()>
where
    I: IntoIterator<Item = A>,
    A: AsRef<OsStr>,
{
    let mut command = Command::new(program);
    command.args(arguments);
    output(&mut command).map(drop)
}

/// Runs a command and returns its standard output.
///
/// # Errors
///
/// The output of the command if it fails.
pub fn output(command: &mut Command) -> Result<String> {
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

/// The command line, without quoting: no argument needs it.
#[must_use]
pub fn display(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}
