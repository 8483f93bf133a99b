//! `monitor setup`: proposes the interface to filter, and writes the file that names it.

use std::{
    fs::{self, DirBuilder, Permissions},
    io::{self, BufRead as _, IsTerminal as _},
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::Args;
use monitor::{
    config::DEFAULT_CONFIG,
    doctor::{facts::Network, network},
    new_file, printable,
    regular_file::{self, Purpose},
    setup::{Form, Judgement, judge, notes, with_interfaces},
};
use serde_json::json;

use super::{Common, print, print_json, tell};

/// Exists on OpenWrt only.
const OPENWRT: &str = "/etc/openwrt_release";
/// The settings of the service on OpenWrt.
const UCI_FILE: &str = "/etc/config/monitor";
/// Places of the unit that the package or the operator installed.
const UNITS: [&str; 2] = [
    "/usr/lib/systemd/system/monitor.service",
    "/etc/systemd/system/monitor.service",
];

/// Propose the interface to filter, with the reason, and write it to the config file
///
/// Looks for WiFi access points, bridges with one, and DHCP servers of systemd-networkd,
/// NetworkManager and others. The interface of the default route is none: behind address
/// translation the devices cannot be told apart. The answer says why for each interface, and names
/// the next step. Nothing is attached. The file is /etc/monitor/monitor.yaml, or the one that --config
/// names; on OpenWrt it is /etc/config/monitor. A file that names other interfaces is not changed.
#[derive(Args, Debug)]
pub(crate) struct SetupArgs {
    /// Interfaces to filter, in place of the proposed ones
    #[arg(value_name = "INTERFACE")]
    interfaces: Vec<String>,

    /// Write the file without a question
    #[arg(long, short, conflicts_with = "print")]
    yes: bool,

    /// Print the file on standard output, and write nothing
    #[arg(long)]
    print: bool,
}

/// The file to write.
struct Target {
    path: PathBuf,
    form: Form,
}

/// Proposes, asks and writes.
pub(super) fn run(common: &Common, args: &SetupArgs) -> anyhow::Result<()> {
    let network = network().map_err(|why| anyhow::anyhow!("list network interfaces: {why}"))?;
    let judged = judge(&network);
    let proposed = judged.iter().filter(|judged| judged.is_proposed);
    let proposed: Vec<String> = proposed.map(|judged| judged.name.clone()).collect();
    let is_given = !args.interfaces.is_empty();
    let chosen = if is_given {
        &args.interfaces
    } else {
        &proposed
    };
    let quiet = args.print || common.json;
    say(quiet, &explanation(&judged, chosen))?;
    for note in notes(&network) {
        tell(&format!("note: {note}"));
    }
    if is_given {
        for text in warnings(&network, &judged, chosen, &proposed) {
            tell(&text);
        }
    }
    anyhow::ensure!(
        !chosen.is_empty(),
        "no interface looks like the devices' side; the lines above say why. Name the one that your devices reach this machine through, such as: monitor setup wlan0"
    );
    let target = Target::find(common);
    let old = target.read()?;
    let shown = printable::path(&target.path).to_string();
    let new = with_interfaces(target.form, old.as_deref(), chosen)
        .with_context(|| format!("{shown} is not changed"))?;
    if args.print {
        return print(&new.or(old).unwrap_or_default());
    }
    let written = match &new {
        None => false,
        Some(text) => {
            anyhow::ensure!(
                args.yes || agrees(&format!("Write {shown}?"))?,
                "{shown} is not written; `monitor setup --yes` writes it, `monitor setup --print` shows it"
            );
            target.write(text)?;
            true
        }
    };
    if common.json {
        return print_json(&json!({
            "interfaces": chosen,
            "judged": judged.iter().map(|judged| json!({
                "name": judged.name,
                "proposed": judged.is_proposed,
                "reasons": judged.reasons,
            })).collect::<Vec<_>>(),
            "notes": notes(&network),
            "file": target.path,
            "written": written,
        }));
    }
    let done = if written {
        "written"
    } else {
        "names them already"
    };
    let doubt = if is_given {
        ""
    } else {
        "If your devices are behind another interface, name that one in the file.\n"
    };
    print(&format!(
        "{shown}: {done}\n{doubt}Next: {}\n",
        target.next_step()
    ))
}

fn say(quiet: bool, text: &str) -> anyhow::Result<()> {
    if quiet {
        tell(text.trim_end());
        return Ok(());
    }
    print(text)
}

/// The chosen interfaces, then the others, each with its reasons.
fn explanation(judged: &[Judgement], chosen: &[String]) -> String {
    let mut text = String::new();
    for (title, is_chosen) in [("filter", true), ("not", false)] {
        for judged in judged {
            if chosen.contains(&judged.name) == is_chosen {
                let reasons = judged.reasons.join("; ");
                let line = format!("{title:6}  {}: {reasons}\n", judged.name);
                text.push_str(&line);
            }
        }
    }
    text
}

/// What speaks against the interfaces that the operator named.
fn warnings(
    network: &Network,
    judged: &[Judgement],
    chosen: &[String],
    proposed: &[String],
) -> Vec<String> {
    let others: Vec<&str> = proposed
        .iter()
        .filter(|name| !chosen.contains(name))
        .map(String::as_str)
        .collect();
    let instead = if others.is_empty() {
        String::new()
    } else {
        format!(
            "; `monitor setup` alone would propose {}",
            others.join(", ")
        )
    };
    let each = chosen.iter().filter_map(|name| {
        let Some(found) = judged.iter().find(|judged| judged.name == *name) else {
            let known: Vec<_> = network.links.iter().map(|link| link.name.as_str()).collect();
            return Some(format!(
                "warning: there is no interface {name} now, and the daemon would wait for it; there are {}",
                known.join(", ")
            ));
        };
        let why = found.reasons.join("; ");
        (!found.is_proposed)
            .then(|| format!("warning: {name} may be the wrong side: {why}{instead}"))
    });
    each.collect()
}

/// Asks on the terminal. False without a terminal.
pub(super) fn agrees(question: &str) -> anyhow::Result<bool> {
    if !io::stdin().is_terminal() {
        return Ok(false);
    }
    tell(&format!("{question} [Y/n]"));
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer)?;
    let answer = answer.trim().to_ascii_lowercase();
    Ok(read > 0 && matches!(answer.as_str(), "" | "y" | "yes"))
}

