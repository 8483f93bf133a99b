//! Special and endless files in place of regular ones: the real binary refuses
//! them, and a running daemon continues.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use crate::command;
use crate::support;

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::{fs::symlink, net::UnixListener},
    path::Path,
    process::{Command, Output, Stdio},
};

use command::{directory, policy, text};
use flate2::{Compression, write::GzEncoder};
use nix::{sys::signal::Signal, sys::stat::Mode, unistd::mkfifo};
use support::{
    hung::Hung,
    lab::{Lab, poll, poll_long},
};

const MIB: u64 = 1 << 20;

/// The content of a valid list.
const LIST: &str = "203.0.113.0/24\n";

/// Runs the binary in `folder` with 4 GB of address space and a time limit.
fn bounded(folder: &Path, arguments: &[&str]) -> Output {
    Command::new("timeout")
        .args(["60", "prlimit", "--as=4000000000"])
        .arg(env!("CARGO_BIN_EXE_monitor"))
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Runs `check` on `p.yaml`, which must be refused with each of `messages`.
fn refused(folder: &Path, arguments: &[&str], code: i32, messages: &[&str]) {
    let output = bounded(folder, arguments);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
    for message in messages {
        assert!(error.contains(message), "{message} in\n{error}");
    }
}

/// Puts a file of each kind at `path`, in turn, and names it.
fn each_kind(path: &Path, mut look: impl FnMut(&str)) {
    mkfifo(path, Mode::S_IRWXU).unwrap();
    look("it is a FIFO");
    fs::remove_file(path).unwrap();
    symlink("/dev/zero", path).unwrap();
    look("it is a device");
    fs::remove_file(path).unwrap();
    let socket = UnixListener::bind(path).unwrap();
    look("it is a socket");
    drop(socket);
    fs::remove_file(path).unwrap();
    fs::create_dir(path).unwrap();
    look("it is a folder");
    fs::remove_dir(path).unwrap();
}

fn sparse(path: &Path, size: u64) {
    File::create(path).unwrap().set_len(size).unwrap();
}

#[test]
fn every_file_that_a_verb_reads_must_be_a_regular_one() {
    let good = policy("a", "count", "{list: l.txt}, {asn: 13335, table: t.mmdb}");
    let files = directory(&[
        ("p.yaml", &policy("b", "count", "203.0.113.0/24")),
        ("lists.yaml", &good),
        ("l.txt", LIST),
        ("t.mmdb", "203.0.113.0/24,13335\n"),
        (
            "x.local.yaml",
            "version: 1\noverrides: [{policy: b, action: drop}]\n",
        ),
    ]);
    let at = |name: &str| files.path().join(name);
    for name in ["l.txt", "t.mmdb", "x.local.yaml", "p.yaml"] {
        let text = fs::read(at(name)).unwrap();
        fs::remove_file(at(name)).unwrap();
        each_kind(&at(name), |what| {
            if !matches!(name, "l.txt" | "t.mmdb") && what == "it is a folder" {
                // A directory is valid here: its policies are read.
                return;
            }
            let paths = ["check", "p.yaml", "lists.yaml", "x.local.yaml"];
            refused(
                files.path(),
                &paths,
                3,
                &["not a regular file", what, "help: "],
            );
        });
        fs::write(at(name), text).unwrap();
    }
    assert!(bounded(files.path(), &["check", "p.yaml"]).status.success());
    for (argument, verb) in [("--config", "check"), ("", "replay")] {
        each_kind(&at("special"), |what| {
            let arguments: Vec<&str> = [verb, argument, "special", "--policies", "p.yaml"]
                .into_iter()
                .filter(|word| !word.is_empty())
                .collect();
            refused(
                files.path(),
                &arguments,
                1,
                &["special", "not a regular file", what],
            );
        });
    }
}

#[test]
fn a_folder_in_the_place_of_a_policy_file_is_told() {
    let files = directory(&[("p/a.yaml", &policy("a", "count", "203.0.113.0/24"))]);
    fs::create_dir(files.path().join("p/z.yaml")).unwrap();
    refused(
        files.path(),
        &["check", "p"],
        3,
        &["p/z.yaml", "it is a folder"],
    );
}

#[test]
fn a_file_beyond_its_limit_is_refused_with_the_limit_and_the_fix() {
    let files = directory(&[("p.yaml", &policy("a", "count", "{list: l.txt}"))]);
    let at = |name: &str| files.path().join(name);
    sparse(&at("l.txt"), 256 * MIB + 1);
    let check = ["check", "p.yaml"];
    refused(
        files.path(),
        &check,
        3,
        &["more than 256.0 MiB", "split the list"],
    );

    let mut bomb = GzEncoder::new(File::create(at("l.txt")).unwrap(), Compression::fast());
    for _ in 0..257 {
        bomb.write_all(&vec![b'#'; 1 << 20]).unwrap();
    }
    bomb.finish().unwrap();
    refused(
        files.path(),
        &check,
        3,
        &["unpacked it is larger than 256 MiB"],
    );

    sparse(&at("p.yaml"), 16 * MIB + 1);
    refused(
        files.path(),
        &check,
        3,
        &["more than 16.0 MiB", "into lists"],
    );
    sparse(&at("c.yaml"), MIB + 1);
    let config = ["check", "--config", "c.yaml"];
    refused(files.path(), &config, 1, &["c.yaml", "more than 1.0 MiB"]);
}

/// Files in `/proc` appear as regular files of zero bytes.
#[test]
fn a_regular_file_that_waits_or_does_not_end_is_refused() {
    let files = directory(&[("p.yaml", &policy("a", "count", "{list: l.txt}"))]);
    symlink("/proc/kmsg", files.path().join("l.txt")).unwrap();
    let output = bounded(files.path(), &["check", "p.yaml"]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
}

#[test]
fn a_daemon_goes_on_where_a_watched_folder_gets_a_special_file() {
    let lab = Lab::new("special");
    let mut daemon = lab.start(&["--mode", "generic"]);
    let fifo = lab.policies().join("z.yaml");
    let healthy = |text: &str| assert!(text.contains("200 OK"), "{text}");
    mkfifo(&fifo, Mode::S_IRWXU | Mode::S_IROTH | Mode::S_IRGRP).unwrap();
    poll("the reload fails and says why", || {
        lab.status()["reload"]["error"]
            .as_str()
            .is_some_and(|error| error.contains("it is a FIFO"))
    });
    let reload = lab.monitor(&["reload"]);
    assert_eq!(reload.status.code(), Some(1));
    let error = text(&reload.stderr);
    assert!(
        error.contains("z.yaml") && error.contains("it is a FIFO"),
        "{error}"
    );
    healthy(&lab.health());
    assert_eq!(lab.generation("wlan0"), Some(1), "what was in force stays");

    fs::remove_file(&fifo).unwrap();
    lab.write_policies(&policy("later", "count", "203.0.113.0/24"));
    poll("the next save is in force", || {
        lab.status()["policies"].as_array().is_some_and(|all| {
            all.iter()
                .any(|p| p["name"] == "later" && p["action"] == "count")
        })
    });
    mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    daemon.signal(Signal::SIGHUP);
    daemon.signal(Signal::SIGTERM);
    poll("the daemon ends", || !daemon.is_running());
}

/// A read of a regular file may block if its file server is unreachable. Then
/// `status` and `/healthz` report the reload, and SIGTERM ends the daemon.
#[test]
fn while_a_file_system_gives_no_answer_the_daemon_says_so_and_ends() {
    let lab = Lab::new("hung");
    let folder = lab.policies().join("hung");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("l.txt"), LIST).unwrap();
    lab.write_policies(&policy("a", "drop", "{list: hung/l.txt}"));
    let mut daemon = lab.start(&["--mode", "generic", "--no-watch"]);
    let _hung = Hung::mount(&folder);
    daemon.signal(Signal::SIGHUP);
    poll_long("status says that the reload does not end", || {
        let status = lab.status();
        let why = status["checks"][0]["why"].as_str().unwrap_or_default();
        why.contains("a reload has been under way")
    });
    assert!(lab.health().contains("the daemon hangs: a reload"));
    assert_eq!(lab.generation("wlan0"), Some(1));
    daemon.signal(Signal::SIGTERM);
    poll_long("the daemon ends", || !daemon.is_running());
}
