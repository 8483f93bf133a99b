//! Real Prometheus and Alertmanager scrape the real daemon with the rules that ship.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use crate::{alerts::Server, support};

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::Stdio,
    thread,
};

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use serde_json::{Value, json};
use support::{
    lab::{BLOCKED, Daemon, Lab, POLICIES, poll, poll_long},
    tools::of_prometheus,
};

const PROMETHEUS: &str = "127.0.0.1:9090";
const ALERTMANAGER: &str = "127.0.0.1:9093";

fn packaged(path: &str) -> String {
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging");
    fs::read_to_string(packaging.join(path)).unwrap()
}

/// The body of an answer as JSON; `Null` while the server does not answer.
fn ask(lab: &Lab, address: &str, path: &str) -> Value {
    let answer = lab.try_get(
        address.parse().unwrap(),
        path,
        "Accept: application/json\r\n",
    );
    let answer = answer.unwrap_or_default();
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    // Long answers come in chunks, whose lengths are on lines of their own.
    let begin = body.find(['{', '[']).unwrap_or(body.len());
    let end = body.rfind(['}', ']']).map_or(begin, |end| end + 1);
    serde_json::from_str(&body[begin..end]).unwrap_or_default()
}

fn start(lab: &Lab, program: &Path, arguments: &[&str]) -> Daemon {
    let directory = lab.directory.path();
    let mut command = lab.gateway.command(program);
    command.args(arguments).current_dir(directory);
    let command = command.stdout(Stdio::null()).stderr(Stdio::null());
    Daemon::from_child(command.spawn().unwrap())
}

/// Serves a list to the gateway. Returns its URL.
fn serve_list(lab: &Lab) -> String {
    let listener = lab.listen_tcp("127.0.0.1");
    let address = listener.local_addr().unwrap();
    let list = (0..20).map(|part| format!("45.9.{part}.0/24"));
    let list = list.collect::<Vec<_>>().join("\n");
    thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            let head = BufReader::new(&client).lines().map_while(Result::ok);
            // The head ends with an empty line.
            let _read = head.take_while(|line| !line.is_empty()).count();
            let length = list.len();
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
            // The client may be gone.
            let _ = client.write_all((head + &list).as_bytes());
        }
    });
    format!("http://{address}/list")
}

/// The rules that fire, each with a label.
fn firing(lab: &Lab) -> Vec<(String, Value)> {
    let alerts = ask(lab, PROMETHEUS, "/api/v1/alerts");
    let alerts = alerts["data"]["alerts"].as_array().cloned();
    let firing = alerts.unwrap_or_default().into_iter();
    let firing = firing.filter(|alert| alert["state"] == "firing");
    let each = firing.map(|alert| {
        let name = alert["labels"]["alertname"].as_str().unwrap().to_owned();
        (name, alert["labels"].clone())
    });
    each.collect()
}

#[test]
fn prometheus_and_alertmanager_tell_of_a_lost_interface() {
    let programs = ["prometheus", "prometheus-alertmanager"].map(of_prometheus);
    let [Some(prometheus), Some(alertmanager)] = programs else {
        return;
    };
    let lab = Lab::new("prometheus");
    lab.add_interface("wlan1");
    let server = Server::start(&lab);
    lab.write_policies(&format!(
        "{POLICIES}  - name: fed\n    action: count\n    destinations: [{{list: \"{}\"}}]\n",
        serve_list(&lab)
    ));
    let _daemon = lab.start(&["--interface", "wlan1"]);
    lab.send_udp(BLOCKED[0], 3);

    // The waits of the rules are tested by `promtool test rules`.
    let mut rules = packaged("prometheus/monitor.rules.yaml");
    for wait in ["1m", "5m", "10m"] {
        rules = rules.replace(&format!("for: {wait}\n"), "for: 0s\n");
    }
    assert_eq!(
        rules.matches("for: ").count(),
        rules.matches("for: 0s").count()
    );
    let config = json!({
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yaml"],
        "scrape_configs": [{"job_name": "gateways", "static_configs": [{"targets": ["127.0.0.1:9641"]}]}],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [ALERTMANAGER]}]}]},
    });
    let route = json!({
        "route": {"receiver": "hook", "group_by": ["alertname"], "group_wait": "1s", "group_interval": "1s"},
        "receivers": [{"name": "hook", "webhook_configs": [
            {"url": format!("http://127.0.0.1:{}/hook", server.port)}]}],
    });
    let directory = lab.directory.path();
    fs::write(directory.join("rules.yaml"), rules).unwrap();
    fs::write(directory.join("prometheus.yaml"), config.to_string()).unwrap();
    fs::write(directory.join("alertmanager.yaml"), route.to_string()).unwrap();
    let _alertmanager = start(
        &lab,
        &alertmanager,
        &[
            "--config.file=alertmanager.yaml",
            "--storage.path=alertmanager",
            &format!("--web.listen-address={ALERTMANAGER}"),
            "--cluster.listen-address=",
        ],
    );
    let _prometheus = start(
        &lab,
        &prometheus,
        &[
            "--config.file=prometheus.yaml",
            "--storage.tsdb.path=prometheus",
            &format!("--web.listen-address={PROMETHEUS}"),
        ],
    );
    poll_long("Prometheus scrapes the daemon", || {
        let found = ask(
            &lab,
            PROMETHEUS,
            "/api/v1/query?query=monitor_policy_packets_total",
        );
        let results = found["data"]["result"].as_array().cloned();
        let dropped = |one: &Value| {
            one["metric"]["policy"] == "blocked"
                && one["metric"]["verdict"] == "dropped"
                && one["value"][1] == "3"
        };
        results.is_some_and(|results| results.iter().any(dropped))
    });
    // What doctor finds in this network of the test is not known here.
    poll_long("no other rule fires", || {
        let mut firing = firing(&lab).into_iter();
        firing.all(|(name, _)| name == "MonitorBlind")
    });
    each_panel_has_an_answer(&lab);

    lab.gateway.ip("link delete wlan1");
    let got = server.gets_any("Alertmanager tells of wlan1", |got| {
        let alerts = got.json()["alerts"].clone();
        let mut alerts = alerts.as_array().unwrap().iter();
        alerts.any(|alert| {
            alert["labels"]["alertname"] == "MonitorInterfaceNotFiltered"
                && alert["labels"]["interface"] == "wlan1"
        })
    });
    assert_eq!(got.json()["status"], "firing");
    lab.add_interface("wlan1");
    poll_long("the alert is over", || {
        let mut firing = firing(&lab).into_iter();
        !firing.any(|(name, _)| name == "MonitorInterfaceNotFiltered")
    });
}

/// The query of each panel of the dashboard returns a series.
fn each_panel_has_an_answer(lab: &Lab) {
    let dashboard: Value = serde_json::from_str(&packaged("grafana/monitor.json")).unwrap();
    let mut queries = 0;
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let written = target["expr"].as_str().unwrap();
            let query = written
                .replace("$instance", "127.0.0.1:9641")
                .replace("$__rate_interval", "1m")
                .replace("$__range", "1m");
            let encoded = percent_encode(query.as_bytes(), NON_ALPHANUMERIC);
            queries += 1;
            // A rate needs two scrapes.
            poll(written, || {
                let answer = ask(lab, PROMETHEUS, &format!("/api/v1/query?query={encoded}"));
                assert_ne!(answer["status"], "error", "{written}: {answer}");
                let series = answer["data"]["result"].as_array();
                series.is_some_and(|series| !series.is_empty())
            });
        }
    }
    assert!(queries >= 8, "{queries}");
}