impl Target {
    fn find(common: &Common) -> Self {
        let (path, form) = match &common.config {
            Some(path) => (path.clone(), Form::Yaml),
            None if Path::new(OPENWRT).exists() => (UCI_FILE.into(), Form::Uci),
            None => (DEFAULT_CONFIG.into(), Form::Yaml),
        };
        Self { path, form }
    }

    /// The present text; `None` without a file.
    fn read(&self) -> anyhow::Result<Option<String>> {
        match regular_file::read_text(&self.path, Purpose::Config) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                Err(error).with_context(|| format!("read {}", printable::path(&self.path)))
            }
        }
    }

    /// Replaces the file. The user of the service must be able to read it.
    fn write(&self, text: &str) -> anyhow::Result<()> {
        let written = || -> io::Result<()> {
            let absolute = std::path::absolute(&self.path)?;
            let directory = absolute.parent().unwrap_or(Path::new("/"));
            DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(directory)?;
            let mut file = new_file::begin(directory)?;
            io::Write::write_all(&mut file, text.as_bytes())?;
            let mode = fs::metadata(&absolute).map_or(0o644, |old| old.permissions().mode());
            file.as_file()
                .set_permissions(Permissions::from_mode(mode))?;
            new_file::put(&file, &absolute)
        };
        written().with_context(|| {
            format!(
                "write {}; as root, run the command again",
                printable::path(&self.path)
            )
        })
    }

    /// The command that attaches the filter.
    fn next_step(&self) -> String {
        let is_usual = self.path == Path::new(DEFAULT_CONFIG);
        if self.form == Form::Uci {
            "`/etc/init.d/monitor restart` attaches the filter, `monitor doctor` shows what it does not see".to_owned()
        } else if is_usual && UNITS.iter().any(|unit| Path::new(unit).exists()) {
            "`systemctl restart monitor` attaches the filter, `monitor doctor` shows what it does not see".to_owned()
        } else {
            format!(
                "`monitor run --config {}` attaches the filter",
                printable::path(&self.path)
            )
        }
    }
}
