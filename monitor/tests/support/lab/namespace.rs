//! Network namespaces.

use std::{
    fs::File,
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
    process::Command,
    thread,
};

use nix::sched::{CloneFlags, setns};

use super::tools::sh;

/// A network namespace. Dropping this value deletes it.
pub(crate) struct Namespace {
    pub(crate) name: String,
    file: OwnedFd,
}

impl Namespace {
    /// Creates the namespace, and sets its loopback interface up.
    pub(crate) fn new(name: String) -> Self {
        sh(&format!("ip netns add {name}"));
        let file = File::open(Path::new("/run/netns").join(&name)).expect("open the namespace");
        sh(&format!("ip -n {name} link set lo up"));
        Self {
            name,
            file: file.into(),
        }
    }

    /// Runs `work` on a thread inside the namespace.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                setns(self.file.as_fd(), CloneFlags::CLONE_NEWNET).expect("enter the namespace");
                work()
            });
            inside
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// A command that runs inside the namespace, with the file systems of the
    /// machine.
    pub(crate) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net=/run/netns/{}", self.name))
            .arg(program.as_ref());
        command
    }

    /// `ip -n NAMESPACE …`
    pub(crate) fn ip(&self, arguments: &str) {
        sh(&format!("ip -n {} {arguments}", self.name));
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Only reported, because a panic while a test already fails would
        // abort.
        let deleted = Command::new("ip")
            .args(["netns", "del", &self.name])
            .status();
        if !deleted
            .as_ref()
            .is_ok_and(std::process::ExitStatus::success)
        {
            eprintln!("could not delete namespace {}: {deleted:?}", self.name);
        }
    }
}
