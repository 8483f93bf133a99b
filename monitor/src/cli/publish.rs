//! `monitor report publish`: has the head of a report stamped by an authority (RFC 3161).

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use clap::Args;
use der::oid::ObjectIdentifier;
use jiff::{SignedDuration, Timestamp};
use monitor::{
    clock::to_the_second,
    control::{Answer, Request as ControlRequest, ask},
    evidence::published::Published,
    feeds::{Fetcher, Limits, Post},
    lists::{FeedUrl, InvalidFeedUrl},
    new_file, printable,
    report::{Status, Verification},
    stamp::{
        self, Authorities, MAX_RESPONSE, NONCE_BYTES, REQUEST_TYPE, RESPONSE_TYPE, Request, Stamp,
    },
    store::{FILE, Store},
};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{
    Common, Outcome, ReachArgs, print, print_json, tell,
    verify::{STAMP, authorities, beside, head, verified},
};

/// How far the clocks of the authority and of this computer may differ without a note.
const CLOCKS: SignedDuration = SignedDuration::from_mins(5);

/// Have the signed head of a report stamped by a time stamping authority (RFC 3161)
///
/// The stamp shows that the lines of the log existed at that time. So a later rewriting of them
/// is found, also one by root on the gateway. The authority learns the SHA-256 of the head and the
/// address of this computer, and nothing of the report. Works on any computer.
#[derive(Args, Debug)]
pub(super) struct PublishArgs {
    /// The report: html, md or json, or csv, eve or case with --proof
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// The proof of a report as csv, eve or case [default: FILE.proof, if it exists]
    #[arg(long, value_name = "FILE")]
    proof: Option<PathBuf>,

    /// URL of the authority. The stamp is signed, so http is as good as https
    #[arg(long, value_name = "URL", value_parser = url)]
    tsa: FeedUrl,

    /// The certificate of the authority's CA, as PEM. Only a stamp of this authority is taken
    #[arg(long, value_name = "FILE")]
    tsa_ca: Option<PathBuf>,

    /// The policy under which the authority must make the stamp, such as 1.3.6.1.4.1.4146.2.3
    #[arg(long, value_name = "OID")]
    policy: Option<ObjectIdentifier>,

    /// Write the stamp to this new file [default: FILE.tsr]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,

    #[command(flatten)]
    reach: ReachArgs,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Printed<'a> {
    authority: &'a str,
    at: String,
    policy: &'a str,
    serial: &'a str,
    /// Number of lines of the log before the head.
    lines: u64,
    /// True if `--tsa-ca` vouches for the authority.
    trusted: bool,
    file: String,
    /// True if the store of this gateway has an event about it.
    recorded: bool,
}

/// Asks the authority, and writes its stamp.
pub(super) fn run(common: &Common, args: &PublishArgs) -> anyhow::Result<Outcome> {
    let found = verified(&args.file, args.proof.as_deref(), None)?;
    let head = head(&args.file, &found)?;
    refuse_changed(&args.file, &found)?;
    let trusted = args.tsa_ca.as_deref().map(authorities).transpose()?;
    let beside = || beside(&args.file, STAMP);
    let output = args.output.clone().unwrap_or_else(beside);
    refuse_existing(&output)?;
    let request = request(&head, args.policy)?;
    let (stamp, response) = stamp_of(&args.tsa, &head, &request)
        .with_context(|| format!("ask the authority {}", args.tsa))?;
    check_authority(&stamp, trusted.as_ref())?;
    let path = std::path::absolute(&output);
    path.and_then(|path| new_file::create(&path, &response))
        .with_context(|| format!("write {}", printable::path(&output)))?;
    note_clocks(&stamp);
    let (log, lines) = found
        .checkpoint
        .map(|checkpoint| (checkpoint.origin, checkpoint.size))
        .unwrap_or_default();
    let published = Published {
        authority: stamp.authority.clone(),
        stamped: to_the_second(stamp.at),
        log,
        lines,
        sha256: hex::encode(Sha256::digest(&response)),
    };
    let recorded = record(common, &args.reach, published);
    if let Err(error) = &recorded {
        tell(&format!("note: the gateway did not record this: {error:#}"));
    }
    let printed = Printed {
        authority: &stamp.authority,
        at: to_the_second(stamp.at),
        policy: &stamp.policy,
        serial: &stamp.serial,
        lines,
        trusted: trusted.is_some(),
        file: printable::path(&output).to_string(),
        recorded: matches!(recorded, Ok(true)),
    };
    if common.json {
        print_json(&printed)?;
    } else {
        print(&printed.to_string())?;
    }
    Ok(Outcome::Fine)
}

