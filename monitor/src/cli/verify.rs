//! `monitor report verify` and `monitor report key`: checks a report by the proof it carries.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use monitor::{
    merkle::{Checkpoint, PublicKey},
    printable,
    regular_file::{self, Purpose},
    report::{self, NoProof, StampFile, Status, Verification},
    stamp::Authorities,
    store::{EarlierLines, Fewer, LogCheck, StoreReader, WrongLine, known_key},
};

use super::{
    Common, Outcome, ReachArgs, print, print_json,
    publish::{self, PublishArgs},
    recompute::RecomputeArgs,
    sign, write_out,
};

/// What to do with reports that are made.
#[derive(Subcommand, Debug)]
pub(super) enum ReportVerb {
    Verify(VerifyArgs),
    /// Print the public key by which others check the reports of this gateway
    ///
    /// Give it to the readers of your reports another way than the report: on paper, or on a
    /// page of yours. For root.
    Key(ReachArgs),
    Publish(PublishArgs),
    /// Print the signed head of the log that a report carries, byte for byte
    ///
    /// A stamp of `report publish` is over these bytes. So everybody can check it without this
    /// program: `openssl ts -verify -in FILE.tsr -data HEAD -CAfile CA.pem`.
    Head(HeadArgs),
}

/// Arguments of `report head`.
#[derive(Args, Debug)]
pub(super) struct HeadArgs {
    /// The report: html, md or json, or csv, eve or case with --proof
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// The proof of a report as csv, eve or case [default: FILE.proof, if it exists]
    #[arg(long, value_name = "FILE")]
    proof: Option<PathBuf>,
}

/// Check whether a report was changed after the gateway made it, and list what it cannot show
///
/// Needs no daemon and no store, so any computer can do it. The exit status is 0 if nothing was
/// changed, and 3 if something was.
#[derive(Args, Debug)]
pub(super) struct VerifyArgs {
    /// The report: html, md or json, or csv, eve or case with --proof
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// The proof of a report as csv, eve or case, which --output wrote beside it [default: FILE.proof,
    /// if it exists]
    #[arg(long, value_name = "FILE")]
    proof: Option<PathBuf>,

    /// The public key of the gateway, as `monitor report key` prints it there
    #[arg(long, value_name = "KEY")]
    key: Option<PublicKey>,

    /// Also compare with the store in this directory, on the gateway that made the report
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,

    /// A time stamp that `report publish` wrote (repeatable) [default: FILE.tsr, if it exists]
    #[arg(long, value_name = "FILE")]
    stamp: Vec<PathBuf>,

    /// The certificates of the time stamping authorities that you trust, as PEM
    #[arg(long, value_name = "FILE")]
    tsa_ca: Option<PathBuf>,

    /// Whose signature must be beside the file: a list of allowed signers as in ssh-keygen(1),
    /// or a public key of minisign
    #[arg(long, value_name = "FILE")]
    signer: Option<PathBuf>,

    #[command(flatten)]
    recompute: RecomputeArgs,
}

/// Runs the verb.
pub(super) fn run(common: &Common, verb: &ReportVerb) -> anyhow::Result<Outcome> {
    match verb {
        ReportVerb::Verify(args) => verify(common, args),
        ReportVerb::Key(args) => {
            let reach = args.reach(common)?;
            let key = public_key(&reach.settings.state_dir)?;
            print(&format!("{key}\n"))?;
            Ok(Outcome::Fine)
        }
        ReportVerb::Publish(args) => publish::run(common, args),
        ReportVerb::Head(args) => {
            let found = verified(&args.file, args.proof.as_deref(), None)?;
            write_out(&head(&args.file, &found)?)?;
            Ok(Outcome::Fine)
        }
    }
}

fn verify(common: &Common, args: &VerifyArgs) -> anyhow::Result<Outcome> {
    let text = read(&args.file)?;
    let key = args.key.as_ref();
    let verified = verified_text(&text, &args.file, args.proof.as_deref(), key)?;
    let verified = args.recompute.without_proof(verified);
    let mut found = verified.with_context(|| printable::path(&args.file).to_string())?;
    if let Some(state_dir) = &args.state_dir {
        compare(state_dir, &mut found)?;
    }
    stamps(args, &mut found)?;
    sign::check(
        args.signer.as_deref(),
        &args.file,
        args.proof.as_deref(),
        &mut found,
    )?;
    args.recompute.add(common, &text, &mut found)?;
    if common.json {
        print_json(&found)?;
    } else {
        print(&shown(&args.file, &found))?;
    }
    Ok(if found.holds() {
        Outcome::Fine
    } else {
        Outcome::ReportChanged
    })
}

