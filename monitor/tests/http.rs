//! The endpoint over real sockets of the loopback interface.

mod snapshots;

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, mpsc},
    time::Duration,
};

use monitor::{
    http::{Limits, ReadSnapshot, Site, serve},
    metrics::{self, DeviceKey, DeviceLabel, DeviceLabels},
    policy::MacAddress,
    snapshot::Snapshot,
};
use snapshots::{PHONE, gateway, verdicts};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{Mutex, oneshot},
    task::JoinHandle,
};

/// A test that hangs longer has failed; nothing is measured.
const HANGS: Duration = Duration::from_secs(60);

struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<io::Result<()>>,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

fn site(read_snapshot: ReadSnapshot, names: &[(MacAddress, &str)], limits: Limits) -> Site {
    let names: BTreeMap<_, _> = names
        .iter()
        .map(|(mac, name)| (*mac, (*name).to_owned()))
        .collect();
    let key = DeviceKey::new([7; DeviceKey::LEN]);
    let labels = DeviceLabels::new(DeviceLabel::Pseudonym, key, names, 100_000);
    Site {
        read_snapshot,
        interfaces: vec!["br-lan".to_owned()],
        labels: Arc::new(Mutex::new(labels)),
        limits,
    }
}

fn showing(snapshot: Snapshot) -> Site {
    site(
        Arc::new(move || Ok(snapshot.clone())),
        &[(PHONE, "phone")],
        Limits::default(),
    )
}

async fn start(site: Site) -> Server {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(serve(listener, site, async {
        stopped.await.ok();
    }));
    Server {
        address,
        stop,
        task,
    }
}

impl Server {
    async fn ask(&self, method: &str, path: &str) -> Answer {
        self.send(&format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\n\r\n",
            self.address
        ))
        .await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path).await
    }

    async fn send(&self, request: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        read_answer(&mut stream).await
    }
}

async fn read_answer(stream: &mut TcpStream) -> Answer {
    let bytes = read_to_end(stream).await;
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no head: {text:?}"));
    Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head: head.to_ascii_lowercase(),
        body: body.to_owned(),
    }
}

/// All that the server sends until it closes the connection.
async fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = vec![];
    let ended = tokio::time::timeout(HANGS, stream.read_to_end(&mut bytes))
        .await
        .expect("the server does not close");
    match ended {
        Ok(_) => {}
        // Closed with something of ours unread.
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
    }
    bytes
}

#[tokio::test]
async fn metrics_are_served_as_openmetrics() {
    let server = start(showing(gateway())).await;
    let answer = server.get("/metrics").await;
    assert_eq!(answer.status, 200);
    assert!(
        answer
            .head
            .contains(&format!("\r\ncontent-type: {}", metrics::CONTENT_TYPE)),
        "{}",
        answer.head
    );
    let exposition = openmetrics_parser::openmetrics::parse_openmetrics(&answer.body).unwrap();
    assert_eq!(exposition.families.len(), 15);
    assert!(
        answer
            .body
            .contains("{device=\"phone\",policy=\"telemetry\",verdict=\"dropped\"} 20\n")
    );
}

#[tokio::test]
async fn head_has_no_body_and_other_methods_are_refused() {
    let server = start(showing(gateway())).await;
    for path in ["/", "/metrics", "/healthz"] {
        let head = server.ask("HEAD", path).await;
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{path}");
        for method in [
            "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT",
        ] {
            let answer = server.ask(method, path).await;
            assert_eq!(answer.status, 405, "{method} {path}");
            assert!(!answer.body.contains("telemetry"));
        }
    }
    assert_eq!(server.get("/nothing").await.status, 404);
}

#[tokio::test]
async fn healthy_is_attached_with_a_generation() {
    let server = start(showing(gateway())).await;
    let answer = server.get("/healthz").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "ok\n"));
}

#[tokio::test]
async fn a_failed_reload_is_told_and_healthy() {
    let mut snapshot = gateway();
    snapshot.reload.success = false;
    let answer = start(showing(snapshot)).await.get("/healthz").await;
    assert_eq!(answer.status, 200);
    assert!(answer.body.starts_with("ok\n"), "{}", answer.body);
    assert!(answer.body.contains("reload failed"), "{}", answer.body);
}

