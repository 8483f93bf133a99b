//! The login of the page in a real browser: what an operator can do, and what an attacker's page,
//! a hostile text and a used or stolen link cannot do.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use crate::support;

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    thread,
};

use serde_json::Value;
use support::{
    browser::{Browser, axe},
    lab::{Daemon, Lab, OPEN, PHONE_MAC, poll, poll_long, text},
};

const PAGE: &str = "127.0.0.1:9641";

/// A lab whose page has a login.
pub(crate) fn lab(name: &str, arguments: &[&str]) -> (Lab, Daemon) {
    let lab = Lab::new(name);
    let config = lab.directory.path().join("config.yaml");
    fs::write(&config, "page: {login: true}\n").unwrap();
    let config = config.to_str().unwrap().to_owned();
    let daemon = lab.start(&[&["--config", &config], arguments].concat());
    (lab, daemon)
}

/// The links that `monitor page --login` prints.
pub(crate) fn links(lab: &Lab) -> Value {
    let output = lab.monitor_inside(&["page", "--login", "--json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The changes in force.
fn changes(lab: &Lab) -> Vec<String> {
    let status = lab.status();
    let changes = status["daemon"]["changes"].as_array();
    let changes = changes.unwrap_or_else(|| panic!("no changes in {status:#}"));
    let each = changes.iter().map(|change| {
        let device = change["device"].as_str().unwrap_or("all");
        format!("{} for {device}", change["command"].as_str().unwrap())
    });
    each.collect()
}

/// Sends a form as a program does, with these further header lines.
fn post(lab: &Lab, path: &str, headers: &str, body: &str) -> String {
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {PAGE}\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n{headers}\r\n{body}",
        body.len()
    );
    lab.gateway.run(|| {
        let mut stream = TcpStream::connect(PAGE).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    })
}

fn get(lab: &Lab, path: &str, headers: &str) -> String {
    lab.try_get(PAGE.parse().unwrap(), path, headers).unwrap()
}

/// A server of an attacker in the gateway's namespace. Returns its port.
fn attacker(lab: &Lab, address: &str, page: String) -> u16 {
    let listener = lab.gateway.run(|| TcpListener::bind((address, 0)).unwrap());
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut line = String::new();
            let _ = BufReader::new(&stream).read_line(&mut line);
            let _ = write!(
                &stream,
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{page}",
                page.len()
            );
        }
    });
    port
}

/// The events of the page, as `act` and the whole event.
pub(crate) fn events(lab: &Lab) -> Vec<(String, Value)> {
    let output = lab.monitor(&["events", "--json"]);
    let events = text(&output.stdout);
    let all: Value = serde_json::from_str(&events).unwrap_or_else(|_| panic!("{events}"));
    let all = all["events"].as_array().unwrap().iter();
    let own = all.filter(|event| event["event"] == "page");
    own.map(|event| (event["act"].as_str().unwrap().to_owned(), event.clone()))
        .collect()
}

#[test]
fn an_operator_blocks_and_undoes_and_an_attackers_page_does_nothing() {
    let (lab, _daemon) = lab("page-login", &[]);
    let Some(browser) = Browser::start(&lab.gateway) else {
        return;
    };
    lab.send_udp(OPEN[0], 3);
    // It stores what the kernel has recorded, so that events can name the phone.
    assert!(lab.monitor(&["flows"]).status.success());
    let link = links(&lab)["links"][0].as_str().unwrap().to_owned();
    let path = link.strip_prefix(&format!("http://{PAGE}")).unwrap();

    // A program that looks at links does not use them.
    let shown = get(&lab, path, "");
    assert!(
        shown.starts_with("HTTP/1.1 200") && !shown.contains("set-cookie"),
        "{shown}"
    );
    browser.open("/changes");
    assert!(browser.text("body").contains("monitor page --login"));
    browser.open(&link);
    browser.submit("button");
    assert_eq!(browser.url(), format!("http://{PAGE}/"));
    let cookies = browser.cookies();
    assert_eq!(cookies.len(), 1, "{cookies:?}");
    assert_eq!(
        (&cookies[0]["httpOnly"], &cookies[0]["sameSite"]),
        (&Value::Bool(true), &Value::from("Strict"))
    );
    assert_eq!(browser.run("return document.cookie"), "");

    changes_in_a_row_and_undoes(&lab, &browser);
    refusals_change_nothing(&lab, &browser);
    pages_of_an_attacker_change_nothing(&lab, &browser);
    let cookie = cookies[0]["value"].as_str().unwrap();
    let secret = path.strip_prefix("/login/").unwrap();
    everyone_can_use_the_forms(&browser, path);
    a_cookie_and_a_used_link_change_nothing(&lab, &browser, cookie, secret);
    every_act_is_an_event(&lab);
    let log = fs::read_to_string(lab.directory.path().join("daemon.log")).unwrap();
    assert!(
        !log.contains(secret) && !log.contains("192.0.2.10"),
        "{log}"
    );
}