/// Verifies a report by the proof in it, or by the one beside it.
pub(super) fn verified(
    file: &Path,
    proof: Option<&Path>,
    key: Option<&PublicKey>,
) -> anyhow::Result<Verification> {
    let verified = verified_text(&read(file)?, file, proof, key)?;
    verified.with_context(|| printable::path(file).to_string())
}

/// The same for the text of the file.
fn verified_text(
    text: &str,
    file: &Path,
    proof: Option<&Path>,
    key: Option<&PublicKey>,
) -> anyhow::Result<Result<Verification, NoProof>> {
    if let Some(path) = proof {
        return Ok(report::verify(text, Some(&read(path)?), key));
    }
    let beside = beside(file, PROOF);
    Ok(match report::verify(text, None, key) {
        Err(NoProof::Missing | NoProof::NotAReport(_)) if beside.exists() => {
            report::verify(text, Some(&read(&beside)?), key)
        }
        verified => verified,
    })
}

/// The signed head of a file that was verified.
pub(super) fn head(file: &Path, found: &Verification) -> anyhow::Result<String> {
    found.head.clone().with_context(|| {
        let file = printable::path(file);
        format!(
            "the head of the log in {file} was changed: `monitor report verify {file}` says how"
        )
    })
}

/// Checks the stamps that are named, or the one beside the file.
fn stamps(args: &VerifyArgs, found: &mut Verification) -> anyhow::Result<()> {
    let beside = beside(&args.file, STAMP);
    let paths = match args.stamp.as_slice() {
        [] if beside.exists() => std::slice::from_ref(&beside),
        named => named,
    };
    let authorities = args.tsa_ca.as_deref().map(authorities).transpose()?;
    if authorities.is_some() && paths.is_empty() {
        let (beside, file) = (printable::path(&beside), printable::path(&args.file));
        anyhow::bail!(
            "--tsa-ca checks a stamp, and there is none: {beside} does not exist; name the stamp with --stamp, or get one with `monitor report publish {file} --tsa URL`"
        );
    }
    let mut files = Vec::new();
    for path in paths {
        let name = printable::path(path).to_string();
        let response = regular_file::read(path, Purpose::Stamp);
        files.push(StampFile {
            response: response.with_context(|| format!("read {name}"))?,
            name,
        });
    }
    found.check_stamps(&files, authorities.as_ref());
    Ok(())
}

/// Reads the certificates of authorities.
pub(super) fn authorities(path: &Path) -> anyhow::Result<Authorities> {
    let shown = || printable::path(path).to_string();
    let pem = regular_file::read(path, Purpose::Certificates)
        .with_context(|| format!("read {}", shown()))?;
    Authorities::from_pem(&pem).with_context(shown)
}

/// End of the name of the file with the proof of a report that carries none.
pub(super) const PROOF: &str = ".proof";

/// End of the name of the file with the stamp of a report.
pub(super) const STAMP: &str = ".tsr";

/// The file whose name is that of `file` with this end.
pub(super) fn beside(file: &Path, end: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(end);
    name.into()
}

fn read(path: &Path) -> anyhow::Result<String> {
    let shown = || format!("read {}", printable::path(path));
    let bytes = regular_file::read(path, Purpose::Report).with_context(shown)?;
    String::from_utf8(bytes)
        .context("it is not UTF-8")
        .with_context(shown)
}

fn public_key(state_dir: &Path) -> anyhow::Result<PublicKey> {
    let key = known_key(state_dir)?.with_context(|| {
        let directory = printable::path(state_dir);
        format!("{directory} has no key yet: the first report with a proof makes it")
    })?;
    let check = reader(state_dir)?.view()?.check_log(0)?;
    let origin = check
        .origin
        .context("the store has no log yet: `monitor run` begins it")?;
    Ok(key.public(&origin))
}

fn reader(state_dir: &Path) -> anyhow::Result<StoreReader> {
    StoreReader::open(state_dir)?
        .with_context(|| format!("no evidence is stored in {}", printable::path(state_dir)))
}

