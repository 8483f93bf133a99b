//! Kills the process (SIGKILL) before each call that changes something. Each
//! interface must run the old or the new ruleset completely, every packet must
//! be counted, and the next `run` must remove all remains of the interrupted
//! one. If the mode changes, one interface at a time may run no ruleset.
//!
//! strace kills the process when it enters the call. `support/strace.rs`
//! selects the calls of a normal run; `MONITOR_FAULTS=all` tries every call.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

#[expect(dead_code, reason = "each test file uses a part of it")]
mod support;

#[path = "crash/roles.rs"]
mod roles;
#[expect(dead_code, reason = "each test file uses a part of it")]
#[path = "lab/directions/world.rs"]
mod world;

use std::{
    fs::File,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use nix::sys::signal::Signal;
use support::{
    books::{Books, InForce, lab_in_force, wait_for_pid, wait_until_kept},
    lab::{Daemon, Lab, binary, poll},
    objects::{self, Objects, assert_gone, assert_like},
    strace::{Attached, Call, Fault, Plan, calls, chosen, traced},
};

/// How long the test waits for the kill of a process that is up: 20 × 50 ms.
const GRACE: (u32, Duration) = (20, Duration::from_millis(50));

/// A lab in which one kind of interruption is repeated.
struct Trial {
    lab: Lab,
    books: Books,
    /// The ruleset in the files that the last daemon loaded.
    in_force: InForce,
    /// The mode in which new daemons attach.
    mode: &'static str,
    /// The objects that exist after an uninterrupted start.
    reference: Objects,
    /// All objects that were seen so far.
    all: Objects,
    kills: usize,
    /// Number of planned calls that did not occur.
    missed: usize,
}

impl Trial {
    /// Returns a trial with the first ruleset in force, and its daemon. The
    /// daemon has already stored its state, so these writes are not recorded as
    /// part of the next action.
    fn new(test: &str) -> (Self, Daemon) {
        let (lab, books, daemon) = lab_in_force(test);
        wait_until_kept(&lab);
        let reference = Objects::of(&lab);
        assert_eq!(reference.programs.len(), 2, "{reference:#?}");
        let trial = Self {
            lab,
            books,
            in_force: InForce::First,
            mode: "generic",
            all: reference.clone(),
            reference,
            kills: 0,
            missed: 0,
        };
        (trial, daemon)
    }

    fn output(&self) -> PathBuf {
        self.lab.directory.path().join("strace")
    }

    /// Options of a daemon on both interfaces.
    fn options(&self) -> [&'static str; 4] {
        ["--mode", self.mode, "--interface", "wlan1"]
    }

    /// Runs `monitor run` under strace until it is killed. If strace does not
    /// kill it, this function does so once the daemon is up.
    fn run_until_killed(&mut self, plan: Plan<'_>) {
        let mut child = self.spawn_traced(plan);
        let ended = waits_for(&mut child, || {
            let status = self.lab.monitor(&["status", "--json"]).stdout;
            serde_json::from_slice::<serde_json::Value>(&status)
                .is_ok_and(|status| status["daemon"]["pid"].is_u64())
        });
        self.note(ended, plan);
        if ended.is_none() {
            kill(wait_for_pid(&self.lab));
            child.wait().unwrap();
        }
    }

    fn spawn_traced(&self, plan: Plan<'_>) -> Child {
        let mut command = self.lab.daemon_command(&self.options());
        command.args(["--interface", "wlan0"]);
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.lab.directory.path().join("killed.log"))
            .unwrap();
        traced(&command, plan, &self.output())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("run strace (Debian package strace)")
    }

    fn note(&mut self, ended: Option<ExitStatus>, plan: Plan<'_>) {
        use std::os::unix::process::ExitStatusExt as _;
        if matches!(plan, Plan::Record) {
            return;
        }
        match ended {
            // strace ends with the same status as its process.
            Some(status) if status.signal() == Some(9) => self.kills += 1,
            Some(status) => panic!("it ended by itself ({status}): {plan:?}"),
            None => {
                println!("not reached: {plan:?}");
                self.missed += 1;
            }
        }
    }

    /// Asserts the state after a kill while `new` was replacing `old`: one of
    /// them is in force.
    fn assert_old_or_new(&mut self, old: InForce, new: InForce, call: &Call) {
        for found in self.books.probe() {
            assert!(
                found == old || found == new,
                "{found:?} after {}",
                call.text
            );
        }
    }

    /// Asserts the same for a change of mode, during which at most one
    /// interface has no filter while its link is replaced. Returns true if one
    /// had none.
    fn assert_one_open_at_most(&mut self, old: InForce, new: InForce, call: &Call) -> bool {
        let found = self.books.probe();
        let open = found.iter().filter(|found| **found == InForce::Nothing);
        let open = open.count();
        assert!(open <= 1, "{found:?} after {}", call.text);
        for found in found {
            assert!(
                [old, new, InForce::Nothing].contains(&found),
                "{found:?} after {}",
                call.text
            );
        }
        open == 1
    }

    /// Asserts that the next `run` restores a complete state.
    fn recover(&mut self, new: InForce, call: &Call) -> Daemon {
        let daemon = self.lab.start(&self.options());
        assert_eq!(self.books.probe(), [new; 2], "after {}", call.text);
        self.books.check(&self.lab, &call.text);
        wait_until_kept(&self.lab);
        let found = assert_like(&self.lab, &self.reference, &call.text);
        self.all.programs.extend(found.programs);
        self.all.maps.extend(found.maps);
        self.in_force = new;
        daemon
    }

    fn detach(&mut self) {
        let output = self.lab.monitor(&["detach"]);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(self.books.probe(), [InForce::Nothing; 2]);
        self.books.forget();
    }

    /// Asserts that no objects remain and that few calls were missed.
    fn end(mut self, what: &str) {
        self.detach();
        assert!(!self.lab.pin_dir.exists());
        assert_gone(&self.all);
        let (kills, missed, sent) = (self.kills, self.missed, self.books.sent);
        println!("{what}: killed at {kills} calls, {missed} not reached, {sent} packets sent");
        // A daemon may write its state before or after strace attaches, so some
        // calls may be missed.
        assert!(missed * 10 <= kills.max(40), "{missed} calls missed");
    }
}

