//! `monitor report`: evidence of a period, for another person to check.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use monitor::{
    control::{Answer, AskedReport, Request, ask},
    merkle::Proven,
    new_file,
    policy::MacAddress,
    regular_file::{self, Purpose},
    report::{self, Form, KEY_BYTES, MOST_FLOWS, Redactor, Report},
    report_facts::{self, ReportFilter, Since},
    store::{AskedProof, Store, signing_key},
};

use super::{
    Common, Outcome, ReachArgs, data,
    names::Names,
    reach::Reach,
    sign::{self, Key},
    tell,
    verify::{self, PROOF, ReportVerb, STAMP, beside},
    write_out,
};

/// Make a report of a period: which device contacted what, how sure that is, and what it does
/// not show
///
/// Equal stores give equal bytes. Without a daemon, root can still read the store. For root and
/// the user that runs the daemon, the report carries a proof: by `report verify`, each
/// reader can see whether it was changed.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct ReportArgs {
    #[command(subcommand)]
    verb: Option<ReportVerb>,

    /// Begin of the period: a length before its end such as 7d or 12h, or a time such as
    /// 2026-11-01T00:00:00Z
    #[arg(long, value_name = "TIME", value_parser = since, default_value = "7d")]
    since: Since,

    /// End of the period [default: --at, or else the last time that the store knows]
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,

    /// Only this device: a MAC, or a name in `devices:` or in the file of names. Other devices
    /// are shown beside it
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,

    /// Only packets that this policy matched
    #[arg(long, value_name = "NAME")]
    policy: Option<String>,

    /// Form of the report
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    format: Format,

    /// Write the report to this file, which only its owner can read [default: standard output]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// State this time as the time of the report
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,

    /// The most flows to list of one device and policy; those with the most packets stay. The
    /// sums have all flows
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    limit: u32,

    /// Replace MACs, names, comments and addresses of your network by pseudonyms
    #[arg(long)]
    redact: bool,

    /// Make the pseudonyms with the key in this file, so that two reports have the same ones.
    /// If the file is missing, it is created [default: a new random key]
    #[arg(long, value_name = "FILE", requires = "redact")]
    pseudonym_key: Option<PathBuf>,

    /// Sign the written files with this key: a private key of SSH, a public one whose private key
    /// an agent has, or a secret key of minisign. Calls ssh-keygen or minisign
    #[arg(long, value_name = "FILE", requires = "output")]
    sign: Option<PathBuf>,

    #[command(flatten)]
    reach: ReachArgs,
}

/// Form of a report, as an argument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One HTML file, for a browser and for paper.
    Html,
    /// Markdown.
    #[default]
    Md,
    /// The listed flows as a table for a spreadsheet.
    Csv,
    /// Everything as JSON.
    Json,
    /// The listed flows as EVE JSON, as `events --format eve`.
    Eve,
    /// Everything as JSON-LD of CASE 1.4, for forensic tools.
    Case,
}

impl Format {
    fn form(self) -> Form {
        match self {
            Self::Html => Form::Html,
            Self::Md => Form::Md,
            Self::Csv => Form::Csv,
            Self::Json => Form::Json,
            Self::Eve => Form::Eve,
            Self::Case => Form::Case,
        }
    }
}

/// Asks the daemon, or reads the store.
pub(super) fn run(common: &Common, args: &ReportArgs) -> anyhow::Result<Outcome> {
    if let Some(verb) = &args.verb {
        return verify::run(common, verb);
    }
    let sign = args.sign.as_deref().map(Key::read).transpose();
    let sign = sign.context("--sign")?;
    let reach = args.reach.reach(common)?;
    let mut report = read(&reach, args)?;
    let devices = args.device.as_ref().map(|_| subjects(&report));
    if args.redact {
        let key = key(args.pseudonym_key.as_deref())?;
        report = Redactor::new(&key)?.redact(&report);
    }
    let format = if common.json {
        Format::Json
    } else {
        args.format
    };
    let form = format.form();
    let body = form.render(&report)?;
    let asked = AskedProof {
        format: form.word().to_owned(),
        sha256: report::digest(&body),
        since: time(&report.period.since)?,
        until: time(&report.period.until)?,
        devices,
        // Lines cannot be redacted, and those about packets are about every policy.
        with_lines: !args.redact && args.policy.is_none(),
    };
    let proven = match prove(&reach, &asked) {
        Ok(proven) => Some(proven),
        Err(error) => {
            tell(&format!("note: the report carries no proof: {error:#}"));
            None
        }
    };
    let text = match &proven {
        Some(proven) => form.with_proof(&report, proven)?,
        None => body,
    };
    let Some(path) = &args.output else {
        write_out(&text)?;
        return Ok(Outcome::Fine);
    };
    write(path, &text)?;
    let mut files = vec![path.clone()];
    let proof = beside(path, PROOF);
    if let Some(proven) = proven.filter(|_| !form.carries_proof()) {
        write(&proof, &report::proof_file(&proven)?)?;
        files.push(proof.clone());
    } else if !form.carries_proof() {
        remove(&proof)?;
    }
    remove_others(path, &proof)?;
    if let Some(key) = sign {
        key.sign(&files).with_context(|| {
            format!(
                "{} is written, and not signed",
                monitor::printable::path(path)
            )
        })?;
    }
    Ok(Outcome::Fine)
}