impl fmt::Display for Printed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            authority,
            at,
            lines,
            file,
            ..
        } = self;
        writeln!(f, "{authority:?} stamped the head of {lines} lines at {at}")?;
        writeln!(f, "written to {file}")
    }
}

fn check_authority(stamp: &Stamp, trusted: Option<&Authorities>) -> anyhow::Result<()> {
    let Some(trusted) = trusted else {
        tell("note: without --tsa-ca, nothing shows who the authority is");
        return Ok(());
    };
    let authority = &stamp.authority;
    stamp.check_authority(trusted).with_context(|| {
        format!("the stamp of {authority:?} is not of an authority in the file of --tsa-ca")
    })
}

fn refuse_changed(file: &Path, found: &Verification) -> anyhow::Result<()> {
    let mut statements = found.statements.iter();
    let Some(changed) = statements.find(|statement| statement.status == Status::Changed) else {
        return Ok(());
    };
    let file = printable::path(file);
    anyhow::bail!(
        "{file} was changed, so its head is not published: {}",
        changed.text
    )
}

/// An earlier stamp shows more than a later one, so it is not replaced.
fn refuse_existing(path: &Path) -> anyhow::Result<()> {
    if path.symlink_metadata().is_err() {
        return Ok(());
    }
    let path = printable::path(path);
    anyhow::bail!(
        "{path} exists, and an earlier stamp shows more than a later one: name another file with --output, or remove it"
    )
}

fn request(head: &str, policy: Option<ObjectIdentifier>) -> anyhow::Result<Request> {
    let mut nonce = [0; NONCE_BYTES];
    getrandom::fill(&mut nonce).context("make a nonce")?;
    Ok(Request::new(head.as_bytes(), nonce, policy))
}

fn stamp_of(url: &FeedUrl, head: &str, request: &Request) -> anyhow::Result<(Stamp, Vec<u8>)> {
    let limits = Limits {
        time: Duration::from_secs(30),
        size: MAX_RESPONSE,
        ..Limits::default()
    };
    let body = request.to_der().context("write the request")?;
    let post = Post {
        headers: &[],
        content_type: REQUEST_TYPE,
        accept: RESPONSE_TYPE,
        body: &body,
    };
    let response = Fetcher::new(None, limits)?.post(url, post)?;
    let stamp = stamp::open(&response, head.as_bytes(), Some(request))?;
    Ok((stamp, response))
}

/// Records the stamp in the store, if this computer is a gateway. Returns false if it is none.
fn record(common: &Common, reach: &ReachArgs, published: Published) -> anyhow::Result<bool> {
    let reach = reach.reach(common)?;
    let settings = &reach.settings;
    if reach.daemon.is_some() {
        return match ask(&settings.socket, &ControlRequest::Published(published))? {
            Answer::Published {} => Ok(true),
            Answer::Refused(why) => anyhow::bail!("{why}"),
            _ => anyhow::bail!("the daemon gave an unexpected answer"),
        };
    }
    if !settings.state_dir.join(FILE).exists() {
        return Ok(false);
    }
    let now = Timestamp::now();
    let (mut store, _) = Store::open(&settings.state_dir, settings.store, now)?;
    let written = store.write_published(&published, now);
    store.close()?;
    let id = written?;
    id.context("the store has another log than the report, or no room")?;
    Ok(true)
}

fn note_clocks(stamp: &Stamp) {
    let own = Timestamp::now();
    if own.duration_since(stamp.at).abs() > CLOCKS {
        tell(&format!(
            "note: the authority's clock says {}, and the clock of this computer {}",
            to_the_second(stamp.at),
            to_the_second(own)
        ));
    }
}

fn url(text: &str) -> Result<FeedUrl, String> {
    text.parse().map_err(|error| {
        let why = match error {
            InvalidFeedUrl::Unreadable => "this is not a URL",
            InvalidFeedUrl::Scheme => "only http and https reach an authority",
            InvalidFeedUrl::Credentials => {
                "this URL holds a user name or a password, which other users of this computer could see"
            }
        };
        format!("{why}; write it as http://timestamp.example.net/tsr")
    })
}