/// Waits until the daemon has opened the evidence store and copies DNS answers on both
/// interfaces. It does so soon after its start.
fn wait_until_recording(lab: &Lab) {
    poll("evidence is recorded", || {
        let copied = &lab.status()["evidence"]["dns_copied"];
        copied
            .as_array()
            .is_some_and(|interfaces| interfaces.len() == 2)
    });
}

#[test]
fn killed_at_any_call_of_a_first_start() {
    let (mut trial, daemon) = Trial::new("kill-start");
    daemon.kill();
    trial.detach();
    trial.run_until_killed(Plan::Record);
    let calls = chosen(calls(&trial.output()));
    trial.detach();
    for call in &calls {
        trial.run_until_killed(Plan::Inject(call, Fault::Kill));
        trial.assert_old_or_new(InForce::Nothing, InForce::First, call);
        trial.recover(InForce::First, call).kill();
        trial.detach();
    }
    trial.lab.start(&trial.options()).kill();
    trial.end("first start");
}

#[test]
fn killed_at_any_call_of_a_take_over() {
    let (mut trial, daemon) = Trial::new("kill-swap");
    daemon.kill();
    trial.run_until_killed(Plan::Record);
    for call in &chosen(calls(&trial.output())) {
        let (old, new) = (trial.in_force, trial.in_force.other());
        trial.lab.write_policies(&new.policies());
        trial.run_until_killed(Plan::Inject(call, Fault::Kill));
        trial.assert_old_or_new(old, new, call);
        trial.recover(new, call).kill();
    }
    trial.end("take-over");
}

#[test]
fn killed_at_any_call_of_a_change_of_mode() {
    let (mut trial, daemon) = Trial::new("kill-mode");
    daemon.kill();
    trial.mode = "native";
    trial.run_until_killed(Plan::Record);
    let mut open = 0;
    for call in &chosen(calls(&trial.output())) {
        let (old, new) = (trial.in_force, trial.in_force.other());
        trial.lab.write_policies(&new.policies());
        trial.mode = other_mode(trial.mode);
        trial.run_until_killed(Plan::Inject(call, Fault::Kill));
        open += usize::from(trial.assert_one_open_at_most(old, new, call));
        trial.recover(new, call).kill();
        let status = trial.lab.status();
        for interface in status["interfaces"].as_array().unwrap() {
            assert_eq!(interface["mode"], trial.mode, "after {}", call.text);
        }
    }
    println!("one interface was open after {open} of them");
    // At least one kill must hit the gap, or the test shows nothing about it.
    assert!(open > 0);
    trial.end("change of mode");
}

