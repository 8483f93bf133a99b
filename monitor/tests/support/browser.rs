//! A real browser in a network namespace: Debian's Chromium, which its driver controls
//! (`WebDriver`, W3C).

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::Stdio,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::lab::{Daemon, Namespace, poll_long};

/// Port of the driver in the namespace.
const PORT: u16 = 9515;

/// The key of an element in `WebDriver`.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// The page of a lab's daemon.
pub(crate) const PAGE: &str = "http://127.0.0.1:9641";

/// A browser with one window and a profile of its own. Dropping this value ends it.
pub(crate) struct Browser<'a> {
    namespace: &'a Namespace,
    session: String,
    _driver: Daemon,
    profile: TempDir,
}

/// The checker of accessibility in the directory of tools beside the build. Without it, a test is
/// skipped, except in continuous integration.
pub(crate) fn axe() -> Option<String> {
    let binary = Path::new(env!("CARGO_BIN_EXE_monitor"));
    let target = binary.ancestors().nth(2).unwrap();
    let script = installed(&target.join("tools/axe-core/axe.min.js"))?;
    Some(fs::read_to_string(script).unwrap())
}

fn installed(path: &Path) -> Option<PathBuf> {
    if path.is_file() {
        return Some(path.to_owned());
    }
    let path = path.display();
    let is_required = env::var("CI").as_deref() == Ok("true");
    assert!(!is_required, "{path} is missing: run xtask/setup.sh");
    eprintln!("skipped: {path} is missing, run xtask/setup.sh");
    None
}

impl<'a> Browser<'a> {
    /// Starts the driver and a browser without a screen, which accepts every certificate. Without
    /// the driver, the result is `None`, except in continuous integration.
    pub(crate) fn start(namespace: &'a Namespace) -> Option<Self> {
        let driver = installed(Path::new("/usr/bin/chromedriver"))?;
        let profile = TempDir::new().unwrap();
        let mut driver = namespace.command(&driver);
        driver
            .arg(format!("--port={PORT}"))
            .env("HOME", profile.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut browser = Self {
            namespace,
            session: String::new(),
            _driver: Daemon::from_child(driver.spawn().expect("start chromedriver")),
            profile,
        };
        poll_long("the driver of the browser is ready", || {
            let status = browser.ask("GET", "/status", &Value::Null);
            status.is_some_and(|status| status["ready"] == true)
        });
        let directory = browser.profile.path().join("profile");
        let arguments = [
            "--headless=new",
            // The tests run as root, and in a namespace without other users.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            // The search for a proxy would wait for a name server that is not there.
            "--no-proxy-server",
            &format!("--user-data-dir={}", directory.display()),
        ];
        let asked = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "acceptInsecureCerts": true,
            // How long it waits for an element that is not there yet.
            "timeouts": {"implicit": 10_000},
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let made = browser.ask("POST", "/session", &asked);
        let made = made.expect("the driver answers");
        let session = made["sessionId"].as_str();
        session
            .unwrap_or_else(|| panic!("no browser: {made}"))
            .clone_into(&mut browser.session);
        Some(browser)
    }

    /// Opens a page, and waits until it is loaded. A path is one of the daemon's page.
    pub(crate) fn open(&self, url: &str) {
        let url = match url.strip_prefix('/') {
            Some(path) => format!("{PAGE}/{path}"),
            None => url.to_owned(),
        };
        self.call("POST", "url", &json!({ "url": url }));
    }

    /// Why a page cannot be opened, in the words of the browser.
    pub(crate) fn failure(&self, url: &str) -> String {
        let path = format!("/session/{}/url", self.session);
        let answer = self.ask("POST", &path, &json!({ "url": url }));
        let answer = answer.expect("the browser answers");
        answer["message"].as_str().unwrap_or_default().to_owned()
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

    /// Runs a script in the page, as its own scripts run. Returns its result.
    pub(crate) fn run(&self, script: &str) -> Value {
        let asked = json!({"script": script, "args": []});
        self.call("POST", "execute/sync", &asked)
    }

    /// Runs a script that calls its last argument with the result.
    pub(crate) fn run_to_end(&self, script: &str) -> Value {
        let asked = json!({"script": script, "args": []});
        self.call("POST", "execute/async", &asked)
    }

    /// What a person reads in the first element that a selector finds.
    pub(crate) fn text(&self, selector: &str) -> String {
        let script = format!("return document.querySelector({selector:?})?.innerText ?? ''");
        self.run(&script).as_str().unwrap_or_default().to_owned()
    }

    /// Number of elements that a selector finds.
    pub(crate) fn count(&self, selector: &str) -> u64 {
        let script = format!("return document.querySelectorAll({selector:?}).length");
        self.run(&script).as_u64().unwrap()
    }

    /// Clicks on an element, as a person does.
    pub(crate) fn click(&self, selector: &str) {
        let element = self.element(selector);
        self.call("POST", &format!("element/{element}/click"), &json!({}));
    }

    /// Clicks on the button of a form, and waits for the page that follows.
    pub(crate) fn submit(&self, selector: &str) {
        self.run("window.isOld = true");
        self.click(selector);
        poll_long("the next page is loaded", || {
            self.run("return !window.isOld && document.readyState === 'complete'") == true
        });
    }

    /// Types into a field.
    pub(crate) fn type_into(&self, selector: &str, text: &str) {
        let element = self.element(selector);
        let typed = json!({ "text": text });
        self.call("POST", &format!("element/{element}/value"), &typed);
    }

    /// Chooses an entry of a list by its value.
    pub(crate) fn choose(&self, selector: &str, value: &str) {
        self.click(&format!("{selector} option[value='{value}']"));
    }

    fn element(&self, selector: &str) -> String {
        let asked = json!({"using": "css selector", "value": selector});
        let found = self.call("POST", "element", &asked);
        found[ELEMENT].as_str().unwrap().to_owned()
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
        self.call("POST", "actions", &json!({"actions": [keyboard]}));
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
        self.call("POST", "actions", &json!({"actions": [pointer]}));
    }

    /// The cookies of this page, also those that scripts cannot read.
    pub(crate) fn cookies(&self) -> Vec<Value> {
        let cookies = self.call("GET", "cookie", &Value::Null);
        cookies.as_array().unwrap().clone()
    }

    /// Chooses the width of the window in pixels, and the theme.
    pub(crate) fn look(&self, width: u32, theme: &str) {
        let size =
            json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600});
        self.devtools("Emulation.setDeviceMetricsOverride", &size);
        self.theme(theme);
    }

