//! Makes each call that changes something fail once: out of memory, not
//! permitted, no space. The old state must stay in force, the error must name
//! what failed, and the next attempt must succeed.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

#[expect(dead_code, reason = "each test file uses a part of it")]
mod support;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    process::Stdio,
};

use serde_json::Value;
use support::{
    books::{BOTH, Books, InForce, lab_in_force, wait_for_pid, wait_until_kept},
    lab::{Daemon, Lab, poll, poll_long},
    objects::{Objects, assert_gone, assert_like},
    strace::{Attached, Call, Fault, Plan, calls, refusable, traced},
};

/// The name of an error, and the system's text for it.
type Refusal = (&'static str, &'static str);

const NO_MEMORY: Refusal = ("ENOMEM", "Cannot allocate memory");
const NOT_PERMITTED: Refusal = ("EPERM", "ermi");
const NO_SPACE: Refusal = ("ENOSPC", "No space left on device");

/// Words for the object of an error: a path, a map, an interface, the program.
const OBJECTS: [&str; 6] = ["/", "map", "wlan", "program", "link", "directory"];

/// A lab in which one way to put a ruleset in force is refused again and again.
struct Trial {
    lab: Lab,
    books: Books,
    reference: Objects,
    in_force: InForce,
    /// Number of refusals for each error and outcome: the daemon continued, or
    /// it stopped.
    outcomes: BTreeMap<(&'static str, &'static str), usize>,
}

impl Trial {
    fn new(test: &str) -> (Self, Daemon) {
        let (lab, books, daemon) = lab_in_force(test);
        let trial = Self {
            reference: Objects::of(&lab),
            lab,
            books,
            in_force: InForce::First,
            outcomes: BTreeMap::new(),
        };
        (trial, daemon)
    }

    /// Runs `monitor run` under strace. Returns its output if it ended by
    /// itself. Kills a daemon that comes up, and returns `None`.
    fn run(&self, plan: Plan<'_>) -> Option<String> {
        let mut command = self.lab.daemon_command(&BOTH);
        command.args(["--interface", "wlan0"]);
        let said = self.lab.directory.path().join("said");
        let output = self.lab.directory.path().join("strace");
        let mut child = traced(&command, plan, &output)
            .stdout(Stdio::null())
            .stderr(File::create(&said).unwrap())
            .spawn()
            .expect("run strace (Debian package strace)");
        let mut ended = None;
        poll("it ends, or is up", || {
            ended = child.try_wait().unwrap();
            ended.is_some() || daemon_in(status(&self.lab).as_ref())
        });
        let Some(ended) = ended else {
            let pid = i32::try_from(wait_for_pid(&self.lab)).unwrap();
            wait_until_quiet(&self.lab);
            let pid = nix::unistd::Pid::from_raw(pid);
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
            child.wait().unwrap();
            return None;
        };
        let said = fs::read_to_string(said).unwrap();
        assert_eq!(ended.code(), Some(1), "{said}");
        Some(said)
    }

    fn calls(&self) -> Vec<Call> {
        refusable(calls(&self.lab.directory.path().join("strace")))
    }

    /// Records the outcome of one refusal.
    fn note(&mut self, call: &Call, (error, words): Refusal, said: Option<&str>) {
        let outcome = if said.is_some() { "failed" } else { "went on" };
        *self.outcomes.entry((error, outcome)).or_default() += 1;
        if let Some(said) = said {
            println!("{error} {}\n    {}", call.text, said.trim());
            // Maps are created in no fixed order. The refused call may have
            // opened an existing map; the daemon then fails to create that map
            // again. A refused probe of a kernel feature is a warning with words of
            // its own, and the load fails later for want of that feature.
            let again = said.contains("File exists") || said.contains("kernel feature probe");
            assert!(said.contains(words) || again, "{}: {said}", call.text);
            let named = OBJECTS.iter().any(|object| said.contains(object));
            assert!(named, "{}: {said}", call.text);
        }
    }

    fn probe(&mut self, expected: InForce, call: &Call) {
        assert_eq!(self.books.probe(), [expected; 2], "after {}", call.text);
        if expected != InForce::Nothing {
            self.books.check(&self.lab, &call.text);
        }
    }

    fn detach(&mut self) {
        let output = self.lab.monitor(&["detach"]);
        assert!(output.status.success(), "{output:?}");
        self.books.forget();
    }

    fn end(mut self, what: &str) {
        let all = assert_like(&self.lab, &self.reference, "at the end");
        self.detach();
        assert_gone(&all);
        println!(
            "{what}: {:?}, {} packets sent",
            self.outcomes, self.books.sent
        );
        let failed = |(key, count): (&(&str, &str), &usize)| (key.1 == "failed").then_some(*count);
        let failed: usize = self.outcomes.iter().filter_map(failed).sum();
        // The calls that are refused differ between runs, because the daemon
        // makes other calls between them.
        assert!(failed >= 5, "hardly a refusal was noticed");
    }
}