/// Compares the head with the log in the store, and the log with the stored evidence.
fn compare(state_dir: &Path, found: &mut Verification) -> anyhow::Result<()> {
    let Some(checkpoint) = found.checkpoint.clone() else {
        return Ok(());
    };
    let (check, earlier) = {
        let mut reader = reader(state_dir)?;
        let view = reader.view()?;
        let check = view.check_log(checkpoint.size)?;
        (check, view.fewer_packets(&found.lines)?)
    };
    if let (Some(own), Some(key)) = (known_key(state_dir)?, &found.key)
        && !own.public(&checkpoint.origin).is_same_key(key)
    {
        found.push(
            Status::Changed,
            "The report is signed with another key than that of this gateway.",
        );
        return Ok(());
    }
    if !compare_head(&checkpoint, &check, found) {
        return Ok(());
    }
    compare_packets(&earlier, found);
    for wrong in check.wrong.iter().take(10) {
        let text = match wrong {
            WrongLine::Changed { number } => format!(
                "Line {number} of the stored log does not match its hash: the line or the evidence that it is about was changed."
            ),
            WrongLine::Event { at } => {
                format!(
                    "An event of {at} in the store has no line in the log, or another text than its line."
                )
            }
            WrongLine::Mark { at } => {
                format!("The mark of {at} is in the log, and not in the store.")
            }
            WrongLine::Missing { number } => format!("Line {number} of the stored log is missing."),
            WrongLine::WithoutLine { bucket } => format!(
                "The store has packets of the five minutes {bucket} that no line of the log is about."
            ),
        };
        found.push(Status::Changed, text);
    }
    if check.wrong.is_empty() {
        found.push(
            Status::Holds,
            format!(
                "The stored packets, the marks, and the names that have a line match the log: {} lines were compared.",
                check.compared
            ),
        );
        found.push(
            Status::Unknown,
            "Stored sums of losses, facts about devices, ends of attachments and texts of policies were not compared with the log.",
        );
    }
    if check.erased + check.removed > 0 {
        found.push(
            Status::Unknown,
            format!(
                "What {} erased lines said: only their hashes are left. The store erases what is old, replaced or forgotten.",
                check.erased + check.removed
            ),
        );
    }
    Ok(())
}

/// Says whether the store still has the packets of the report's lines. A new line in the log can
/// replace one about the same packets, so the log alone does not show it.
fn compare_packets(earlier: &EarlierLines, found: &mut Verification) {
    for fewer in earlier.fewer.iter().take(10) {
        let Fewer {
            device,
            hour,
            earlier,
            stored,
        } = fewer;
        let device = device.as_deref().unwrap_or("all other devices");
        let policies = earlier.policies.join(", ");
        found.push(
            Status::Changed,
            format!(
                "Packets of {device} in the hour from {hour} that {policies} matched were taken away: the report's lines have {} packets, {} bytes and {} drops; the store has {}, {} and {}.",
                earlier.packets, earlier.bytes, earlier.dropped, stored.packets, stored.bytes, stored.dropped
            ),
        );
    }
    if earlier.fewer.len() > 10 {
        let more = earlier.fewer.len() - 10;
        found.push(
            Status::Changed,
            format!("Packets of {more} further hours were taken away."),
        );
    }
    if earlier.kept > 0 {
        found.push(
            Status::Holds,
            format!(
                "The store still has all packets of the report's lines: {} hours of a device were added up.",
                earlier.kept
            ),
        );
    }
    if earlier.removed > 0 {
        found.push(
            Status::Unknown,
            format!(
                "The store removed or forgot the packets of {} hours of a device that the report's lines are about.",
                earlier.removed
            ),
        );
    }
}

/// Returns false if the store holds another log.
fn compare_head(checkpoint: &Checkpoint, check: &LogCheck, found: &mut Verification) -> bool {
    if check.origin.as_deref() != Some(checkpoint.origin.as_str()) {
        found.push(
            Status::Unknown,
            "The store holds another log than that of the report: it is of another gateway, or the gateway began a new store.",
        );
        return false;
    }
    if check.root == Some(checkpoint.root) {
        found.push(
            Status::Holds,
            format!(
                "The log in the store begins with the {} lines that the report's head covers, unchanged.",
                checkpoint.size
            ),
        );
    } else if check.root.is_none() && checkpoint.size < check.removed {
        found.push(
            Status::Unknown,
            "Whether the log in the store begins with the lines of the report: they are so old that the store removed them.",
        );
    } else {
        found.push(
            Status::Changed,
            "The log in the store does not begin with the lines that the report's head covers: it was rewritten, or the state directory was restored from an earlier copy.",
        );
    }
    true
}

fn shown(file: &Path, found: &Verification) -> String {
    let mut text = format!("{}\n", printable::path(file));
    for statement in &found.statements {
        let word = match statement.status {
            Status::Holds => "holds",
            Status::Changed => "CHANGED",
            Status::Unknown => "unknown",
        };
        // Writing to a string does not fail.
        let _ = writeln!(text, "  {word:<8} {}", statement.text);
    }
    text
}
