//! The same with an interface of each role: each hook runs the old or the new generation.

use std::{collections::BTreeSet, fs::File, process::Stdio};

use crate::{
    support::{
        lab::{Daemon, poll, text},
        strace::{Call, Fault, Plan, calls, is_netlink_change, traced},
    },
    waits_for,
    world::{World, policies},
};

/// Calls that change what a hook runs, or what is known about it.
const HOOKS: [&str; 3] = ["BPF_LINK_", "/links/", "membarrier"];

struct Trial {
    world: World,
    egress: &'static str,
}

impl Trial {
    fn options(&self) -> [&'static str; 7] {
        let egress = self.egress;
        [
            "--mode",
            "generic",
            "--interface",
            "wan0:wan",
            "--egress",
            egress,
            "--no-watch",
        ]
    }

    /// Starts a daemon that goes on, and kills it. The filter stays.
    fn put_in_force(&self) {
        let daemon: Daemon = self.world.lab.start_on("wlan0:lan", &self.options());
        daemon.kill();
    }

    /// Runs a command under strace until `is_up`, or until it ends. Then kills it.
    fn traced(&self, verb: &str, plan: Plan<'_>) -> Vec<Call> {
        let lab = &self.world.lab;
        let output = lab.directory.path().join("strace");
        let mut command = if verb == "run" {
            let mut command = lab.daemon_command(&self.options());
            command.args(["--interface", "wlan0:lan"]);
            command
        } else {
            let mut command = lab.gateway.command(crate::binary());
            command.arg(verb).arg("--pin-dir").arg(&lab.pin_dir);
            command.arg("--socket").arg(lab.socket());
            command
        };
        command.stdin(Stdio::null());
        let log = File::create(lab.directory.path().join("killed.log")).unwrap();
        let mut child = traced(&command, plan, &output)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("run strace (Debian package strace)");
        let ended = waits_for(&mut child, || {
            verb == "run"
                && serde_json::from_slice::<serde_json::Value>(
                    &lab.monitor_inside(&["status", "--json"]).stdout,
                )
                .is_ok_and(|status| status["daemon"]["pid"].is_u64())
        });
        if ended.is_none() {
            crate::kill(crate::wait_for_pid(lab));
            child.wait().unwrap();
        }
        calls(&output)
    }

    /// Kills first starts before each request that changes `clsact`. The next start completes them.
    fn first_starts(&self) {
        let mut requests = self.traced("run", Plan::Record);
        requests.retain(|call| is_netlink_change(&call.text));
        assert!(!requests.is_empty());
        self.detach("a first start");
        for call in &requests {
            self.traced("run", Plan::Inject(call, Fault::Kill));
            self.put_in_force();
            let found: BTreeSet<_> = self.generations().into_iter().collect();
            let is_whole = found.len() == 1 && !found.contains(&None);
            assert!(is_whole, "{found:?} after {}", call.text);
            self.detach(&call.text);
        }
        println!("clsact: {} requests of a first start", requests.len());
    }

    /// Detaches. Everything can be gone already.
    fn detach(&self, when: &str) {
        let again = self.world.lab.monitor_inside(&["detach"]);
        let message = text(&again.stderr);
        assert!(
            again.status.success() || !self.world.lab.pin_dir.exists(),
            "{message} after {when}"
        );
        poll("no filter is left", || {
            !self.world.filters("wan0").contains("monitor_egress")
        });
    }

    /// Generation of each hook; `None` if a hook runs none.
    fn generations(&self) -> Vec<Option<u64>> {
        let interfaces = self.world.snapshot().interfaces.into_iter();
        interfaces.map(|one| one.generation).collect()
    }
}

fn of_hooks(calls: Vec<Call>) -> Vec<Call> {
    let is_chosen = |call: &Call| {
        HOOKS.iter().any(|part| call.text.contains(part)) || is_netlink_change(&call.text)
    };
    calls.into_iter().filter(is_chosen).collect()
}

#[test]
fn killed_at_any_call_that_changes_the_hooks_of_both_roles() {
    for egress in ["auto", "clsact"] {
        let trial = Trial {
            world: World::new("kill-roles"),
            egress,
        };
        trial.put_in_force();
        let recorded = of_hooks(trial.traced("run", Plan::Record));
        let updates = recorded.iter();
        let updates = updates
            .filter(|call| call.text.contains("BPF_LINK_UPDATE") || is_netlink_change(&call.text));
        // Two hooks of each interface: flows are recorded, so answers to devices are too.
        assert_eq!(updates.count(), 4, "{egress}: {recorded:#?}");
        for (index, call) in recorded.iter().enumerate() {
            let second = ["drop", "count"][index % 2];
            trial.world.lab.write_policies(&policies(second));
            let old = trial.generations();
            trial.traced("run", Plan::Inject(call, Fault::Kill));
            let found = trial.generations();
            assert_eq!(found.len(), 3);
            let old: BTreeSet<_> = old.into_iter().flatten().collect();
            let newest = old.last().unwrap() + 1;
            let is_known = |number: &Option<u64>| {
                number.is_some_and(|number| old.contains(&number) || number == newest)
            };
            assert!(found.iter().all(is_known), "{found:?} after {}", call.text);
            trial.put_in_force();
            let found: BTreeSet<_> = trial.generations().into_iter().collect();
            assert_eq!(found.len(), 1, "{found:?} after {}", call.text);
        }
        let recorded = of_hooks(trial.traced("detach", Plan::Record));
        assert!(!trial.world.lab.pin_dir.exists());
        for call in &recorded {
            trial.put_in_force();
            trial.traced("detach", Plan::Inject(call, Fault::Kill));
            trial.detach(&call.text);
        }
        println!("{egress}: {} calls of a detach", recorded.len());
        if egress == "clsact" {
            trial.first_starts();
        }
    }
}
