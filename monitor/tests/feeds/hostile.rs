//! A hostile server must not make the daemon's replies, log or state large. The
//! tests assert sizes, never times.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
};

use monitor::control::Request;
use serde_json::Value;

use crate::{
    Gateway, HELD,
    bad::networks,
    list,
    server::{Stream, answer},
    support::lab::{Lab, poll, text},
    walk,
};

type Does = Box<dyn Fn(&mut dyn Stream) -> io::Result<()> + Send>;

/// Size limit, in bytes, of a reply that contains the reason of one feed.
const SMALL: usize = 16 * 1024;

/// Size limit, in bytes, of a reply to one command.
const TINY: usize = 1024;

fn gives(headers: &str, body: impl Into<Vec<u8>>) -> Does {
    let (headers, body) = (headers.to_owned(), body.into());
    Box::new(move |client| answer(client, "200 OK", &headers, &body))
}

fn redirects(location: &str) -> Does {
    let headers = format!("Location: {location}\r\n");
    Box::new(move |client| answer(client, "302 Found", &headers, b""))
}

fn raw(text: String) -> Does {
    Box::new(move |client| {
        client.write_all(text.as_bytes())?;
        client.flush()
    })
}

/// For each attack: the expected state, a part of the expected reason, and the
/// behaviour of the server.
fn attacks() -> Vec<(&'static str, &'static str, Does)> {
    let good = list();
    let with = |line: &str| format!("{good}{line}\n");
    let mebi = |what: &str, count: usize| what.repeat((count << 20) / what.len());
    let header = |name: &str, length: usize| format!("{name}: {}\r\n", "a".repeat(length));
    vec![
        (
            "refused",
            "line 1: this line has 62914560 bytes",
            gives("", mebi("9", 60)),
        ),
        (
            "refused",
            "line 1: this line has 41943040 bytes",
            gives("", mebi("\u{1}", 40)),
        ),
        (
            "refused",
            "line 101: this line has",
            gives("", with(&mebi("1.", 20))),
        ),
        (
            "refused",
            "line 101: `xxx",
            gives("", with(&"x".repeat(8000))),
        ),
        (
            "refused",
            "1000000; line 1: `no address`",
            gives("", "no address\n".repeat(1_000_000)),
        ),
        (
            "refused",
            "begins as JSON",
            gives("", mebi("{\"cidr\":", 20)),
        ),
        (
            "refused",
            "unpacked it is larger than 64 MiB",
            gives("", zstd_bomb()),
        ),
        (
            "refused",
            "unpacked it is larger than 64 MiB",
            gives("", xz_bomb()),
        ),
        (
            "refused",
            "unpacked it is larger than 64 MiB",
            gives("", zip_bomb()),
        ),
        ("refused", "web page", gives("", mebi("<html>", 20))),
        (
            "refused",
            "line 2:",
            gives(
                "",
                format!(
                    "{{\"cidr\":\"1.2.3.0/24\",\"sblid\":\"SBL1\"}}\n{{\"cidr\":\"{}\",\"sblid\":\"SBL2\"}}\n",
                    "9".repeat(8000)
                ),
            ),
        ),
        ("current", "", gives(&header("ETag", 60_000), good.clone())),
        (
            "current",
            "",
            gives(&header("Last-Modified", 60_000), good.clone()),
        ),
        (
            "failed",
            "gopher://bbb",
            redirects(&format!("gopher://me:secret@{}/?secret", "b".repeat(5000))),
        ),
        (
            "failed",
            "more than 8192 bytes",
            redirects(&"a".repeat(20_000)),
        ),
        ("failed", "", redirects(&"a".repeat(100_000))),
        (
            "failed",
            "",
            raw(format!(
                "HTTP/1.1 200 OK\r\n{}\r\n",
                header("X", 10).repeat(50_000)
            )),
        ),
        (
            "failed",
            "the server answers 599",
            raw(format!(
                "HTTP/1.1 599 {}\r\nContent-Length: 0\r\n\r\n",
                "x".repeat(30_000)
            )),
        ),
        ("failed", "", raw("x".repeat(1 << 20))),
    ]
}

/// A frame of zstd with 65 MiB: blocks that repeat one byte.
fn zstd_bomb() -> Vec<u8> {
    let blocks = 65 * 8;
    // Frame header: no checksum, a window of 128 KiB.
    let mut bytes = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38];
    for block in 1..=blocks {
        // Block header: last block, type 1 (repeated byte), and the size of 128 KiB.
        let header = u32::from(block == blocks) | 1 << 1 | (128 * 1024) << 3;
        bytes.extend_from_slice(&header.to_le_bytes()[..3]);
        bytes.push(b'#');
    }
    bytes
}

