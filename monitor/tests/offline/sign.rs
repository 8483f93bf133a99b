//! `report --sign` and `report verify --signer`: signatures of ssh-keygen and of minisign.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use nix::pty::openpty;

use super::publish::{beside, report};
use crate::support::{lab::poll, story::Story};

/// Keys of two people, for both programs.
struct Keys(tempfile::TempDir);

impl Keys {
    fn new() -> Self {
        let keys = Self(tempfile::tempdir().unwrap());
        for name in ["anna", "eve"] {
            keys.ssh(name, "");
            let (public, secret) = (keys.path(name, ".pub.mini"), keys.path(name, ".mini"));
            keys.run("minisign", &["-G", "-W", "-p", &public, "-s", &secret]);
            let key = fs::read_to_string(keys.path(name, ".ssh.pub")).unwrap();
            let key: Vec<_> = key.split(' ').take(2).collect();
            let signers = format!("{name}@example.net,x@example.net {}\n", key.join(" "));
            fs::write(keys.path(name, ".signers"), signers).unwrap();
        }
        keys
    }

    /// Makes a key of SSH with a passphrase.
    fn ssh(&self, name: &str, passphrase: &str) {
        let key = self.path(name, ".ssh");
        self.run(
            "ssh-keygen",
            &["-q", "-t", "ed25519", "-N", passphrase, "-f", &key],
        );
    }

    fn path(&self, name: &str, end: &str) -> String {
        let path = self.0.path().join(format!("{name}{end}"));
        path.to_str().unwrap().to_owned()
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let output = Command::new(program)
            .args(arguments)
            .current_dir(&self.0)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{program}: {output:?}");
    }
}

/// A command that makes a report and signs it.
fn signing(story: &Story, file: &Path, format: &str, key: &str) -> Command {
    let directory = story.directory.path();
    let mut command = Command::new(env!("CARGO_BIN_EXE_monitor"));
    command
        .args(["report", "--format", format, "--sign", key, "--output"])
        .arg(file)
        .args(["--state-dir", directory.to_str().unwrap()])
        .arg("--socket")
        .arg(directory.join("socket"))
        .arg("--pin-dir")
        .arg(directory.join("pins"))
        .stdin(Stdio::null());
    command
}

fn signed(story: &Story, format: &str, key: &str) -> PathBuf {
    let file = story.directory.path().join(format!("report.{format}"));
    let output = signing(story, &file, format, key).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout, b"", "{output:?}");
    file
}