#[tokio::test]
async fn unhealthy_says_which_interface_and_why() {
    let mut detached = gateway();
    detached.interfaces[0].mode = None;
    let mut without_generation = gateway();
    without_generation.interfaces[0].generation = None;
    let mut unknown = gateway();
    unknown.interfaces.clear();
    let cases = [
        (detached, "br-lan: the filter is not attached\n"),
        (without_generation, "br-lan: no generation is in force\n"),
        (unknown, "br-lan: the filter is not attached\n"),
    ];
    for (snapshot, body) in cases {
        let answer = start(showing(snapshot)).await.get("/healthz").await;
        assert_eq!((answer.status, answer.body.as_str()), (503, body));
    }
}

#[tokio::test]
async fn a_failed_snapshot_is_an_error_with_its_reason() {
    let failing = site(
        Arc::new(|| Err("read map DEVICES: <denied>".to_owned())),
        &[],
        Limits::default(),
    );
    let server = start(failing).await;
    for path in ["/", "/metrics", "/healthz"] {
        let answer = server.get(path).await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (500, "read map DEVICES: <denied>\n"),
            "{path}"
        );
        assert!(
            answer.head.contains("content-type: text/plain"),
            "{}",
            answer.head
        );
    }
}

#[tokio::test]
async fn a_panic_in_a_snapshot_is_one_failed_answer() {
    let server = start(site(
        Arc::new(|| panic!("for this test")),
        &[],
        Limits::default(),
    ))
    .await;
    for _ in 0..2 {
        assert_eq!(server.get("/metrics").await.status, 500);
    }
}