/// 65 streams of xz, each of 1 MiB.
fn xz_bomb() -> Vec<u8> {
    const STREAM: &str = "fd377a585a0000016922de36020021011c00000010cf58ccefffff00d95d0011effbbffea3b15ee5f83fb2aa2655f868704170150f8dfd1e4c1b8a42b719f4691871ae66238a8a4d2fa30dd97fa6e38c231153e05918c5758ae277f8b6947f0c6ac0de744964e2e95c53b204d8f7440cab5f0d6d46e9e5c37688b79657acb64de1691d6ffb4b88106c42cb883f5c008fd04eaf262894711f3d8f24e1709ea7235fec28cb85d195988a7e2a91f22775f719c006984d98fdd8afd5900fc42553f8f591363105a5b0ee6fc1704d470cd19111aaad601dbaceb127185c5986e9665258bee976ac59e4e55b0508f9c7daadfcfb522af7e495250000000000038ab8b50001f101808040006fd5eedc3e300d8b020000000001595a";
    hex::decode(STREAM).unwrap().repeat(65)
}

/// A zip whose file has 65 MiB.
fn zip_bomb() -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    zip.start_file("l.txt", options).unwrap();
    for _ in 0..65 {
        zip.write_all(&vec![b'#'; 1 << 20]).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// The answer of the daemon to `request`, byte for byte.
fn ask(lab: &Lab, request: &Request) -> String {
    let mut stream = UnixStream::connect(lab.socket()).unwrap();
    let request = serde_json::to_string(request).unwrap() + "\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    text(&answer)
}

fn request(text: &str) -> Request {
    Request::from_line(&format!("{text}\n")).unwrap()
}

fn block(undo: bool) -> Request {
    request(&format!(
        r#"{{"verb":"change","effect":{{"block":"198.51.100.7"}},"device":null,"seconds":60,"undo":{undo},"reason":null}}"#
    ))
}

/// Checks the size of the daemon's reply and of the printed output for every
/// verb.
fn check_answers(gateway: &Gateway, what: &str) {
    let lab = &gateway.lab;
    for (request, limit) in [
        (request(r#"{"verb":"status"}"#), SMALL),
        (request(r#"{"verb":"feed-list"}"#), SMALL),
        (request(r#"{"verb":"reload"}"#), SMALL),
        (request(r#"{"verb":"who"}"#), TINY),
        (block(false), TINY),
        (block(true), TINY),
    ] {
        let answer = ask(lab, &request);
        assert!(!answer.contains("\"refused\":"), "{what}: {answer}");
        assert!(
            answer.len() < limit,
            "{what}: {request:?}: {}",
            answer.len()
        );
        assert!(!answer.contains("secret"), "{what}: {answer}");
    }
    let verbs: [&[&str]; 4] = [
        &["status"],
        &["feed", "list"],
        &["block", "198.51.100.8", "--for", "1m"],
        &["reload"],
    ];
    for verb in verbs {
        let output = lab.monitor(verb);
        assert!(output.status.success(), "{what}: {}", text(&output.stderr));
        let size = output.stdout.len() + output.stderr.len();
        assert!(size < SMALL, "{what}: {verb:?}: {size}");
        assert!(!text(&output.stdout).contains("secret"), "{what}");
    }
    for told in [lab.metrics(), lab.page_at("/feeds")] {
        assert!(told.len() < 8 * SMALL, "{what}: {}", told.len());
        assert!(!told.contains("secret"), "{what}");
    }
}

fn check_state(gateway: &Gateway, what: &str) {
    let state = gateway.lab.directory.path().join("state/feeds");
    let files = walk(&state);
    let metas: Vec<_> = files
        .iter()
        .filter(|file| file.ends_with("meta.json"))
        .collect();
    assert_eq!(metas.len(), 1, "{what}: {files:?}");
    let size = fs::metadata(metas[0]).unwrap().len();
    assert!(size < SMALL as u64, "{what}: {size}");
}

#[test]
fn whatever_a_server_sends_answers_log_and_state_stay_small() {
    let gateway = Gateway::new("hostile");
    let daemon = gateway.start();
    for (state, reason, does) in attacks() {
        let logged = daemon.log().len();
        gateway.server.behaves(move |_, client| does(client));
        let feed = gateway.fetch();
        let told = feed["reason"].as_str().unwrap_or_default();
        assert_eq!(feed["state"], state, "{reason}: {told}");
        assert!(told.contains(reason), "{told} instead of {reason}");
        assert!(told.len() < 1000, "{reason}: {}", told.len());
        assert!(gateway.is_dropped(HELD), "{reason}");
        check_answers(&gateway, reason);
        check_state(&gateway, reason);
        let log = daemon.log();
        assert!(
            log.len() - logged < SMALL,
            "{reason}: {}",
            log.len() - logged
        );
        assert!(!log.contains("secret"), "{reason}: {log}");
    }
    let answer = ask(&gateway.lab, &Request::Detach {});
    assert!(answer.contains("detached"), "{answer}");
    assert!(answer.len() < TINY, "{}", answer.len());
}

#[test]
fn of_a_huge_state_the_list_stays_in_force_and_answers_stay_small() {
    let gateway = Gateway::new("huge");
    let daemon = gateway.start();
    daemon.kill();
    let state = gateway.lab.directory.path().join("state/feeds");
    let meta = walk(&state)
        .into_iter()
        .find(|file| file.ends_with("meta.json"))
        .unwrap();
    let mut entry: Value = serde_json::from_slice(&fs::read(&meta).unwrap()).unwrap();
    let attempt = &mut entry["last"];
    attempt["outcome"] = "refused".into();
    attempt["reason"] = "9".repeat(100 << 20).into();
    fs::write(&meta, huge_as_written(&entry)).unwrap();
    gateway.server.behaves(|_, _| Ok(()));
    let daemon = gateway.lab.start(&[]);
    assert!(gateway.is_dropped(HELD), "at once, from the store");
    assert!(
        daemon
            .log()
            .contains("only the list in force is taken from it")
    );
    check_answers(&gateway, "a huge file");
    assert_eq!(gateway.fetch()["state"], "failed");
    check_state(&gateway, "the next attempt writes it anew");
    assert!(gateway.is_dropped(HELD));
    assert!(daemon.log().len() < 2 * SMALL, "{}", daemon.log().len());
}

/// A huge state with the keys in the daemon's order. `serde_json` would sort
/// the keys of a value.
fn huge_as_written(entry: &Value) -> String {
    let keys = ["url", "good", "candidate", "last", "failures"];
    let parts = keys.map(|key| format!("\"{key}\": {}", entry[key]));
    format!("{{{}}}", parts.join(",\n"))
}

#[test]
fn a_reload_with_many_errors_answers_with_the_first() {
    let gateway = Gateway::new("errors");
    let daemon = gateway.start();
    let lines = "      - nonsense/99\n".repeat(100_000);
    gateway.lab.write_policies(&format!(
        "version: 1\npolicies:\n  - name: bad\n    action: drop\n    destinations:\n{lines}"
    ));
    let answer = ask(&gateway.lab, &request(r#"{"verb":"reload"}"#));
    assert!(answer.contains("nonsense"), "{answer}");
    assert!(answer.contains("99"), "{answer}");
    assert!(
        answer.contains("more: `monitor check` shows them"),
        "{answer}"
    );
    assert!(answer.len() < SMALL, "{}", answer.len());
    let status = ask(&gateway.lab, &request(r#"{"verb":"status"}"#));
    assert!(status.len() < 2 * SMALL, "{}", status.len());
    assert!(daemon.log().len() < 4 * SMALL, "{}", daemon.log().len());
    assert!(gateway.is_dropped(HELD), "the old state stays");
}

#[test]
fn a_feed_that_names_the_whole_internet_does_not_open_the_filter() {
    let gateway = Gateway::new("all");
    gateway.lab.write_policies(&format!(
        "version: 1\npolicies:\n  - {{name: bad, action: drop, destinations: [45.9.0.0/24]}}\n  - {{name: good, action: allow, destinations: [{{list: \"{}\"}}]}}\n",
        gateway.server.url("/list")
    ));
    gateway
        .server
        .gives(format!("{}0.0.0.0/0\n::/0\n", networks("45.10", 100)));
    let _daemon = gateway.lab.start(&[]);
    poll("it is refused", || gateway.status()["state"] == "refused");
    let feed = gateway.status();
    let reason = feed["reason"].as_str().unwrap();
    assert!(reason.contains("more than half of all IPv4"), "{reason}");
    assert_eq!(feed["destinations"], 0);
    assert!(gateway.is_dropped(HELD));
    let accepted = gateway.feed(&["accept", "good", "--yes"]);
    assert!(accepted.status.success(), "{}", text(&accepted.stderr));
    assert!(!gateway.is_dropped(HELD), "it is the operator's word now");
    gateway
        .server
        .gives(format!("{}0.0.0.0/0\n::/0\n", networks("45.10", 101)));
    assert_eq!(gateway.fetch()["state"], "current", "as vast as before");
}
