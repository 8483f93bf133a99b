//! Alerts from the real daemon to a real webhook, program and broker.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use crate::support;

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    panic,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use monitor::{
    alerts::{SigningKey, signature},
    store::alert_queue::{ALERTS_FILE, AlertQueue},
};
use serde_json::Value;
use support::lab::{BLOCKED, Daemon, Lab, OPEN, PHONE_MAC, POLICIES, poll, poll_long, text};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A request that the server got: its head in lower case, and its body.
#[derive(Clone)]
pub(crate) struct Got {
    head: String,
    body: String,
}

impl Got {
    fn header(&self, name: &str) -> &str {
        let mut lines = self.head.lines();
        lines
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
            .unwrap_or_else(|| panic!("no {name} in {}", self.head))
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// A server in the gateway's namespace. It answers 503 while `fails` is true.
pub(crate) struct Server {
    pub(crate) port: u16,
    got: Arc<Mutex<Vec<Got>>>,
    fails: Arc<Mutex<bool>>,
}

impl Server {
    pub(crate) fn start(lab: &Lab) -> Self {
        let listener = lab
            .gateway
            .run(|| TcpListener::bind("127.0.0.1:0").unwrap());
        let server = Self {
            port: listener.local_addr().unwrap().port(),
            got: Arc::default(),
            fails: Arc::default(),
        };
        let (got, fails) = (Arc::clone(&server.got), Arc::clone(&server.fails));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if let Some(request) = read(&stream) {
                    let answer = if *fails.lock().unwrap() {
                        "503 Busy"
                    } else {
                        got.lock().unwrap().push(request);
                        "204 No Content"
                    };
                    let _ = write!(
                        &stream,
                        "HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                    );
                }
            }
        });
        server
    }

    fn all(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    /// Waits for a message of this type whose text contains `part`.
    fn gets(&self, kind: &str, part: &str) -> Got {
        self.gets_any(&format!("a {kind} with {part:?} arrives"), |got| {
            let message = got.json();
            message["type"] == kind && message["data"]["text"].as_str().unwrap().contains(part)
        })
    }

    /// Waits for a request like this.
    pub(crate) fn gets_any(&self, what: &str, is_it: impl Fn(&Got) -> bool) -> Got {
        let mut found = None;
        poll_long(what, || {
            found = self.all().into_iter().find(&is_it);
            found.is_some()
        });
        found.unwrap()
    }
}

fn read(stream: &TcpStream) -> Option<Got> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let head = head.replace("\r\n", "\n").to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length?.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    Some(Got {
        head,
        body: text(&body),
    })
}

/// Writes a file for the daemon. Returns its path.
fn write_file(lab: &Lab, name: &str, content: &str, mode: u32) -> PathBuf {
    let path = lab.directory.path().join(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    lab.give(&path);
    path
}

/// A feed whose server does not answer.
const FEED: &str = "127.0.0.1:1/list";

/// The address of a device that comes later.
const NEW_MAC: &str = "64:cc:2e:99:88:77";

/// A policy file with a feed, whose devices have these names.
fn write_policies(lab: &Lab, devices: &str) {
    lab.write_policies(&format!(
        "{POLICIES}  - {{name: listed, action: drop, destinations: [{{list: 'http://{FEED}'}}]}}\n{devices}"
    ));
}

/// Each kind of alert from what really happens, to a webhook that fails for a while.
#[test]
fn every_alert_arrives_signed_once_and_over_a_restart() {
    let lab = Lab::new("alerts");
    lab.add_interface("wlan1");
    write_policies(&lab, "");
    let server = Server::start(&lab);
    write_file(&lab, "secret", SECRET, 0o640);
    let out = lab.directory.path().join("out");
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = 'a b' ] || exit 3\ncat >>{0}; echo >>{0}\n",
        out.display()
    );
    let script = write_file(&lab, "script", &script, 0o755);
    let config = format!(
        "notify:\n  targets:\n    home: {{webhook: 'http://127.0.0.1:{}/hook', secret_file: secret}}\n    \
         script: {{command: [{}, 'a b']}}\n  rules:\n    \
         - {{on: [first-contact], policies: [blocked], to: home}}\n    \
         - {{on: [first-contact, new-device], to: script, include: [mac, destination]}}\n    \
         - {{on: [new-device], to: home, include: [mac]}}\n    \
         - {{on: [interface-gone, guard-refusal, feed-stale, blind, loss], to: home}}\n",
        server.port,
        script.display(),
    );
    let config = write_file(&lab, "config.yaml", &config, 0o644);
    let start = ["--config", config.to_str().unwrap(), "--interface", "wlan1"];
    let daemon = lab.start(&start);
    a_test_is_signed(&lab, &server);
    let _daemon = first_contacts_arrive_over_a_restart(&lab, &server, &out, daemon, &start);
    // The killed daemon did not close the store. The feed was never fetched.
    server.gets("loss", "evidence was lost (killed)");
    server.gets("feed-stale", &format!("feed {FEED} is not up to date"));
    what_happens_is_told(&lab, &server);
    let contacts = server.all();
    let contacts = contacts
        .iter()
        .filter(|got| got.json()["type"] == "first-contact");
    assert_eq!(contacts.count(), 1, "one alert for a device and a policy");
    let log = fs::read_to_string(lab.directory.path().join("daemon.log")).unwrap();
    assert!(!log.contains("MfKQ") && !log.contains("/hook"), "{log}");
}

