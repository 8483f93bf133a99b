//! A systemd of its own in namespaces of its own, on the gateway of a lab.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::Duration,
};

use serde_json::Value;

use super::support::lab::{Lab, binary, poll, text};

/// The lab, and what was booted on its gateway; all of it ends with this value.
pub(crate) struct Machine {
    pub(crate) lab: Lab,
    unshare: Child,
    cgroup: String,
}

impl Machine {
    /// Boots it, with the units and settings of `packaging/systemd`; none is
    /// started yet.
    pub(crate) fn boot(test: &str) -> Self {
        let lab = Lab::new(test);
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
            .arg(here().join(".."))
            .arg(binary())
            .arg(lab.policies())
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

    /// What the boot and systemd said.
    fn console(&self) -> String {
        fs::read_to_string(self.lab.directory.path().join("console.log")).unwrap_or_default()
    }

    /// The first process of the machine, as the outside numbers it.
    fn init(&self) -> Option<u32> {
        let unshare = self.unshare.id();
        let children = format!("/proc/{unshare}/task/{unshare}/children");
        let children = fs::read_to_string(children).ok()?;
        children.split_whitespace().next()?.parse().ok()
    }

    /// A command inside, as root.
    pub(crate) fn run(&self, words: &[&str]) -> Output {
        let init = self.init().expect("the machine runs");
        Command::new("nsenter")
            .arg(format!("--target={init}"))
            .args(["--mount", "--pid", "--net", "--cgroup", "--ipc", "--uts"])
            .args(words)
            .output()
            .unwrap()
    }

    /// The same, which must succeed; what it printed.
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

    /// What became of the service, and what the daemon logged.
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

    /// A property of the service.
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

    /// Whether a unit is active.
    pub(crate) fn active(&self, unit: &str) -> bool {
        let output = self.run(&["systemctl", "is-active", "--quiet", unit]);
        output.status.success()
    }

    /// `monitor VERB… --config …` inside, as root.
    pub(crate) fn monitor(&self, verb: &[&str]) -> Output {
        let config = ["--config", "/etc/monitor/monitor.yaml"];
        self.run(&[&["monitor"], verb, &config].concat())
    }

    /// `monitor status --json` there.
    pub(crate) fn status(&self) -> Value {
        let output = self.monitor(&["status", "--json"]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Packets that the policy `blocked` has dropped.
    pub(crate) fn dropped(&self) -> u64 {
        let status = self.status();
        let policies = status["policies"].as_array().unwrap();
        let blocked = policies.iter().find(|policy| policy["name"] == "blocked");
        blocked.unwrap()["matched"]["dropped"]["packets"]
            .as_u64()
            .unwrap()
    }

    /// The generation on wlan0.
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
        // Its first process dies with it, and with that all others.
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
        let root = self.lab.directory.path().join("root");
        let script = "mount --make-rprivate / && mount -t cgroup2 cgroup2 \"$0\" && \
            find \"$0/$1\" -depth -type d -exec rmdir '{}' '+'";
        // Not poll(): the test may be failing already.
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

/// The folder of the crate.
pub(crate) fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}
