//! The endpoints of metrics and page, and the requests that they answer. The
//! filter works without them.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use crate::support;

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    os::unix::{
        fs::{FileTypeExt as _, PermissionsExt as _},
        net::{UnixListener, UnixStream},
    },
    path::Path,
    sync::atomic::Ordering,
    thread,
    time::Duration,
};

use serde_json::Value;
use support::{
    datagrams::{count_arrivals, send},
    lab::{BLOCKED, Lab, poll, text},
};

const TOKEN: &str = "a-token-of-thirty-two-characters";

/// The endpoints in `status`, in their order.
fn endpoints(lab: &Lab) -> Vec<Value> {
    let status = lab.status();
    status["daemon"]["endpoints"].as_array().unwrap().clone()
}

#[test]
fn a_port_that_another_process_holds_does_not_keep_the_filter_from_starting() {
    let lab = Lab::new("held");
    let (blocked, received) = count_arrivals(&lab, BLOCKED[0]);
    let bind = || TcpListener::bind("127.0.0.1:9641");
    let holder = lab.gateway.run(bind).unwrap();
    let daemon = lab.start(&["--mode", "generic"]);
    send(&lab, blocked, 10);
    assert_eq!(lab.policy("blocked"), (0, 10));
    assert_eq!(received.load(Ordering::Relaxed), 0);

    let status = lab.status();
    let check = &status["checks"][0];
    assert_eq!(check["id"], "http", "{status:#}");
    assert_eq!(check["status"], "degraded");
    assert!(check["why"].as_str().unwrap().contains("in use"), "{check}");
    assert_eq!(endpoints(&lab)[0]["serving"], false);
    let shown = text(&lab.monitor(&["status"]).stdout);
    assert!(
        shown.contains("NOT SERVED at http://127.0.0.1:9641/"),
        "{shown}"
    );

    // After several attempts the log has one line for the failure and one for
    // its end.
    thread::sleep(Duration::from_secs(5));
    let told = |what: &str| daemon.log().matches(what).count();
    assert_eq!(told("NOT served"), 1, "{}", daemon.log());
    drop(holder);
    poll("it is served", || endpoints(&lab)[0]["serving"] == true);
    assert!(lab.metrics().contains("monitor_attached{"));
    assert_eq!(lab.status()["checks"], Value::Array(Vec::new()));
    assert_eq!(told("NOT served"), 1, "{}", daemon.log());
    assert_eq!(told("are served at http://127.0.0.1:9641/"), 1);
}

#[test]
fn addresses_that_come_later_are_served_when_they_come() {
    let lab = Lab::new("later");
    let later = ["10.99.0.1:9641", "[fd99::1]:9641"];
    let daemon = lab.start(&[
        "--listen",
        "127.0.0.1:9641",
        "--listen",
        later[0],
        "--listen",
        later[1],
    ]);
    assert_eq!(lab.generation("wlan0"), Some(1));
    let serving = || {
        endpoints(&lab)
            .iter()
            .filter(|one| one["serving"] == true)
            .count()
    };
    assert_eq!(serving(), 1, "{:?}", endpoints(&lab));
    assert_eq!(lab.status()["checks"].as_array().unwrap().len(), 2);
    assert!(
        daemon.log().contains("no interface has this address"),
        "{}",
        daemon.log()
    );
    lab.gateway.ip("address add 10.99.0.1/32 dev lo");
    lab.gateway.ip("address add fd99::1/128 dev lo nodad");
    poll("both are served", || serving() == 3);
    for address in later {
        let page = lab.try_get(address.parse().unwrap(), "/healthz", "");
        assert!(page.unwrap().ends_with("ok\n"), "{address}");
    }
}

#[test]
fn a_socket_file_is_for_its_owner_and_group_and_needs_no_host() {
    let lab = Lab::new("http-unix");
    let path = lab.directory.path().join("run/http.sock");
    let listen = format!("unix:{}", path.display());
    let daemon = lab.start(&["--listen", &listen]);
    let found = fs::metadata(&path).unwrap();
    assert!(found.file_type().is_socket());
    assert_eq!(found.permissions().mode() & 0o777, 0o660);
    assert!(ask(&path, "gateway").contains("monitor_attached{"));
    assert_eq!(lab.status()["daemon"]["listen"], listen);

    // A killed daemon leaves the socket file, and the next one replaces it.
    daemon.kill();
    assert!(path.exists());
    let mut daemon = lab.start(&["--listen", &listen]);
    assert!(ask(&path, "localhost").contains("monitor_attached{"));
    daemon.signal(nix::sys::signal::Signal::SIGTERM);
    poll("the daemon ends", || !daemon.is_running());
    assert!(!path.exists());
}

