//! A real browser in a network namespace: Debian's Chromium, through its driver (W3C WebDriver).

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::Stdio,
};

use serde_json::{Value, json};

use super::lab::{Daemon, Namespace, poll_long};

const DRIVER: &str = "/usr/bin/chromedriver";

/// The key of an element in WebDriver.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with a profile of its own. Dropping this value ends it.
pub(crate) struct Browser<'a> {
    namespace: &'a Namespace,
    port: u16,
    session: String,
    _driver: Daemon,
}

impl<'a> Browser<'a> {
    /// Starts a browser; `None` if there is none on this machine, except in continuous
    /// integration. `directory` is for its profile, and must be empty.
    pub(crate) fn start(namespace: &'a Namespace, directory: &Path, port: u16) -> Option<Self> {
        if !Path::new(DRIVER).is_file() {
            let is_ci = env::var("CI").as_deref() == Ok("true");
            assert!(!is_ci, "{DRIVER} is missing: run xtask/setup.sh");
            eprintln!("skipped: {DRIVER} is missing, run xtask/setup.sh");
            return None;
        }
        fs::create_dir_all(directory).unwrap();
        let mut driver = namespace.command(DRIVER);
        driver
            .arg(format!("--port={port}"))
            .env("HOME", directory)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut browser = Self {
            namespace,
            port,
            session: String::new(),
            _driver: Daemon::from_child(driver.spawn().unwrap()),
        };
        poll_long("the driver of the browser is ready", || {
            let status = browser.ask("GET", "/status", &Value::Null);
            status.is_some_and(|status| status["ready"] == true)
        });
        let profile = directory.join("profile");
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            // The search for a proxy would wait for a name server that is not there.
            "--no-proxy-server",
            &format!("--user-data-dir={}", profile.display()),
        ];
        let asked = json!({"capabilities": {"alwaysMatch": {
            "acceptInsecureCerts": true,
            "goog:chromeOptions": {"args": arguments},
        }}});
        let made = browser.ask("POST", "/session", &asked);
        let made = made.expect("the driver answers");
        let session = made["sessionId"].as_str();
        session
            .unwrap_or_else(|| panic!("no browser: {made}"))
            .clone_into(&mut browser.session);
        Some(browser)
    }

    /// Sends a command to the driver. `None` while it does not listen.
    fn ask(&self, method: &str, path: &str, body: &Value) -> Option<Value> {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.port,
            body.len()
        );
        let answer = self.namespace.run(|| {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
            stream.write_all(request.as_bytes()).ok()?;
            // The driver keeps the connection open.
            let mut reader = BufReader::new(stream);
            let mut length = 0;
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).ok()?;
                match line.trim_end().split_once(':') {
                    Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                        length = value.trim().parse().ok()?;
                    }
                    None if line.trim_end().is_empty() => break,
                    _ => {}
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).ok()?;
            Some(body)
        })?;
        let answer: Value = serde_json::from_slice(&answer).ok()?;
        Some(answer["value"].clone())
    }

    fn call(&self, method: &str, command: &str, body: &Value) -> Value {
        let path = format!("/session/{}/{command}", self.session);
        let answer = self.ask(method, &path, body);
        let answer = answer.unwrap_or_else(|| panic!("{command}: the browser is gone"));
        assert!(answer["error"].is_null(), "{command}: {answer}");
        answer
    }

    /// Opens a page and waits until it is loaded.
    pub(crate) fn go(&self, url: &str) {
        self.call("POST", "url", &json!({ "url": url }));
    }

    /// The address of the page.
    pub(crate) fn url(&self) -> String {
        let url = self.call("GET", "url", &Value::Null);
        url.as_str().unwrap().to_owned()
    }

    /// The title of the page.
    pub(crate) fn title(&self) -> String {
        let title = self.call("GET", "title", &Value::Null);
        title.as_str().unwrap().to_owned()
    }

    /// What a person reads.
    pub(crate) fn text(&self) -> String {
        let text = self.script("return document.body.innerText");
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Runs a script in the page, as its own scripts run. Returns its result.
    pub(crate) fn script(&self, script: &str) -> Value {
        self.call(
            "POST",
            "execute/sync",
            &json!({"script": script, "args": []}),
        )
    }

    fn element(&self, selector: &str) -> String {
        let asked = json!({"using": "css selector", "value": selector});
        let found = self.call("POST", "element", &asked);
        found[ELEMENT].as_str().unwrap().to_owned()
    }

    /// Clicks on the button of a form, and waits for the page that follows.
    pub(crate) fn submit(&self, selector: &str) {
        self.script("window.isOld = true");
        self.click(selector);
        poll_long("the next page is loaded", || {
            self.script("return !window.isOld && document.readyState === 'complete'") == true
        });
    }

    /// Clicks on an element, as a person does.
    pub(crate) fn click(&self, selector: &str) {
        let element = self.element(selector);
        self.call("POST", &format!("element/{element}/click"), &json!({}));
    }

    /// Types into a field.
    pub(crate) fn type_into(&self, selector: &str, text: &str) {
        let element = self.element(selector);
        let typed = json!({ "text": text });
        self.call("POST", &format!("element/{element}/value"), &typed);
    }

    /// The cookies of this page, also those that scripts cannot read.
    pub(crate) fn cookies(&self) -> Vec<Value> {
        let cookies = self.call("GET", "cookie", &Value::Null);
        cookies.as_array().unwrap().clone()
    }
}

impl Drop for Browser<'_> {
    fn drop(&mut self) {
        // Without this, the browser would outlive its driver.
        let path = format!("/session/{}", self.session);
        let _ = self.ask("DELETE", &path, &Value::Null);
    }
}