/// An error that this call can return.
fn refusal(call: &Call) -> Refusal {
    if call.text.contains("BPF_LINK") || call.text.contains("BPF_PROG_LOAD") {
        NOT_PERMITTED
    } else if call.text.contains("BPF_MAP") {
        NO_MEMORY
    } else {
        NO_SPACE
    }
}

#[test]
fn a_first_start_that_is_refused_leaves_nothing() {
    let (mut trial, daemon) = Trial::new("no-start");
    daemon.kill();
    trial.detach();
    assert_eq!(trial.run(Plan::Record), None);
    for call in &trial.calls() {
        trial.detach_what_came_up();
        let refusal = refusal(call);
        let said = trial.run(Plan::Inject(call, Fault::Error(refusal.0)));
        trial.note(call, refusal, said.as_deref());
        let up = said.is_none();
        trial.probe(if up { InForce::First } else { InForce::Nothing }, call);
        // A daemon that does not get the lock cannot know if another process
        // holds it.
        let empty = fs::read_dir(&trial.lab.pin_dir).map_or(0, Iterator::count) == 0;
        let may_stay = call.text.starts_with("flock") && empty;
        let there = trial.lab.pin_dir.exists();
        assert!(there == up || may_stay, "{}", call.text);
        if may_stay && there {
            fs::remove_dir(&trial.lab.pin_dir).unwrap();
        }
    }
    trial.detach_what_came_up();
    let _daemon = trial.lab.start(&BOTH);
    wait_until_kept(&trial.lab);
    trial.end("first start");
}

impl Trial {
    fn detach_what_came_up(&mut self) {
        if self.lab.pin_dir.exists() {
            self.detach();
        }
    }
}

#[test]
fn a_take_over_that_is_refused_changes_nothing() {
    let (mut trial, daemon) = Trial::new("no-swap");
    daemon.kill();
    assert_eq!(trial.run(Plan::Record), None);
    for call in &trial.calls() {
        let new = trial.in_force.other();
        trial.lab.write_policies(&new.policies());
        let refusal = refusal(call);
        let said = trial.run(Plan::Inject(call, Fault::Error(refusal.0)));
        trial.note(call, refusal, said.as_deref());
        if said.is_none() {
            trial.in_force = new;
        }
        trial.probe(trial.in_force, call);
    }
    trial.lab.write_policies(&trial.in_force.policies());
    let _daemon = trial.lab.start(&BOTH);
    wait_until_kept(&trial.lab);
    trial.end("take-over");
}

#[test]
fn a_reload_that_is_refused_changes_nothing_and_says_so() {
    let (mut trial, daemon) = Trial::new("no-reload");
    let output = trial.lab.directory.path().join("strace");
    let recorder = Attached::to(&daemon, Plan::Record, &output);
    assert!(trial.lab.monitor(&["reload"]).status.success());
    wait_until_kept(&trial.lab);
    for call in &refusable(recorder.calls()) {
        let new = trial.in_force.other();
        let refusal = refusal(call);
        let strace = Attached::to(
            &daemon,
            Plan::Inject(call, Fault::Error(refusal.0)),
            &output,
        );
        let before = daemon.log().len();
        trial.lab.write_policies(&new.policies());
        // The test reads the log, because a request to the daemon would cause
        // calls that strace counts.
        poll_long("the reload has ended", || {
            let log = daemon.log();
            let new = &log[before..];
            // After one refusal the library loads the program again to get the
            // verifier's log, which takes seconds.
            new.contains("in force") || new.contains("the reload failed")
        });
        drop(strace);
        let status = status(&trial.lab).unwrap();
        let error = status["reload"]["error"].as_str().map(str::to_owned);
        trial.note(call, refusal, error.as_deref());
        if error.is_some() {
            trial.probe(trial.in_force, call);
            let failed = "monitor_reload_success 0";
            assert!(trial.lab.metrics().contains(failed), "{}", call.text);
            assert!(trial.lab.monitor(&["reload"]).status.success());
        }
        trial.in_force = new;
        trial.probe(new, call);
        wait_until_quiet(&trial.lab);
    }
    drop(daemon);
    let _daemon = trial.lab.start(&BOTH);
    wait_until_kept(&trial.lab);
    trial.end("reload");
}

fn status(lab: &Lab) -> Option<Value> {
    serde_json::from_slice(&lab.monitor(&["status", "--json"]).stdout).ok()
}

fn daemon_in(status: Option<&Value>) -> bool {
    status.is_some_and(|status| status["daemon"]["pid"].is_u64())
}

/// Waits until the daemon has stored its state, or has failed to.
fn wait_until_quiet(lab: &Lab) {
    let unfinished = || {
        let state = fs::read_dir(lab.directory.path().join("state")).unwrap();
        let mut names = state.flatten().map(|entry| entry.file_name());
        names.any(|name| name.to_str().unwrap().starts_with(".unfinished"))
    };
    // strace counts the calls of each thread by itself. If it refuses the first call of a
    // name, it refuses the next try too when another thread makes it, 5 s later.
    poll_long("nothing is being written", || !unfinished());
}
