//! Limits on clients, and the end of the server.

use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

use monitor::{
    http::{Limits, ReadSnapshot},
    policy::MacAddress,
    snapshot::Snapshot,
};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpSocket, TcpStream},
};

use crate::{
    server::{HANGS, Server, read_answer, read_to_end, showing, site, start},
    snapshots::{gateway, verdicts},
};

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

/// Limits with one place for clients and a short time for a request.
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
    // There is one place, so this request is answered only after both other
    // connections are closed.
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
    } = start(site(blocking, limits)).await;
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
