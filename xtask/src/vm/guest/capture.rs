//! `monitor capture` on the emulated machine's kernel.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::gateway::{Gateway, POLICIES};
use super::phone::{EACH, FILTERED, Servers, WiredPhone};
use super::{Guest, fact, kernel_version, must_be, seen, wait_for};

/// The first kernel whose programs can copy a whole frame (commit 3f364222d032).
const FIRST: (u32, u32) = (5, 18);

/// Captures a round, with headers and with whole frames. On older kernels, the daemon must
/// refuse whole frames, and the filter must go on.
pub(super) fn capture(
    guest: &Guest,
    mode: &str,
    phone: &WiredPhone,
    servers: &Servers,
) -> Result<()> {
    let mut gateway = Gateway::new(guest, &format!("capture-{mode}"), POLICIES)?;
    gateway.start("lan0", &["--mode", mode])?;
    one(&gateway, &[], phone, servers)?;
    if kernel_version()? < FIRST {
        let output = command(&gateway, &["--payload"])
            .output()
            .context("capture")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            !output.status.success() && said.contains("5.18"),
            "it did not refuse: {said}"
        );
        must_be("filtered", &servers.round(&phone.namespace)?, &FILTERED)?;
        seen(format!(
            "{mode}: `capture` wrote the {EACH} packets of a round, headers only; it refused `--payload`, for which this kernel is too old"
        ));
        fact("payload", "no");
    } else {
        one(&gateway, &["--payload"], phone, servers)?;
        seen(format!(
            "{mode}: `capture` wrote the {EACH} packets of a round, headers only and whole"
        ));
        fact("payload", "yes");
    }
    gateway.detach("lan0")
}

/// Captures a round.
fn one(
    gateway: &Gateway<'_>,
    arguments: &[&str],
    phone: &WiredPhone,
    servers: &Servers,
) -> Result<()> {
    let mut child = command(gateway, arguments).spawn().context("capture")?;
    wait_for("the capture runs", || {
        let status = gateway.ask("status", &[])?;
        ensure!(
            child.try_wait().context("the capture")?.is_none(),
            "the capture ended early: {}",
            gateway.said()?
        );
        Ok(status["daemon"].get("capture").is_some())
    })?;
    must_be("filtered", &servers.round(&phone.namespace)?, &FILTERED)?;
    let id = Pid::from_raw(i32::try_from(child.id()).context("process id")?);
    kill(id, Signal::SIGINT).context("end the capture")?;
    let output = child.wait_with_output().context("the capture")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let captured: Value = serde_json::from_str(&said).context(said.into_owned())?;
    ensure!(
        captured["packets"] == EACH && captured["lost"] == 0 && captured["file"] == "written",
        "{captured}"
    );
    fs::remove_file(file(gateway)).context("remove the capture")
}

fn file(gateway: &Gateway<'_>) -> PathBuf {
    gateway.folder().join("file.pcapng")
}

fn command(gateway: &Gateway<'_>, arguments: &[&str]) -> Command {
    let mut command = gateway.verb("capture");
    command
        .args(["blocked", "--json", "--output"])
        .arg(file(gateway))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}
