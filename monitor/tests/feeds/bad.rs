//! Bad content that a server may send in place of a list.

use std::io::{self, Write as _};

use flate2::{Compression, write::GzEncoder};

use crate::{
    list,
    server::{Stream, answer},
};

type Does = Box<dyn Fn(&mut dyn Stream) -> io::Result<()> + Send>;

/// The expected state, a part of the expected reason, and the behaviour of the
/// server.
type Bad = (&'static str, &'static str, Does);

/// `count` networks of 256 addresses, one per line.
pub(crate) fn networks(start: &str, count: u8) -> String {
    let lines: Vec<String> = (0..count)
        .map(|third| format!("{start}.{third}.0/24"))
        .collect();
    lines.join("\n") + "\n"
}

pub(crate) fn packed(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn gives(status: &'static str, body: impl Into<Vec<u8>>) -> Does {
    let body = body.into();
    Box::new(move |client| answer(client, status, "", &body))
}

fn refused(reason: &'static str, body: impl Into<Vec<u8>>) -> Bad {
    ("refused", reason, gives("200 OK", body))
}

/// Contents that are not a usable list.
pub(crate) fn contents() -> Vec<Bad> {
    let good = list();
    let binary = [b"4\xff\0".as_slice(), good.as_bytes()].concat();
    let reserved = networks("10.1", 101);
    let replaced = |by: &str| good.replacen("45.9.1.0/24", by, 1);
    let padded = [&packed(b"# nothing today\n")[..], &[0; 512]].concat();
    vec![
        refused("contains no destination", padded),
        refused("it is empty", ""),
        refused("it is empty", "\n\n"),
        refused("contains no destination", "# nothing today\n"),
        refused("web page", "<!DOCTYPE html><html>Sorry</html>\n"),
        refused(
            "hosts file",
            "0.0.0.0 a.example.com\n0.0.0.0 b.example.com\n",
        ),
        refused("list of domains", "a.example.com\nb.example.com\n"),
        refused(
            "lines that cannot be read: 1",
            format!("{good}nonsense here\n"),
        ),
        refused("not UTF-8", binary),
        refused("more than 1000000 lines", "1.1.1.1\n".repeat(1_000_001)),
        refused("unpack gzip", &packed(good.as_bytes())[..60]),
        refused("larger than 64 MiB", packed(&vec![b'#'; 65 << 20])),
        refused("shrinks from 100 to 33 destinations", networks("45.9", 33)),
        refused("grows from 100 to 200 destinations", networks("45.9", 200)),
        refused(
            "grows from 25600 to 8413952 IPv4 addresses",
            replaced("64.0.0.0/9"),
        ),
        refused(
            "grows from 25600 to 65536 IPv4 addresses",
            replaced("45.9.0.0/16"),
        ),
        refused(
            "grows from 0 to 1208925819614629174706176 IPv6 addresses",
            format!("{good}2a00:1:2::/48\n"),
        ),
        refused("10.0.0.0/8), more than 50%", format!("{good}{reserved}")),
        refused("all of its destinations are reserved", reserved),
        refused(
            "more than half of all IPv4 addresses",
            format!("{good}0.0.0.0/0\n"),
        ),
        refused(
            "more than half of all IPv4 addresses",
            format!("{good}0.0.0.0/1\n128.0.0.0-255.255.255.255\n"),
        ),
        refused(
            "more than half of all IPv6 addresses",
            format!("{good}::/0\n"),
        ),
    ]
}

/// Replies without content, or without an end.
pub(crate) fn endings() -> Vec<Bad> {
    const TOO_LARGE: usize = 65 << 20;
    let failed = |reason, does| ("failed", reason, does);
    vec![
        failed("404", gives("404 Not Found", "no")),
        failed("500", gives("500 Internal Server Error", list())),
        failed("204", gives("204 No Content", "")),
        failed(
            "larger than 64 MiB",
            Box::new(|client| {
                write!(
                    client,
                    "HTTP/1.1 200 OK\r\nContent-Length: {TOO_LARGE}\r\n\r\n"
                )
            }),
        ),
        failed(
            "larger than 64 MiB",
            Box::new(|client| {
                write!(
                    client,
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                )?;
                loop {
                    write!(client, "10000\r\n{}\r\n", "#".repeat(0x10000))?;
                }
            }),
        ),
        failed(
            "read the answer",
            Box::new(|client| {
                let length = list().len() + 1;
                write!(
                    client,
                    "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{}",
                    list()
                )
            }),
        ),
        failed(
            "redirects more than 5 times",
            Box::new(|client| answer(client, "302 Found", "Location: /list\r\n", b"")),
        ),
        failed("", Box::new(|_| Ok(()))),
    ]
}
