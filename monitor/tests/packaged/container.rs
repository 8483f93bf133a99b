//! The container image: podman builds it by the recipe, and runs it in the network namespace of
//! the lab's gateway.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::Ordering,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{built, here};
use crate::support::{
    datagrams::{count_arrivals, send},
    lab::{BLOCKED, Lab, OPEN, poll, poll_long, text},
};

/// What the recipe says about running the image, beside the interface and the volumes.
const AS_THE_RECIPE: [&str; 6] = [
    "--network",
    "host",
    "--cap-add",
    "BPF,NET_ADMIN,PERFMON",
    "--security-opt",
    "seccomp=unconfined",
];

/// What a machine may lack that runs the tests: the right to raise limits.
const WITHIN_LIMITS: [&str; 5] = [
    "--cgroups=disabled",
    "--ulimit",
    "nofile=1024:1024",
    "--ulimit",
    "nproc=1024:1024",
];

/// podman with images, containers and volumes of its own, in the gateway's network namespace.
struct Podman<'l> {
    lab: &'l Lab,
    storage: PathBuf,
}

impl Podman<'_> {
    fn command(&self, words: &[&str]) -> Command {
        // crun wants one hierarchy of control groups. The mount stays in a mount namespace.
        let one = "umount -R /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup; exec \"$@\"";
        let mut command = self.lab.gateway.command("unshare");
        command.args(["--mount", "sh", "-c", one, "sh", "podman"]);
        for (option, directory) in [
            ("--root", "root"),
            ("--runroot", "run"),
            ("--tmpdir", "tmp"),
        ] {
            command.arg(option).arg(self.storage.join(directory));
        }
        command.args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"]);
        command.args(["--events-backend", "none"]).args(words);
        command.stdin(Stdio::null());
        command
    }

    /// Runs a command of podman, which must succeed. Returns what it printed.
    fn say(&self, words: &[&str]) -> String {
        let output = self.command(words).output().unwrap();
        let error = text(&output.stderr);
        assert!(output.status.success(), "podman {words:?}: {error}");
        text(&output.stdout)
    }

    /// The words that run a verb of the program in a new container.
    fn run<'a>(&self, volumes: &'a [String], verb: &[&'a str]) -> Vec<&'a str> {
        let volumes = volumes.iter().flat_map(|volume| ["--volume", volume]);
        ["run", "--rm"]
            .into_iter()
            .chain(AS_THE_RECIPE)
            .chain(WITHIN_LIMITS)
            .chain(volumes)
            .chain(["monitor"])
            .chain(verb.iter().copied())
            .collect()
    }
}

#[test]
fn packaged_for_containers() {
    let lab = Lab::new("container");
    let podman = Podman {
        lab: &lab,
        storage: lab.directory.path().join("containers"),
    };
    let recipe = here().join("../packaging/container/Containerfile");
    options_are_those_of(&fs::read_to_string(&recipe).unwrap());
    let (recipe, image) = (recipe.display().to_string(), built().join("image"));
    let image = image.display().to_string();
    podman.say(&["build", "--file", &recipe, "--tag", "monitor", &image]);

    let (blocked, received) = count_arrivals(&lab, BLOCKED[0]);
    let (open, open_received) = count_arrivals(&lab, OPEN[0]);
    let directory = lab.directory.path().display();
    let volumes = [
        "/sys/fs/bpf:/sys/fs/bpf".to_owned(),
        "monitor-state:/var/lib/monitor".to_owned(),
        format!("{}:/etc/monitor/policies.d", lab.policies().display()),
        format!("{directory}:{directory}"),
    ];
    let (pins, socket) = (lab.pin_dir.display().to_string(), lab.socket());
    let own = ["--pin-dir", &pins, "--socket", socket.to_str().unwrap()];
    let daemon = [&["run", "--interface", "wlan0"][..], &own].concat();
    let log = lab.directory.path().join("container.log");
    let container = podman
        .command(&podman.run(&volumes, &daemon))
        .stdout(Stdio::null())
        .stderr(File::create(&log).unwrap())
        .spawn()
        .unwrap();
    poll_long("the daemon answers from its container", || {
        lab.monitor(&["status"]).status.success()
    });
    send(&lab, blocked, 10);
    send(&lab, open, 10);
    poll("innocent packets have arrived", || {
        open_received.load(Ordering::Relaxed) == 10
    });
    assert_eq!(received.load(Ordering::Relaxed), 0);
    assert_eq!(lab.policy("blocked"), (0, 10));
    assert!(lab.monitor(&["flows"]).status.success(), "it drains");

    // The filter stays when the container ends, and the volume keeps the evidence.
    stop(container, &fs::read_to_string(&log).unwrap());
    send(&lab, blocked, 10);
    assert_eq!(lab.policy("blocked"), (0, 20));
    let store = podman.storage.join("root/volumes/monitor-state/_data");
    assert!(store.join(monitor::store::FILE).exists());

    let detach = [&["detach"][..], &own].concat();
    podman.say(&podman.run(&volumes, &detach));
    send(&lab, blocked, 10);
    poll("packets pass again", || {
        received.load(Ordering::Relaxed) == 10
    });
    assert!(!lab.pin_dir.exists(), "a pin is left");
    assert_eq!(podman.say(&["ps", "--all", "--quiet"]), "");
}

/// The recipe's comment has the same options as this test.
fn options_are_those_of(recipe: &str) {
    for option in AS_THE_RECIPE.chunks(2) {
        let option = option.join(" ");
        assert!(recipe.contains(&option), "{option}: {recipe}");
    }
}

/// Ends the daemon in its container, as `podman stop` does.
fn stop(mut container: Child, log: &str) {
    let podman = Pid::from_raw(i32::try_from(container.id()).unwrap());
    kill(podman, Signal::SIGTERM).unwrap();
    let status = container.wait().unwrap();
    assert!(status.success(), "{status}: {log}");
}
