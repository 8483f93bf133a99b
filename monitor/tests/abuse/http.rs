//! Hostile requests to the endpoint of metrics and page.

use std::io::Write as _;

use monitor::http::Limits;

use crate::{check, connect, rest, support::lab::Lab};

#[test]
fn requests_that_are_too_large_or_no_requests_are_refused() {
    let lab = Lab::new("abuse-http");
    let mut daemon = lab.start(&["--mode", "generic"]);
    let most = Limits::default().header_bytes;
    for (what, request, expected) in large_requests(most).into_iter().chain(wrong_requests()) {
        let status = status_of(&ask(&lab, &request));
        // The daemon closed the connection without a reply, or the reply was
        // lost in a reset because much of the request was not read.
        let lost = status.is_none() && (expected.is_empty() || request.len() > most);
        assert!(
            lost || expected.contains(&status.unwrap_or(0)),
            "{what}: {status:?}"
        );
    }
    check(&lab, &mut daemon);
}

type Case = (&'static str, Vec<u8>, &'static [u16]);

const HOST: &str = "Host: localhost\r\n";

/// Requests that are longer than the daemon reads, and the statuses with which
/// it may reply.
fn large_requests(most: usize) -> Vec<Case> {
    let long = "a".repeat(most);
    let huge = "a".repeat(1 << 20);
    let many = "X: a\r\n".repeat(1000);
    vec![
        (
            "a long target",
            format!("GET /{long} HTTP/1.1\r\n{HOST}\r\n").into(),
            &[414, 431],
        ),
        (
            "a huge target",
            format!("GET /{huge} HTTP/1.1\r\n{HOST}\r\n").into(),
            &[414, 431],
        ),
        (
            "a long method",
            format!("{long} / HTTP/1.1\r\n{HOST}\r\n").into(),
            &[400, 431],
        ),
        (
            "a long header",
            format!("GET / HTTP/1.1\r\n{HOST}X: {long}\r\n\r\n").into(),
            &[431],
        ),
        (
            "a huge header",
            format!("GET / HTTP/1.1\r\n{HOST}{huge}: x\r\n\r\n").into(),
            &[400, 431],
        ),
        (
            "many headers",
            format!("GET / HTTP/1.1\r\n{HOST}{many}\r\n").into(),
            &[431],
        ),
        (
            "a body",
            format!("POST /metrics HTTP/1.1\r\n{HOST}Content-Length: 1048576\r\n\r\n{huge}").into(),
            &[405],
        ),
        (
            "a body without an end",
            format!(
                "POST /metrics HTTP/1.1\r\n{HOST}Content-Length: 18446744073709551615\r\n\r\n{huge}"
            )
            .into(),
            &[400, 405, 431],
        ),
    ]
}

/// Requests that are not HTTP, or that use an unsupported part of HTTP.
fn wrong_requests() -> Vec<Case> {
    vec![
        (
            "a wrong length",
            format!("GET / HTTP/1.1\r\n{HOST}Content-Length: -1\r\n\r\n").into(),
            &[400],
        ),
        (
            "two lengths",
            format!("GET / HTTP/1.1\r\n{HOST}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab")
                .into(),
            &[400],
        ),
        (
            "chunks of nothing",
            format!("POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\nzz\r\n").into(),
            &[400, 405],
        ),
        (
            "a chunk larger than all",
            format!(
                "PUT / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n"
            )
            .into(),
            &[400, 405],
        ),
        (
            "two requests at once",
            format!("GET /reload HTTP/1.1\r\n{HOST}\r\nPOST /reload HTTP/1.1\r\n{HOST}\r\n").into(),
            &[404],
        ),
        (
            "an upgrade",
            format!("GET / HTTP/1.1\r\n{HOST}Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n").into(),
            &[200],
        ),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), &[]),
        ("HTTP/0.9", b"GET /\r\n\r\n".to_vec(), &[400]),
        ("no host", b"GET / HTTP/1.1\r\n\r\n".to_vec(), &[400]),
        (
            "a hello of TLS",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(),
            &[400],
        ),
        ("zeros", vec![0; 1 << 20], &[400, 431]),
        ("line ends", b"\r\n".repeat(1 << 16), &[400, 431]),
        (
            "a request of the control socket",
            b"{\"verb\":\"detach\"}\n\n".to_vec(),
            &[400],
        ),
        ("nothing", vec![], &[]),
    ]
}

#[test]
fn over_tcp_nothing_can_be_changed() {
    let lab = Lab::new("abuse-tcp");
    let mut daemon = lab.start(&["--mode", "generic"]);
    let verbs = [
        "status",
        "reload",
        "detach",
        "change",
        "pause",
        "block",
        "allow",
        "feed-fetch",
        "feed-accept",
        "confirm",
    ];
    let paths: Vec<String> = ["", "metrics", "healthz"]
        .into_iter()
        .chain(verbs)
        .map(|name| format!("/{name}"))
        .collect();
    for method in [
        "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "RELOAD",
        "get",
    ] {
        for path in &paths {
            let body = "{\"verb\":\"detach\"}\n";
            let length = body.len();
            let request = format!(
                "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}"
            );
            let status = status_of(&ask(&lab, request.as_bytes()));
            let refused = matches!(status, Some(400 | 404 | 405));
            assert!(refused, "{method} {path}: {status:?}");
        }
    }
    for path in &paths[3..] {
        let request = format!("GET {path}?verb=detach HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(
            status_of(&ask(&lab, request.as_bytes())),
            Some(404),
            "{path}"
        );
    }
    check(&lab, &mut daemon);
}

/// Sends these bytes, and reads until the connection is closed.
fn ask(lab: &Lab, request: &[u8]) -> String {
    let mut client = connect(lab);
    // The daemon may close the connection before the request is sent
    // completely.
    let _ = client.write_all(request);
    rest(&client)
}

fn status_of(answer: &str) -> Option<u16> {
    answer
        .strip_prefix("HTTP/1.1 ")?
        .split(' ')
        .next()?
        .parse()
        .ok()
}
