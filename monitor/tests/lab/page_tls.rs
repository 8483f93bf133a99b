//! The page over TLS, at an address that other machines reach.

use crate::{
    page_login::{events, lab, links},
    support,
};

use std::{fs, process::Command};

use support::{
    browser::Browser,
    lab::{Lab, poll, sh, text},
};

/// Beyond loopback there is only TLS, and every page needs a session.
#[test]
fn other_machines_sign_in_over_tls() {
    let (lab, _daemon) = lab("page-tls", &["--listen", "10.77.0.1:9641"]);
    // In the phone's namespace, Chromium waits half a minute before it connects.
    let Some(browser) = Browser::start(&lab.gateway) else {
        return;
    };
    let made = links(&lab);
    let link = made["links"][0].as_str().unwrap();
    assert!(link.starts_with("https://10.77.0.1:9641/login/"), "{made}");
    assert_eq!(made["fingerprint"].as_str().unwrap().len(), 95, "{made}");
    let address = "10.77.0.1:9641".parse().unwrap();
    let plain = lab.try_get(address, "/", "").unwrap_or_default();
    assert!(!plain.contains("monitor"), "{plain}");
    for (path, status) in [
        ("/metrics", "200"),
        ("/", "401"),
        ("/changes", "401"),
        ("/login", "200"),
    ] {
        let mut curl = lab.phone.command("curl");
        let url = format!("https://10.77.0.1:9641{path}");
        let output = curl
            .args(["-sk", "-o", "/dev/null", "-w", "%{http_code}", &url])
            .output()
            .unwrap();
        assert_eq!(text(&output.stdout), status, "{path}");
    }
    browser.open(link);
    browser.submit("button");
    // The answer to the form sends the browser there.
    poll("the browser is at the overview", || {
        browser.url() == "https://10.77.0.1:9641/"
    });
    assert_ne!(browser.title(), "Not signed in · monitor");
    let cookies = browser.cookies();
    assert_eq!(cookies[0]["name"], "__Host-monitor-session");
    assert_eq!(cookies[0]["secure"], true);
    browser.open("https://10.77.0.1:9641/login");
    browser.submit("form[action='/logout'] button");
    browser.open("https://10.77.0.1:9641/changes");
    assert_eq!(browser.title(), "Not signed in · monitor");
    let events = events(&lab);
    assert!(
        events
            .iter()
            .any(|(_, event)| event["address"] == "10.77.0.1"),
        "{events:?}"
    );
}

/// A certificate of the operator's own authority. A program that trusts the authority accepts it,
/// and `page --login` shows its fingerprint.
#[test]
fn a_given_certificate_is_served() {
    let lab = Lab::new("page-given");
    let here = lab.directory.path();
    sh(&format!(
        "cd {} && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc \
         -keyout ca.key -out ca.pem -days 2 -subj '/CN=our own' 2>&1 &&
         openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout page.key \
         -out page.csr -subj '/CN=gateway' 2>&1 &&
         printf 'subjectAltName=IP:10.77.0.1' >page.ext &&
         openssl x509 -req -in page.csr -CA ca.pem -CAkey ca.key -days 2 -extfile page.ext \
         -out page.pem 2>&1",
        here.display()
    ));
    lab.give(&here.join("page.key"));
    let config = here.join("config.yaml");
    let page = "page: {login: true, certificate: page.pem, key: page.key}\n";
    fs::write(&config, page).unwrap();
    let config = config.to_str().unwrap();
    let _daemon = lab.start(&["--config", config, "--listen", "10.77.0.1:9641"]);
    let ask = |arguments: &[&str]| {
        let mut curl = lab.phone.command("curl");
        let curl = curl.args(["-sS", "https://10.77.0.1:9641/login"]);
        curl.args(arguments).output().unwrap()
    };
    let authority = here.join("ca.pem");
    let trusted = ask(&["--cacert", authority.to_str().unwrap()]);
    assert!(
        text(&trusted.stdout).contains("monitor page --login"),
        "{}",
        text(&trusted.stderr)
    );
    // 60: the certificate cannot be checked with known authorities.
    assert_eq!(ask(&[]).status.code(), Some(60));
    let mut openssl = Command::new("openssl");
    let shown = openssl
        .args(["x509", "-noout", "-fingerprint", "-sha256", "-in"])
        .arg(here.join("page.pem"))
        .output()
        .unwrap();
    let made = links(&lab);
    let fingerprint = made["fingerprint"].as_str().unwrap();
    assert!(text(&shown.stdout).trim().ends_with(fingerprint), "{made}");
}
