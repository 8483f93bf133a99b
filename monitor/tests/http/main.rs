//! The endpoint on real sockets of the loopback interface.

#![expect(
    clippy::unwrap_used,
    reason = "a test panics where it fails, helpers included"
)]

mod limits;
mod server;
#[path = "../snapshots/mod.rs"]
mod snapshots;
#[expect(dead_code, reason = "other programs use the rest")]
#[path = "../support/tools.rs"]
mod tools;

use std::sync::Arc;

use monitor::{
    http::Limits,
    metrics,
    snapshot::{Snapshot, Working},
};
use server::{showing, site, start};
use snapshots::{PHONE, gateway, named};

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
    assert_eq!(exposition.families.len(), 26);
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
    snapshot.reload.as_mut().unwrap().success = false;
    let answer = start(showing(snapshot)).await.get("/healthz").await;
    assert_eq!(answer.status, 200);
    assert!(answer.body.starts_with("ok\n"), "{}", answer.body);
    assert!(
        answer.body.contains("the last reload failed"),
        "{}",
        answer.body
    );
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
            "content-security-policy: default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; manifest-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
            "x-content-type-options: nosniff",
            "referrer-policy: same-origin",
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
    let reload = snapshot.reload.as_mut().unwrap();
    reload.success = false;
    reload.error = Some(hostile("error"));
    let device = hostile("device");
    let snapshot = named(snapshot, &[(PHONE, &device)]);
    let mut site = site(Arc::new(move || Ok(snapshot.clone())), Limits::default());
    site.interfaces = Arc::new(|| vec!["<script>expected</script>\"'&".to_owned()]);
    let server = start(site).await;
    let mut bodies = String::new();
    for path in ["/", "/coverage", "/policies", "/policies/telemetry"] {
        let answer = server.get(path).await;
        assert!(
            answer
                .head
                .contains("content-type: text/html; charset=utf-8"),
            "{}",
            answer.head
        );
        let scripts = answer.body.replace("<script src=\"/assets/page-", "");
        assert!(!scripts.contains("<script"), "{}", answer.body);
        bodies += &answer.body;
    }
    for what in [
        "interface",
        "reason",
        "policy",
        "error",
        "device",
        "expected",
    ] {
        let escaped = format!("&lt;script&gt;{what}&lt;/script&gt;&quot;'&amp;");
        assert!(bodies.contains(&escaped), "{escaped} is not in {bodies}");
    }
}

#[tokio::test]
async fn a_page_without_contacts_shows_devices_without_their_mac() {
    let server = start(showing(gateway())).await;
    let answer = server.get("/policies/range-42.62.48.0-24").await;
    assert!(answer.body.contains("phone"), "{}", answer.body);
    assert!(answer.body.contains("device-"));
    for path in ["/", "/devices", "/contacts", "/policies", "/coverage"] {
        let body = server.get(path).await.body;
        assert!(!body.contains("64:cc:2e"), "{path}: {body}");
        assert!(
            !body.contains("http://") && !body.contains("https://"),
            "{path} is not self-contained"
        );
    }
    assert!(
        server
            .get("/contacts")
            .await
            .body
            .contains("Contacts are not shown here.")
    );
}

#[tokio::test]
async fn the_page_says_what_was_looked_at_for_a_count_of_zero() {
    let answer = start(showing(gateway()))
        .await
        .get("/policies/former")
        .await;
    assert!(
        answer
            .body
            .contains("any of the 1,139 packets that the filter saw"),
        "{}",
        answer.body
    );
}

