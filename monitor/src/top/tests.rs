//! The screen, drawn into a buffer at several sizes, and what keys do.

use jiff::Timestamp;
use ratatui::{
    Terminal,
    backend::TestBackend,
    crossterm::event::{KeyCode, KeyEvent, KeyModifiers},
    style::Color,
};
use serde_json::json;

use super::*;
use crate::{
    control::{ChangeRequest, Status},
    doctor::{CheckName, Diagnosis, Finding, FindingStatus, Remark},
    policy::Effect,
};

const PHONE: &str = "64:cc:2e:11:22:33";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + seconds).unwrap()
}

fn flow(device: &str, to: &str, packets: u64, last: i64) -> serde_json::Value {
    json!({
        "device": device, "interface": "wlan0", "direction": "out", "destination": to,
        "protocol": "tcp", "port": 443, "policies": ["range-42.62.48.0-24", "seen"],
        "packets": packets, "bytes": packets * 100, "dropped": 0,
        "first": at(last - 60).to_string(), "last": at(last).to_string(), "names": [],
        "holder": null
    })
}

/// A reading at `seconds`: two devices, three destinations. The phone's name and one name of a
/// destination try to act on the terminal.
fn facts(seconds: i64, packets: u64) -> Facts {
    let mut named = flow(PHONE, "42.62.48.7", packets, seconds - 2);
    named["dropped"] = json!(3);
    named["names"] = json!([
        {"name": "asked.example", "how": "asked", "at": "2026-09-21T12:00:00Z"},
        {"name": "api.io.mi.com\u{1b}[2J", "how": "dns", "at": "2026-09-21T12:26:40Z",
            "from": "10.0.0.1", "chain": ["api.io.mi.com", "cdn.example"]},
        {"name": "api.io.mi.com", "how": "sni", "at": "2026-09-21T12:26:41Z", "ech": "grease"}
    ]);
    let mut other_port = flow(PHONE, "42.62.48.7", 5, seconds - 9);
    other_port["port"] = json!(80);
    let television = "02:00:00:00:00:07";
    let flows = json!({
        "flows": [named, other_port,
            flow(PHONE, "2001:db8:bad::10", 40, seconds - 4000),
            flow(television, "42.62.48.9", 1_234_567, seconds - 200_000)],
        "devices": [
            {"device": PHONE, "name": "Redmi\u{1b}[31m\nNote", "name_source": "dhcp-dnsmasq",
                "vendor": "Xiaomi", "vendor_source": "built-in", "vendor_as_of": "2026-01-01",
                "randomised": false, "stated_same": []},
            {"device": television, "name": "television", "name_source": "devices", "vendor": null,
                "vendor_source": null, "vendor_as_of": null, "randomised": true,
                "stated_same": []}],
        "not_recorded": {"packets": 0, "reasons": {}}
    });
    let flows: crate::evidence::FlowsView = serde_json::from_value(flows).unwrap();
    Facts {
        at: at(seconds),
        since: Some(at(-3600)),
        flows,
        devices: Vec::new(),
        status: Some(status()),
        diagnosis: Some(diagnosis()),
    }
}

fn status() -> Status {
    let zero = json!({"packets": 0, "bytes": 0});
    let verdicts = |passed: u64, dropped: u64| json!({"passed": {"packets": passed, "bytes": 0}, "dropped": {"packets": dropped, "bytes": 0}});
    let status = json!({
        "daemon": null,
        "interfaces": [{"name": "wlan0", "mode": "generic", "generation": 7,
            "ipv4": verdicts(1200, 30), "ipv6": verdicts(4, 0), "unparsed": {},
            "not_confirmed": zero}],
        "policies": []
    });
    serde_json::from_value(status).unwrap()
}