    /// Writes a picture of the whole page into the directory that `MONITOR_PICTURES` names, so that
    /// a person can look at it. Without the variable, it does nothing.
    pub(crate) fn picture(&self, name: &str) {
        let Some(directory) = env::var_os("MONITOR_PICTURES") else {
            return;
        };
        let whole = json!({"captureBeyondViewport": true});
        let picture = self.devtools("Page.captureScreenshot", &whole);
        let bytes = BASE64_STANDARD.decode(picture["data"].as_str().unwrap());
        let path = Path::new(&directory).join(format!("{name}.png"));
        fs::write(path, bytes.unwrap()).unwrap();
    }

    /// Tells the browser itself something (Chrome's own protocol).
    pub(crate) fn devtools(&self, command: &str, parameters: &Value) -> Value {
        let asked = json!({"cmd": command, "params": parameters});
        self.call("POST", "goog/cdp/execute", &asked)
    }

    /// Chooses the light or the dark theme.
    pub(crate) fn theme(&self, theme: &str) {
        let feature = json!({"features": [{"name": "prefers-color-scheme", "value": theme}]});
        self.devtools("Emulation.setEmulatedMedia", &feature);
    }

    /// What axe-core, whose script this is, finds on the page. Empty if it finds nothing.
    pub(crate) fn obstacles(&self, axe: &str) -> String {
        self.run(axe);
        let script = "const done = arguments[arguments.length - 1];
            axe.run(document, {resultTypes: ['violations']}).then(
                (found) => done(found.violations.map((one) => one.id + ': ' + one.nodes.map(
                    (node) => node.html + ' ' + node.failureSummary).join('; ')).join('; ')),
                (error) => done(String(error)));";
        self.run_to_end(script).as_str().unwrap().to_owned()
    }

    /// What the browser wrote to its console since the last call, such as violations of the
    /// content security policy.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let log = self.call("POST", "se/log", &json!({"type": "browser"}));
        let entries = log.as_array().unwrap().iter();
        entries.map(|entry| entry["message"].to_string()).collect()
    }

    fn call(&self, method: &str, command: &str, body: &Value) -> Value {
        let path = format!("/session/{}/{command}", self.session);
        let answer = self.ask(method, &path, body);
        let answer = answer.unwrap_or_else(|| panic!("{command}: the browser is gone"));
        assert!(answer["error"].is_null(), "{command}: {answer}");
        answer
    }

    /// Sends a command to the driver. `None` while it does not listen.
    fn ask(&self, method: &str, path: &str, body: &Value) -> Option<Value> {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{PORT}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = self.namespace.run(|| {
            let mut stream = TcpStream::connect(("127.0.0.1", PORT)).ok()?;
            stream.write_all(request.as_bytes()).ok()?;
            body_of(stream).ok()
        })?;
        let answer: Value = serde_json::from_slice(&answer).ok()?;
        Some(answer["value"].clone())
    }
}

/// Reads the body of an answer. The driver keeps the connection open.
fn body_of(stream: TcpStream) -> std::io::Result<Vec<u8>> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim_end().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().map_err(std::io::Error::other)?;
            }
            None if line.trim_end().is_empty() => break,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(body)
}

impl Drop for Browser<'_> {
    fn drop(&mut self) {
        // Without this, the browser would outlive its driver.
        let path = format!("/session/{}", self.session);
        let _ = self.ask("DELETE", &path, &Value::Null);
    }
}
