//! A systemd in its own namespaces, on the gateway of a lab.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::Duration,
};

use serde_json::Value;

use super::support::lab::{Lab, binary, poll, text};

/// A lab, and the system that was booted on its gateway. Dropping this value
/// ends both.
pub(crate) struct Machine {
    pub(crate) lab: Lab,
    unshare: Child,
    cgroup: String,
}

impl Machine {
    /// Boots systemd with the units and settings of `packaging/systemd`. Starts
    /// none of the units.
    pub(crate) fn boot(test: &str) -> Self {
        let lab = Lab::new(test);
        let policies = lab.policies();
        let project = here().join("..");
        let system = [Path::new("/"), &project, binary(), &policies];
        Self::boot_system(test, lab, &system)
    }

    /// Boots a system: the one in the first directory, with the second one at /opt; or this
    /// machine's own, `/`, with this project, its program and its policies.
    pub(crate) fn boot_system(test: &str, lab: Lab, system: &[&Path]) -> Self {
        let cgroup = format!("monitor-{test}-{}", std::process::id());
        let root = lab.directory.path().join("root");
        fs::create_dir(&root).unwrap();
        let log = fs::File::create(lab.directory.path().join("console.log")).unwrap();
        let unshare = lab
            .gateway
            .command("unshare")
            .args(["--mount", "sh"])
            .arg(here().join("tests/service/boot.sh"))
            .arg("outer")
            .arg(&root)
            .arg(&cgroup)
            .args(system)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut machine = Self {
            lab,
            unshare,
            cgroup,
        };
        poll("systemd has booted", || {
            let ended = machine.unshare.try_wait().unwrap();
            assert!(ended.is_none(), "it ended: {}", machine.console());
            machine.init().is_some() && machine.active("nothing.target")
        });
        machine
    }

    /// The output of the boot and of systemd.
    fn console(&self) -> String {
        fs::read_to_string(self.lab.directory.path().join("console.log")).unwrap_or_default()
    }

    /// Process id of the machine's first process, as seen from outside.
    pub(crate) fn init(&self) -> Option<u32> {
        let unshare = self.unshare.id();
        let children = format!("/proc/{unshare}/task/{unshare}/children");
        let children = fs::read_to_string(children).ok()?;
        children.split_whitespace().next()?.parse().ok()
    }

    /// Runs a command inside the machine as root.
    pub(crate) fn run(&self, words: &[&str]) -> Output {
        let init = self.init().expect("the machine runs");
        Command::new("nsenter")
            .arg(format!("--target={init}"))
            .args(["--mount", "--pid", "--net", "--cgroup", "--ipc", "--uts"])
            .args(words)
            .output()
            .unwrap()
    }

    /// Runs a command, which must succeed, and returns its output.
    pub(crate) fn say(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(
            output.status.success(),
            "{words:?}: {}{}\n{}",
            text(&output.stdout),
            text(&output.stderr),
            self.log(),
        );
        text(&output.stdout).trim().to_owned()
    }

    /// The state of the service, and the log of the daemon.
    pub(crate) fn log(&self) -> String {
        let units = ["monitor-bpffs", "monitor"];
        let status = self.run(
            &[
                &["systemctl", "--no-pager", "--lines=0", "status"],
                &units[..],
            ]
            .concat(),
        );
        let log = self.run(&["cat", "/run/monitor.log"]);
        text(&status.stdout) + &text(&log.stdout)
    }

    /// A systemd property of the service.
    pub(crate) fn property(&self, name: &str) -> String {
        self.say(&[
            "systemctl",
            "show",
            "--property",
            name,
            "--value",
            "monitor",
        ])
    }

    /// True if a unit is active.
    pub(crate) fn active(&self, unit: &str) -> bool {
        let output = self.run(&["systemctl", "is-active", "--quiet", unit]);
        output.status.success()
    }

    /// Runs `monitor VERB… --config …` inside the machine as root.
    pub(crate) fn monitor(&self, verb: &[&str]) -> Output {
        let config = ["--config", "/etc/monitor/monitor.yaml"];
        self.run(&[&["monitor"], verb, &config].concat())
    }

    /// The output of `monitor status --json` inside the machine.
    pub(crate) fn status(&self) -> Value {
        let output = self.monitor(&["status", "--json"]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Number of packets that the policy `blocked` has dropped.
    pub(crate) fn dropped(&self) -> u64 {
        let status = self.status();
        let policies = status["policies"].as_array().unwrap();
        let blocked = policies.iter().find(|policy| policy["name"] == "blocked");
        blocked.unwrap()["matched"]["dropped"]["packets"]
            .as_u64()
            .unwrap()
    }

    /// The generation in force on wlan0.
    pub(crate) fn generation(&self) -> u64 {
        self.status()["interfaces"][0]["generation"]
            .as_u64()
            .unwrap()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}\n{}", self.console(), self.log());
        }
        // The machine's first process ends with it, and so do all others.
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
        let root = self.lab.directory.path().join("root");
        let script = "mount --make-rprivate / && mount -t cgroup2 cgroup2 \"$0\" && \
            find \"$0/$1\" -depth -type d -exec rmdir '{}' '+'";
        // Without `poll`, whose panic would abort if the test is already
        // failing.
        for _ in 0..100 {
            let removed = Command::new("unshare")
                .args(["--mount", "sh", "-c", script])
                .arg(&root)
                .arg(&self.cgroup)
                .stderr(Stdio::null())
                .status();
            if removed.is_ok_and(|status| status.success()) {
                return;
            }
            thread::sleep(Duration::from_millis(100));
        }
        eprintln!("control group {} is left over", self.cgroup);
    }
}

/// The directory of the crate.
pub(crate) fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}