fn diagnosis() -> Diagnosis {
    let finding = |check, status, what: &str| Finding {
        check,
        remark: Remark {
            status,
            what: what.to_owned(),
            why: "its packets pass unseen\u{9b}".to_owned(),
            fix: "add it to interfaces".to_owned(),
            accepted: None,
        },
    };
    Diagnosis::new(vec![
        finding(CheckName::Mode, FindingStatus::Ok, "fine"),
        finding(
            CheckName::Clock,
            FindingStatus::Degraded,
            "the clock is not synchronised",
        ),
        finding(
            CheckName::Interface,
            FindingStatus::Blind,
            "wlan1 carries packets and has no filter",
        ),
    ])
}

/// A screen after two readings ten seconds apart.
fn top() -> Top {
    let mut top = Top::new(Moment::Now);
    top.take(facts(0, 100));
    top.take(facts(10, 150));
    top
}

fn terminal(top: &mut Top, width: u16, height: u16, colours: bool) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal
        .draw(|frame| draw(frame, top, Palette::new(colours)))
        .unwrap();
    terminal
}

fn screen(top: &mut Top, width: u16, height: u16) -> String {
    terminal(top, width, height, true).backend().to_string()
}

fn press(top: &mut Top, keys: &str) -> Step {
    let mut step = Step::Draw;
    for key in keys.chars() {
        let code = match key {
            '\n' => KeyCode::Enter,
            '\u{1b}' => KeyCode::Esc,
            '\u{8}' => KeyCode::Backspace,
            key => KeyCode::Char(key),
        };
        step = top.press(KeyEvent::new(code, KeyModifiers::NONE));
    }
    step
}

#[test]
fn the_rows_at_usual_wide_and_narrow_sizes() {
    let mut top = top();
    insta::assert_snapshot!("rows_80x24", screen(&mut top, 80, 24));
    insta::assert_snapshot!("rows_200x10", screen(&mut top, 200, 10));
    insta::assert_snapshot!("rows_40x7", screen(&mut top, 40, 7));
}

#[test]
fn the_details_the_blindness_the_keys_and_a_question() {
    let mut top = top();
    press(&mut top, "\n");
    insta::assert_snapshot!("details_80x24", screen(&mut top, 80, 24));
    press(&mut top, "\u{1b}d");
    insta::assert_snapshot!("blindness_80x16", screen(&mut top, 80, 16));
    press(&mut top, "\u{1b}?");
    insta::assert_snapshot!("keys_80x20", screen(&mut top, 80, 20));
    press(&mut top, "\u{1b}b");
    insta::assert_snapshot!("question_80x10", screen(&mut top, 80, 10));
}

#[test]
fn every_size_is_drawn() {
    for mode in ["", "\n", "d", "?", "b", "/x"] {
        let mut top = top();
        press(&mut top, mode);
        for width in [1, 2, 10, 33, 66, 139, 140, 300] {
            for height in [1, 2, 3, 7, 8, 60] {
                let shown = screen(&mut top, width, height);
                assert!(!shown.contains(['\u{1b}', '\u{9b}']), "{shown}");
            }
        }
    }
    let mut empty = Top::new(Moment::Past(at(0)));
    assert!(screen(&mut empty, 80, 24).contains("reads"));
    empty.not_read("no daemon\nanswers".to_owned());
    assert!(screen(&mut empty, 80, 24).contains("NOT READ: no daemon answers"));
}

#[test]
fn without_colours_no_cell_has_one() {
    for (colours, expected) in [(true, true), (false, false)] {
        let mut top = top();
        let terminal = terminal(&mut top, 80, 24, colours);
        let mut cells = terminal.backend().buffer().content().iter();
        let any = cells.any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset);
        assert_eq!(any, expected);
    }
}

/// The destinations in the order of the rows.
fn order(top: &Top) -> Vec<String> {
    let shown = top.shown();
    shown.iter().map(|row| row.address.clone()).collect()
}

