//! The pages of the daemon in a real browser and in a client without script.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use crate::support;

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
};

use serde_json::json;
use support::{
    browser::{Browser, axe},
    lab::{BLOCKED, Daemon, Lab, OPEN, PHONE_MAC, POLICIES, observe::whole, poll, poll_long},
};

/// The policy of the page's headers, word for word.
const SECURITY: &str = "content-security-policy: default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; manifest-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'\r\n";

/// A name that a page must show as text. The operator's file gives it to the phone.
const HOSTILE: &str = "<img src=x onerror=\"document.title='owned'\">\u{1b}[31m\u{202e}&amp;'";

/// Widths of a phone, a tablet and a desk, in pixels, in both themes.
const LOOKS: [(u32, &str); 6] = [
    (390, "light"),
    (390, "dark"),
    (820, "light"),
    (820, "dark"),
    (1440, "light"),
    (1440, "dark"),
];

/// Figures that do not open where they come from: without a link in them, in their row or in the
/// caption of their table.
const WITHOUT_SOURCE: &str = "const figures = document.querySelectorAll('td.number, .counts span, .would strong, .big');
    const opens = it => it.closest('a') || it.querySelector('a') || it.closest('tr')?.querySelector('a')
        || it.closest('table')?.querySelector('caption a');
    return [...figures].filter(it => /\\d/.test(it.textContent) && !opens(it)).map(it => it.outerHTML)";

/// Every page, with the phone and a contact of it.
fn pages() -> Vec<String> {
    let contact = format!("/contacts/{PHONE_MAC}/{}", BLOCKED[0]);
    let fixed = [
        "/",
        "/devices",
        "/contacts",
        "/policies",
        "/policies/seen",
        "/feeds",
        "/coverage",
        "/search?q=198.51.100.10",
    ];
    let of_phone = [format!("/devices/{PHONE_MAC}"), contact];
    fixed
        .into_iter()
        .map(str::to_owned)
        .chain(of_phone)
        .collect()
}

/// Starts a daemon that gives the phone a hostile name.
fn start(lab: &Lab) -> Daemon {
    fs::write(
        lab.directory.path().join("names"),
        format!("{PHONE_MAC} {HOSTILE}\n"),
    )
    .unwrap();
    let config = lab.directory.path().join("monitor.yaml");
    fs::write(&config, "devices:\n  names: names\n").unwrap();
    lab.start(&["--mode", "generic", "--config", config.to_str().unwrap()])
}

/// Sends a request of HTTP from the phone, whose Host is a name of its own.
fn say_host(lab: &Lab, name: &str) {
    let listener = lab.listen_tcp(OPEN[0]);
    let address = listener.local_addr().unwrap();
    lab.phone.run(|| {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET / HTTP/1.1\r\nHost: {name}\r\n\r\n").unwrap();
    });
    let (mut stream, _) = listener.accept().unwrap();
    let _ = stream.read_to_end(&mut Vec::new());
}

/// Head and body of a page, without a browser.
fn get(lab: &Lab, path: &str) -> String {
    let answer = lab.try_get("127.0.0.1:9641".parse().unwrap(), path, "");
    answer.unwrap()
}

