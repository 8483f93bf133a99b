//! Sockets and directories of the daemon, and the files of others that it must
//! not touch.

use crate::support;

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, net::UnixListener},
    path::Path,
    process::{Command, Stdio},
    thread,
};

use nix::sys::signal::Signal;
use serde_json::Value;
use support::{
    lab::{Daemon, Lab, binary, poll, text},
    verbs::refused,
};

const RUN: [&str; 4] = ["--interface", "wlan0", "--listen", "127.0.0.1:0"];

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let lab = Lab::new("no-socket");
    fs::write(lab.socket(), "precious").unwrap();
    lab.give(&lab.socket());
    let error = refused(&lab, &RUN);
    assert!(error.contains("something else than a socket"), "{error}");
    assert_eq!(fs::read_to_string(lab.socket()).unwrap(), "precious");
    assert!(!lab.pin_dir.exists());
}

#[test]
fn the_socket_of_another_program_is_left_alone() {
    let lab = Lab::new("foreign");
    let listener = UnixListener::bind(lab.socket()).unwrap();
    lab.give(&lab.socket());
    thread::spawn(move || listener.incoming().for_each(drop));
    let error = refused(&lab, &RUN);
    assert!(error.contains("another process listens"), "{error}");
    assert!(lab.socket().exists());
}

#[test]
fn a_daemon_that_is_stopped_keeps_no_other_waiting() {
    let lab = Lab::new("stopped");
    let daemon = lab.start(&["--mode", "generic"]);
    daemon.signal(Signal::SIGSTOP);
    let error = refused(&lab, &RUN);
    assert!(error.contains("gives no answer"), "{error}");
    daemon.signal(Signal::SIGCONT);
    assert_eq!(lab.generation("wlan0"), Some(1));
}

#[test]
fn a_path_that_cannot_be_a_socket_is_told_as_that_and_once() {
    let lab = Lab::new("long");
    let long = lab.directory.path().join("x".repeat(120));
    let error = refused(
        &lab,
        &[&RUN[..], &["--socket", long.to_str().unwrap()]].concat(),
    );
    assert_eq!(error.matches("SUN_LEN").count(), 1, "{error}");
    assert!(error.contains("--socket"), "{error}");
    assert!(!error.contains("another process"), "{error}");
}

#[test]
fn whatever_the_umask_nobody_else_may_write_to_the_folders() {
    let lab = Lab::new("umask");
    let directory = lab.directory.path();
    let (state, run) = (directory.join("made/state"), directory.join("run"));
    let socket = run.join("socket");
    let places = [
        "--state-dir",
        state.to_str().unwrap(),
        "--socket",
        socket.to_str().unwrap(),
    ];
    let daemon = lab.daemon_command(&[&RUN[..], &places].concat());
    let mut command = Command::new("sh");
    command
        .args(["-c", "umask 000; exec \"$@\"", "sh"])
        .arg(daemon.get_program())
        .args(daemon.get_args());
    let daemon = Daemon::from_child(command.stderr(Stdio::null()).spawn().unwrap());
    poll("the filter is in force", || {
        lab.monitor(&["status"]).status.success()
    });
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&state), 0o700);
    assert_eq!(mode(&run), 0o755);
    assert_eq!(mode(&run.join("socket")), 0o660);
    drop(daemon);
}

#[test]
fn a_socket_that_took_the_place_of_ours_stays() {
    let lab = Lab::new("replaced");
    let mut daemon = lab.start(&["--mode", "generic"]);
    fs::remove_file(lab.socket()).unwrap();
    let _other = UnixListener::bind(lab.socket()).unwrap();
    daemon.signal(Signal::SIGTERM);
    poll("the daemon ends", || !daemon.is_running());
    assert!(lab.socket().exists());
}

#[test]
fn a_relative_pin_dir_is_the_same_as_the_absolute_one() {
    let lab = Lab::new("relative");
    let daemon = lab.start(&["--mode", "generic"]);
    let output = Command::new(binary())
        .current_dir(lab.pin_dir.parent().unwrap())
        .args(["status", "--json", "--socket"])
        .arg(lab.socket())
        .arg("--pin-dir")
        .arg(lab.pin_dir.file_name().unwrap())
        .output()
        .unwrap();
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(status["daemon"]["pid"], daemon.child.id());
}

