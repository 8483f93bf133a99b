//! Downloads: limits, redirects, TLS, conditional requests.

use std::{fs, net::TcpListener, time::Duration};

use monitor::{
    feeds::{Answer, BadRedirect, FetchError, Fetcher, Limits, TrustError},
    lists::FeedUrl,
};

use crate::server::{Server, answer, certificate, refusing};

const LIST: &str = "45.9.8.0/24\n";

fn url(text: &str) -> FeedUrl {
    text.parse().unwrap()
}

fn fetch(text: &str, limits: Limits) -> Result<Answer, FetchError> {
    Fetcher::new(None, limits)
        .unwrap()
        .fetch(&url(text), (None, None))
}

fn content(answer: Answer) -> Vec<u8> {
    match answer {
        Answer::Content(fetched) => fetched.content,
        Answer::NotModified => panic!("not modified"),
    }
}

#[test]
fn what_it_says_of_itself_and_the_conditions() {
    let server = Server::here();
    server.behaves(|head, client| {
        let head = head.to_lowercase();
        if head.contains("if-none-match: \"one\"") && head.contains("if-modified-since: yesterday")
        {
            return answer(client, "304 Not Modified", "", b"");
        }
        answer(
            client,
            "200 OK",
            "ETag: \"one\"\r\nLast-Modified: yesterday\r\nSet-Cookie: a=b\r\n",
            LIST.as_bytes(),
        )
    });
    let fetcher = Fetcher::new(None, Limits::default()).unwrap();
    let url = url(&server.url("/list"));
    let Answer::Content(first) = fetcher.fetch(&url, (None, None)).unwrap() else {
        panic!("a content comes first")
    };
    assert_eq!(first.content, LIST.as_bytes());
    let known = (first.etag.as_deref(), first.last_modified.as_deref());
    assert_eq!(fetcher.fetch(&url, known).unwrap(), Answer::NotModified);
    for head in server.requests() {
        let head = head.to_lowercase();
        assert!(
            head.contains(concat!("user-agent: monitor/", env!("CARGO_PKG_VERSION"))),
            "{head}"
        );
        assert!(!head.contains("cookie"), "{head}");
        assert!(!head.contains("accept-encoding: gzip"), "{head}");
    }
    server.behaves(|_, client| answer(client, "304 Not Modified", "", b""));
    let error = fetcher.fetch(&url, (None, None)).unwrap_err();
    assert!(
        matches!(error, FetchError::Redirect(_) | FetchError::Status(_)),
        "{error}"
    );
}

#[test]
fn redirects_are_followed_within_bounds() {
    let server = Server::here();
    let target = server.url("/there");
    server.behaves(move |head, client| match head.split(' ').nth(1) {
        Some("/there" | "/there?u=https://mirror.example/x") => {
            answer(client, "200 OK", "", LIST.as_bytes())
        }
        Some("/relative") => answer(client, "301 Moved", "Location: /there\r\n", b""),
        Some("/a/b/up") => answer(client, "302 Found", "Location: ../../there\r\n", b""),
        Some("/query") => answer(
            client,
            "302 Found",
            "Location: /there?u=https://mirror.example/x\r\n",
            b"",
        ),
        Some("/user") => answer(
            client,
            "302 Found",
            "Location: http://me:secret@127.0.0.1/x?secret\r\n",
            b"",
        ),
        Some("/nowhere") => answer(client, "302 Found", "", b""),
        Some("/other") => answer(client, "302 Found", "Location: ftp://127.0.0.1/x\r\n", b""),
        Some("/circle") => answer(client, "302 Found", "Location: circle\r\n", b""),
        _ => answer(client, "302 Found", &format!("Location: {target}\r\n"), b""),
    });
    for path in ["/absolute", "/relative", "/a/b/up", "/query"] {
        let answer = fetch(&server.url(path), Limits::default()).unwrap();
        assert_eq!(content(answer), LIST.as_bytes(), "{path}");
    }
    for (path, why) in [
        ("/nowhere", "to nowhere"),
        ("/other", "ftp://"),
        ("/user", "holds a user name or a password"),
        ("/circle", "more than 5 times"),
    ] {
        let error = fetch(&server.url(path), Limits::default())
            .unwrap_err()
            .to_string();
        assert!(error.contains(why), "{path}: {error}");
        assert!(!error.contains("secret"), "{path}: {error}");
    }
    let circles = server
        .requests()
        .iter()
        .filter(|head| head.contains("/circle"))
        .count();
    assert_eq!(circles, 6, "the first, and five that are followed");
}

#[test]
fn an_answer_that_does_not_end_is_given_up() {
    let server = Server::here();
    server.behaves(|_, client| {
        write!(client, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
        loop {
            client.write_all(b"#")?;
            client.flush()?;
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    let limits = Limits {
        time: Duration::from_secs(1),
        ..Limits::default()
    };
    let error = fetch(&server.url("/"), limits).unwrap_err();
    assert!(matches!(error, FetchError::TooSlow { .. }), "{error:?}");
    assert_eq!(error.to_string(), "the answer did not arrive within 1 s");
}

#[test]
fn the_size_is_limited_with_and_without_a_length() {
    let limits = Limits {
        size: 1000,
        ..Limits::default()
    };
    let server = Server::here();
    for (size, fits) in [(1000, true), (1001, false)] {
        server.gives(vec![b'#'; size]);
        assert_eq!(fetch(&server.url("/"), limits).is_ok(), fits, "{size}");
        server.behaves(move |_, client| {
            write!(
                client,
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
            )?;
            write!(client, "{size:x}\r\n{}\r\n0\r\n\r\n", "#".repeat(size))?;
            client.flush()
        });
        assert_eq!(
            fetch(&server.url("/"), limits).is_ok(),
            fits,
            "{size} in chunks"
        );
    }
}

#[test]
fn nobody_there() {
    let error = fetch(&format!("http://{}/", refusing()), Limits::default()).unwrap_err();
    assert!(
        error.to_string().to_lowercase().contains("refused"),
        "{error}"
    );
}

#[test]
fn only_a_trusted_certificate_is_taken_and_encryption_is_not_given_up() {
    let (pem, config) = certificate();
    let server = Server::on(TcpListener::bind("127.0.0.1:0").unwrap(), Some(config));
    let url = format!("https://{}/list", server.address);
    server.gives(LIST);
    let error = fetch(&url, Limits::default()).unwrap_err();
    assert!(matches!(error, FetchError::Tls(_)), "{error:?}");
    assert!(
        error.to_string().contains("no trusted connection"),
        "{error}"
    );

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ca.pem");
    fs::write(&file, pem).unwrap();
    let trusting = Fetcher::new(Some(&file), Limits::default()).unwrap();
    let parsed: FeedUrl = url.parse().unwrap();
    let answer_ = trusting.fetch(&parsed, (None, None)).unwrap();
    assert_eq!(content(answer_), LIST.as_bytes());

    server.behaves(|_, client| {
        answer(
            client,
            "302 Found",
            "Location: http://127.0.0.1:1/list\r\n",
            b"",
        )
    });
    let error = trusting.fetch(&parsed, (None, None)).unwrap_err();
    assert!(
        matches!(error, FetchError::Redirect(BadRedirect::Downgrade { .. })),
        "{error:?}"
    );

    fs::write(&file, "nothing").unwrap();
    assert!(matches!(
        Fetcher::new(Some(&file), Limits::default()),
        Err(TrustError::None { .. })
    ));
    let missing = directory.path().join("missing");
    assert!(matches!(
        Fetcher::new(Some(&missing), Limits::default()),
        Err(TrustError::Read { .. })
    ));
}