fn error_of(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn both_programs_sign_a_report_and_find_its_changes() {
    let (story, keys) = (Story::told(), Keys::new());
    for (end, own, signers, by) in [
        (
            ".sig",
            ".ssh",
            ".signers",
            "holds    anna@example.net, by the list ",
        ),
        (
            ".minisig",
            ".mini",
            ".pub.mini",
            "holds    The holder of the minisign key ",
        ),
    ] {
        for format in ["html", "csv"] {
            let file = signed(&story, format, &keys.path("anna", own));
            let name = file.to_str().unwrap();
            // The signature before is not the one of this file.
            let signatures = [".sig", ".minisig"].map(|end| beside(&file, end).exists());
            assert_eq!(signatures, [end == ".sig", end == ".minisig"], "{format}");
            let verify = |who| report(&["verify", name, "--signer", &keys.path(who, signers)]);
            let (status, text) = verify("anna");
            assert_eq!(status, 0, "{text}");
            let files = if format == "csv" { 2 } else { 1 };
            assert_eq!(text.matches(by).count(), files, "{format}: {text}");
            let (status, text) = verify("eve");
            assert_eq!(status, 3, "{text}");
            assert!(!text.contains(by), "{text}");
            let (status, text) = report(&["verify", name]);
            assert_eq!(status, 0, "{text}");
            assert_eq!(
                text.matches("was not checked: --signer").count(),
                files,
                "{text}"
            );

            let last = if format == "csv" {
                beside(&file, ".proof")
            } else {
                file.clone()
            };
            let content = fs::read_to_string(&last).unwrap();
            fs::write(&last, content.replacen(' ', "  ", 1)).unwrap();
            let (status, text) = verify("anna");
            assert_eq!(status, 3, "{text}");
            assert_eq!(text.matches("CHANGED  The signature").count(), 1, "{text}");
            fs::write(&last, content).unwrap();
            fs::remove_file(beside(&last, end)).unwrap();
            let (status, text) = verify("anna");
            assert_eq!(status, 3, "{text}");
            assert!(text.contains("is not signed: there is no"), "{text}");
        }
    }
}

/// A signature by the same key for something else is not one of a report.
#[test]
fn a_signature_for_something_else_does_not_count() {
    let (story, keys) = (Story::told(), Keys::new());
    let file = signed(&story, "md", &keys.path("anna", ".ssh"));
    let name = file.to_str().unwrap();
    fs::remove_file(beside(&file, ".sig")).unwrap();
    let key = keys.path("anna", ".ssh");
    keys.run("ssh-keygen", &["-Y", "sign", "-n", "git", "-f", &key, name]);
    let (status, text) = report(&["verify", name, "--signer", &keys.path("anna", ".signers")]);
    assert_eq!(status, 3, "{text}");
    assert!(text.contains("CHANGED  The signature"), "{text}");
}

#[test]
fn a_public_key_signs_through_an_agent() {
    let (story, keys) = (Story::told(), Keys::new());
    let socket = keys.path("agent", "");
    let mut agent = Command::new("ssh-agent")
        .args(["-D", "-a", &socket])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    poll("the agent", || Path::new(&socket).exists());
    let private = keys.path("anna", ".ssh");
    let added = Command::new("ssh-add")
        .args(["-q", &private])
        .env("SSH_AUTH_SOCK", &socket)
        .status()
        .unwrap();
    assert!(added.success());
    fs::remove_file(&private).unwrap();
    let file = story.directory.path().join("report.md");
    let key = keys.path("anna", ".ssh.pub");
    let mut with_agent = signing(&story, &file, "md", &key);
    let output = with_agent.env("SSH_AUTH_SOCK", &socket).output().unwrap();
    agent.kill().unwrap();
    agent.wait().unwrap();
    assert!(output.status.success(), "{output:?}");
    let signers = keys.path("anna", ".signers");
    let (status, text) = report(&["verify", file.to_str().unwrap(), "--signer", &signers]);
    assert_eq!(status, 0, "{text}");
    // Without the agent, the report is there and the error says that it is not signed.
    let output = signing(&story, &file, "md", &key)
        .env_remove("SSH_AUTH_SOCK")
        .output()
        .unwrap();
    let error = error_of(&output);
    assert!(
        error.contains("report.md is written, and not signed: ssh-keygen failed"),
        "{error}"
    );
    assert!(file.exists() && !beside(&file, ".sig").exists());
}

/// Starts a command with a terminal of its own. Returns the other end of the terminal.
fn in_terminal(command: &Command) -> (Child, File) {
    let terminal = openpty(None, None).unwrap();
    let inner = || terminal.slave.try_clone().unwrap();
    let child = Command::new("setsid")
        .args(["--ctty", "--wait"])
        .arg(command.get_program())
        .args(command.get_args())
        .env_remove("SSH_ASKPASS")
        .env_remove("DISPLAY")
        .stdin(inner())
        .stdout(inner())
        .stderr(inner())
        .spawn()
        .unwrap();
    (child, terminal.master.into())
}

#[test]
fn ssh_keygen_asks_for_the_passphrase_on_the_terminal() {
    let (story, keys) = (Story::told(), Keys::new());
    keys.ssh("locked", "a long secret");
    let file = story.directory.path().join("report.md");
    let command = signing(&story, &file, "md", &keys.path("locked", ".ssh"));
    let (mut child, mut terminal) = in_terminal(&command);
    let mut shown = Vec::new();
    let mut byte = [0];
    while !String::from_utf8_lossy(&shown).contains("passphrase") || !shown.ends_with(b": ") {
        terminal.read_exact(&mut byte).unwrap();
        shown.push(byte[0]);
    }
    terminal.write_all(b"a long secret\n").unwrap();
    // The end of the terminal is an error, after what was shown.
    let _ = terminal.read_to_end(&mut shown);
    let shown = String::from_utf8_lossy(&shown).into_owned();
    assert!(child.wait().unwrap().success(), "{shown}");
    assert!(!shown.contains("a long secret"), "{shown}");
    assert!(beside(&file, ".sig").exists(), "{shown}");
}

#[test]
fn a_key_or_a_program_that_is_missing_is_named() {
    let (story, keys) = (Story::told(), Keys::new());
    let file = story.directory.path().join("report.md");
    for (key, program, package) in [
        (".ssh", "ssh-keygen", "openssh-client"),
        (".mini", "minisign", "minisign"),
    ] {
        let mut command = signing(&story, &file, "md", &keys.path("anna", key));
        let error = error_of(&command.env("PATH", "/nonexistent").output().unwrap());
        let why =
            format!("{program} is not installed; install it, on Debian by `apt install {package}`");
        assert!(
            error.contains("report.md is written, and not signed"),
            "{error}"
        );
        assert!(error.contains(&why), "{error}");
        assert!(file.exists());
    }
    fs::remove_file(&file).unwrap();
    for (key, why) in [
        (keys.path("anna", ".pub.mini"), "name the secret key"),
        (keys.path("anna", ".signers"), "holds no key to sign with"),
        (keys.path("nobody", ".ssh"), "No such file"),
    ] {
        let error = error_of(&signing(&story, &file, "md", &key).output().unwrap());
        assert!(error.contains("--sign: "), "{error}");
        assert!(error.contains(why), "{error}");
        // What cannot be signed is known before the report is made.
        assert!(!file.exists());
    }
    let (status, text) = report(&["--sign", "key"]);
    assert_eq!(status, 2, "{text}");
    assert!(text.contains("--output <FILE>"), "{text}");
}
