//! A feed must not be downloaded from an internal address: not after a
//! redirect, not through a name, not through a proxy.

use std::{
    fs::File,
    net::{IpAddr, TcpListener},
    process::{Command, Stdio},
};

use monitor::{
    feeds::{FetchError, Fetcher, Limits},
    lists::FeedUrl,
};
use sha2::{Digest as _, Sha256};

use crate::{
    Gateway, HELD, list, policies,
    server::{Server, answer},
    support::lab::{Daemon, Lab, poll, text},
};

/// Content of internal servers. It must not appear in any output.
const SECRET: &str = "45.66.77.0/24 swordfish\n";

/// An address of no special network, on the phone's end.
const OUTSIDE: &str = "45.9.200.1";

fn outside(lab: &Lab) -> TcpListener {
    lab.phone.ip(&format!("address add {OUTSIDE}/32 dev lo"));
    lab.gateway
        .ip(&format!("route add {OUTSIDE} via 10.77.0.2"));
    let address: IpAddr = OUTSIDE.parse().unwrap();
    lab.phone.run(|| TcpListener::bind((address, 0)).unwrap())
}

/// A server on each internal address.
fn inside(lab: &Lab) -> Vec<Server> {
    let gateways = [
        "127.0.0.2",
        "::1",
        "10.77.0.1",
        "fd77::1",
        "192.0.2.10",
        "2001:db8:1::10",
    ];
    let of_gateway = gateways.map(|address| lab.listen_tcp(address));
    let of_phone = ["10.77.0.2", "fd77::2"].map(|address| {
        let address: IpAddr = address.parse().unwrap();
        lab.phone.run(|| TcpListener::bind((address, 0)).unwrap())
    });
    let listeners = of_gateway.into_iter().chain(of_phone);
    let servers: Vec<Server> = listeners
        .map(|listener| Server::on(listener, None))
        .collect();
    for server in &servers {
        server.gives(SECRET);
    }
    servers
}

#[test]
fn a_redirect_does_not_lead_inside() {
    let gateway = Gateway::new("inside");
    let daemon = gateway.start();
    let servers = inside(&gateway.lab);
    let mut targets: Vec<String> = servers.iter().map(|server| server.url("/")).collect();
    let port = servers[0].address.port();
    targets.extend([
        "http://localhost:9641/metrics".to_owned(),
        format!("http://127.2:{port}/"),
        format!("http://2130706434:{port}/"),
        format!("http://[::ffff:127.0.0.2]:{port}/"),
        format!("http://[64:ff9b::7f00:2]:{port}/"),
        format!("http://[2002:7f00:2::]:{port}/"),
    ]);
    for target in targets {
        let to = target.clone();
        gateway.server.behaves(move |_, client| {
            answer(
                client,
                "302 Found",
                &format!("Location: {to}\r\n"),
                SECRET.as_bytes(),
            )
        });
        let feed = gateway.fetch();
        assert_eq!(feed["state"], "failed", "{target}: {feed:#}");
        let reason = feed["reason"].as_str().unwrap();
        assert!(
            reason.contains("no server may lead the daemon there"),
            "{target}: {reason}"
        );
        assert!(gateway.is_dropped(HELD), "{target}");
    }
    for server in &servers {
        assert!(server.requests().is_empty(), "{}", server.address);
    }
    let page = gateway.lab.page_at("/feeds");
    for told in [daemon.log(), gateway.lab.metrics(), page] {
        assert!(!told.contains("swordfish"), "{told}");
    }
}

#[test]
fn a_redirect_from_inside_may_lead_outside_and_back_to_its_own_host() {
    let gateway = Gateway::new("outside");
    let _daemon = gateway.start();
    let outside = Server::on(outside(&gateway.lab), None);
    let back = gateway.server.url("/back");
    outside.behaves(move |_, client| {
        answer(client, "302 Found", &format!("Location: {back}\r\n"), b"")
    });
    let there = outside.url("/there");
    gateway.server.behaves(move |head, client| {
        if head.starts_with("GET /back ") {
            return answer(client, "200 OK", "", list().as_bytes());
        }
        answer(client, "302 Found", &format!("Location: {there}\r\n"), b"")
    });
    let feed = gateway.fetch();
    assert_eq!(feed["state"], "current", "{feed:#}");
    assert_eq!(outside.requests().len(), 1);
}