#[test]
fn every_page_is_whole_without_script() {
    let lab = Lab::new("page-plain");
    let _daemon = start(&lab);
    lab.send_udp(BLOCKED[0], 3);
    say_host(&lab, "api.example.net");
    let name = "&lt;img src=x onerror=&quot;document.title='owned'&quot;&gt;\\u{1b}[31m\\u{202e}&amp;amp;'";
    poll("the contacts are shown", || {
        let page = get(&lab, "/");
        page.contains("3 dropped") && page.contains(">api.example.net<")
    });
    for path in pages() {
        let page = get(&lab, &path);
        let (head, body) = page.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{path}: {head}");
        assert!(head.contains(SECURITY.trim_end()), "{path}: {head}");
        assert!(
            !body.contains("<img") && !body.contains('\u{1b}') && !body.contains('\u{202e}'),
            "{path}: {body}"
        );
        assert!(
            !body.contains("style=") && !body.contains("<style") && !body.contains("onclick"),
            "{path}"
        );
        assert_eq!(body.matches("<script").count(), 1, "{path}");
        assert!(
            body.contains("</html>") && !body.contains("role=\"alert\""),
            "{path}: {body}"
        );
    }
    let of_phone = get(&lab, &format!("/devices/{PHONE_MAC}"));
    assert!(of_phone.contains(name), "{of_phone}");
    assert!(of_phone.contains("Xiaomi"), "the maker: {of_phone}");
    // Why the verdict is as it is, with file and line.
    let why = get(&lab, &format!("/contacts/{PHONE_MAC}/{}", BLOCKED[0]));
    for part in [
        "policies.yaml:5",
        "decides",
        "198.51.100.0/24",
        "3 dropped",
        "Who holds the address",
    ] {
        assert!(why.contains(part), "{part}: {why}");
    }
    let named = get(&lab, &format!("/contacts/{PHONE_MAC}/{}", OPEN[0]));
    assert!(
        named.contains("api.example.net") && named.contains("http-host"),
        "{named}"
    );
    // What a policy that counts would have dropped.
    let mut policies = String::new();
    poll("what would have been dropped is counted", || {
        policies = get(&lab, "/policies");
        policies.contains("If this dropped, ")
    });
    assert!(
        policies.contains(">1 device</a></strong>") && policies.contains("api.example.net"),
        "{policies}"
    );
    // The difference of the last change, and a filter.
    lab.write_policies(&POLICIES.replace("198.51.100.0/25", "198.51.100.0/26"));
    poll("the last change is shown", || {
        let page = get(&lab, "/policies");
        page.contains("<ins>+ - 198.51.100.0/26</ins>")
            && page.contains("<del>− - 198.51.100.0/25</del>")
    });
    let dropped = get(&lab, "/contacts?verdict=dropped");
    assert!(
        dropped.contains(BLOCKED[0]) && !dropped.contains("api.example.net"),
        "{dropped}"
    );
    let by_text = get(&lab, "/contacts?q=API.example");
    assert!(
        by_text.contains("api.example.net") && !by_text.contains(&format!(">{}<", BLOCKED[0])),
        "{by_text}"
    );
    for path in ["/contacts?device=nobody", "/contacts?policy=%3Cb%3E"] {
        let refused = get(&lab, path);
        assert!(
            refused.contains("role=\"alert\"") && !refused.contains("<b>"),
            "{path}: {refused}"
        );
    }
    for path in [
        "/devices/nobody",
        "/contacts/x/y",
        "/policies/none",
        "/assets/page.css",
    ] {
        assert!(get(&lab, path).starts_with("HTTP/1.1 404"), "{path}");
    }
}