#[tokio::test]
async fn foreign_hosts_are_refused_on_every_path() {
    let server = start(showing(gateway())).await;
    for path in ["/", "/metrics", "/healthz", "/nothing"] {
        let answer = server
            .send(&format!(
                "GET {path} HTTP/1.1\r\nHost: rebound.example\r\n\r\n"
            ))
            .await;
        assert_eq!(answer.status, 421, "{path}");
        assert!(
            answer.body.contains("put the address in place of the name"),
            "{}",
            answer.body
        );
        assert!(!answer.body.contains("telemetry"));
    }
    let port = server.address.port();
    for host in [
        format!("localhost:{port}"),
        "127.0.0.1".to_owned(),
        format!("[::1]:{port}"),
    ] {
        let answer = server
            .send(&format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n"))
            .await;
        assert_eq!(answer.status, 200, "{host}");
    }
    assert_eq!(server.send("GET / HTTP/1.1\r\n\r\n").await.status, 400);
}

#[tokio::test]
async fn every_answer_has_the_security_headers() {
    let server = start(showing(gateway())).await;
    let foreign = server
        .send("GET / HTTP/1.1\r\nHost: rebound.example\r\n\r\n")
        .await;
    let answers = [
        server.get("/").await,
        server.get("/metrics").await,
        server.get("/nothing").await,
        foreign,
    ];
    for answer in answers {
        for header in [
            "content-security-policy: default-src 'none'; ",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "cache-control: no-store",
        ] {
            assert!(
                answer.head.contains(header),
                "{header} is not in {}",
                answer.head
            );
        }
        assert!(!answer.head.contains("access-control"), "{}", answer.head);
    }
}

#[tokio::test]
async fn the_page_escapes_every_value() {
    let hostile = |what: &str| format!("<script>{what}</script>\"'&");
    let mut snapshot = gateway();
    snapshot.interfaces[0].name = hostile("interface");
    snapshot.interfaces[0].unparsed[0].0 = hostile("reason");
    snapshot.policies[1].name = hostile("policy");
    snapshot.reload.success = false;
    snapshot.reload.error = Some(hostile("error"));
    let device = hostile("device");
    let mut site = site(
        Arc::new(move || Ok(snapshot.clone())),
        &[(PHONE, &device)],
        Limits::default(),
    );
    site.interfaces = vec![hostile("expected")];
    let answer = start(site).await.get("/").await;
    assert!(
        answer
            .head
            .contains("content-type: text/html; charset=utf-8"),
        "{}",
        answer.head
    );
    assert!(!answer.body.contains("<script"), "{}", answer.body);
    for what in [
        "interface",
        "reason",
        "policy",
        "error",
        "device",
        "expected",
    ] {
        let escaped = format!("&lt;script&gt;{what}&lt;/script&gt;&quot;'&amp;");
        assert!(
            answer.body.contains(&escaped),
            "{escaped} is not in {}",
            answer.body
        );
    }
}

#[tokio::test]
async fn the_page_shows_devices_without_their_mac() {
    let answer = start(showing(gateway())).await.get("/").await;
    assert!(answer.body.contains("phone"));
    assert!(answer.body.contains("device-"));
    assert!(!answer.body.contains("64:cc:2e"), "{}", answer.body);
    assert!(
        !answer.body.contains("http://") && !answer.body.contains("https://"),
        "not self-contained"
    );
}

#[tokio::test]
async fn an_oversized_header_is_refused() {
    let server = start(showing(gateway())).await;
    let large = "a".repeat(Limits::default().header_bytes);
    let answer = server
        .send(&format!(
            "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: {large}\r\n\r\n"
        ))
        .await;
    assert_eq!(answer.status, 431);
    let many = "X: a\r\n".repeat(200);
    let answer = server
        .send(&format!("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n{many}\r\n"))
        .await;
    assert_eq!(answer.status, 431);
    assert_eq!(server.get("/").await.status, 200);
}

/// One place, and little time to ask.
fn strict() -> Limits {
    Limits {
        connections: 1,
        header_time: Duration::from_millis(100),
        ..Limits::default()
    }
}

#[tokio::test]
async fn who_never_finishes_asking_makes_room() {
    let mut site = showing(gateway());
    site.limits = strict();
    let server = start(site).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    slow.write_all(b"GET /metrics HT").await.unwrap();
    // Only one place: this is answered when both others were sent away.
    assert_eq!(server.get("/healthz").await.status, 200);
    for stream in [&mut silent, &mut slow] {
        let bytes = read_to_end(stream).await;
        assert!(
            !bytes.starts_with(b"HTTP/1.1 200"),
            "{}",
            String::from_utf8_lossy(&bytes)
        );
    }
}

/// More metrics than the socket buffers of both sides can hold.
fn crowded() -> Snapshot {
    let mut snapshot = gateway();
    let device = snapshot.policies[1].devices[0].clone();
    snapshot.policies[1].devices = (0..60_000_u32)
        .map(|number| {
            let [a, b, c, d] = number.to_be_bytes();
            let mut device = device.clone();
            device.mac = MacAddress([2, 0, a, b, c, d]);
            device
        })
        .collect();
    snapshot.policies[1].matched = verdicts(240_000, 0);
    snapshot
}

#[tokio::test]
async fn who_never_reads_makes_room() {
    let mut site = showing(crowded());
    site.limits = Limits {
        connections: 1,
        exchange_time: Duration::from_secs(3),
        ..Limits::default()
    };
    let server = start(site).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stuck = socket.connect(server.address).await.unwrap();
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {}\r\n\r\n", server.address);
    stuck.write_all(request.as_bytes()).await.unwrap();
    assert_eq!(server.get("/healthz").await.status, 200);
    let bytes = read_to_end(&mut stuck).await;
    assert!(bytes.starts_with(b"HTTP/1.1 200"), "the answer never began");
    assert!(
        !bytes.ends_with(b"# EOF\n"),
        "the answer fitted into the buffers"
    );
}

#[tokio::test]
async fn a_large_answer_arrives_whole() {
    let answer = start(showing(crowded())).await.get("/metrics").await;
    assert!(
        answer
            .head
            .contains(&format!("content-length: {}", answer.body.len())),
        "{}",
        answer.head
    );
    assert!(answer.body.ends_with("# EOF\n"));
}

#[tokio::test]
async fn shutdown_ends_what_is_under_way_and_accepts_no_more() {
    let (started, has_started) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let may_go_on = std::sync::Mutex::new(may_go_on);
    let blocking: ReadSnapshot = Arc::new(move || {
        started.send(()).unwrap();
        may_go_on.lock().unwrap().recv().unwrap();
        Ok(gateway())
    });
    let limits = Limits {
        shutdown_time: HANGS,
        ..Limits::default()
    };
    let Server {
        address,
        stop,
        task,
    } = start(site(blocking, &[], limits)).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    tokio::task::spawn_blocking(move || has_started.recv().unwrap())
        .await
        .unwrap();
    stop.send(()).unwrap();
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    go_on.send(()).unwrap();
    assert_eq!(read_answer(&mut stream).await.status, 200);
    tokio::time::timeout(HANGS, task)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn shutdown_does_not_wait_for_the_silent() {
    let mut site = showing(gateway());
    site.limits.header_time = 2 * HANGS;
    site.limits.exchange_time = 2 * HANGS;
    site.limits.shutdown_time = Duration::from_millis(100);
    let server = start(site).await;
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    slow.write_all(b"GET / HT").await.unwrap();
    assert_eq!(server.get("/healthz").await.status, 200);
    server.stop.send(()).unwrap();
    tokio::time::timeout(HANGS, server.task)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    read_to_end(&mut slow).await;
}