/// Removes the stamp and the signatures of an earlier file with this name. They do not belong to
/// this one.
fn remove_others(path: &Path, proof: &Path) -> anyhow::Result<()> {
    remove(&beside(path, STAMP))?;
    for end in sign::SIGNATURES {
        remove(&beside(path, end))?;
        remove(&beside(proof, end))?;
    }
    Ok(())
}

fn remove(path: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", monitor::printable::path(path)))
        }
        _ => Ok(()),
    }
}

/// MACs of the devices that the report is about.
fn subjects(report: &Report) -> Vec<MacAddress> {
    let own = report.devices.iter().filter(|device| device.is_subject);
    let macs = own.filter_map(|device| device.device.as_deref()?.parse().ok());
    macs.collect()
}

fn time(text: &str) -> anyhow::Result<Timestamp> {
    text.parse().context("the period of the report")
}

/// Asks the daemon for a proof, or appends to the log in the store.
fn prove(reach: &Reach, asked: &AskedProof) -> anyhow::Result<Proven> {
    let settings = &reach.settings;
    if reach.daemon.is_some() {
        return match ask(&settings.socket, &Request::Prove(asked.clone()))? {
            Answer::Proven(proven) => Ok(*proven),
            Answer::Refused(why) => anyhow::bail!("{why}"),
            _ => anyhow::bail!("the daemon gave an unexpected answer"),
        };
    }
    let key = signing_key(&settings.state_dir)?;
    let now = Timestamp::now();
    let (mut store, _) = Store::open(&settings.state_dir, settings.store, now)?;
    let proven = store
        .log_all(now)
        .and_then(|()| store.prove(asked, &key, now));
    store.close()?;
    Ok(proven?)
}

fn read(reach: &Reach, args: &ReportArgs) -> anyhow::Result<Report> {
    let limit = args
        .limit
        .min(u32::try_from(MOST_FLOWS).unwrap_or(u32::MAX));
    if reach.daemon.is_some() {
        let asked = AskedReport {
            since: args.since,
            until: args.until,
            at: args.at,
            device: args.device.clone(),
            policy: args.policy.clone(),
            limit,
        };
        return match ask(&reach.settings.socket, &Request::Report(asked))? {
            Answer::Report(report) => Ok(*report),
            Answer::Refused(why) => anyhow::bail!("the daemon refused: {why}"),
            _ => anyhow::bail!("the daemon gave an unexpected answer"),
        };
    }
    reach.warn_of_other_daemon();
    let settings = &reach.settings;
    let names = Names::read(settings);
    let devices = args.device.as_deref().map(|text| names.macs_of(text));
    let policy = args.policy.as_deref().map(str::parse).transpose();
    let filter = ReportFilter {
        since: args.since,
        until: args.until,
        at: args.at,
        asked_device: args.device.clone(),
        devices: devices.transpose().context("--device")?.unwrap_or_default(),
        policy: policy.context("--policy")?,
        limit,
    };
    let found = report_facts::read(&settings.pin_dir, &settings.state_dir, &filter, false)?;
    for warning in &names.warnings {
        tell(warning);
    }
    let mut facts = found.named(&names.book, names.by_mac());
    facts.flows = data::with_holders(settings, &names.policies, facts.flows);
    Ok(report::build(&facts))
}

/// Replaces a file. Refuses to replace anything else, such as a device or a link.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    replace(path, text).with_context(|| format!("write {}", monitor::printable::path(path)))
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    // A name without a directory has no parent.
    let path = std::path::absolute(path)?;
    match std::fs::symlink_metadata(&path) {
        Ok(metadata) if !metadata.is_file() => {
            let why =
                "it exists and is not a regular file: name a file, or write to standard output";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    new_file::replace(&path, text.as_bytes())
}

/// The key in the file, which is created if it is missing, or a random one.
fn key(file: Option<&Path>) -> anyhow::Result<Vec<u8>> {
    let mut random = vec![0; KEY_BYTES];
    getrandom::fill(&mut random).context("make a random key")?;
    let Some(path) = file else {
        return Ok(random);
    };
    let shown = || monitor::printable::path(path).to_string();
    let created = std::path::absolute(path).and_then(|path| new_file::create(&path, &random));
    match created {
        Ok(()) => {
            tell(&format!("note: created the pseudonym key {}", shown()));
            Ok(random)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            regular_file::read(path, Purpose::State).with_context(|| format!("read {}", shown()))
        }
        Err(error) => Err(error).with_context(|| format!("create {}", shown())),
    }
}

/// Parses a length of time, or a time.
fn since(text: &str) -> Result<Since, String> {
    let help = "write a length such as 7d or 12h, or a time such as 2026-11-01T00:00:00Z";
    if let Ok(time) = text.parse() {
        return Ok(Since::Time(time));
    }
    let length: Duration = humantime::parse_duration(text).map_err(|_| help.to_owned())?;
    let seconds = u32::try_from(length.as_secs())
        .ok()
        .filter(|seconds| *seconds > 0);
    seconds.map(Since::Seconds).ok_or_else(|| help.to_owned())
}
