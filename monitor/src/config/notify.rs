//! The `notify` section of the config file.
//!
//! ```yaml
//! notify:
//!   targets:
//!     home: {webhook: http://192.168.1.5:8123/api/webhook/x, secret_file: webhook.secret}
//!     script: {command: [/usr/local/bin/alert, --now]}
//!     post: {mail: me@example.net, from: gateway@example.net}
//!     broker: {mqtt: 192.168.1.5, user: monitor, password_file: mqtt.secret}
//!   rules:
//!     - {on: [first-contact, new-device], to: home, include: [mac]}
//!   quiet: {from: "22:00", to: "07:00", timezone: Europe/Madrid, except: [blind]}
//!   repeat_after: 6h
//!   most_per_hour: 30
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::{civil::Time, tz::TimeZone};
use serde::Deserialize;

use super::{length::Length, one_or_many::OneOrMany};
use crate::{
    alerts::{
        AlertKind, AlertSettings, Command, Include, Mail, Mqtt, Quiet, Rule, Secret, Target,
        Webhook,
    },
    lists::FeedUrl,
    quoted::quoted,
};

/// Default of `notify.repeat_after`.
const REPEAT_AFTER: Duration = Duration::from_hours(6);

/// Default of `notify.most_per_hour`.
const MOST_PER_HOUR: u32 = 30;

/// The most of `notify.most_per_hour`.
const MOST_MOST: u32 = 1_000;

/// The most targets.
const MOST_TARGETS: usize = 16;

/// The program that sends mail, if the settings name none.
const SENDMAIL: &str = "/usr/sbin/sendmail";

/// Default of `topic` and `discovery` of a broker.
const TOPIC: &str = "monitor";
const DISCOVERY: &str = "homeassistant";

/// The port of MQTT without TLS.
const MQTT_PORT: u16 = 1_883;