fn a_test_is_signed(lab: &Lab, server: &Server) {
    let test = lab.monitor(&["notify", "test"]);
    assert!(test.status.success(), "{}", text(&test.stderr));
    let got = server.gets("test", "notify test");
    let key = SigningKey::parse(SECRET).unwrap();
    let time = got.header("webhook-timestamp").parse().unwrap();
    // The head is in lower case, and so is the signature in it.
    let expected = signature(&key, got.header("webhook-id"), time, got.body.as_bytes());
    assert_eq!(got.header("webhook-signature"), expected.to_lowercase());
    assert_eq!(
        lab.monitor(&["notify", "test", "nobody"]).status.code(),
        Some(1)
    );
}

/// The queue remembers what was there before, then alerts about the first contact. The daemon is
/// killed while the webhook fails.
fn first_contacts_arrive_over_a_restart(
    lab: &Lab,
    server: &Server,
    out: &Path,
    daemon: Daemon,
    start: &[&str],
) -> Daemon {
    let state = lab.directory.path().join("state");
    poll_long("the queue is ready", || {
        let is_primed = |queue: AlertQueue| queue.cursor().unwrap().is_some();
        state.join(ALERTS_FILE).exists() && is_primed(AlertQueue::open(&state).unwrap())
    });
    *server.fails.lock().unwrap() = true;
    write_policies(lab, &format!("devices: {{phone: \"{PHONE_MAC}\"}}\n"));
    assert!(lab.monitor(&["reload"]).status.success());
    lab.send_udp(BLOCKED[0], 3);
    lab.send_udp(BLOCKED[0], 3);
    lab.send_udp(OPEN[0], 3);
    // It also stores what the kernel has recorded.
    assert!(lab.monitor(&["flows"]).status.success());
    // The policy covers both addresses, and either can be the first that is stored.
    let expected = "first contact of phone (64:cc:2e:11:22:33) with policy seen: ";
    let ran = || fs::read_to_string(out).unwrap_or_default();
    let has_run = panic::catch_unwind(|| poll_long("the script ran", || ran().contains(expected)));
    let log = fs::read_to_string(lab.directory.path().join("daemon.log")).unwrap();
    assert!(
        has_run.is_ok(),
        "the script got:\n{}\nthe daemon said:\n{log}",
        ran()
    );
    daemon.kill();
    // A command that the daemon was about to start holds its lock until it executes.
    let lock = lab.directory.path().join("monitor.sock.lock");
    poll("the lock of the killed daemon is free", || {
        let mut command = Command::new("flock");
        let command = command.arg("--nonblock").arg(&lock).arg("true");
        command.status().unwrap().success()
    });
    *server.fails.lock().unwrap() = false;
    let daemon = lab.start(start);
    let got = server.gets(
        "first-contact",
        "first contact of phone with policy blocked",
    );
    let message = got.json();
    assert_eq!(message["data"]["dropped"], true, "{message}");
    assert_eq!(message["data"]["device"]["name"], "phone");
    for private in [PHONE_MAC, BLOCKED[0], "udp"] {
        assert!(!got.body.contains(private), "{}", got.body);
    }
    daemon
}