#[test]
fn killed_at_any_call_of_a_reload() {
    let (mut trial, mut daemon) = Trial::new("kill-reload");
    let output = trial.output();
    let recorder = Attached::to(&daemon, Plan::Record, &output);
    assert!(trial.lab.monitor(&["reload"]).status.success());
    wait_until_kept(&trial.lab);
    for call in &chosen(recorder.calls()) {
        let (old, new) = (trial.in_force, trial.in_force.other());
        let strace = Attached::to(&daemon, Plan::Inject(call, Fault::Kill), &output);
        trial.lab.write_policies(&new.policies());
        daemon.signal(Signal::SIGHUP);
        let ended = waits_for(&mut daemon.child, || {
            trial.lab.status()["policies"][0]["action"] == action_of_even(new)
        });
        trial.note(ended, Plan::Inject(call, Fault::Kill));
        drop(strace);
        daemon.kill();
        trial.assert_old_or_new(old, new, call);
        daemon = trial.recover(new, call);
    }
    daemon.kill();
    trial.end("reload");
}

#[test]
fn killed_at_any_call_of_a_detach() {
    let (mut trial, daemon) = Trial::new("kill-detach");
    daemon.kill();
    let mut detach = Command::new(binary());
    detach
        .arg("detach")
        .arg("--pin-dir")
        .arg(&trial.lab.pin_dir);
    detach.arg("--socket").arg(trial.lab.socket());
    let output = trial.output();
    let run = |plan| {
        let mut child = traced(&detach, plan, &output)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        child.wait().unwrap()
    };
    assert!(run(Plan::Record).success());
    trial.books.forget();
    for call in &chosen(calls(&output)) {
        trial.recover(InForce::First, call).kill();
        let plan = Plan::Inject(call, Fault::Kill);
        trial.note(Some(run(plan)), plan);
        trial.assert_old_or_new(InForce::First, InForce::Nothing, call);
        // Either all counters exist or none.
        if !objects::state(&trial.lab).exists() {
            trial.books.forget();
        }
    }
    let last = Call::default();
    trial.recover(InForce::First, &last).kill();
    trial.end("detach");
}

#[test]
fn killed_at_any_call_of_a_stop_or_a_detach_by_the_daemon() {
    for stop in [true, false] {
        let (mut trial, mut daemon) = Trial::new("kill-end");
        let output = trial.output();
        let act = |lab: &Lab, daemon: &Daemon| {
            if stop {
                daemon.signal(Signal::SIGTERM);
            } else {
                // There is no answer if the daemon is killed.
                let _ = lab.monitor(&["detach"]);
            }
        };
        wait_until_recording(&trial.lab);
        let recorder = Attached::to(&daemon, Plan::Record, &output);
        act(&trial.lab, &daemon);
        poll("the daemon ends", || !daemon.is_running());
        let after = if stop {
            InForce::First
        } else {
            InForce::Nothing
        };
        for call in &chosen(recorder.calls()) {
            if !objects::state(&trial.lab).exists() {
                trial.books.forget();
            }
            daemon = trial.recover(InForce::First, call);
            wait_until_recording(&trial.lab);
            let plan = Plan::Inject(call, Fault::Kill);
            let _strace = Attached::to(&daemon, plan, &output);
            act(&trial.lab, &daemon);
            let mut ended = None;
            poll("the daemon ends", || {
                ended = daemon.child.try_wait().unwrap();
                ended.is_some()
            });
            let killed = ended.filter(|status| !status.success());
            trial.note(killed, plan);
            trial.assert_old_or_new(InForce::First, after, call);
        }
        if !objects::state(&trial.lab).exists() {
            trial.books.forget();
        }
        trial.recover(InForce::First, &Call::default()).kill();
        trial.end(if stop { "stop" } else { "detach by the daemon" });
    }
}

fn other_mode(mode: &str) -> &'static str {
    match mode {
        "native" => "generic",
        _ => "native",
    }
}

/// `even` is the first policy by name.
fn action_of_even(in_force: InForce) -> &'static str {
    match in_force {
        InForce::Second => "drop",
        _ => "count",
    }
}

/// Waits until the process ends or `is_up` is true. In the second case, waits a
/// little longer for its end.
fn waits_for(child: &mut Child, mut is_up: impl FnMut() -> bool) -> Option<ExitStatus> {
    let mut ended = None;
    poll("it is killed, or up", || {
        ended = child.try_wait().unwrap();
        ended.is_some() || is_up()
    });
    let (times, pause) = GRACE;
    for _ in 0..times {
        if ended.is_some() {
            break;
        }
        thread::sleep(pause);
        ended = child.try_wait().unwrap();
    }
    ended
}

fn kill(pid: u32) {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
    nix::sys::signal::kill(pid, Signal::SIGKILL).unwrap();
}