/// While another process holds the store, pages show what is stored, and say what they may lack.
#[test]
fn a_page_does_not_wait_for_a_busy_store() {
    const BEHIND: &str = "still storing the latest packets";
    let lab = Lab::new("page-busy");
    let _daemon = lab.start(&["--mode", "generic"]);
    lab.send_udp(BLOCKED[0], 3);
    poll("the contact is stored", || {
        get(&lab, "/").contains("3 dropped")
    });
    let store = lab.directory.path().join("state");
    let other = rusqlite::Connection::open(store.join(monitor::store::FILE)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    lab.send_udp(BLOCKED[0], 4);
    let mut page = String::new();
    poll("the page does not wait for the drain", || {
        page = get(&lab, "/");
        page.contains(BEHIND)
    });
    assert!(
        page.contains("3 dropped") && page.contains("</html>"),
        "{page}"
    );
    assert!(!page.contains("role=\"alert\""), "{page}");
    other.execute_batch("ROLLBACK").unwrap();
    poll("the page has all packets", || {
        page = get(&lab, "/");
        page.contains("7 dropped")
    });
    poll("the page is up to date", || {
        !get(&lab, "/").contains(BEHIND)
    });
}

#[test]
fn contacts_are_withheld_where_other_machines_read_them() {
    let lab = Lab::new("page-withheld");
    let _daemon = lab.start(&["--mode", "generic", "--listen", "10.77.0.1:9641"]);
    lab.send_udp(BLOCKED[0], 3);
    let ask = |path: &str| {
        lab.phone.run(|| {
            let mut stream = TcpStream::connect("10.77.0.1:9641").unwrap();
            write!(
                stream,
                "GET {path} HTTP/1.1\r\nHost: 10.77.0.1:9641\r\n\r\n"
            )
            .unwrap();
            let mut page = String::new();
            stream.read_to_string(&mut page).unwrap();
            whole(page)
        })
    };
    poll("the packets are counted", || {
        lab.policy("blocked") == (0, 3)
    });
    for path in pages() {
        let page = ask(&path);
        // A search shows the text that it was asked for.
        let shows_asked = path.starts_with("/search");
        assert!(
            shows_asked || !page.contains(&format!(">{}<", BLOCKED[0])),
            "{path}: {page}"
        );
        assert!(
            path.contains(PHONE_MAC) || !page.contains(PHONE_MAC),
            "{path}: {page}"
        );
    }
    assert!(ask("/contacts").contains("are not shown at this address"));
    assert!(ask("/policies/blocked").contains("device-"), "a pseudonym");
}

#[test]
fn a_person_reads_chooses_and_sees_changes_in_a_browser() {
    let lab = Lab::new("page-browser");
    let (Some(browser), Some(axe)) = (Browser::start(&lab.gateway), axe()) else {
        return;
    };
    let _daemon = start(&lab);
    lab.send_udp(BLOCKED[0], 3);
    say_host(&lab, "api.example.net");
    live_numbers(&lab, &browser);
    chart_and_search(&browser);
    let mut obstacles = Vec::new();
    for (width, theme) in LOOKS {
        browser.look(width, theme);
        for (number, path) in pages().iter().enumerate() {
            let look = format!("{path}, {width} pixels, {theme}");
            browser.open(path);
            let found = browser.obstacles(&axe);
            obstacles.extend((!found.is_empty()).then(|| format!("{look}: {found}")));
            let is_wide = browser.run("return document.documentElement.scrollWidth > innerWidth");
            assert_eq!(is_wide, false, "{look}");
            assert_eq!(browser.run(WITHOUT_SOURCE), json!([]), "{look}");
            browser.picture(&format!("{number}-{width}-{theme}"));
        }
    }
    assert!(obstacles.is_empty(), "{}", obstacles.join("\n"));
    assert_ne!(browser.run("return document.title"), "owned");
    let obstacles = browser.devtools("Page.getInstallabilityErrors", &json!({}));
    assert_eq!(obstacles["installabilityErrors"], json!([]), "{obstacles}");
    assert_eq!(browser.complaints(), [""; 0]);
}

/// Packets that are sent while the page is open appear without a click.
fn live_numbers(lab: &Lab, browser: &Browser<'_>) {
    browser.open("/");
    let dropped = || browser.text("#chart .legend .dropped");
    // On a busy machine, the page did not wait for the store, and loads again.
    poll_long("the page shows the packets", || dropped() == "3 dropped");
    assert!(
        browser.text("#state").contains("On"),
        "{}",
        browser.text("#state")
    );
    browser.run("window.stays = true");
    // The first event tells the state that the page has.
    lab.send_udp(BLOCKED[0], 4);
    poll_long("the page shows the new packets", || {
        dropped() == "7 dropped"
    });
    assert_eq!(
        browser.run("return window.stays"),
        true,
        "the page was loaded again"
    );
    assert_eq!(browser.text("#contacts tbody tr .dropped"), "7 dropped");
}

/// A bar, a drawing and the search box filter what is shown.
fn chart_and_search(browser: &Browser<'_>) {
    browser.open("/contacts");
    let all = browser.count("#contacts tbody tr");
    assert!(all >= 2, "{all}");
    // A bar of yesterday has no contact.
    let to = browser.run("return document.querySelector('svg.bars a').getAttribute('href')");
    browser.open(to.as_str().unwrap());
    assert_eq!(browser.count("#contacts tbody tr"), 0);
    assert!(browser.text(".selection").starts_with("Only "));
    // A drawing over the last bars has all of them.
    browser.open("/contacts");
    let place = |part: &str| {
        let script = format!(
            "const b = document.querySelector('svg.bars').getBoundingClientRect(); return Math.round({part})"
        );
        browser.run(&script).as_i64().unwrap()
    };
    browser.run("document.querySelector('svg.bars').scrollIntoView({block: 'center'})");
    let (middle, right, height) = (
        place("b.left + b.width / 2"),
        place("b.right - 2"),
        place("b.top + b.height / 2"),
    );
    browser.draw((middle, height), (right, height));
    poll("the drawing selects a time", || {
        let from = browser.run("return new URL(location).searchParams.get('from')");
        from.is_string() && browser.count(".selection") == 1
    });
    assert_eq!(browser.count("#contacts tbody tr"), all);
    // The key `/` leads to the search box from anywhere.
    browser.open("/policies");
    browser.keys("/");
    browser.keys("api.exa\u{e007}");
    poll("the search answers", || {
        let path = browser.run("return location.pathname");
        path == "/search" && browser.count("table.contacts tbody tr") == 1
    });
    assert!(browser.text("table.contacts").contains("api.example.net"));
}
