//! The emulated machine: a qemu process without a network card. It reads the host's files
//! and writes none.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::vm::accelerator::Accelerator;
use crate::vm::initramfs::MOUNT_TAG;
use crate::vm::kernel::Kernel;
use crate::vm::tools::Tools;

/// The longest time without a line on the console. Every check and every test writes one, so
/// a machine that makes progress is not ended, however slow it is.
const SILENCE: Duration = Duration::from_mins(10);
const MEMORY_MIB: &str = "1024";
const PROCESSORS: &str = "2";
/// Kernel command line. A panic ends the machine, because qemu does not reboot it.
const KERNEL_ARGUMENTS: &str =
    "console=ttyS0 quiet loglevel=4 panic=-1 no_console_suspend random.trust_cpu=on";

/// A running machine. Dropping the value ends it.
pub(crate) struct Machine {
    qemu: Child,
    lines: Receiver<String>,
    log: File,
}

impl Machine {
    /// Starts the machine. Its console is also written to `log`.
    pub(crate) fn start(
        tools: &Tools,
        kernel: &Kernel,
        initramfs: &Path,
        log: &Path,
        accelerator: Accelerator,
    ) -> Result<Self> {
        let mut command = ends_with_this_process(&tools.command("bin/qemu-system-x86_64"));
        for folder in tools.firmware() {
            command.arg("-L").arg(folder);
        }
        command
            .args(["-machine", "q35", "-cpu", "max"])
            .args(accelerator.options())
            .args(["-m", MEMORY_MIB, "-smp", PROCESSORS])
            .args(["-nodefaults", "-nic", "none", "-display", "none"])
            .args(["-monitor", "none", "-serial", "stdio", "-no-reboot"])
            .arg("-virtfs")
            .arg(format!(
                "local,path=/,mount_tag={MOUNT_TAG},security_model=none,readonly=on,multidevs=remap"
            ))
            .arg("-kernel")
            .arg(kernel.image())
            .arg("-initrd")
            .arg(initramfs)
            .args(["-append", KERNEL_ARGUMENTS])
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut qemu = command.spawn().context("qemu")?;
        let output = qemu.stdout.take().context("the machine's console")?;
        Ok(Self {
            qemu,
            lines: read_lines(output),
            log: File::create(log).with_context(|| log.display().to_string())?,
        })
    }

    /// The next line of the console; `None` if the machine has ended. Fails if the console
    /// stays silent.
    pub(crate) fn next_line(&mut self) -> Result<Option<String>> {
        match self.lines.recv_timeout(SILENCE) {
            Ok(line) => {
                writeln!(self.log, "{line}").context("the machine's log")?;
                Ok(Some(line))
            }
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => {
                bail!("the machine was silent for {} s", SILENCE.as_secs())
            }
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Fails if the machine has ended by itself.
        let _ended = self.qemu.kill();
        if let Err(error) = self.qemu.wait() {
            eprintln!("xtask: qemu: {error}");
        }
    }
}

/// The kernel ends the program when this process ends, also if it was killed.
fn ends_with_this_process(command: &Command) -> Command {
    let mut bound = Command::new("setpriv");
    bound
        .args(["--pdeathsig", "KILL"])
        .arg(command.get_program())
        .args(command.get_args());
    let set = command.get_envs();
    bound.envs(set.filter_map(|(name, value)| Some((name, value?))));
    bound
}

fn read_lines(output: ChildStdout) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    lines
}