/// Rules and targets of alerts.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(try_from = "Raw")]
pub struct NotifyOptions(AlertSettings);

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct Raw {
    targets: BTreeMap<String, RawTarget>,
    rules: Vec<RawRule>,
    quiet: Option<RawQuiet>,
    repeat_after: Option<Length>,
    most_per_hour: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTarget {
    webhook: Option<String>,
    webhook_file: Option<PathBuf>,
    secret_file: Option<PathBuf>,
    #[serde(default)]
    local: bool,
    command: Option<OneOrMany>,
    mail: Option<OneOrMany>,
    from: Option<String>,
    sendmail: Option<PathBuf>,
    mqtt: Option<String>,
    user: Option<String>,
    password_file: Option<PathBuf>,
    topic: Option<String>,
    discovery: Option<Discovery>,
}

/// Begin of Home Assistant's topics, or `false`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Discovery {
    Switch(bool),
    Prefix(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    on: OneOrMany<AlertKind>,
    #[serde(default)]
    policies: OneOrMany,
    #[serde(default)]
    to: OneOrMany,
    #[serde(default)]
    include: OneOrMany<Include>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawQuiet {
    from: String,
    to: String,
    timezone: String,
    #[serde(default)]
    except: OneOrMany<AlertKind>,
}

impl NotifyOptions {
    /// Makes relative paths relative to `base`, the directory of the config file.
    pub(super) fn resolve_paths(&mut self, base: &Path) {
        for target in self.0.targets.values_mut() {
            let paths = match target {
                Target::Webhook(webhook) => {
                    let url = match &mut webhook.url {
                        Secret::File(path) => Some(path),
                        Secret::Stated(_) => None,
                    };
                    [url, webhook.secret_file.as_mut()]
                }
                Target::Mqtt(mqtt) => [mqtt.user.as_mut().map(|(_, path)| path), None],
                Target::Command(_) | Target::Mail(_) => [None, None],
            };
            for path in paths.into_iter().flatten() {
                *path = base.join(&*path);
            }
        }
    }

    /// Merges two sets of options: a section here wins over one in `below`.
    #[must_use]
    pub(super) fn over(self, below: Self) -> Self {
        if self.0.targets.is_empty() {
            below
        } else {
            self
        }
    }

    /// The rules and targets.
    #[must_use]
    pub fn settle(self) -> AlertSettings {
        self.0
    }
}

impl TryFrom<Raw> for NotifyOptions {
    type Error = String;

    fn try_from(raw: Raw) -> Result<Self, String> {
        if raw.targets.len() > MOST_TARGETS {
            return Err(format!(
                "`notify.targets`: write at most {MOST_TARGETS} targets"
            ));
        }
        let mut targets = BTreeMap::new();
        for (name, target) in raw.targets {
            let at = format!("`notify.targets.{}`", quoted(&name));
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            if name.is_empty() || name.len() > 40 || !name.chars().all(is_name) {
                return Err(format!(
                    "{at}: write a name of letters, digits, `-` and `_`"
                ));
            }
            let target = settled(target).map_err(|why| format!("{at}: {why}"))?;
            targets.insert(name, target);
        }
        let rules = raw
            .rules
            .into_iter()
            .map(|rule| settled_rule(rule, &targets));
        let rules = rules.collect::<Result<Vec<_>, String>>()?;
        let most_per_hour = raw.most_per_hour.unwrap_or(MOST_PER_HOUR);
        if !(1..=MOST_MOST).contains(&most_per_hour) {
            return Err(format!(
                "`notify.most_per_hour`: write a number from 1 to {MOST_MOST}"
            ));
        }
        Ok(Self(AlertSettings {
            targets,
            rules,
            quiet: raw.quiet.map(settled_quiet).transpose()?,
            repeat_after: raw.repeat_after.map_or(REPEAT_AFTER, Length::duration),
            most_per_hour,
        }))
    }
}

fn settled_rule(rule: RawRule, targets: &BTreeMap<String, Target>) -> Result<Rule, String> {
    if rule.on.0.is_empty() {
        let kinds: Vec<_> = AlertKind::ALL.into_iter().map(AlertKind::word).collect();
        return Err(format!(
            "`notify.rules`: `on` is empty; name kinds: {}",
            kinds.join(", ")
        ));
    }
    for name in &rule.to.0 {
        if !targets.contains_key(name) {
            let known: Vec<_> = targets.keys().map(String::as_str).collect();
            return Err(format!(
                "`notify.rules`: there is no target `{}`; `targets` has: {}",
                quoted(name),
                known.join(", ")
            ));
        }
    }
    let to: BTreeSet<String> = if rule.to.0.is_empty() {
        targets.keys().cloned().collect()
    } else {
        rule.to.0.into_iter().collect()
    };
    Ok(Rule {
        on: rule.on.0.into_iter().collect(),
        policies: rule.policies.0.into_iter().collect(),
        to,
        include: rule.include.0.into_iter().collect(),
    })
}

fn settled_quiet(quiet: RawQuiet) -> Result<Quiet, String> {
    let time = |text: &str| {
        Time::strptime("%H:%M", text).map_err(|_| {
            format!(
                "`notify.quiet`: `{}` is not a time; write it as \"22:00\"",
                quoted(text)
            )
        })
    };
    let zone = TimeZone::get(&quiet.timezone).map_err(|_| {
        format!(
            "`notify.quiet`: `{}` is no time zone; write one such as Europe/Madrid",
            quoted(&quiet.timezone)
        )
    })?;
    Ok(Quiet {
        from: time(&quiet.from)?,
        to: time(&quiet.to)?,
        zone,
        except: quiet.except.0.into_iter().collect(),
    })
}

/// Makes the target. Each key belongs to one kind of target.
fn settled(raw: RawTarget) -> Result<Target, String> {
    let RawTarget {
        webhook,
        webhook_file,
        secret_file,
        local,
        command,
        mail,
        from,
        sendmail,
        mqtt,
        user,
        password_file,
        topic,
        discovery,
    } = raw;
    let of_webhook = [secret_file.is_some(), local];
    let of_mail = [from.is_some(), sendmail.is_some()];
    let of_mqtt = [
        user.is_some(),
        password_file.is_some(),
        topic.is_some(),
        discovery.is_some(),
    ];
    let only = |others: &[&[bool]], keys: &str| {
        if others.iter().any(|keys| keys.contains(&true)) {
            return Err(format!("the keys of this target are {keys}"));
        }
        Ok(())
    };
    match (webhook, webhook_file, command, mail, mqtt) {
        (Some(_), None, None, None, None) | (None, Some(_), None, None, None)
            if of_mail.contains(&true) || of_mqtt.contains(&true) =>
        {
            Err(
                "the keys of this target are `webhook`, `webhook_file`, `secret_file`, `local`"
                    .to_owned(),
            )
        }
        (Some(url), None, None, None, None) => Ok(Target::Webhook(Webhook {
            url: Secret::Stated(parsed_url(&url)?),
            secret_file,
            local,
        })),
        (None, Some(file), None, None, None) => Ok(Target::Webhook(Webhook {
            url: Secret::File(file),
            secret_file,
            local,
        })),
        (None, None, Some(command), None, None) => {
            only(&[&of_webhook, &of_mail, &of_mqtt], "`command`")?;
            settled_command(command)
        }
        (None, None, None, Some(to), None) => {
            only(&[&of_webhook, &of_mqtt], "`mail`, `from`, `sendmail`")?;
            settled_mail(to, from, sendmail)
        }
        (None, None, None, None, Some(broker)) => {
            let keys = "`mqtt`, `user`, `password_file`, `topic`, `discovery`";
            only(&[&of_webhook, &of_mail], keys)?;
            let (host, port) = host_and_port(&broker)?;
            let user = match (user, password_file) {
                (Some(user), Some(file)) => Some((user, file)),
                (None, None) => None,
                _ => return Err("write `user` and `password_file`, or neither".to_owned()),
            };
            Ok(Target::Mqtt(Mqtt {
                host,
                port,
                user,
                topic: settled_topic(topic.as_deref().unwrap_or(TOPIC))?,
                discovery: match discovery {
                    Some(Discovery::Switch(false)) => None,
                    Some(Discovery::Prefix(prefix)) => Some(settled_topic(&prefix)?),
                    Some(Discovery::Switch(true)) | None => Some(DISCOVERY.to_owned()),
                },
            }))
        }
        _ => Err(
            "write exactly one of `webhook`, `webhook_file`, `command`, `mail` and `mqtt`"
                .to_owned(),
        ),
    }
}

/// Parses a URL. The error does not repeat it, because it can hold a secret.
fn parsed_url(url: &str) -> Result<FeedUrl, String> {
    url.parse().map_err(|_| {
        "this is not an `http` or `https` URL without a user and a password".to_owned()
    })
}

fn settled_command(command: OneOrMany) -> Result<Target, String> {
    let mut words = command.0.into_iter();
    let program: PathBuf = words.next().unwrap_or_default().into();
    if !program.is_absolute() {
        return Err("`command` begins with the whole path of a program, such as [/usr/local/bin/alert, --now]; no shell reads it".to_owned());
    }
    Ok(Target::Command(Command {
        program,
        arguments: words.collect(),
    }))
}

fn settled_mail(
    to: OneOrMany,
    from: Option<String>,
    sendmail: Option<PathBuf>,
) -> Result<Target, String> {
    let from = from.ok_or("`from` is missing; write the address of the sender")?;
    for address in to.0.iter().chain([&from]) {
        let is_plain = address
            .chars()
            .all(|c| c.is_ascii_graphic() && !"<>,;:\"()\\".contains(c));
        if !is_plain || address.starts_with('-') || !address.contains('@') {
            return Err(format!("`{}` is not a plain mail address", quoted(address)));
        }
    }
    if to.0.is_empty() {
        return Err("`mail` has no address".to_owned());
    }
    let sendmail = sendmail.unwrap_or_else(|| SENDMAIL.into());
    if !sendmail.is_absolute() {
        return Err("`sendmail` is the whole path of a program".to_owned());
    }
    Ok(Target::Mail(Mail {
        to: to.0,
        from,
        sendmail,
    }))
}

/// Parses `HOST`, `HOST:PORT`, `[ADDRESS]:PORT` or an IPv6 address.
fn host_and_port(text: &str) -> Result<(String, u16), String> {
    let wrong = || "`mqtt` is the broker's host, or host:port, such as 192.168.1.5:1883".to_owned();
    if text.is_empty() || text.contains('/') || text.contains(char::is_whitespace) {
        return Err(wrong());
    }
    if text.parse::<std::net::Ipv6Addr>().is_ok() {
        return Ok((text.to_owned(), MQTT_PORT));
    }
    match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() => {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            Ok((host.to_owned(), port.parse().map_err(|_| wrong())?))
        }
        Some(_) => Err(wrong()),
        None => Ok((text.to_owned(), MQTT_PORT)),
    }
}

fn settled_topic(topic: &str) -> Result<String, String> {
    let is_fine = |c: char| c.is_ascii_graphic() && !matches!(c, '+' | '#' | '$');
    if topic.is_empty() || topic.len() > 200 || !topic.chars().all(is_fine) {
        return Err("a topic has visible ASCII characters, without `+`, `#` and `$`".to_owned());
    }
    Ok(topic.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests;
