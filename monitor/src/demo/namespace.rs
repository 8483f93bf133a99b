//! Network namespaces by name.

use std::ffi::OsStr;
use std::fs::File;
use std::path::PathBuf;
use std::process::Command;
use std::{panic, thread};

use anyhow::{Context as _, Result};
use nix::sched::{CloneFlags, setns};

use crate::demo::process::{call, output};

/// A name of a network namespace (`ip netns`), which may exist or not.
#[derive(Clone, Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Names a namespace, and makes none.
    #[must_use]
    pub fn new(name: String) -> Self {
        Self { name }
    }

    /// The name for `ip netns`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// True if `ip netns` has the name.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.path().exists()
    }

    /// Makes the namespace.
    ///
    /// # Errors
    ///
    /// The answer of `ip netns`.
    pub fn add(&self) -> Result<()> {
        call("ip", ["netns", "add", &self.name])
    }

    /// Removes the name. The namespace ends with its last process.
    ///
    /// # Errors
    ///
    /// The answer of `ip netns`.
    pub fn delete(&self) -> Result<()> {
        call("ip", ["netns", "delete", &self.name])
    }

    /// `ip -n NAME …`, the words separated by spaces.
    ///
    /// # Errors
    ///
    /// The answer of `ip`.
    pub fn ip(&self, words: &str) -> Result<()> {
        call(
            "ip",
            ["-n", &self.name]
                .into_iter()
                .chain(words.split_whitespace()),
        )
    }

    /// A command that runs in the namespace. It does not use `ip netns exec`, which mounts
    /// another /sys, where pins in bpffs are not visible.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net={}", self.path().display()))
            .arg(program);
        command
    }

    /// Runs `work` on a thread in the namespace. Sockets that it opens stay in the
    /// namespace.
    ///
    /// # Errors
    ///
    /// The namespace does not exist, the caller may not enter it, or `work` fails.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let inside = || {
            let file =
                File::open(self.path()).with_context(|| format!("namespace {}", self.name))?;
            setns(file, CloneFlags::CLONE_NEWNET)
                .with_context(|| format!("setns {}", self.name))?;
            work()
        };
        thread::scope(|scope| scope.spawn(inside).join())
            .unwrap_or_else(|payload| panic::resume_unwind(payload))
    }

    /// Ids of the processes in the namespace.
    ///
    /// # Errors
    ///
    /// The answer of `ip netns`.
    pub fn processes(&self) -> Result<Vec<i32>> {
        output(Command::new("ip").args(["netns", "pids", &self.name]))?
            .split_whitespace()
            .map(|word| {
                word.parse()
                    .with_context(|| format!("ip netns pids: {word}"))
            })
            .collect()
    }

    fn path(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.name)
    }
}
