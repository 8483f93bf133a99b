//! The control socket: permissions, and robustness against its clients.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use crate::support;

use std::{
    fs,
    io::{Read as _, Write as _},
    net::Shutdown,
    os::unix::{
        fs::{FileTypeExt as _, PermissionsExt as _},
        net::UnixStream,
    },
    path::Path,
    process::Output,
    time::Duration,
};

use monitor::control::MAX_CLIENTS;
use serde_json::Value;
use support::lab::{Lab, POLICIES, copy_binary, poll, text};

/// One client less than the daemon serves at the same time.
const SILENT_CLIENTS: usize = MAX_CLIENTS - 1;

#[test]
fn what_is_no_request_is_refused_and_changes_nothing() {
    let lab = Lab::new("garbage");
    let mut daemon = lab.start(&["--mode", "generic"]);
    let oversized = format!("{{\"verb\":\"{}\"}}\n", "x".repeat(1 << 20));
    // The first 4096 bytes alone would be a valid request.
    let padded = format!("{{\"verb\":\"detach\"}}{} x\n", " ".repeat(5000));
    let requests: [&[u8]; 9] = [
        b"",
        b"\n",
        b"garbage\n",
        b"\xff\xfe\0\x80\n",
        b"{\"verb\":\"detach\"\n",
        b"{\"verb\":\"dance\"}\n",
        b"{\"verb\":\"detach\"}",
        oversized.as_bytes(),
        padded.as_bytes(),
    ];
    for request in requests {
        let answer = exchange(&lab.socket(), request);
        let shown = text(&request[..request.len().min(80)]);
        assert!(
            answer.is_empty() || answer.starts_with("{\"refused\":"),
            "{shown}: {answer}"
        );
        let status = lab.status();
        assert_eq!(status["daemon"]["pid"], daemon.child.id(), "{shown}");
        assert_eq!(status["interfaces"][0]["generation"], 1, "{shown}");
    }
    assert!(daemon.is_running());
}

#[test]
fn a_request_with_an_unknown_key_is_refused() {
    let lab = Lab::new("unknown-key");
    let _daemon = lab.start(&["--mode", "generic"]);
    for verb in ["status", "reload", "confirm", "detach"] {
        let request = format!("{{\"verb\":\"{verb}\",\"confirmed\":120}}\n");
        let answer = exchange(&lab.socket(), request.as_bytes());
        assert!(answer.starts_with("{\"refused\":"), "{verb}: {answer}");
    }
    assert_eq!(lab.generation("wlan0"), Some(1));
}

#[test]
fn clients_that_say_nothing_keep_nobody_waiting() {
    let lab = Lab::new("silent");
    let _daemon = lab.start(&["--mode", "generic"]);
    let silent: Vec<_> = (0..SILENT_CLIENTS)
        .map(|_| UnixStream::connect(lab.socket()).unwrap())
        .collect();
    (&silent[0]).write_all(b"{\"verb\":").unwrap();
    assert_eq!(lab.generation("wlan0"), Some(1));
    assert!(lab.monitor(&["reload"]).status.success());
    assert_eq!(lab.generation("wlan0"), Some(2));
    for client in &silent {
        client.set_nonblocking(true).unwrap();
        let still_open = (&mut &*client).read(&mut [0]).unwrap_err();
        assert_eq!(still_open.kind(), std::io::ErrorKind::WouldBlock);
    }
}

#[test]
fn only_who_may_open_the_socket_is_answered_and_only_root_changes_anything() {
    let lab = Lab::new("access");
    let daemon = lab.start(&["--mode", "generic"]);
    let socket = fs::metadata(lab.socket()).unwrap();
    assert!(socket.file_type().is_socket());
    assert_eq!(socket.permissions().mode() & 0o777, 0o660);

    open_directory(&lab);
    for verb in ["status", "reload", "confirm", "detach"] {
        let output = as_nobody(&lab, verb);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{verb}: {error}");
        assert!(output.stdout.is_empty(), "{verb}");
        let names_it =
            error.contains("Permission denied") && error.contains(lab.socket().to_str().unwrap());
        assert!(names_it, "{verb}: {error}");
        assert!(error.contains("member of the socket's group"), "{error}");
    }

    // An operator may do this for a dashboard.
    fs::set_permissions(lab.socket(), fs::Permissions::from_mode(0o666)).unwrap();
    let status = as_nobody(&lab, "status");
    assert!(status.status.success(), "{}", text(&status.stderr));
    assert_eq!(json(&status)["daemon"]["pid"], daemon.child.id());
    for verb in ["reload", "confirm", "detach", "capture seen --output -"] {
        let output = as_nobody(&lab, verb);
        assert_eq!(output.status.code(), Some(1), "{verb}");
        assert!(text(&output.stderr).contains("only root"), "{verb}");
        assert_eq!(lab.generation("wlan0"), Some(1), "{verb}");
    }
}

