use proptest::prelude::*;

use super::*;

fn whole(bytes: &str) -> (Request, usize) {
    match request(bytes.as_bytes()) {
        Message::Whole { content, length } => (content, length),
        other => panic!("{other:?}"),
    }
}

#[test]
fn host_names_and_model_are_read() {
    let bytes = "GET /164566/sign_d?host=appmarket.micloud.xiaomi.net&net=wifi HTTP/1.1\r\n\
        User-Agent: Dalvik/2.1.0 (Linux; U; Android 10; Redmi Note 9 Pro MIUI/V12)\r\n\
        Host: 203.107.1.65\r\n\r\n";
    let expected = Request {
        host: Some(b"203.107.1.65".to_vec()),
        asked: vec!["appmarket.micloud.xiaomi.net".to_owned()],
        model: Some("Redmi Note 9 Pro".to_owned()),
        is_tunnel: false,
    };
    assert_eq!(whole(bytes), (expected, bytes.len()));
}

#[test]
fn the_host_loses_its_port_and_keeps_its_bytes() {
    for (value, host) in [
        ("example.com:8080", Some(&b"example.com"[..])),
        ("[2001:db8::1]:80", Some(b"2001:db8::1")),
        ("  Example.com ", Some(b"Example.com")),
        ("ex\u{e9}.com", Some(b"ex\xc3\xa9.com")),
        ("", None),
    ] {
        let bytes = format!("GET / HTTP/1.1\r\nhOsT:{value}\r\n\r\n");
        assert_eq!(whole(&bytes).0.host.as_deref(), host, "{value}");
    }
    assert_eq!(whole("GET / HTTP/1.0\r\n\r\n").0, Request::default());
}

#[test]
fn a_request_to_a_proxy_does_not_name_the_destination() {
    let (tunnel, _) =
        whole("CONNECT secret.example:443 HTTP/1.1\r\nHost: secret.example:443\r\n\r\n");
    assert_eq!(
        (tunnel.host, tunnel.asked),
        (None, vec!["secret.example".to_owned()])
    );
    assert!(tunnel.is_tunnel);
    let (absolute, _) =
        whole("GET http://a.example/x?host=b.example HTTP/1.1\r\nHost: c.example\r\n\r\n");
    assert_eq!(absolute.host, None);
    assert_eq!(absolute.asked, ["a.example", "c.example", "b.example"]);
    assert!(!absolute.is_tunnel);
    let (address, _) = whole("CONNECT 192.0.2.1:443 HTTP/1.1\r\nHost: 192.0.2.1:443\r\n\r\n");
    assert_eq!((address.host, address.asked), (None, Vec::new()));
}

#[test]
fn the_body_belongs_to_the_request() {
    let head = |field: &str| format!("POST / HTTP/1.1\r\nHost: a.example\r\n{field}\r\n\r\n");
    let fixed = head("Content-Length: 10");
    assert_eq!(whole(&fixed).1, fixed.len() + 10);
    for field in [
        "Transfer-Encoding: chunked",
        "Content-Length: -1",
        "Content-Length: 99999999999999999999",
    ] {
        assert_eq!(whole(&head(field)).1, usize::MAX, "{field}");
    }
}

#[test]
fn an_incomplete_request_has_content_once_its_host_is_complete() {
    let bytes =
        "GET /d?dn=b.example HTTP/1.1\r\nAccept: */*\r\nHost: a.example\r\nCookie: x\r\n\r\n";
    let host_ends = bytes.find("Cookie").unwrap();
    for length in 1..bytes.len() {
        let Message::Incomplete { content } = request(&bytes.as_bytes()[..length]) else {
            panic!("{length}");
        };
        let host = content.and_then(|content| content.host);
        let expected = (length >= host_ends).then(|| b"a.example".to_vec());
        assert_eq!(host, expected, "{length}");
    }
}

#[test]
fn other_bytes_are_no_request() {
    for bytes in [
        &b"HTTP/1.1 200 OK\r\nHost: a\r\n\r\n"[..],
        b"get / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / RTSP/1.0\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01",
        b"AAAAAAAAAAAAAAAAAAAAAAAA",
        b"",
    ] {
        assert_eq!(request(bytes), Message::Other, "{bytes:?}");
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(
        begin in prop::sample::select(vec!["", "GET ", "GET /?host=", "CONNECT a:1 HTTP/1.1\r\nHost:", "GET http://"]),
        bytes in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let _ = request(&[begin.as_bytes(), &bytes].concat());
    }

    #[test]
    fn no_text_panics(text in "(GET|POST|CONNECT) [ -~]{0,40} HTTP/1.1\r\n([A-Za-z-]{1,20}: ?\\PC{0,40}\r\n){0,6}") {
        if let Message::Whole { content, .. } = request(text.as_bytes()) {
            prop_assert!(content.asked.len() <= asked::MAX_NAMES + 2);
        }
    }
}
