//! Runs a command under strace. It records the system calls, and can kill the
//! process at a call or make the call fail. The product has no code for these
//! tests.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use rand::seq::SliceRandom as _;

use super::{
    generate::generator,
    lab::{Daemon, poll},
};

/// System calls that change the state of the kernel or of a file system.
const CALLS: &str = "bpf,mkdir,mkdirat,rename,renameat,renameat2,unlink,unlinkat,rmdir,write,fsync,flock,membarrier,sendto";

/// Commands of bpf(2) that change something.
const BPF_COMMANDS: [&str; 8] = [
    "BPF_MAP_CREATE",
    "BPF_MAP_UPDATE_ELEM",
    "BPF_MAP_FREEZE",
    "BPF_PROG_LOAD",
    "BPF_OBJ_PIN",
    "BPF_LINK_CREATE",
    "BPF_LINK_UPDATE",
    "BPF_LINK_DETACH",
];

/// Types of netlink requests that change a queueing discipline or a filter of one
/// (`RTM_NEWQDISC`, `RTM_NEWTFILTER`, `RTM_DELTFILTER`), as strace prints them in another network
/// namespace.
const NETLINK_REQUESTS: [&str; 3] = ["nlmsg_type=0x24", "nlmsg_type=0x2c", "nlmsg_type=0x2d"];

/// Parts of calls that every run tries, because their effect is visible from
/// outside.
const ALWAYS: [&str; 9] = [
    "BPF_LINK_",
    "BPF_PROG_LOAD",
    "/links/",
    "/prog_",
    "rename",
    "rmdir",
    "AT_REMOVEDIR",
    "flock",
    "membarrier",
];

/// Number of other calls that a run tries, unless it tries all.
const SAMPLE: usize = 10;

/// One call of one thread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Call {
    /// Name of the system call.
    name: String,
    /// Number of calls of this name that the thread has made, including this
    /// one.
    index: usize,
    /// The call as strace prints it.
    pub(crate) text: String,
}

/// What happens at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The process is killed before the kernel executes the call.
    Kill,
    /// The call fails with this error and is not executed.
    Error(&'static str),
}

/// What strace must do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Plan<'a> {
    Record,
    Inject(&'a Call, Fault),
    /// Kills the process before the kernel executes this call: its name, and
    /// the number of calls of that name in the thread, including this one.
    KillAt(&'static str, usize),
}

impl Plan<'_> {
    fn arguments(self, output: &Path) -> Vec<String> {
        let mut arguments: Vec<String> = ["-f", "-s", "8", "-o"].map(str::to_owned).into();
        arguments.push(output.to_str().unwrap().to_owned());
        arguments.push(format!("--trace={CALLS}"));
        if let Self::KillAt(name, index) = self {
            arguments.push(format!("--trace={name}"));
            arguments.push(format!("--inject={name}:signal=KILL:when={index}"));
        }
        if let Self::Inject(call, fault) = self {
            let what = match fault {
                Fault::Kill => "signal=KILL".to_owned(),
                Fault::Error(error) => format!("error={error}"),
            };
            let (name, index) = (&call.name, call.index);
            // After a failure the library repeats the call to get the
            // verifier's log.
            let last = index + usize::from(call.text.contains("BPF_PROG_LOAD"));
            arguments.push(format!("--inject={name}:{what}:when={index}..{last}"));
        }
        arguments
    }
}

/// The same command under strace.
pub(crate) fn traced(command: &Command, plan: Plan<'_>, output: &Path) -> Command {
    let mut traced = Command::new("strace");
    traced
        .args(plan.arguments(output))
        .arg("-qq")
        .arg(command.get_program())
        .args(command.get_args())
        .stdin(Stdio::null());
    traced
}

/// An strace of a running process. Dropping this value ends the strace.
pub(crate) struct Attached {
    child: Child,
    output: PathBuf,
}

