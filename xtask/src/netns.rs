//! Network namespaces by name.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::PathBuf;
use std::process::Command;
use std::{panic, thread};

use anyhow::{Context as _, Result};
use nix::ifaddrs::getifaddrs;
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, bind, socket};

use crate::system::{call, output};

/// A name of a network namespace (`ip netns`), which may exist or not.
#[derive(Clone, Debug)]
pub(crate) struct Namespace {
    name: String,
}

impl Namespace {
    pub(crate) fn new(name: String) -> Self {
        Self { name }
    }

    /// The name for `ip netns`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn exists(&self) -> bool {
        self.path().exists()
    }

    pub(crate) fn add(&self) -> Result<()> {
        call("ip", ["netns", "add", &self.name])
    }

    pub(crate) fn delete(&self) -> Result<()> {
        call("ip", ["netns", "delete", &self.name])
    }

    /// `ip -n NAME …`, the words separated by spaces.
    pub(crate) fn ip(&self, words: &str) -> Result<()> {
        call(
            "ip",
            ["-n", &self.name]
                .into_iter()
                .chain(words.split_whitespace()),
        )
    }

    /// A command that runs in the namespace. It does not use `ip netns exec`, which mounts
    /// another /sys, where pins in bpffs are not visible.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net={}", self.path().display()))
            .arg(program);
        command
    }

    /// Runs `work` on a thread in the namespace. Sockets that it opens stay in the
    /// namespace.
    pub(crate) fn enter<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
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

    /// A packet socket on an interface of the namespace. Without a protocol it only sends.
    pub(crate) fn packet_socket(
        &self,
        interface: &str,
        protocol: Option<SockProtocol>,
    ) -> Result<OwnedFd> {
        self.enter(|| {
            let kind = (SockType::Raw, SockFlag::SOCK_CLOEXEC);
            let socket = socket(AddressFamily::Packet, kind.0, kind.1, protocol)
                .context("a packet socket")?;
            let address = getifaddrs()
                .context("interfaces")?
                .filter(|found| found.interface_name == interface)
                .find_map(|found| found.address?.as_link_addr().copied())
                .with_context(|| format!("no interface {interface}"))?;
            bind(socket.as_raw_fd(), &address).context("bind a packet socket")?;
            Ok(socket)
        })
    }

    /// Ids of the processes in the namespace.
    pub(crate) fn processes(&self) -> Result<Vec<i32>> {
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
