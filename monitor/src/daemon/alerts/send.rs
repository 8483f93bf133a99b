//! Sends a message to a target. The calls block, for a bounded time. No error names a secret or a
//! URL.

use std::{
    io,
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use rumqttc::{Client, Event, MqttOptions, Packet, QoS};

use crate::{
    alerts::{
        Mail, Mqtt, Publication, Secret, SigningKey, Target, Webhook, discovery, mail,
        publications, signature,
    },
    config::Settings,
    datapath,
    feeds::{FetchError, Fetcher, Limits, Own, Post, TrustError},
    lists::FeedUrl,
    secret_file::{self, SecretFileError},
    store::alert_queue::Queued,
};

/// How long a target may take.
const TIME: Duration = Duration::from_secs(15);

/// The largest answer of a server that is read.
const MAX_ANSWER: u64 = 64 << 10;

/// The longest secret, in bytes.
const MAX_SECRET: usize = 4_096;

/// Why a message was not sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    #[error("the settings no longer name this target")]
    NoTarget,
    #[error(transparent)]
    Secret(#[from] SecretFileError),
    #[error(
        "{} has no {what} in its first line; {fix}",
        crate::printable::path(path)
    )]
    Content {
        path: PathBuf,
        what: &'static str,
        fix: &'static str,
    },
    #[error(transparent)]
    Trust(#[from] TrustError),
    #[error("read the addresses of this machine: {0}")]
    Addresses(#[from] datapath::Error),
    #[error("{0}")]
    Fetch(FetchError),
    #[error(
        "the name in its URL leads to {what}; write `local: true` at the target if you mean that"
    )]
    Inside { what: String },
    #[error(
        "the server redirects, and alerts follow no redirect: name the URL that it redirects to"
    )]
    Redirects,
    #[error("start {}: {source}", crate::printable::path(program))]
    Start { program: PathBuf, source: io::Error },
    #[error("{} {how}", crate::printable::path(program))]
    Program { program: PathBuf, how: String },
    #[error("the broker {host}: {why}")]
    Broker { host: String, why: String },
}

/// Sends to one target.
pub(super) struct Sender {
    target: Option<Target>,
    settings: Settings,
}

impl Sender {
    pub(super) fn new(settings: &Settings, target: &str) -> Self {
        Self {
            target: settings.alerts.targets.get(target).cloned(),
            settings: settings.clone(),
        }
    }

    /// Sends, and waits until the target took the message.
    pub(super) fn send(&self, queued: &Queued) -> Result<(), SendError> {
        match self.target.as_ref().ok_or(SendError::NoTarget)? {
            Target::Webhook(webhook) => self.post(webhook, queued),
            Target::Command(command) => {
                let mut program = Command::new(&command.program);
                program.args(&command.arguments);
                run(program, &command.program, &body(queued))
            }
            Target::Mail(to) => send_mail(to, queued),
            Target::Mqtt(mqtt) => publish(mqtt, queued),
        }
    }

    fn post(&self, webhook: &Webhook, queued: &Queued) -> Result<(), SendError> {
        let url = match &webhook.url {
            Secret::Stated(url) => url.clone(),
            Secret::File(path) => url_in(path)?,
        };
        let body = body(queued);
        let timestamp = Timestamp::now().as_second();
        let time = timestamp.to_string();
        let signed = match &webhook.secret_file {
            Some(path) => Some(signature(&key_in(path)?, &queued.id, timestamp, &body)),
            None => None,
        };
        let mut headers = vec![
            ("webhook-id", queued.id.as_str()),
            ("webhook-timestamp", time.as_str()),
        ];
        headers.extend(signed.as_deref().map(|value| ("webhook-signature", value)));
        let limits = Limits {
            time: TIME,
            size: MAX_ANSWER,
            ..Limits::default()
        };
        let gateway = self.settings.gateway()?;
        let own = Own {
            addresses: datapath::own_addresses()?,
            networks: gateway.networks,
        };
        let ca_file = self.settings.feeds.ca_file.as_deref();
        let fetcher = Fetcher::new(ca_file, limits)?.with_own(own);
        let post = Post {
            content_type: "application/json",
            accept: "*/*",
            headers: &headers,
            body: &body,
        };
        let sent = if webhook.local {
            fetcher.post(&url, post)
        } else {
            fetcher.post_outside(&url, post)
        };
        sent.map(drop).map_err(|error| match error {
            FetchError::Inside(leads) => SendError::Inside { what: leads.what },
            FetchError::NotFollowed { .. } | FetchError::Redirect(_) => SendError::Redirects,
            error => SendError::Fetch(error),
        })
    }
}

/// The body of a webhook, and the input of a command.
fn body(queued: &Queued) -> Vec<u8> {
    let message = &queued.message;
    let body = serde_json::json!({
        "id": queued.id,
        "type": message.kind,
        "timestamp": message.at,
        "data": message.data,
    });
    body.to_string().into_bytes()
}

