//! Who may read devices and contacts on the page: `page.contacts`.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use crate::support;

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::net::UnixStream,
};

use serde_json::Value;
use support::lab::{BLOCKED, Lab, PHONE_MAC, poll, text};

const PAGE: &str = "127.0.0.1:9641";

/// Pages that have contacts or devices, and a word that each has only then.
fn private() -> [(String, String); 7] {
    let (mac, to) = (PHONE_MAC, BLOCKED[0]);
    [
        ("/".to_owned(), format!("/contacts/{mac}/{to}")),
        ("/devices".to_owned(), mac.to_owned()),
        (format!("/devices/{mac}"), to.to_owned()),
        ("/contacts".to_owned(), to.to_owned()),
        (
            format!("/contacts/{mac}/{to}"),
            "Why this verdict".to_owned(),
        ),
        ("/policies/blocked".to_owned(), mac.to_owned()),
        (format!("/search?q={to}"), format!("/contacts/{mac}/{to}")),
    ]
}

fn get(lab: &Lab, path: &str, headers: &str) -> String {
    lab.try_get(PAGE.parse().unwrap(), path, headers).unwrap()
}

/// Asserts that the pages of contacts and devices list them, or that these pages say why they
/// list none.
fn shows(lab: &Lab, headers: &str, expected: bool, why: &str) {
    for (path, word) in private() {
        let page = get(lab, &path, headers);
        assert!(
            page.starts_with("HTTP/1.1 200") && page.contains("</html>"),
            "{path}: {page}"
        );
        assert_eq!(page.contains(&word), expected, "{path} {headers}: {page}");
        if !expected && path != "/policies/blocked" {
            assert!(page.contains(why), "{path}: {page}");
        }
    }
}

/// Uses a link, and returns the header line with the cookie of the session.
fn sign_in(lab: &Lab) -> String {
    let made = lab.monitor_inside(&["page", "--login", "--json"]);
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    let link = made["links"][0].as_str().unwrap();
    let body = format!("link={}", link.rsplit('/').next().unwrap());
    let answer = lab.gateway.run(|| {
        let mut stream = TcpStream::connect(PAGE).unwrap();
        write!(
            stream,
            "POST /login HTTP/1.1\r\nHost: {PAGE}\r\nOrigin: http://{PAGE}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    let cookie = answer
        .lines()
        .find_map(|line| line.strip_prefix("set-cookie: "));
    let cookie = cookie.unwrap_or_else(|| panic!("{answer}"));
    format!("Cookie: {}\r\n", cookie.split(';').next().unwrap())
}

#[test]
fn contacts_are_for_everyone_for_sessions_or_for_nobody() {
    let lab = Lab::new("page-contacts");
    let config = lab.directory.path().join("config.yaml");
    fs::write(&config, "page: {login: true, contacts: login}\n").unwrap();
    let socket = lab.directory.path().join("http.sock");
    let listen = format!("unix:{}", socket.display());
    let start = [
        "--config",
        config.to_str().unwrap(),
        "--listen",
        PAGE,
        "--listen",
        &listen,
    ];
    let daemon = lab.start(&start);
    lab.send_udp(BLOCKED[0], 3);
    // It stores what the kernel has recorded.
    assert!(lab.monitor(&["flows"]).status.success());
    shows(&lab, "", false, "monitor page --login");
    shows(
        &lab,
        "Cookie: monitor-session=AAAA\r\n",
        false,
        "monitor page --login",
    );
    // Figures, policies and coverage are for everyone.
    for (path, word) in [
        ("/", "3"),
        ("/policies", "3 dropped"),
        ("/coverage", "wlan0"),
    ] {
        assert!(get(&lab, path, "").contains(word), "{path}");
    }
    let cookie = sign_in(&lab);
    shows(&lab, &cookie, true, "");
    // Nobody can sign in over a socket file.
    let over_socket = || {
        let mut stream = UnixStream::connect(&socket).unwrap();
        write!(
            stream,
            "GET /contacts HTTP/1.1\r\nHost: localhost\r\n{cookie}\r\n"
        )
        .unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        page
    };
    let page = over_socket();
    assert!(
        page.contains("contacts: everyone") && !page.contains(BLOCKED[0]),
        "{page}"
    );
    assert!(lab.monitor(&["page", "--logout"]).status.success());
    shows(&lab, &cookie, false, "monitor page --login");
    daemon.kill();

    // The command line wins over the file.
    let daemon = lab.start(&[&start[..], &["--page-contacts", "nobody"]].concat());
    let cookie = sign_in(&lab);
    shows(&lab, &cookie, false, "contacts: nobody");
    daemon.kill();
    let _daemon = lab.start(&[&start[..], &["--page-contacts", "everyone"]].concat());
    shows(&lab, "", true, "");
    poll("the socket file shows contacts", || {
        over_socket().contains(BLOCKED[0])
    });

    // Without a login, nobody could see them, and that is an error.
    let refused = lab
        .daemon_command(&["--interface", "wlan0", "--page-contacts", "login"])
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        text(&refused.stderr).contains("page: {login: true, contacts: login}"),
        "{}",
        text(&refused.stderr)
    );
}
