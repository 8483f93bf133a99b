//! The page of a gateway with an interface of each role shows both directions.

use super::world::{GATEWAY_MAC, QUESTION, STOPPED, WATCHED, World, ask, egress_mode, frames};
use crate::support::lab::{PHONE_MAC, poll};

#[test]
fn the_page_shows_what_was_sent_and_what_came_back() {
    let world = World::new("page-wan");
    let lab = &world.lab;
    let _daemon = world.start(&["--no-watch"]);
    assert_eq!(ask(&lab.phone, WATCHED[0], 20), 20);
    assert_eq!(ask(&lab.phone, STOPPED[0], 5), 0);
    assert_eq!(ask(&lab.gateway, WATCHED[0], 7), 7);
    let bytes = |packets| frames(WATCHED[0], packets, QUESTION.len()).bytes;
    let get = |path: &str| {
        let page = lab.try_get("127.0.0.1:9641".parse().unwrap(), path, "");
        let page = page.unwrap();
        assert!(
            page.contains("</html>") && !page.contains("role=\"alert\""),
            "{path}: {page}"
        );
        page
    };
    let has = |path: &str, parts: &[&str]| {
        let page = get(path);
        for part in parts {
            assert!(page.contains(part), "{path}: {part}: {page}");
        }
    };
    let passed = |packets: u64| format!("{packets}<span class=\"hidden\"> passed</span>");

    // A contact of the phone has its answers. Those to the gateway itself have no device.
    let contacts = format!("/contacts?device={PHONE_MAC}");
    let both = format!("{0} B out, {0} B in", bytes(20));
    poll("the answers of the phone are stored", || {
        let page = get(&contacts);
        page.contains(&both) && page.contains("5 dropped")
    });
    let page = get(&contacts);
    assert_eq!(page.matches(" B in").count(), 1, "{page}");
    let own = format!("/contacts?device={GATEWAY_MAC}");
    has(&own, &[WATCHED[0], &passed(7), &format!("{} B", bytes(7))]);

    let sent = format!(
        "</a><small>{} B</small></td><td class=\"number\"><a href",
        bytes(20)
    );
    let answered = format!("\">20</a><small>{} B</small></td>", bytes(20));
    has(
        &format!("/contacts/{PHONE_MAC}/{}", WATCHED[0]),
        &[
            "What was sent, and what came back",
            "Answers are packets that passed the WAN and left to this device.",
            &passed(20),
            &sent,
            &answered,
        ],
    );
    let dropped = format!(
        "<small>{} B</small></td><td class=\"number\"><a href",
        bytes(5)
    );
    has(
        &format!("/contacts/{PHONE_MAC}/{}", STOPPED[0]),
        &["5 dropped", &dropped, "\">0</a></td>"],
    );

    // Both directions of a policy.
    let counts = [
        passed(20 + 7) + "</span></span></a> packets",
        passed(20 + 7) + "</span></span></a> packets in",
    ];
    has("/policies", &[&counts[0], &counts[1], "5 dropped"]);

    // Each hook of both interfaces has its own counters.
    let hook = |interface: &str, mode: &str, passed: u64, dropped: u64| {
        format!(
            "<tr><th scope=\"row\">{interface}</th><td>attached, {mode}\
             <small>generation 1</small></td>\
             <td class=\"number\">{passed}</td><td class=\"number\">{dropped}</td>"
        )
    };
    let hooks = [
        hook("wlan0", "generic", 20, 5),
        hook("wan0", egress_mode().name(), 7, 0),
        hook("wan0<small>packets in</small>", "generic", 20 + 7, 0),
    ];
    has("/coverage", &[&hooks[0], &hooks[1], &hooks[2]]);
    let page = get("/");
    let (_, on) = page.split_once("Is it on?").unwrap();
    let (on, _) = on.split_once("</article>").unwrap();
    assert!(
        on.contains(">Yes<") && on.contains("wlan0") && on.contains("wan0"),
        "{on}"
    );
}