#[test]
fn json_stands_alone_on_standard_output() {
    let lab = Lab::new("json");
    let mut daemon = lab.start(&["--mode", "generic"]);
    let status = json(&lab.monitor(&["--json", "status"]));
    assert_eq!(status["policies"][0]["name"], "blocked");

    let reload = lab.monitor(&["reload", "--json"]);
    assert!(reload.status.success());
    assert_eq!(json(&reload)["generation"], 2);

    lab.write_policies(&POLICIES.replace("action: drop", "action: dorp"));
    let failed = lab.monitor(&["reload", "--json"]);
    assert_eq!(failed.status.code(), Some(1));
    assert_eq!(json(&failed)["reload"]["success"], false);
    assert!(text(&failed.stderr).contains("dorp"));

    let detach = lab.monitor(&["detach", "--json"]);
    assert!(detach.status.success(), "{}", text(&detach.stderr));
    assert_eq!(json(&detach), serde_json::json!({"detached": ["wlan0"]}));
    poll("the daemon ends", || !daemon.is_running());
}

#[test]
fn a_client_that_hangs_up_leaves_no_daemon_without_a_filter() {
    let lab = Lab::new("hang-up");
    let mut daemon = lab.start(&["--mode", "generic"]);
    let mut client = UnixStream::connect(lab.socket()).unwrap();
    client.write_all(b"{\"verb\":\"detach\"}\n").unwrap();
    drop(client);
    poll("the daemon ends", || !daemon.is_running());
    assert!(!lab.pin_dir.exists());
    assert!(!lab.socket().exists());
}

#[test]
fn a_detach_that_fails_fails_again_until_it_succeeds() {
    let lab = Lab::new("detach-fails");
    let mut daemon = lab.start(&["--mode", "generic"]);
    // A file that is not a link cannot be detached.
    let link = lab.pin_dir.join("links").join(hex::encode("wlan0"));
    let aside = lab.pin_dir.join("aside");
    fs::rename(&link, &aside).unwrap();
    let map = find_pin(&lab.pin_dir);
    fs::rename(&map, &link).unwrap();
    for attempt in ["first", "second"] {
        let answer = exchange(&lab.socket(), b"{\"verb\":\"detach\"}\n");
        assert!(
            answer.contains("detach the filter from wlan0"),
            "{attempt}: {answer}"
        );
        assert!(daemon.is_running());
    }
    fs::rename(&link, &map).unwrap();
    fs::rename(&aside, &link).unwrap();
    let answer = exchange(&lab.socket(), b"{\"verb\":\"detach\"}\n");
    assert_eq!(answer, "{\"detached\":[\"wlan0\"]}\n");
    poll("the daemon ends", || !daemon.is_running());
    assert!(!lab.pin_dir.exists());
}

/// A pinned map of the state.
fn find_pin(pin_dir: &Path) -> std::path::PathBuf {
    let version = fs::read_dir(pin_dir)
        .unwrap()
        .flatten()
        .find(|entry| entry.file_name().to_string_lossy().starts_with('v'))
        .expect("a versioned directory");
    fs::read_dir(version.path())
        .unwrap()
        .flatten()
        .find(|entry| entry.file_type().unwrap().is_file())
        .expect("a pinned map")
        .path()
}

/// Sends these bytes, ends the request, and reads until the connection is
/// closed.
fn exchange(socket: &Path, request: &[u8]) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    // The daemon may close the connection before a request that is too long is
    // sent completely.
    let _ = stream.write_all(request);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
    }
    text(&answer)
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", text(&output.stdout)))
}

/// Lets every user enter the socket's directory, and copies the binary there,
/// because the original may be in a private directory.
fn open_directory(lab: &Lab) {
    let directory = lab.directory.path();
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
    copy_binary(directory);
}

fn as_nobody(lab: &Lab, verb: &str) -> Output {
    let user = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    std::process::Command::new("setpriv")
        .args(user)
        .arg(lab.directory.path().join("monitor"))
        .args(verb.split(' '))
        .args(["--json", "--socket"])
        .arg(lab.socket())
        .output()
        .expect("run setpriv (Debian package util-linux)")
}
