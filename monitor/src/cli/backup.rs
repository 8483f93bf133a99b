//! `monitor backup` and `monitor restore`: a gateway in one file.

use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;
use monitor::{
    backup::{self, Change, Part, Plan},
    clock::now,
    config::Settings,
    feeds::DiskAndFeeds,
    pipeline::judge_files,
    policy::RuntimeOverlay,
    printable,
};
use serde_json::json;

use super::{Common, print, print_json, reach::ReachArgs, setup::agrees, tell};

/// Save config, policies, lists and evidence in one file, for another disk or machine
///
/// Works while the daemon runs: databases are copied as they are at one moment. Only the owner can
/// read the file: it has addresses of devices, and the keys of the state directory. `monitor
/// restore` brings everything back.
#[derive(Args, Debug)]
pub(crate) struct BackupArgs {
    /// File to write; it must not exist. The usual end of its name is .tar.gz
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Bring back what `monitor backup` saved
///
/// Checks every file of the backup first. Then the command shows the files that it will write, and
/// asks. The daemon must not run. Files and the state directory that are there now are renamed:
/// nothing is erased. Afterwards start the daemon.
#[derive(Args, Debug)]
pub(crate) struct RestoreArgs {
    /// The backup
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Restore without a question
    #[arg(long, short)]
    yes: bool,

    #[command(flatten)]
    reach: ReachArgs,
}

/// Writes a backup.
pub(super) fn backup(common: &Common, arguments: &BackupArgs) -> anyhow::Result<()> {
    let settings = common.settings()?;
    let named = [
        common.config_file(),
        settings.listen_token_file.clone(),
        settings.feeds.ca_file.clone(),
        settings.device_files.names.clone(),
    ];
    let policies = read_files(&settings)?;
    let sources = backup::sources(named.into_iter().flatten(), policies, &settings.state_dir)?;
    let manifest = backup::write(&sources, &arguments.file, Timestamp::now())?;
    let size = std::fs::metadata(&arguments.file).map_or(0, |file| file.len());
    if common.json {
        return print_json(&json!({
            "file": arguments.file,
            "bytes": size,
            "manifest": manifest,
        }));
    }
    let of = |part: Part| {
        manifest
            .entries
            .iter()
            .filter(|entry| entry.part == part)
            .count()
    };
    print(&format!(
        "{}: {} of the config, {} of policies and lists, {} of {}; {}\n\
         Next: keep it on another disk. `monitor restore` brings it back.\n",
        printable::path(&arguments.file),
        of(Part::Config),
        of(Part::Policies),
        of(Part::State),
        printable::path(&manifest.state_dir),
        bytesize::ByteSize(size),
    ))
}

/// The policy files and lists that exist, outside of the state directory. With a warning if the
/// policies have errors: then a list may be missing.
fn read_files(settings: &Settings) -> anyhow::Result<Vec<PathBuf>> {
    let loaded = judge_files(
        &settings.policies,
        &DiskAndFeeds::new(&settings.state_dir),
        &RuntimeOverlay::default(),
        &now(),
        &settings.gateway()?,
    );
    if loaded.diagnostics.has_errors() {
        tell(
            "warning: the policies have errors, so lists that they name may be missing in the backup; `monitor check` shows them",
        );
    }
    let files = loaded.files.into_iter();
    let outside = files.filter(|path| path.is_file() && !path.starts_with(&settings.state_dir));
    Ok(outside.collect())
}

/// Checks a backup, asks, and restores it.
pub(super) fn restore(common: &Common, arguments: &RestoreArgs) -> anyhow::Result<()> {
    let reach = arguments.reach.reach(common)?;
    if let Some(daemon) = &reach.daemon {
        anyhow::bail!(
            "the daemon runs (process {}), and would write into what is restored; stop it first: systemctl stop monitor",
            daemon.pid
        );
    }
    let plan = backup::plan(&arguments.file)?;
    let text = shown(&plan)?;
    if common.json {
        tell(text.trim_end());
    } else {
        print(&text)?;
    }
    anyhow::ensure!(
        arguments.yes || agrees("Restore this?")?,
        "nothing is restored; `monitor restore --yes` restores without a question"
    );
    let restored = plan.restore(Timestamp::now())?;
    if common.json {
        let aside = restored
            .aside
            .iter()
            .map(|(path, name)| json!({"path": path, "name": name}));
        return print_json(&json!({
            "written": restored.written,
            "renamed": aside.collect::<Vec<_>>(),
        }));
    }
    let mut lines = vec![format!("{} files written.", restored.written)];
    lines.extend(restored.aside.iter().map(|(path, name)| {
        let (path, name) = (printable::path(path), printable::path(name));
        format!("{path} is now {name}")
    }));
    lines.push("Next: monitor check, then start the daemon.\n".to_owned());
    print(&lines.join("\n"))
}

/// The text about a backup: its date, and the files that `restore` would change.
fn shown(plan: &Plan) -> anyhow::Result<String> {
    let made = plan.manifest.made.strftime("%Y-%m-%d %H:%M:%S UTC");
    let mut lines = vec![format!(
        "Backup of {made}, by version {}:",
        printable::value(&plan.manifest.program)
    )];
    for (path, change) in plan.changes()? {
        let word = match change {
            Change::Same => "same   ",
            Change::New => "new    ",
            Change::Replaced => "replace",
        };
        lines.push(format!("  {word}  {}", printable::path(path)));
    }
    Ok(lines.join("\n") + "\n")
}