#[tokio::test]
async fn files_can_be_kept_and_pages_cannot() {
    let server = start(showing(gateway())).await;
    let page = server.get("/").await.body;
    let paths = page.split('"').filter(|part| part.starts_with("/assets/"));
    let paths: std::collections::BTreeSet<_> = paths.collect();
    assert_eq!(paths.len(), 4, "{paths:?}");
    for path in paths {
        let asset = server
            .send_bytes(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
            .await;
        assert!(asset.starts_with("http/1.1 200 ok"), "{path}: {asset}");
        assert!(
            asset.contains("cache-control: max-age=31536000, immutable"),
            "{asset}"
        );
        let head = asset.split("\r\n\r\n").next().unwrap();
        assert!(!head.contains("no-store"), "{head}");
    }
    let manifest = server.get("/manifest.webmanifest").await;
    assert!(
        manifest
            .head
            .contains("content-type: application/manifest+json")
    );
    let manifest: serde_json::Value = serde_json::from_str(&manifest.body).unwrap();
    assert_eq!(manifest["start_url"], "/");
}

#[tokio::test]
async fn a_flood_of_streams_leaves_the_pages() {
    let server = start(showing(gateway())).await;
    let mut streams = Vec::new();
    for _ in 0..8 {
        let mut stream = server.open("/events").await;
        assert!(
            server::read_some(&mut stream)
                .await
                .contains("text/event-stream")
        );
        streams.push(stream);
    }
    let refused = server.get("/events").await;
    assert_eq!(refused.status, 503);
    assert!(refused.head.contains("retry-after: "), "{}", refused.head);
    for path in ["/", "/metrics", "/healthz", "/contacts"] {
        assert_eq!(server.get(path).await.status, 200, "{path}");
    }
    // A place becomes free when a client leaves, and a stop ends the others.
    streams.pop();
    loop {
        let mut stream = server.open("/events").await;
        if server::read_some(&mut stream).await.contains("200 ok") {
            break;
        }
        tokio::task::yield_now().await;
    }
    server.stop.send(()).unwrap();
    let ended = tokio::time::timeout(server::HANGS, server.task).await;
    ended.unwrap().unwrap().unwrap();
}

/// A snapshot of a daemon whose current work has taken `seconds` so far.
fn working(seconds: u64) -> Snapshot {
    let mut snapshot = gateway();
    let what = "a reload".to_owned();
    snapshot.working = Some(Working { what, seconds });
    snapshot
}

#[tokio::test]
async fn work_that_does_not_end_is_not_healthy() {
    let short = start(showing(working(Working::HANGS_AFTER - 1))).await;
    let answer = short.get("/healthz").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, "ok\na reload has been under way for 9 s\n");

    let long = start(showing(working(Working::HANGS_AFTER))).await;
    let answer = long.get("/healthz").await;
    assert_eq!(answer.status, 503);
    assert!(
        answer.body.starts_with("the daemon hangs: a reload"),
        "{}",
        answer.body
    );
    assert!(long.get("/").await.body.contains("The daemon hangs."));
}

#[tokio::test]
async fn a_snapshot_that_never_comes_is_told_as_a_hang() {
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let stopped = std::sync::Mutex::new(stopped);
    let hanging = site(
        Arc::new(move || {
            let _ = stopped.lock().unwrap().recv();
            Err("over".to_owned())
        }),
        Limits::default(),
    );
    let server = start(hanging).await;
    let answers = tokio::join!(server.get("/healthz"), server.get("/metrics"));
    for answer in [answers.0, answers.1] {
        assert_eq!(answer.status, 503);
        assert!(answer.body.contains("The daemon hangs"), "{}", answer.body);
    }
    drop(stop);
}

#[tokio::test]
async fn a_scraper_that_reads_plain_text_alone_gets_the_same_samples() {
    let server = start(showing(gateway())).await;
    let ask = |accept: &str| {
        let request =
            format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n\r\n");
        let server = &server;
        async move { server.send(&request).await }
    };
    let samples = |body: &str| -> Vec<String> {
        let lines = body.lines().filter(|line| !line.starts_with('#'));
        lines.map(str::to_owned).collect()
    };
    let open = ask("application/openmetrics-text").await;
    for accept in ["text/plain", "text/plain;version=0.0.4;q=0.5, */*;q=0.1"] {
        let plain = ask(accept).await;
        let kind = "content-type: text/plain; version=0.0.4; charset=utf-8";
        assert!(plain.head.contains(kind), "{}", plain.head);
        assert!(plain.head.contains("vary: accept"), "{}", plain.head);
        assert_eq!(samples(&plain.body), samples(&open.body));
        let parsed = openmetrics_parser::prometheus::parse_prometheus(&plain.body).unwrap();
        let families = open.body.lines().filter(|line| line.starts_with("# TYPE "));
        assert_eq!(parsed.families.len(), families.count());
    }
    // Metadata lines have the name of the samples; there are no other comments.
    let plain = ask("text/plain").await;
    for line in plain.body.lines().filter(|line| line.starts_with('#')) {
        let name = line.split(' ').nth(2).unwrap();
        assert!(
            line.starts_with("# HELP ") || line.starts_with("# TYPE "),
            "{line}"
        );
        assert!(plain.body.contains(&format!("\n{name}")), "{line}");
    }
    assert!(
        plain
            .body
            .contains("# TYPE monitor_interface_packets_total counter\n")
    );
    assert!(plain.body.contains("# TYPE monitor_build_info gauge\n"));
}

#[tokio::test]
async fn the_checker_of_html_accepts_the_page_and_it_refers_to_no_other() {
    let page = start(showing(gateway())).await.get("/").await.body;
    // The checker does not know two attributes (HTML, WAI-ARIA 1.1).
    let page = page.replace(" aria-current=\"page\"", "");
    let page = ["light", "dark"].iter().fold(page, |page, theme| {
        page.replace(&format!(" media=\"(prefers-color-scheme: {theme})\""), "")
    });
    // The page may refer to other pages of the same server.
    let mut references = tools::outside_references(&page).into_iter();
    let is_own = |to: &str| {
        let is_script = to.starts_with(" src=\"/assets/");
        is_script || (to.starts_with('/') && !to.starts_with("//"))
    };
    assert!(references.all(is_own));
    let Some(checker) = tools::tidy() else {
        return;
    };
    assert_eq!(tools::complaint_about_html(&checker, &page), None);
}