#[test]
fn a_daemon_that_holds_other_pins_is_told_apart() {
    let lab = Lab::new("apart");
    let _daemon = lab.start(&["--mode", "generic"]);
    let other = format!("{}x", lab.pin_dir.display());
    let expected = format!(
        "the daemon on {} holds {}, not {other}",
        lab.socket().display(),
        lab.pin_dir.display()
    );
    for verb in ["status", "reload", "detach"] {
        let output = Command::new(binary())
            .args([verb, "--pin-dir", &other, "--socket"])
            .arg(lab.socket())
            .output()
            .unwrap();
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains(&expected), "{error}");
    }
    assert_eq!(lab.generation("wlan0"), Some(1));
}

#[test]
fn the_status_tells_the_port_that_was_chosen_and_nothing_that_nobody_knows() {
    let lab = Lab::new("told");
    let daemon = lab.start(&["--listen", "127.0.0.1:0"]);
    let status = lab.status();
    let listen = status["daemon"]["listen"].as_str().unwrap();
    let address = listen.trim_start_matches("http://").trim_end_matches('/');
    lab.gateway
        .run(|| std::net::TcpStream::connect(address))
        .expect("metrics are served there");
    assert_eq!(status["reload"]["success"], true);
    let reasons = &status["interfaces"][0]["unparsed"];
    assert!(reasons["non_ip"]["passed"]["packets"].is_u64(), "{reasons}");
    daemon.kill();
    let status = lab.status();
    assert_eq!(status["reload"], Value::Null);
    assert_eq!(status["daemon"], Value::Null);
}

/// Directories that another user owns or may write to: permission bits, owner,
/// and the words of the refusal.
const UNSAFE: [(u32, Option<u32>, &str); 4] = [
    (0o777, None, "chmod go-w"),
    (0o720, None, "chmod go-w"),
    (0o1777, None, "chmod go-w"),
    (0o700, Some(65534), "chown -h"),
];

#[test]
fn directories_that_others_may_change_are_refused_with_the_command_that_helps() {
    let lab = Lab::new("unsafe");
    let place = lab.directory.path().join("place");
    let inner = place.join("inner");
    let options: [(&str, &Path); 4] = [
        ("--state-dir", &place),
        ("--state-dir", &inner),
        ("--socket", &inner),
        ("--pin-dir", &lab.pin_dir),
    ];
    for (option, path) in options {
        for (mode, owner, fix) in UNSAFE {
            let open = if option == "--pin-dir" { path } else { &place };
            if mode & 0o1000 != 0 && path == inner && option == "--state-dir" {
                // Below a sticky directory such as /tmp it is safe.
                continue;
            }
            fs::create_dir(open).unwrap();
            let owner = owner.unwrap_or(lab.daemon_user());
            std::os::unix::fs::chown(open, Some(owner), Some(owner)).unwrap();
            fs::set_permissions(open, fs::Permissions::from_mode(mode)).unwrap();
            let error = refused(
                &lab,
                &[&RUN[..], &[option, path.to_str().unwrap()]].concat(),
            );
            for part in [
                "is not safe",
                open.to_str().unwrap(),
                &format!("mode {mode:04o}"),
                fix,
                option,
            ] {
                assert!(error.contains(part), "{option} {mode:o}: {part}: {error}");
            }
            fs::remove_dir_all(open).unwrap();
        }
    }
}

/// Another user could have created this directory before the first start.
#[test]
fn directories_of_others_inside_the_pin_directory_are_refused_too() {
    let lab = Lab::new("unsafe-links");
    let links = lab.pin_dir.join("links");
    fs::create_dir_all(&links).unwrap();
    lab.give(&lab.pin_dir);
    fs::set_permissions(&lab.pin_dir, fs::Permissions::from_mode(0o700)).unwrap();
    std::os::unix::fs::chown(&links, Some(65534), None).unwrap();
    let error = refused(&lab, &RUN);
    assert!(error.contains(links.to_str().unwrap()), "{error}");
    assert!(error.contains("chown -h"), "{error}");
}