/// Block, allow and pause in a row, by clicks; each is undone by a click.
fn changes_in_a_row_and_undoes(lab: &Lab, browser: &Browser<'_>) {
    let form = "details.change form";
    let block = format!("{form} button:not([formaction])");
    let allow = format!("{form} button[formaction='/changes/allow']");
    let steps = [
        // Page, choices, button, and what is in force then.
        (
            "/contacts",
            "",
            &block,
            format!("block 192.0.2.10 for {PHONE_MAC}"),
        ),
        (
            "/contacts",
            "all",
            &allow,
            "allow 192.0.2.10 for all".to_owned(),
        ),
        (
            "/policies/blocked",
            "10m",
            &block,
            "pause blocked for all".to_owned(),
        ),
    ];
    for (page, choice, button, expected) in steps {
        browser.open(page);
        browser.click("details.change summary");
        match choice {
            "all" => browser.choose(&format!("{form} [name=device]"), ""),
            "10m" => browser.choose(&format!("{form} [name=for]"), "10m"),
            _ => {}
        }
        browser.submit(button);
        let command = expected.split(" for ").next().unwrap();
        let shown = browser.text("main");
        assert!(shown.contains(&format!("In force: {command}")), "{shown}");
        assert_eq!(changes(lab), [expected.as_str()]);
        browser.submit("form[action='/changes/undo'] button");
        assert!(browser.text("main").contains("Undone"), "{command}");
        assert!(changes(lab).is_empty(), "{command}");
    }
    // The list of changes undoes too.
    browser.open("/changes");
    browser.type_into("#pause [name=policy]", "seen");
    browser.submit("#pause button");
    browser.open("/changes");
    assert!(browser.text(".own-changes").contains("pause seen"));
    browser.submit(".own-changes form button");
    assert!(changes(lab).is_empty());
}

/// A checker of accessibility finds nothing on the pages of the login, in both themes.
fn everyone_can_use_the_forms(browser: &Browser<'_>, link: &str) {
    let Some(axe) = axe() else { return };
    browser.open("/changes");
    browser.type_into("#change [name=destination]", "203.0.113.9");
    browser.submit("#change button:not([formaction])");
    for theme in ["light", "dark"] {
        browser.theme(theme);
        for path in ["/changes", "/login", link, "/contacts"] {
            browser.open(path);
            if path == "/contacts" {
                browser.click("details.change summary");
            }
            assert_eq!(browser.obstacles(&axe), "", "{path}, {theme}");
        }
    }
    browser.open("/changes");
    browser.submit(".own-changes form button");
}

/// An open page says that its session has ended, takes its forms away, and says what to do. A form
/// of such a page changes nothing, and says the same.
fn an_open_page_tells_that_its_session_ended(lab: &Lab, browser: &Browser<'_>) {
    browser.open("/contacts");
    let is_told = || browser.run("return !document.getElementById('ended').hidden") == true;
    assert!(!is_told(), "hidden while the session lasts");
    let left = browser.run("return Number(document.getElementById('ended').dataset.left)");
    assert!(
        (43_000..=43_200).contains(&left.as_u64().unwrap()),
        "{left}"
    );
    assert!(browser.text("#session").contains("Changes"));
    assert!(browser.count("details.change") > 0);
    browser.click("details.change summary");
    let ended = lab.monitor(&["page", "--logout"]);
    assert_eq!(text(&ended.stdout), "1 sessions were ended\n");
    // As the timer of the page does at the end of the session, a new packet makes it look.
    lab.send_udp(OPEN[0], 3);
    poll_long("the page tells that its session ended", is_told);
    assert!(browser.text("#ended").contains("Your session has ended"));
    assert_eq!(browser.count("details.change"), 0);
    assert!(browser.text("#session").contains("Sign in"));
    browser.click("#ended a");
    poll("it says how to sign in", || {
        browser.text("main").contains("monitor page --login")
    });
    let own = format!("Origin: http://{PAGE}\r\n");
    let body = format!("destination={}", OPEN[0]);
    let answer = post(lab, "/changes/block", &own, &body);
    assert!(
        answer.starts_with("HTTP/1.1 401") && answer.contains("Your session has ended"),
        "{answer}"
    );
    assert!(answer.contains("monitor page --login"), "{answer}");
}