#[test]
fn rows_are_sorted_filtered_and_the_cursor_stays() {
    let (cloud, six, film) = ("42.62.48.7", "2001:db8:bad::10", "42.62.48.9");
    let mut top = top();
    assert_eq!(order(&top), [cloud, six, film], "by rate, then time");
    assert_eq!(top.shown()[0].rate, Some(5.0));
    press(&mut top, "s");
    assert_eq!(order(&top), [film, cloud, six], "by packets");
    press(&mut top, "r");
    assert_eq!(order(&top), [six, cloud, film]);
    press(&mut top, "rsssssr");
    assert_eq!(order(&top), [cloud, film, six], "by destination, reversed");
    press(&mut top, "j");
    let selected = |top: &Top| {
        top.selected(&top.shown())
            .map(|(_, row)| row.address.clone())
    };
    assert_eq!(selected(&top).as_deref(), Some(film));
    press(&mut top, "s");
    assert_eq!(
        selected(&top).as_deref(),
        Some(film),
        "the order is another"
    );
    press(&mut top, "r");
    for (text, expected) in [
        ("TELEV", vec![film]),
        ("cdn", vec![]),
        ("mi.com", vec![cloud]),
        ("tcp/80", vec![cloud]),
        (PHONE, vec![cloud, six]),
        ("42.62.48.0-24", vec![cloud, six, film]),
    ] {
        press(&mut top, &format!("/{text}\n"));
        assert_eq!(order(&top), expected, "{text}");
        press(&mut top, "\u{1b}");
    }
    press(&mut top, "/telex\u{8}v");
    assert_eq!(order(&top), [film], "while it is typed");
    press(&mut top, "\u{1b}");
    assert_eq!(order(&top).len(), 3, "as before");
}

#[test]
fn a_change_is_made_only_after_y() {
    let asked = |keys: &str| {
        let mut top = top();
        press(&mut top, keys)
    };
    let block = |device: Option<&str>, seconds| {
        Step::Change(ChangeRequest {
            effect: Effect::Block("42.62.48.7".parse().unwrap()),
            device: device.map(str::to_owned),
            seconds,
            undo: false,
            reason: Some("monitor top".to_owned()),
        })
    };
    assert_eq!(asked("by"), block(Some(PHONE), Some(3_600)));
    assert_eq!(asked("bay"), block(None, Some(3_600)));
    assert_eq!(asked("b---y"), block(Some(PHONE), Some(600)));
    assert_eq!(asked("b+++++++y"), block(Some(PHONE), None));
    for keys in ["b", "b\n", "b b", "bny", "b\u{1b}y", "bbbb", "bq"] {
        assert_eq!(asked(keys), Step::Draw, "{keys:?}");
    }
    let Step::Change(pause) = asked("py") else {
        panic!("p asks");
    };
    let policy = "range-42.62.48.0-24".parse().unwrap();
    assert_eq!(pause.effect, Effect::Pause(policy));

    let mut top = top();
    let Step::Change(change) = press(&mut top, "by") else {
        panic!("b asks");
    };
    top.changed(change.clone(), "in force: block\n".to_owned());
    assert!(screen(&mut top, 80, 24).contains("in force: block"));
    let undo = ChangeRequest {
        seconds: None,
        undo: true,
        reason: None,
        ..change
    };
    assert_eq!(press(&mut top, "uy"), Step::Change(undo));
}

#[test]
fn the_past_cannot_be_changed_and_a_stopped_screen_stands() {
    let mut past = Top::new(Moment::Past(at(10)));
    past.take(facts(10, 100));
    assert_eq!(press(&mut past, "by"), Step::Draw);
    assert!(screen(&mut past, 120, 24).contains("this is the past"));
    let mut top = top();
    press(&mut top, " ");
    top.take(facts(20, 1_000));
    assert!(screen(&mut top, 80, 24).contains("STOPPED"));
    assert!(!screen(&mut top, 80, 24).contains("1005"));
    assert_eq!(press(&mut top, "q"), Step::Quit);
    let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    press(&mut top, "b");
    assert_eq!(top.press(control_c), Step::Quit);
}