/// Reads the first line of a file that other users cannot read.
fn secret_in(path: &Path) -> Result<String, SendError> {
    let bytes = secret_file::read(path)?;
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().next().unwrap_or_default().trim();
    if line.is_empty() || line.len() > MAX_SECRET {
        return Err(SendError::Content {
            path: path.to_owned(),
            what: "secret",
            fix: "write only the secret into it",
        });
    }
    Ok(line.to_owned())
}

fn key_in(path: &Path) -> Result<SigningKey, SendError> {
    let secret = secret_in(path)?;
    SigningKey::parse(&secret).ok_or_else(|| SendError::Content {
        path: path.to_owned(),
        what: "secret of Standard Webhooks",
        fix: "make one with `echo whsec_$(openssl rand -base64 32)`",
    })
}

fn url_in(path: &Path) -> Result<FeedUrl, SendError> {
    let url = secret_in(path)?;
    url.parse().map_err(|_| SendError::Content {
        path: path.to_owned(),
        what: "`http` or `https` URL",
        fix: "write only the URL into it",
    })
}

fn send_mail(to: &Mail, queued: &Queued) -> Result<(), SendError> {
    let now = Timestamp::now();
    let date = jiff::fmt::rfc2822::to_string(&now.to_zoned(jiff::tz::TimeZone::UTC));
    let text = mail(
        &queued.message,
        &to.from,
        &to.to,
        &date.unwrap_or_default(),
        &queued.id,
    );
    let mut program = Command::new(&to.sendmail);
    program.args(["-i", "-f", &to.from, "--"]).args(&to.to);
    run(program, &to.sendmail, text.as_bytes())
}

/// Runs a program without a shell, with this input, a plain environment and a bounded time. Ends
/// it with its children if it takes longer.
fn run(mut command: Command, program: &Path, input: &[u8]) -> Result<(), SendError> {
    let mut child = command
        .env_clear()
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(|source| SendError::Start {
            program: program.to_owned(),
            source,
        })?;
    let stdin = child.stdin.take();
    let failed = |how: String| SendError::Program {
        program: program.to_owned(),
        how,
    };
    // A program that does not read its input must not hold this thread.
    let written = thread::scope(|scope| {
        scope.spawn(|| {
            // A program may leave input unread: its exit code tells.
            stdin.map(|mut stdin| stdin.write_all(input)).is_some()
        });
        let ended = wait(&mut child);
        if !matches!(ended, Ok(Some(_))) {
            end(&mut child);
        }
        ended
    });
    match written {
        Ok(Some(status)) if status.success() => Ok(()),
        Ok(Some(status)) => Err(failed(format!("failed: {status}"))),
        Ok(None) => Err(failed(format!(
            "did not end within {} s, and was killed",
            TIME.as_secs()
        ))),
        Err(error) => Err(failed(format!("cannot be awaited: {error}"))),
    }
}

fn wait(child: &mut Child) -> io::Result<Option<std::process::ExitStatus>> {
    let end = Instant::now() + TIME;
    while Instant::now() < end {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(None)
}

fn end(child: &mut Child) {
    if let Ok(group) = i32::try_from(child.id()) {
        // The program may have ended just now.
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// Publishes the message, and what Home Assistant needs to know, each with an acknowledgement.
fn publish(mqtt: &Mqtt, queued: &Queued) -> Result<(), SendError> {
    let failed = |why: String| SendError::Broker {
        host: crate::printable::value(&mqtt.host).into_owned(),
        why,
    };
    let client_id = format!("monitor-{}", std::process::id());
    let mut options = MqttOptions::new(client_id, &mqtt.host, mqtt.port);
    options.set_keep_alive(TIME);
    if let Some((user, file)) = &mqtt.user {
        options.set_credentials(user, secret_in(file)?);
    }
    let prefix = mqtt.discovery.as_deref();
    let mut all: Vec<Publication> = prefix
        .map(|prefix| discovery(prefix, &mqtt.topic))
        .into_iter()
        .flatten()
        .collect();
    all.extend(publications(
        &mqtt.topic,
        &queued.id,
        &queued.message,
        queued.problems,
    ));
    let (client, mut connection) = Client::new(options, all.len() + 1);
    let mut waiting = all.len();
    for Publication {
        topic,
        payload,
        retained,
    } in all
    {
        let published = client.try_publish(topic, QoS::AtLeastOnce, retained, payload);
        published.map_err(|error| failed(error.to_string()))?;
    }
    let end = Instant::now() + TIME;
    while waiting > 0 {
        let left = end.saturating_duration_since(Instant::now());
        match connection.recv_timeout(left) {
            Ok(Ok(Event::Incoming(Packet::PubAck(_)))) => waiting -= 1,
            Ok(Ok(_)) if !left.is_zero() => {}
            Ok(Err(error)) => return Err(failed(error.to_string())),
            Ok(Ok(_)) | Err(_) => {
                return Err(failed(format!("no answer within {} s", TIME.as_secs())));
            }
        }
    }
    let _ = client.try_disconnect();
    // Sends the end of the connection.
    let _ = connection.recv_timeout(Duration::from_secs(1));
    Ok(())
}
