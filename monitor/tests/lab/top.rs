//! `monitor top` in a real terminal: the screen, a block by key, and the terminal afterwards.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use crate::support;

use std::{fs, process::Command};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use support::lab::{Lab, OPEN, PHONE_MAC, binary, poll, text};

/// A shell in a tmux server of its own. Dropping this value ends the server.
struct Terminal<'a> {
    lab: &'a Lab,
    socket: String,
}

impl<'a> Terminal<'a> {
    fn new(lab: &'a Lab, width: u16, height: u16) -> Self {
        let socket = format!("{}/tmux", lab.directory.path().display());
        let terminal = Self { lab, socket };
        let size = [width.to_string(), height.to_string()];
        let mut command = lab.gateway.command("tmux");
        command.env_remove("TMUX").env_remove("NO_COLOR");
        command.args(["-S", &terminal.socket, "-f", "/dev/null", "new-session"]);
        command.args(["-d", "-x", &size[0], "-y", &size[1], "sh"]);
        let output = command.output().expect("run tmux (Debian package tmux)");
        assert!(output.status.success(), "{}", text(&output.stderr));
        terminal
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("tmux");
        command.args(["-S", &self.socket]).args(arguments);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    }

    /// What the terminal shows.
    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    fn keys(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    /// Waits until the screen contains a text.
    fn shows(&self, part: &str) {
        let mut last = String::new();
        let is_shown = || {
            last = self.screen();
            last.contains(part)
        };
        let what = format!("the screen shows {part:?}");
        let polled =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| poll(&what, is_shown)));
        assert!(polled.is_ok(), "{part:?} is not on the screen:\n{last}");
    }

    /// Types a line that runs `monitor top`, and writes the state of the terminal before and
    /// after it. Waits for the first screen.
    fn run_top(&self, options: &str) {
        let directory = self.lab.directory.path().display();
        let line = format!(
            "cd {directory}; stty -g >before; sh -c 'echo $$ >pid; exec {} top {options} --socket {} \
             --pin-dir {} --state-dir {directory}/state'; echo ended $?; stty -g >after",
            binary().display(),
            self.lab.socket().display(),
            self.lab.pin_dir.display(),
        );
        fs::write(self.lab.directory.path().join("top.sh"), line).unwrap();
        let _ = fs::remove_file(self.lab.directory.path().join("after"));
        self.keys(&[&format!(". {directory}/top.sh"), "Enter"]);
        self.shows("monitor top  ");
    }

    /// Asserts that the program ended with this code, and left the terminal as it was.
    fn is_restored(&self, code: &str) {
        self.shows(&format!("ended {code}"));
        let read = |name: &str| fs::read_to_string(self.lab.directory.path().join(name));
        poll("the shell goes on", || {
            read("after").is_ok_and(|after| !after.is_empty())
        });
        assert_eq!(read("before").unwrap(), read("after").unwrap());
        let screen = self.screen();
        assert!(!screen.contains("DESTINATION"), "{screen}");
        let cursor = self.tmux(&["display", "-p", "#{cursor_flag}#{alternate_on}"]);
        assert_eq!(
            cursor.trim(),
            "10",
            "the cursor is shown, on the main screen"
        );
    }
}

impl Drop for Terminal<'_> {
    fn drop(&mut self) {
        // It may have ended with its shell.
        let _ = Command::new("tmux")
            .args(["-S", &self.socket, "kill-server"])
            .output();
    }
}

#[test]
fn a_destination_is_blocked_by_key_and_the_terminal_is_restored() {
    let lab = Lab::new("top");
    let daemon = lab.start(&[]);
    lab.send_udp(OPEN[0], 7);
    let terminal = Terminal::new(&lab, 120, 24);
    terminal.run_top("");
    terminal.shows(OPEN[0]);
    terminal.shows("wlan0 native: ");
    assert!(
        ["BLIND", "blind", "sees "]
            .iter()
            .any(|word| terminal.screen().contains(word)),
        "a line of blindness: {}",
        terminal.screen()
    );
    terminal.keys(&["/", OPEN[0], "Enter"]);
    terminal.keys(&["Enter"]);
    terminal.shows("matched by seen");
    terminal.keys(&["Escape", "b"]);
    terminal.shows(&format!("block {} for {PHONE_MAC}, 1 hour?", OPEN[0]));
    // No other key says yes.
    terminal.keys(&["Enter", "x", "n"]);
    terminal.shows("filter: ");
    assert!(lab.status()["daemon"]["changes"][0].is_null());
    terminal.keys(&["b", "y"]);
    terminal.shows("in force: block");
    let status = lab.status();
    let change = &status["daemon"]["changes"][0];
    assert_eq!(change["device"], PHONE_MAC, "{status}");
    assert!(change["until"].is_string(), "{status}");
    let block = change["policy"].as_str().unwrap().to_owned();
    lab.send_udp(OPEN[0], 5);
    assert_eq!(lab.policy(&block), (0, 5), "the kernel drops");
    // All packets of the flow, and those of them that were dropped.
    terminal.shows(" 12 ");
    terminal.shows(" 5 ");
    terminal.keys(&["u"]);
    terminal.shows("Undo: block");
    terminal.keys(&["y"]);
    terminal.shows("undone: block");
    lab.send_udp(OPEN[0], 1);
    assert_eq!(lab.policy(&block), (0, 5));
    terminal.keys(&["q"]);
    terminal.is_restored("0");

    // After a signal, and without a daemon: the store and the kernel are read.
    terminal.run_top("");
    daemon.kill();
    terminal.shows("NOT READ");
    let pid = fs::read_to_string(lab.directory.path().join("pid")).unwrap();
    kill(Pid::from_raw(pid.trim().parse().unwrap()), Signal::SIGTERM).unwrap();
    terminal.tmux(&["clear-history"]);
    terminal.is_restored("0");
    terminal.keys(&["clear", "Enter"]);
    terminal.run_top("--at 0s");
    terminal.shows("past, until");
    terminal.shows(OPEN[0]);
    terminal.keys(&["b"]);
    terminal.shows("this is the past");
    terminal.keys(&["C-c"]);
    terminal.is_restored("0");

    // The terminal goes away: so does the program.
    terminal.run_top("");
    let pid = fs::read_to_string(lab.directory.path().join("pid")).unwrap();
    terminal.tmux(&["kill-server"]);
    let process = format!("/proc/{}", pid.trim());
    poll("the program ends", || {
        !std::path::Path::new(&process).exists()
    });
}

#[test]
fn without_a_terminal_it_says_what_to_use() {
    let lab = Lab::new("top-pipe");
    for (arguments, expected) in [
        (&["top"][..], "monitor flows"),
        (&["top", "--json"], "monitor flows --json"),
    ] {
        let output = lab.monitor(arguments);
        assert_eq!(output.status.code(), Some(1));
        assert!(
            text(&output.stderr).contains(expected),
            "{}",
            text(&output.stderr)
        );
        assert!(output.stdout.is_empty());
    }
}