/// The guard refuses, and a hostile text stays a text.
fn refusals_change_nothing(lab: &Lab, browser: &Browser<'_>) {
    browser.open("/changes");
    browser.type_into("#change [name=destination]", "10.77.0.1");
    browser.submit("#change button:not([formaction])");
    assert!(
        browser.text("body").contains("would lock devices out"),
        "{}",
        browser.text("body")
    );
    let hostile = "\"><script>document.title='owned'</script>";
    browser.open("/changes");
    browser.type_into("#change [name=destination]", OPEN[0]);
    browser.type_into("#change [name=device]", hostile);
    browser.submit("#change button:not([formaction])");
    assert!(
        browser.text("body").contains("<script>"),
        "{}",
        browser.text("body")
    );
    assert_eq!(browser.title(), "Refused · monitor");
    assert!(changes(lab).is_empty());
}

/// A page of another port of this host gets the cookie sent along, a page of another host does
/// not. Neither changes anything.
fn pages_of_an_attacker_change_nothing(lab: &Lab, browser: &Browser<'_>) {
    let form = format!(
        "<body><form method=post action='http://{PAGE}/changes/block'><input name=destination value={}></form><script>document.forms[0].submit()</script>",
        OPEN[0]
    );
    for host in ["127.0.0.1", "10.77.0.1"] {
        let port = attacker(lab, host, form.clone());
        browser.open(&format!("http://{host}:{port}/"));
        poll("the attacker's form is answered", || {
            browser.title().contains("monitor")
        });
        assert!(
            browser.text("body").contains("Nothing was changed")
                || browser.text("body").contains("Not signed in")
        );
    }
    assert!(changes(lab).is_empty());
}

/// A program that has the cookie lies about everything but the token. A used link opens nothing,
/// and that is told.
fn a_cookie_and_a_used_link_change_nothing(
    lab: &Lab,
    browser: &Browser<'_>,
    cookie: &str,
    secret: &str,
) {
    let own = format!("Origin: http://{PAGE}\r\n");
    let cookie = format!("Cookie: monitor-session={cookie}\r\n");
    let body = format!("destination={}", OPEN[0]);
    for headers in [own.clone(), format!("{own}{cookie}"), cookie.clone()] {
        let answer = post(lab, "/changes/block", &headers, &body);
        assert!(answer.starts_with("HTTP/1.1 40"), "{answer}");
    }
    assert!(changes(lab).is_empty());

    let again = post(lab, "/login", &own, &format!("link={secret}"));
    assert!(
        again.starts_with("HTTP/1.1 403") && again.contains("used before"),
        "{again}"
    );
    assert!(get(lab, "/changes", &cookie).starts_with("HTTP/1.1 200"));
    an_open_page_tells_that_its_session_ended(lab, browser);
    // A stolen session ended with the others.
    assert!(get(lab, "/changes", &cookie).starts_with("HTTP/1.1 401"));
}

fn every_act_is_an_event(lab: &Lab) {
    let mut acts = Vec::new();
    poll("the events are stored", || {
        acts = events(lab);
        acts.iter().any(|(act, _)| act == "link-used-again")
    });
    let words: Vec<_> = acts.iter().map(|(act, _)| act.as_str()).collect();
    assert_eq!(
        words,
        [
            ["login"].as_slice(),
            &["change", "undo"].repeat(4),
            &["refused", "refused", "change", "undo", "link-used-again"],
        ]
        .concat(),
        "{acts:?}"
    );
    let (_, change) = &acts[1];
    assert_eq!(change["command"], "block 192.0.2.10");
    assert_eq!(change["device"], PHONE_MAC);
    assert_eq!(change["address"], "127.0.0.1");
    assert_eq!(change["session"].as_str().unwrap().len(), 8);
}

#[test]
fn the_login_is_off_until_the_operator_switches_it_on() {
    let lab = Lab::new("page-off");
    let _daemon = lab.start(&[]);
    let refused = lab.monitor(&["page", "--login"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        text(&refused.stderr).contains("page: {login: true}"),
        "{refused:?}"
    );
    for path in ["/login", "/changes", "/login/x"] {
        let answer = get(&lab, path, "");
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    }
    let answer = post(&lab, "/changes/block", "", "destination=192.0.2.1");
    assert!(
        answer.starts_with("HTTP/1.1 404") || answer.starts_with("HTTP/1.1 405"),
        "{answer}"
    );
}
