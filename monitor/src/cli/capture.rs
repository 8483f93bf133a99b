//! `monitor capture`: writes the packets that a policy matches to a pcapng file.

mod output;

use std::{
    io::{self, BufReader, IsTerminal as _, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process, thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use bytesize::ByteSize;
use clap::Args;
use monitor::{
    control::{
        Answer, AskedCapture, Request, ask_and_follow,
        capture::{
            CAPTURE_SIZES, CaptureProgress, CaptureStored, FromClient, KIND_BLOCKS, KIND_END,
            KIND_NOTE, KIND_PROGRESS, KIND_STORED, LONGEST_CAPTURE, read_message,
        },
    },
    evidence::captured::{CaptureFile, Captured},
    policy::PolicyName,
};
use nix::sys::signal::{SigSet, Signal};
use serde::Serialize;

use self::output::{Output, Wrote};
use super::{Common, ReachArgs, print, print_json, stderr, tell};

/// How long the daemon may stay silent. It reports its progress each second, except while it
/// makes a generation.
const SILENCE: Duration = Duration::from_secs(120);

/// Write the packets that a policy matches to a pcapng file, for a while
///
/// The file holds each packet to which the policy applies, also if another policy decides. A
/// comment of each packet names the policy and the verdict. Only the headers of the packets are
/// written; with `--payload` also their content, which can be private: passwords, messages,
/// names. For root and the user that runs the daemon. Ctrl-C ends the capture and completes the
/// file.
///
/// The daemon makes the file's bytes and their SHA-256, and stores both begin and end of the
/// capture as events. This command compares the SHA-256 with its file, and fails if they differ.
/// Packets that found no room are counted with the reason. A capture cannot begin while policies
/// wait for a confirmation.
#[derive(Args, Debug)]
pub(crate) struct CaptureArgs {
    /// Name of the policy
    policy: PolicyName,

    /// How long, such as 10m or `2h 30m`, at most 24h
    #[arg(long = "for", value_name = "TIME", value_parser = length, default_value = "10m")]
    length: Duration,

    /// The largest size of the file, from 64KiB to 1GiB
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "64MiB")]
    max: ByteSize,

    /// Write whole packets, with their content
    #[arg(long)]
    payload: bool,

    /// The new file, which only its owner can read; `-` is standard output
    #[arg(long, value_name = "FILE")]
    output: PathBuf,

    #[command(flatten)]
    reach: ReachArgs,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Printed<'a> {
    #[serde(flatten)]
    captured: &'a Captured,
    /// True if the daemon stored the event.
    stored: bool,
}

/// Captures until the time is over, the file is full, or a signal.
pub(super) fn run(common: &Common, args: CaptureArgs) -> anyhow::Result<()> {
    let reach = args.reach.reach(common)?;
    reach.require_daemon()?;
    // Other threads inherit the mask, so only the thread below takes the signals.
    let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]);
    signals.thread_block().context("block signals")?;
    let output = Output::create(&args.output)?;
    let request = Request::Capture(AskedCapture {
        policy: args.policy,
        seconds: args.length.as_secs(),
        max: args.max.as_u64(),
        payload: args.payload,
    });
    let asked = ask_and_follow(&reach.settings.socket, &request, |stream| {
        stop_at_signal(signals, stream.try_clone()?)
    });
    let (begun, stream) = match asked {
        Ok((Answer::Capturing(begun), stream)) => (begun, stream),
        other => {
            output.discard();
            return Err(match other {
                Ok((Answer::Refused(why), _)) => anyhow::anyhow!("the daemon refused: {why}"),
                Ok((other, _)) => {
                    anyhow::anyhow!("the daemon gave an unexpected answer: {other:?}")
                }
                Err(error) => error.into(),
            });
        }
    };
    for note in &begun.notes {
        tell(&format!("note: {note}"));
    }
    let mut following = Following {
        stream,
        progress: Progress::new(args.length),
        output,
    };
    let (captured, stored) = following.follow()?;
    if let Some(error) = &stored.error {
        tell(&format!("warning: the daemon stores no event: {error}"));
    }
    show(common, &args.output, &captured, &stored)?;
    if let Some(why) = following.output.failure() {
        anyhow::bail!("{why}");
    }
    anyhow::ensure!(
        captured.file != CaptureFile::Differs,
        "the file has another SHA-256 than what the daemon sent, so the disk or another process changed it: do not use it"
    );
    Ok(())
}

/// Prints what was captured.
fn show(
    common: &Common,
    output: &Path,
    captured: &Captured,
    stored: &CaptureStored,
) -> anyhow::Result<()> {
    if output.as_os_str() == "-" {
        tell(&captured.to_string());
        return Ok(());
    }
    if common.json {
        return print_json(&Printed {
            captured,
            stored: stored.error.is_none(),
        });
    }
    let path = monitor::printable::path(output);
    print(&format!("{captured}\nwritten to {path}\n"))
}