#[test]
fn what_lies_in_the_way_of_a_socket_file_is_left_alone_and_the_filter_is_in_force() {
    let lab = Lab::new("http-way");
    let path = lab.directory.path().join("http.sock");
    let listen = format!("unix:{}", path.display());
    let why = || endpoints(&lab)[0]["error"].to_string();
    fs::write(&path, "precious").unwrap();
    let _daemon = lab.start(&["--listen", &listen]);
    assert_eq!(lab.generation("wlan0"), Some(1));
    assert!(why().contains("something else than a socket"), "{}", why());
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");

    fs::remove_file(&path).unwrap();
    let other = UnixListener::bind(&path).unwrap();
    // The daemon's user needs access, to find out which process listens on it.
    lab.give(&path);
    poll("the other is told", || why().contains("another process"));
    drop(other);
    poll("it is served", || endpoints(&lab)[0]["serving"] == true);
}

#[test]
fn a_socket_file_where_others_may_write_is_not_served_until_they_may_not() {
    let lab = Lab::new("http-open");
    let open = lab.directory.path().join("open");
    fs::create_dir(&open).unwrap();
    lab.give(&open);
    let set = |mode| fs::set_permissions(&open, fs::Permissions::from_mode(mode)).unwrap();
    set(0o777);
    let listen = format!("unix:{}", open.join("http.sock").display());
    let _daemon = lab.start(&["--listen", &listen]);
    assert_eq!(lab.generation("wlan0"), Some(1));
    let error = endpoints(&lab)[0]["error"].to_string();
    assert!(error.contains("chmod go-w"), "{error}");
    set(0o755);
    poll("it is served", || endpoints(&lab)[0]["serving"] == true);
}

#[test]
fn over_tcp_only_requests_with_the_token_are_answered() {
    let lab = Lab::new("token");
    let file = lab.directory.path().join("token");
    fs::write(&file, format!("{TOKEN}\n")).unwrap();
    lab.give(&file);
    let set = |mode| fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    set(0o644);
    let socket = lab.directory.path().join("http.sock");
    let daemon = lab.start(&[
        "--listen",
        "127.0.0.1:9641",
        "--listen",
        &format!("unix:{}", socket.display()),
        "--listen-token-file",
        file.to_str().unwrap(),
    ]);
    // The daemon refuses a token file that others can read, and serves nothing
    // over TCP.
    assert_eq!(lab.generation("wlan0"), Some(1));
    assert!(daemon.log().contains("chmod 0640"), "{}", daemon.log());
    let address = "127.0.0.1:9641".parse().unwrap();
    assert!(lab.try_get(address, "/metrics", "").is_err());
    assert!(ask(&socket, "localhost").contains("monitor_attached{"));

    set(0o640);
    poll("it is served", || endpoints(&lab)[0]["serving"] == true);
    let get = |path: &str, headers: &str| lab.try_get(address, path, headers).unwrap();
    let shown = format!("Authorization: Bearer {TOKEN}\r\n");
    for path in ["/", "/metrics", "/healthz"] {
        assert!(get(path, &shown).starts_with("HTTP/1.1 200"), "{path}");
        let wrong = shown.replace("thirty", "twenty");
        for headers in ["", "Authorization: Bearer \r\n", &wrong] {
            let answer = get(path, headers);
            assert!(answer.starts_with("HTTP/1.1 401"), "{path}: {answer}");
            assert!(
                answer.to_lowercase().contains("www-authenticate: bearer"),
                "{answer}"
            );
            assert!(!answer.contains("wlan0"), "{answer}");
        }
    }
    assert!(!daemon.log().contains(TOKEN));
}

/// The answer over a socket file to a request for this host.
fn ask(path: &Path, host: &str) -> String {
    let mut stream = UnixStream::connect(path).expect("connect to metrics");
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