/// Conditions begin at the same time, so that the test waits for all of them once. A policy that
/// would lock out the network is told.
fn what_happens_is_told(lab: &Lab, server: &Server) {
    lab.gateway.ip("link delete wlan1");
    lab.add_interface("lan1");
    lab.gateway.ip("address add 10.78.0.1/24 dev lan1");
    lab.gateway
        .run(|| fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap());
    // The daemon would look by itself within a minute.
    lab.monitor(&["doctor"]);
    lab.phone.ip(&format!("link set eth0 address {NEW_MAC}"));
    lab.send_udp(OPEN[0], 3);
    assert!(lab.monitor(&["flows"]).status.success());
    server.gets("interface-gone", "wlan1 is NOT filtered");
    lab.add_interface("wlan1");
    lab.write_policies(
        "version: 1\npolicies: [{name: all, action: drop, destinations: [10.77.0.0/24]}]\n",
    );
    assert!(!lab.monitor(&["reload"]).status.success());
    server.gets("blind", "something is not seen (interface)");
    server.gets("guard-refusal", "would lock out");
    let new = server.gets("new-device", "is new on this network").json();
    assert_eq!(new["data"]["device"]["mac"], NEW_MAC, "{new}");
    server.gets("interface-gone", "wlan1 is filtered again");
}

/// A broker gets the alert, and what Home Assistant needs.
#[test]
fn a_broker_and_a_mail_program_get_a_test() {
    let lab = Lab::new("alerts-broker");
    let out = lab.directory.path().join("mail");
    let sendmail = format!("#!/bin/sh\n(echo \"$@\"; cat) >{}\n", out.display());
    let sendmail = write_file(&lab, "sendmail", &sendmail, 0o755);
    write_file(&lab, "password", "geheim\n", 0o640);
    let users = write_file(&lab, "users", "monitor:geheim\n", 0o600);
    let hashed = Command::new("mosquitto_passwd")
        .args(["-U", users.to_str().unwrap()])
        .output();
    let hashed = hashed.expect("run mosquitto_passwd (Debian package mosquitto)");
    assert!(hashed.status.success(), "{}", text(&hashed.stderr));
    let broker = format!(
        "listener 1883 127.0.0.1\nuser root\nallow_anonymous false\npassword_file {}\n",
        users.display()
    );
    let broker = write_file(&lab, "mosquitto.conf", &broker, 0o644);
    let mut mosquitto = lab.gateway.command("mosquitto");
    mosquitto.args(["-c", broker.to_str().unwrap()]);
    let mosquitto = mosquitto
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _mosquitto = Daemon::from_child(mosquitto.unwrap());
    let config = format!(
        "notify:\n  targets:\n    broker: {{mqtt: 127.0.0.1, user: monitor, password_file: password, topic: monitor/gw}}\n    \
         post: {{mail: me@example.net, from: gw@example.net, sendmail: {}}}\n    \
         gone: {{command: [/nowhere/alert]}}\n",
        sendmail.display()
    );
    let config = write_file(&lab, "config.yaml", &config, 0o644);
    let _daemon = lab.start(&["--config", config.to_str().unwrap()]);
    poll("the broker takes the test", || {
        lab.monitor(&["notify", "test", "broker"]).status.success()
    });
    let mut command = lab.gateway.command("mosquitto_sub");
    let subscribed = command
        .args([
            "-u", "monitor", "-P", "geheim", "-t", "#", "-v", "-C", "3", "-W", "10",
        ])
        .output()
        .expect("run mosquitto_sub (Debian package mosquitto-clients)");
    let retained = text(&subscribed.stdout);
    assert!(retained.contains("monitor/gw/problem OFF"), "{retained}");
    let event = retained
        .lines()
        .find_map(|line| line.strip_prefix("homeassistant/event/monitor_gw/alert/config "));
    let event: Value = serde_json::from_str(event.unwrap_or_else(|| panic!("{retained}"))).unwrap();
    assert_eq!(event["state_topic"], "monitor/gw/alert");
    assert!(
        event["event_types"]
            .as_array()
            .unwrap()
            .contains(&"first-contact".into())
    );

    let sent = lab.monitor(&["notify", "test", "--json"]);
    assert_eq!(sent.status.code(), Some(1), "one target cannot be started");
    let sent: Value = serde_json::from_slice(&sent.stdout).unwrap();
    let error = |target: &str| {
        let mut sent = sent.as_array().unwrap().iter();
        sent.find(|one| one["target"] == target).unwrap()["error"].clone()
    };
    assert!(
        error("gone").as_str().unwrap().contains("/nowhere/alert"),
        "{sent}"
    );
    assert_eq!((error("post"), error("broker")), (Value::Null, Value::Null));
    let mail = fs::read_to_string(out).unwrap();
    assert!(
        mail.starts_with("-i -f gw@example.net -- me@example.net\nFrom: gw@example.net\n"),
        "{mail}"
    );
    assert!(mail.contains("\nSubject: monitor: test\n"), "{mail}");
}
