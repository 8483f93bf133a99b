//! `replay --evidence` on real captures: flows and names, compared with names that a person
//! read in the captures.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use crate::support;

use std::{collections::BTreeSet, fs, process::Command};

use serde_json::Value;
use support::{
    data,
    lab::{binary, text},
};

/// A policy that counts every packet.
const EVERYTHING: &str = "version: 1
policies:
  - {name: everything, action: count, destinations: [0.0.0.0/0, '::/0']}
";

/// Destination, port, how the name was learnt, name.
type Name = (&'static str, u64, &'static str, &'static str);

/// The evidence of a capture; `None` where the test data is missing.
fn evidence(capture: &str) -> Option<Value> {
    let folder = data::folder()?;
    let directory = tempfile::tempdir().unwrap();
    let policies = directory.path().join("everything.yaml");
    fs::write(&policies, EVERYTHING).unwrap();
    let output = Command::new(binary())
        .args(["replay", "--evidence", "--json", "--policies"])
        .arg(&policies)
        .arg(folder.join("captures").join(capture))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{capture}: {}",
        text(&output.stderr)
    );
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

/// The names of one device, of these sources.
fn names(
    evidence: &Value,
    device: &str,
    sources: &[&str],
) -> BTreeSet<(String, u64, String, String)> {
    let flows = evidence["flows"].as_array().unwrap().iter();
    let mut found = BTreeSet::new();
    for flow in flows.filter(|flow| flow["device"] == device) {
        for name in flow["names"].as_array().unwrap() {
            let word = |key: &str| name[key].as_str().unwrap().to_owned();
            if sources.contains(&word("how").as_str()) {
                let destination = flow["destination"].as_str().unwrap().to_owned();
                let port = flow["port"].as_u64().unwrap_or(0);
                found.insert((destination, port, word("how"), word("name")));
            }
        }
    }
    found
}

fn assert_names(capture: &str, device: &str, sources: &[&str], expected: &[Name]) {
    let Some(evidence) = evidence(capture) else {
        return;
    };
    let expected = expected.iter().map(|(destination, port, how, name)| {
        (
            (*destination).to_owned(),
            *port,
            (*how).to_owned(),
            (*name).to_owned(),
        )
    });
    assert_eq!(
        names(&evidence, device, sources),
        expected.collect(),
        "{capture}"
    );
}

/// Names that a device says itself.
const SAID: &[&str] = &["sni", "sni-outer", "quic", "http-host", "asked"];

/// The case that shows how attribution goes wrong: a router's MAC, an address as the Host,
/// and a name that is asked for and not the server's.
#[test]
fn xiaomi() {
    const ROUTER: &str = "60:38:e0:c5:35:a0";
    assert_names(
        "ndpi__xiaomi.pcap",
        ROUTER,
        SAID,
        &[
            ("203.107.1.65", 80, "http-host", "203.107.1.65"),
            ("203.107.1.65", 80, "asked", "appmarket.micloud.xiaomi.net"),
            (
                "3.127.176.74",
                5222,
                "asked",
                "fr-app-chat-global-xiaomi-net1-1667981913.eu-central-1.elb.amazonaws.com",
            ),
            (
                "18.193.233.122",
                5222,
                "asked",
                "fr-app-chat-global-xiaomi-net2-2117517874.eu-central-1.elb.amazonaws.com",
            ),
        ],
    );
    let Some(evidence) = evidence("ndpi__xiaomi.pcap") else {
        return;
    };
    let flows = evidence["flows"].as_array().unwrap();
    let flow = flows
        .iter()
        .find(|flow| flow["destination"] == "203.107.1.65")
        .unwrap();
    assert_eq!((&flow["packets"], &flow["bytes"]), (&3.into(), &530.into()));
    let models = evidence["models"].as_array().unwrap();
    let router = models
        .iter()
        .find(|models| models["device"] == ROUTER)
        .unwrap();
    assert_eq!(router["several"], true);
    let models = router["models"].as_array().unwrap().iter();
    let models: BTreeSet<_> = models
        .map(|stated| stated["model"].as_str().unwrap())
        .collect();
    assert_eq!(
        models,
        BTreeSet::from(["Redmi Note 8T", "Redmi Note 9 Pro"])
    );
    assert_eq!(evidence["not_recorded"]["packets"], 0);
}

#[test]
fn android() {
    const PHONE: &str = "4c:6a:f6:9f:f6:27";
    assert_names(
        "ndpi__android.pcap",
        PHONE,
        SAID,
        &[
            ("17.253.53.201", 80, "http-host", "captive.apple.com"),
            ("216.239.38.120", 443, "sni", "clients1.google.com"),
            ("216.239.38.120", 443, "sni", "android.clients.google.com"),
            ("216.239.38.120", 443, "sni", "www.google.com"),
            ("216.239.38.120", 443, "sni", "accounts.google.com"),
            ("172.217.20.74", 443, "sni", "play.googleapis.com"),
            (
                "172.217.20.74",
                443,
                "sni",
                "semanticlocation-pa.googleapis.com",
            ),
            ("172.217.18.3", 443, "sni", "connectivitycheck.gstatic.com"),
            ("172.217.168.206", 443, "sni", "app-measurement.com"),
            ("172.217.21.202", 443, "sni", "datasaver.googleapis.com"),
            ("172.217.20.76", 443, "sni", "proxy.googlezip.net"),
            ("172.217.22.10", 443, "sni", "android.googleapis.com"),
            ("173.194.79.114", 80, "http-host", "check.googlezip.net"),
        ],
    );
    let Some(evidence) = evidence("ndpi__android.pcap") else {
        return;
    };
    let dns = names(&evidence, PHONE, &["dns"]);
    let has = |destination: &str, port, name: &str| {
        dns.contains(&(
            destination.to_owned(),
            port,
            "dns".to_owned(),
            name.to_owned(),
        ))
    };
    assert!(has("17.253.53.201", 80, "captive.apple.com"), "{dns:?}");
    assert!(has("216.239.38.120", 5228, "mtalk.google.com"), "{dns:?}");
    assert!(has("216.239.35.8", 123, "time.android.com"), "{dns:?}");
    // Three CNAME records lead from the name to the owner of the address.
    let flows = evidence["flows"].as_array().unwrap();
    let flow = flows
        .iter()
        .find(|flow| flow["destination"] == "17.253.53.201")
        .unwrap();
    let claim = flow["names"]
        .as_array()
        .unwrap()
        .iter()
        .find(|name| name["how"] == "dns");
    assert_eq!(
        claim.unwrap()["chain"].as_array().unwrap().len(),
        4,
        "{flow}"
    );
}

#[test]
fn iphone() {
    assert_names(
        "ndpi__iphone.pcap",
        "c4:61:8b:35:82:a9",
        SAID,
        &[
            ("17.253.105.202", 80, "http-host", "captive.apple.com"),
            ("17.248.185.140", 443, "sni", "p26-fmfmobile.icloud.com"),
            (
                "17.248.185.87",
                443,
                "sni",
                "p26-keyvalueservice.icloud.com",
            ),
            ("17.248.176.75", 443, "sni", "gateway.icloud.com"),
            ("95.101.25.53", 443, "sni", "gspe35-ssl.ls.apple.com"),
            ("17.130.2.46", 443, "sni", "gsp85-ssl.ls.apple.com"),
            ("17.253.105.202", 443, "sni", "mesu.apple.com"),
            ("92.122.252.82", 443, "sni", "iphone-ld.apple.com"),
            ("104.73.61.30", 443, "sni", "cl4.apple.com"),
            ("17.137.166.35", 443, "sni", "gsa.apple.com"),
            ("92.123.77.26", 443, "sni", "play.itunes.apple.com"),
            ("95.101.24.53", 443, "sni", "sync.itunes.apple.com"),
        ],
    );
}

#[test]
fn weibo_and_others() {
    assert_names(
        "ndpi__weibo.pcap",
        "78:92:9c:0f:a8:8e",
        SAID,
        &[
            ("114.134.80.162", 80, "http-host", "weibo.com"),
            ("93.188.134.137", 80, "http-host", "www.weibo.com"),
            ("93.188.134.246", 80, "http-host", "img.t.sinajs.cn"),
            ("93.188.134.246", 80, "http-host", "js.t.sinajs.cn"),
            ("222.73.28.96", 80, "http-host", "u1.img.mobile.sina.cn"),
            ("47.89.65.229", 443, "sni", "g.alicdn.com"),
        ],
    );
    assert_names(
        "ndpi__googledns_android10.pcap",
        "6a:0f:da:86:9b:90",
        SAID,
        &[
            ("8.8.8.8", 853, "sni", "dns.google"),
            ("8.8.4.4", 853, "sni", "dns.google"),
        ],
    );
    assert_names(
        "ndpi__long_tls_certificate.pcap",
        "28:37:37:00:6d:c8",
        SAID,
        &[("106.15.100.123", 443, "sni", "beacon-api.aliyuncs.com")],
    );
    assert_names(
        "ndpi__http_ipv6.pcap",
        "78:ac:c0:a7:0d:4c",
        SAID,
        &[
            (
                "2a02:26f0:ad:197::236",
                443,
                "sni",
                "s-static.ak.facebook.com",
            ),
            ("2a03:b0c0:3:d0::70:1001", 443, "sni", "www.ntop.org"),
        ],
    );
    for capture in ["zeek__vlan-qinqinq.pcap", "zeek__http-qinq-0.pcap"] {
        let name = ("192.150.187.43", 80, "http-host", "bro.org");
        assert_names(capture, "c8:bc:c8:96:d2:a0", SAID, &[name]);
    }
    // A QUIC hello without a server name.
    assert_names(
        "zeek__quic-quicv2-http3-443.pcap",
        "00:00:00:00:00:00",
        SAID,
        &[],
    );
}

/// On every capture, flows add up to the packets that the policy matched, and the same
/// capture gives the same answer.
#[test]
fn flows_add_up_on_every_capture() {
    let Some(folder) = data::folder() else { return };
    let mut compared = 0;
    for expected in data::expectations(&folder) {
        if !expected.is_ethernet() {
            continue;
        }
        let first = evidence(&expected.file).unwrap();
        let flows = first["flows"].as_array().unwrap().iter();
        let sum = |key: &str| {
            flows
                .clone()
                .map(|flow| flow[key].as_u64().unwrap())
                .sum::<u64>()
        };
        let policy = &first["policies"]["everything"];
        assert_eq!(policy["packets"], sum("packets"), "{}", expected.file);
        assert_eq!(policy["bytes"], sum("bytes"), "{}", expected.file);
        assert_eq!(first["not_recorded"]["packets"], 0, "{}", expected.file);
        assert_eq!(
            evidence(&expected.file).unwrap(),
            first,
            "{}",
            expected.file
        );
        compared += 1;
    }
    assert!(compared > 30, "only {compared} captures");
}
