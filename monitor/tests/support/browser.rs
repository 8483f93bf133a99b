//! A real browser in a lab: Chromium, which its driver controls (`WebDriver`, W3C). Both run in
//! the namespace of the gateway, where the page is at a loopback address.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::lab::{Lab, poll};

/// Port of the driver in the namespace.
const PORT: u16 = 9515;

/// A browser with one window. Dropping this value ends it.
pub(crate) struct Browser<'a> {
    lab: &'a Lab,
    driver: Child,
    session: String,
    _profile: TempDir,
}

/// The driver. Without it, a test is skipped, except in continuous integration.
pub(crate) fn driver() -> Option<PathBuf> {
    installed(Path::new("/usr/bin/chromedriver"))
}

/// The checker of accessibility in the directory of tools beside the build, as [`driver`].
pub(crate) fn axe() -> Option<String> {
    let binary = Path::new(env!("CARGO_BIN_EXE_monitor"));
    let target = binary.ancestors().nth(2).unwrap();
    let script = installed(&target.join("tools/axe-core/axe.min.js"))?;
    Some(std::fs::read_to_string(script).unwrap())
}

fn installed(path: &Path) -> Option<PathBuf> {
    if path.is_file() {
        return Some(path.to_owned());
    }
    let path = path.display();
    let is_required = std::env::var("CI").as_deref() == Ok("true");
    assert!(!is_required, "{path} is missing: run xtask/setup.sh");
    eprintln!("skipped: {path} is missing, run xtask/setup.sh");
    None
}

impl<'a> Browser<'a> {
    /// Starts the driver and a browser without a screen.
    pub(crate) fn start(lab: &'a Lab, driver: &Path) -> Self {
        let profile = TempDir::new().unwrap();
        let child = lab
            .gateway
            .command(driver)
            .arg(format!("--port={PORT}"))
            .env("HOME", profile.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start chromedriver");
        let mut browser = Self {
            lab,
            driver: child,
            session: String::new(),
            _profile: profile,
        };
        poll("the driver answers", || {
            let asked = browser.try_ask("GET", "/status", &Value::Null);
            asked.is_ok_and(|answer| answer["ready"] == true)
        });
        let arguments = [
            "--headless=new",
            // The tests run as root, and in a namespace without other users.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
        ];
        let asked = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let answer = browser.ask("POST", "/session", &asked);
        answer["sessionId"]
            .as_str()
            .unwrap()
            .clone_into(&mut browser.session);
        browser
    }

    /// Loads a page of the daemon, and waits until it is complete.
    pub(crate) fn open(&self, path: &str) {
        let url = format!("http://127.0.0.1:9641{path}");
        self.tell("POST", "/url", &json!({"url": url}));
    }

    /// Runs a script in the page and returns its value.
    pub(crate) fn run(&self, script: &str) -> Value {
        self.tell(
            "POST",
            "/execute/sync",
            &json!({"script": script, "args": []}),
        )
    }

    /// Runs a script that calls its last argument with the result.
    pub(crate) fn run_to_end(&self, script: &str) -> Value {
        self.tell(
            "POST",
            "/execute/async",
            &json!({"script": script, "args": []}),
        )
    }

    /// The text of the first element that a selector finds.
    pub(crate) fn text(&self, selector: &str) -> String {
        let script = format!("return document.querySelector({selector:?})?.innerText ?? ''");
        self.run(&script).as_str().unwrap_or_default().to_owned()
    }

    /// Number of elements that a selector finds.
    pub(crate) fn count(&self, selector: &str) -> u64 {
        let script = format!("return document.querySelectorAll({selector:?}).length");
        self.run(&script).as_u64().unwrap()
    }

    /// Presses keys, one after another, where the focus is.
    pub(crate) fn keys(&self, keys: &str) {
        let each = keys.chars().flat_map(|key| {
            let key = key.to_string();
            [
                json!({"type": "keyDown", "value": key}),
                json!({"type": "keyUp", "value": key}),
            ]
        });
        let keyboard = json!({"type": "key", "id": "keys", "actions": each.collect::<Vec<_>>()});
        self.tell("POST", "/actions", &json!({"actions": [keyboard]}));
    }

    /// Draws with the pointer from one place of the window to another.
    pub(crate) fn draw(&self, from: (i64, i64), to: (i64, i64)) {
        let at = |(x, y): (i64, i64), time: u32| json!({"type": "pointerMove", "x": x, "y": y, "duration": time});
        let actions = json!([
            at(from, 0),
            {"type": "pointerDown", "button": 0},
            at(to, 50),
            {"type": "pointerUp", "button": 0},
        ]);
        let pointer = json!({"type": "pointer", "id": "mouse", "actions": actions});
        self.tell("POST", "/actions", &json!({"actions": [pointer]}));
    }

    /// Tells the browser itself something (Chrome's own protocol).
    pub(crate) fn devtools(&self, command: &str, parameters: &Value) -> Value {
        let asked = json!({"cmd": command, "params": parameters});
        self.tell("POST", "/goog/cdp/execute", &asked)
    }

    /// What the browser wrote to its console since the last call, such as violations of the
    /// content security policy.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let log = self.tell("POST", "/se/log", &json!({"type": "browser"}));
        let entries = log.as_array().unwrap().iter();
        entries.map(|entry| entry["message"].to_string()).collect()
    }

    fn tell(&self, method: &str, path: &str, body: &Value) -> Value {
        self.ask(method, &format!("/session/{}{path}", self.session), body)
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let asked = self.try_ask(method, path, body);
        asked.unwrap_or_else(|error| panic!("{method} {path} {body}: {error}"))
    }

    fn try_ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{PORT}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = self.lab.gateway.run(|| {
            let mut stream = TcpStream::connect(("127.0.0.1", PORT))?;
            stream.write_all(request.as_bytes())?;
            read_answer(&mut stream)
        });
        let answer = answer.map_err(|error| error.to_string())?;
        let answer: Value = serde_json::from_str(&answer).map_err(|error| error.to_string())?;
        match answer["value"].get("error") {
            Some(error) => Err(format!("{error}: {}", answer["value"]["message"])),
            None => Ok(answer["value"].clone()),
        }
    }
}

/// Reads the body of an answer. The driver keeps the connection open.
fn read_answer(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    let mut part = [0; 16 * 1024];
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                let is_length = name.eq_ignore_ascii_case("content-length");
                is_length.then(|| value.trim().parse::<usize>().ok())?
            });
            if length.is_some_and(|length| body.len() >= length) {
                return Ok(body.to_owned());
            }
        }
        match stream.read(&mut part)? {
            0 => return Ok(String::new()),
            length => bytes.extend_from_slice(&part[..length]),
        }
    }
}

impl Drop for Browser<'_> {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            let _ = self.try_ask(
                "DELETE",
                &format!("/session/{}", self.session),
                &Value::Null,
            );
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