/// Asks the daemon to end the capture at the first signal. The second one ends this process.
fn stop_at_signal(signals: SigSet, mut stream: UnixStream) -> io::Result<()> {
    let wait = move || {
        if signals.wait().is_ok() {
            let _ = send(&mut stream, &FromClient::Stop {});
        }
        if signals.wait().is_ok() {
            process::exit(130);
        }
    };
    let thread = thread::Builder::new().name("signals".to_owned());
    thread.spawn(wait).map(drop)
}

fn send(stream: &mut UnixStream, message: &FromClient) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(stream.write_all(&line)?)
}

/// The messages of the daemon, what is written, and what the operator sees.
struct Following {
    stream: BufReader<UnixStream>,
    progress: Progress,
    output: Output,
}

impl Following {
    /// Writes the file to its end.
    fn follow(&mut self) -> anyhow::Result<(Captured, CaptureStored)> {
        self.stream.get_ref().set_read_timeout(Some(SILENCE))?;
        let captured = loop {
            let message = read_message(&mut self.stream);
            let (kind, content) = message
                .inspect_err(|_| self.progress.clear())
                .context("the daemon is gone; the file holds the packets until now")?;
            match kind {
                KIND_BLOCKS => self.write(&content)?,
                KIND_PROGRESS => self.progress.show(serde_json::from_slice(&content)?),
                KIND_NOTE => {
                    self.progress.clear();
                    tell(&format!("note: {}", String::from_utf8_lossy(&content)));
                }
                KIND_END => break serde_json::from_slice(&content)?,
                other => anyhow::bail!("the daemon sent a message of an unknown kind: {other}"),
            }
        };
        self.progress.clear();
        Ok(self.end(captured))
    }

    fn write(&mut self, blocks: &[u8]) -> anyhow::Result<()> {
        let stop = match self.output.write_blocks(blocks) {
            Wrote::Blocks => return Ok(()),
            Wrote::ReaderGone => FromClient::Stop {},
            Wrote::Failed => FromClient::Failed {},
        };
        send(self.stream.get_mut(), &stop)
    }

    /// Completes the file, and waits until the daemon has stored the end.
    fn end(&mut self, captured: Captured) -> (Captured, CaptureStored) {
        let written = self.output.finish();
        let sent = captured.sha256.as_deref();
        let file = sent.map(|sent| written.compared(sent));
        let captured = Captured {
            file: file.unwrap_or_default(),
            ..captured
        };
        let stored = self.stored(&FromClient::Written(written));
        let stored = stored.unwrap_or_else(|error| CaptureStored {
            error: Some(format!("{error:#}")),
            ..CaptureStored::default()
        });
        (captured, stored)
    }

    /// Tells the daemon about the file, and waits for its last message.
    fn stored(&mut self, written: &FromClient) -> anyhow::Result<CaptureStored> {
        send(self.stream.get_mut(), written)?;
        let (kind, content) = read_message(&mut self.stream).context("the daemon is gone")?;
        anyhow::ensure!(
            kind == KIND_STORED,
            "the daemon sent a message of another kind: {kind}"
        );
        Ok(serde_json::from_slice(&content)?)
    }
}

/// The line on a terminal that shows the progress.
struct Progress {
    is_terminal: bool,
    ends: Instant,
}

impl Progress {
    fn new(length: Duration) -> Self {
        Self {
            is_terminal: stderr().is_terminal(),
            ends: Instant::now() + length,
        }
    }

    fn show(&self, progress: CaptureProgress) {
        if !self.is_terminal {
            return;
        }
        let CaptureProgress {
            packets,
            bytes,
            lost,
        } = progress;
        let left = self
            .ends
            .saturating_duration_since(Instant::now())
            .as_secs();
        // Return to the begin of the line, and clear it. If standard error is closed, there is
        // no place left for the progress.
        let _ = write!(
            stderr(),
            "\r\x1b[K{packets} packets, {bytes} bytes, {lost} lost, {left} s left (Ctrl-C ends it)"
        );
    }

    fn clear(&self) {
        if self.is_terminal {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}

fn length(text: &str) -> Result<Duration, String> {
    let length = humantime::parse_duration(text)
        .map_err(|error| format!("{error}; write it as 10m, 1h or `2h 30m`"))?;
    if length < Duration::from_secs(1) || length > LONGEST_CAPTURE {
        return Err("write a time from 1s to 24h".to_owned());
    }
    Ok(length)
}

fn size(text: &str) -> Result<ByteSize, String> {
    let size: ByteSize = text
        .parse()
        .map_err(|error| format!("{error}; write it as 64MiB"))?;
    if !CAPTURE_SIZES.contains(&size.as_u64()) {
        return Err("write a size from 64KiB to 1GiB".to_owned());
    }
    Ok(size)
}