impl Attached {
    /// Attaches to the daemon. Returns when strace sees every call.
    pub(crate) fn to(daemon: &Daemon, plan: Plan<'_>, output: &Path) -> Self {
        let said = output.with_extension("said");
        let child = Command::new("strace")
            .args(plan.arguments(output))
            .args(["-p", &daemon.child.id().to_string()])
            .stderr(fs::File::create(&said).unwrap())
            .spawn()
            .expect("run strace (Debian package strace)");
        poll("strace is attached", || {
            fs::read_to_string(&said).is_ok_and(|said| said.contains("attached"))
        });
        Self {
            child,
            output: output.to_owned(),
        }
    }

    /// Detaches from the process, and returns the calls that it made until
    /// then.
    pub(crate) fn calls(mut self) -> Vec<Call> {
        self.end();
        calls(&self.output)
    }

    fn end(&mut self) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        // strace ends by itself if the process has ended.
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT);
        // strace 6.1 may wait forever for a thread that was killed in a call.
        for _ in 0..100 {
            if self.child.try_wait().unwrap().is_some() {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.end();
    }
}

/// The calls that change something, in the order of the file.
pub(crate) fn calls(output: &Path) -> Vec<Call> {
    let text = fs::read_to_string(output).expect("strace wrote its output (Debian package strace)");
    let mut seen = std::collections::BTreeMap::new();
    let mut calls: Vec<Call> = Vec::new();
    for line in text.lines() {
        let Some((pid, rest)) = line.split_once(char::is_whitespace) else {
            continue;
        };
        let rest = rest.trim_start();
        // Skips the second half of an interrupted call, and messages about the
        // process.
        let Some((name, arguments)) = rest.split_once('(').filter(|(name, _)| is_name(name)) else {
            continue;
        };
        let index: &mut usize = seen.entry((pid, name)).or_default();
        *index += 1;
        let call = Call {
            name: name.to_owned(),
            index: *index,
            text: rest.to_owned(),
        };
        let known = calls
            .iter()
            .any(|other| (&other.name, other.index) == (&call.name, call.index));
        if !known && changes_something(name, arguments) {
            calls.push(call);
        }
    }
    calls
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn changes_something(name: &str, arguments: &str) -> bool {
    match name {
        "bpf" => BPF_COMMANDS.iter().any(|command| {
            arguments
                .strip_prefix(command)
                .is_some_and(|rest| rest.starts_with(','))
        }),
        // Skips output on standard error, and writes by which threads wake
        // each other.
        "write" => !arguments.starts_with("2,") && !arguments.contains("\"\\1"),
        "sendto" => is_netlink_change(arguments),
        _ => true,
    }
}

/// True if the call changes a queueing discipline or a filter of one.
pub(crate) fn is_netlink_change(call: &str) -> bool {
    let mut requests = NETLINK_REQUESTS.iter();
    requests.any(|request| call.contains(request))
}

/// True if every call must be tried (`MONITOR_FAULTS=all`). It takes some
/// minutes more.
pub(crate) fn all_faults() -> bool {
    env::var("MONITOR_FAULTS").is_ok_and(|value| value == "all")
}

/// The calls that may be made to fail. Writes are left out: threads wake each
/// other by writes, and a failure of such a write stops the process.
pub(crate) fn refusable(calls: Vec<Call>) -> Vec<Call> {
    let calls = calls.into_iter();
    chosen(calls.filter(|call| call.name != "write").collect())
}

/// All calls, or else those visible from outside and a sample of the others.
pub(crate) fn chosen(calls: Vec<Call>) -> Vec<Call> {
    if all_faults() {
        return calls;
    }
    let is_always = |call: &Call| {
        ALWAYS.iter().any(|part| call.text.contains(part)) || is_netlink_change(&call.text)
    };
    let mut others: Vec<usize> = (0..calls.len())
        .filter(|index| !is_always(&calls[*index]))
        .collect();
    others.shuffle(&mut generator());
    others.truncate(SAMPLE);
    let chosen = calls.into_iter().enumerate();
    chosen
        .filter(|(index, call)| is_always(call) || others.contains(index))
        .map(|(_, call)| call)
        .collect()
}