#[test]
fn a_proxy_of_the_environment_is_not_asked() {
    let lab = Lab::new("proxy");
    let outside = Server::on(outside(&lab), None);
    outside.gives(list());
    let proxy = Server::on(lab.listen_tcp("127.0.0.1"), None);
    proxy.gives(SECRET);
    let hash = hex::encode(Sha256::digest(list()));
    lab.write_policies(&policies(
        &outside.url("/list"),
        &format!(", sha256: {hash}"),
    ));
    let mut command = lab.daemon_command(&["--interface", "wlan0"]);
    for name in [
        "ALL_PROXY",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "http_proxy",
        "https_proxy",
    ] {
        command.env(name, format!("http://{}", proxy.address));
    }
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let _daemon = Daemon::from_child(child.unwrap());
    poll("the list is fetched", || {
        let output = lab.monitor(&["status", "--json"]);
        serde_json::from_slice::<serde_json::Value>(&output.stdout)
            .is_ok_and(|status| status["feeds"][0]["state"] == "current")
    });
    assert!(!outside.requests().is_empty());
    assert!(proxy.requests().is_empty(), "{:?}", proxy.requests());
}

#[test]
fn a_name_does_not_lead_inside_and_localhost_is_the_operators_word() {
    let server = Server::here();
    server.gives(SECRET);
    let port = server.address.port();
    let fetch = |host: &str| {
        let url: FeedUrl = format!("http://{host}:{port}/").parse().unwrap();
        let fetcher = Fetcher::new(None, Limits::default()).unwrap();
        fetcher.fetch(&url, (None, None))
    };
    // The system's resolver reads these names as 127.0.0.1.
    for name in ["127.1", "2130706433", "0x7f.0.0.1", "0177.0.0.1"] {
        let error = fetch(name).unwrap_err();
        assert!(matches!(error, FetchError::Inside(_)), "{name}: {error}");
        assert!(
            error.to_string().contains("is 127.0.0.1, this machine"),
            "{error}"
        );
    }
    assert!(server.requests().is_empty());
    assert!(fetch("localhost").is_ok());
    assert!(fetch("127.0.0.1").is_ok());
}

/// Without netlink the daemon does not know the networks of the gateway. Then no
/// update is judged, not even one that the operator accepts.
#[test]
fn an_update_is_not_accepted_while_the_networks_of_the_gateway_are_unknown() {
    let gateway = Gateway::new("no-netlink");
    let daemon = gateway.start();
    gateway.server.gives("45.9.1.0/24\n45.10.0.0/16\n");
    assert_eq!(gateway.fetch()["state"], "refused");
    let said = gateway.lab.directory.path().join("strace.said");
    let tracer = Command::new("strace")
        .args(["-f", "-e", "trace=socket"])
        .args(["-e", "inject=socket:error=ENOBUFS"])
        .args(["-o", "/dev/null", "-p", &daemon.child.id().to_string()])
        .stderr(File::create(&said).unwrap())
        .spawn()
        .expect("run strace (Debian package strace)");
    let tracer = Daemon::from_child(tracer);
    poll("strace is attached", || {
        std::fs::read_to_string(&said).is_ok_and(|said| said.contains("attached"))
    });
    let refused = gateway.feed(&["accept", "bad", "--yes"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let why = text(&refused.stderr);
    assert!(why.contains("cannot be judged"), "{why}");
    drop(tracer);
    assert!(gateway.is_dropped(HELD), "the old list stays in force");
    let accepted = gateway.feed(&["accept", "bad", "--yes"]);
    assert!(accepted.status.success(), "{}", text(&accepted.stderr));
    assert!(gateway.is_dropped("45.10.7.7"));
}
