//! Authorities that answer something else than a proper stamp.

use std::{
    fs,
    io::{self, Write as _},
    net::TcpStream,
    sync::Arc,
};

use super::{
    authority::{Answer, Authority, GOOD, Kind, Server, answer},
    beside, publish, query, report, written,
};
use crate::support::story::Story;

/// Publishes the report at this server. It must fail, name the fault, and write no file.
fn refused(story: &Story, answer: Answer, arguments: &[&str], why: &str) -> Server {
    let file = story.directory.path().join("report.md");
    let server = Server::answering(answer);
    let asked = [file.to_str().unwrap(), "--tsa", &server.url];
    let (status, text) = publish(story, &[&asked[..], arguments].concat());
    assert_eq!(status, 1, "{why}: {text}");
    assert!(text.contains(why), "{why}: {text}");
    assert!(!beside(&file, ".tsr").exists(), "{why}");
    let entries = fs::read_dir(story.directory.path()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let unfinished: Vec<_> = names
        .filter(|name| name.starts_with(".unfinished"))
        .collect();
    assert!(unfinished.is_empty(), "{why}: {unfinished:?}");
    server
}

/// An authority that answers with what `make` makes of a request.
fn making(
    authority: &Arc<Authority>,
    make: impl Fn(&Authority, &[u8]) -> Vec<u8> + Send + 'static,
) -> Answer {
    let authority = Arc::clone(authority);
    Box::new(move |query, client| answer(client, "200 OK", "", &make(&authority, query)))
}

#[test]
fn a_false_stamp_is_refused_and_not_written() {
    let (story, authority) = (Story::told(), Arc::new(Authority::new(Kind::P256)));
    written(&story, "md");
    authority.certify("expired.pem", -1, GOOD);
    authority.certify("uncritical.pem", 10, "extendedKeyUsage=timeStamping\n");
    let both = "extendedKeyUsage=critical,timeStamping,codeSigning\n";
    authority.certify("both.pem", 10, both);
    authority.certify("none.pem", 10, "keyUsage=critical,digitalSignature\n");
    let encrypts = GOOD.replace("digitalSignature", "digitalSignature,keyEncipherment");
    authority.certify("encrypts.pem", 10, &encrypts);
    let head = report(&[
        "head",
        story.directory.path().join("report.md").to_str().unwrap(),
    ])
    .1;

    let of_head = move |authority: &Authority, _: &[u8]| {
        authority.reply(&query(authority, head.as_bytes()), &[])
    };
    refused(
        &story,
        making(&authority, of_head),
        &[],
        "its nonce is not the one that was sent",
    );
    let of_other = |authority: &Authority, _: &[u8]| authority.reply(&query(authority, b"x"), &[]);
    refused(
        &story,
        making(&authority, of_other),
        &[],
        "the stamp is of other bytes",
    );
    for (certificate, why) in [
        ("uncritical.pem", "is not for time stamps"),
        ("both.pem", "is not for time stamps"),
        ("none.pem", "is not for time stamps"),
        ("encrypts.pem", "is not for signatures"),
        ("expired.pem", "\"Time of the test\" is valid from"),
    ] {
        let make =
            move |authority: &Authority, query: &[u8]| authority.reply_as(query, certificate);
        refused(&story, making(&authority, make), &[], why);
    }
    let without = |authority: &Authority, query: &[u8]| {
        // The last element of the request says that the answer must have the certificate.
        let mut query = query.to_vec();
        assert_eq!(query[query.len() - 3..], [1, 1, 0xff]);
        query.truncate(query.len() - 3);
        query[1] -= 3;
        authority.reply(&query, &[])
    };
    refused(
        &story,
        making(&authority, without),
        &[],
        "does not carry the certificate",
    );
    let policy = |authority: &Authority, query: &[u8]| {
        let wanted = [6, 4, 42, 3, 4, 5];
        let mut query = query.to_vec();
        let at = query.windows(6).position(|bytes| bytes == wanted).unwrap();
        query.drain(at..at + 6);
        query[1] -= 6;
        authority.reply(&query, &[])
    };
    let asked = ["--policy", "1.2.3.4.5"];
    refused(
        &story,
        making(&authority, policy),
        &asked,
        "under the policy 1.2.3.4.1",
    );
    let honest = |authority: &Authority, query: &[u8]| authority.reply(query, &[]);
    let unknown = ["--policy", "1.2.3.4.6"];
    refused(
        &story,
        making(&authority, honest),
        &unknown,
        "rejection, unacceptedPolicy",
    );
    let other = Authority::new(Kind::P256);
    let ca = other.ca();
    let why = "none of the trusted certificates signed";
    refused(&story, making(&authority, honest), &["--tsa-ca", &ca], why);
    // The same request with the authority's own CA is fine, so the faults are the reason.
    let file = story.directory.path().join("report.md");
    let server = authority.serve();
    let ca = authority.ca();
    let asked = [
        file.to_str().unwrap(),
        "--tsa",
        &server.url,
        "--tsa-ca",
        &ca,
    ];
    let (status, text) = publish(&story, &asked);
    assert_eq!(status, 0, "{text}");
}

#[test]
fn a_refusal_says_why() {
    let (story, authority) = (Story::told(), Arc::new(Authority::new(Kind::P256)));
    written(&story, "md");
    authority.configure("digests = sha512");
    let honest = |authority: &Authority, query: &[u8]| authority.reply(query, &[]);
    refused(&story, making(&authority, honest), &[], "rejection, badAlg");
    authority.configure("digests = sha256\nsigner_digest = sha512");
    let why = "signs with ECDSA and SHA-512, which this program cannot check";
    refused(&story, making(&authority, honest), &[], why);
}

#[test]
fn a_server_that_is_no_authority_is_refused() {
    let story = Story::told();
    written(&story, "md");
    let page: Answer = Box::new(|_, client| answer(client, "200 OK", "", b"<html>not here</html>"));
    refused(&story, page, &[], "the answer has not the form of RFC 3161");
    let empty: Answer = Box::new(|_, client| answer(client, "200 OK", "", b""));
    refused(
        &story,
        empty,
        &[],
        "the answer has not the form of RFC 3161",
    );
    let broken: Answer = Box::new(|_, client| answer(client, "503 Busy", "", b"later"));
    refused(&story, broken, &[], "the server answers 503");
    let elsewhere = Server::answering(Box::new(|_, _| Ok(())));
    for status in [
        "301 Moved",
        "302 Found",
        "307 Temporary Redirect",
        "308 Permanent Redirect",
    ] {
        let to = format!("Location: {}\r\n", elsewhere.url);
        let moved: Answer = Box::new(move |_, client| answer(client, status, &to, b""));
        let server = refused(
            &story,
            moved,
            &[],
            "if you trust that server, name this URL",
        );
        assert_eq!(server.requests.lock().unwrap().len(), 1);
    }
    assert!(elsewhere.requests.lock().unwrap().is_empty());
    let cut: Answer =
        Box::new(|_, client| write!(client, "HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n0"));
    refused(&story, cut, &[], "read the answer");
    let large = "HTTP/1.1 200 OK\r\nContent-Length: 9000000000\r\n\r\n";
    let large: Answer = Box::new(move |_, client| client.write_all(large.as_bytes()));
    refused(&story, large, &[], "larger than 256 KiB");
    refused(&story, Box::new(endless), &[], "larger than 256 KiB");
    let (status, text) = publish(&story, &["x", "--tsa", "ftp://127.0.0.1/"]);
    assert_eq!(status, 2, "{text}");
    assert!(
        text.contains("only http and https reach an authority"),
        "{text}"
    );
}

/// A body without an end. The client must close the connection.
fn endless(_: &[u8], client: &mut TcpStream) -> io::Result<()> {
    client.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
    loop {
        client.write_all(&[0x30; 4096])?;
    }
}
