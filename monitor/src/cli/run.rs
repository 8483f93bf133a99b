//! `monitor run`: the daemon, in the foreground.

use std::{
    fs::DirBuilder,
    io::IsTerminal as _,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use clap::Args;
use nix::sys::stat::{Mode, umask};
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;

use super::{Common, config, confirm, stderr};
use monitor::{
    clock::Alarm,
    config::{
        EgressOption, FragsOption, InterfaceOption, Listen, ModeOption, OneOrMany, Options,
        PageContacts, PageOptions, Settings,
    },
    daemon::{self, ControlSocket, Core, DaemonEnd, Signals, StartOptions},
    error_text::error_text,
    http::Site,
    memory,
    metrics::{DeviceKey, DeviceLabels},
    new_file::remove_unfinished,
    policy::EvidenceLevel,
    printable::{self, LogWriter},
    snapshot::Snapshot,
    trusted::Directory,
};

/// Run the daemon in the foreground: load the policies, attach the filter, watch
/// the files, serve metrics.
///
/// If the daemon stops or is killed, the filter and its counters stay in force,
/// and the next `run` takes over. `monitor detach` removes them.
#[derive(Args, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own"
)]
pub(crate) struct RunArgs {
    /// Interface to filter, with its role (repeatable): `lan` on the devices' side, before NAT
    /// [default role]; `wan` towards the internet, such as eth0:wan. With `*` or `?` in quotes,
    /// every Ethernet interface that matches, now and later, such as 'wlan*' or 'phy*-ap*'
    ///
    /// A pattern leaves out `lo`, the interface of the default route unless its role is `wan`,
    /// and what would count packets twice: a bridge above a filtered port. `monitor status`
    /// names them.
    #[arg(long, value_name = "NAME[:lan|wan]")]
    interface: Vec<InterfaceOption>,

    /// XDP hook: `auto` uses the driver's hook if there is one, otherwise the generic one
    #[arg(long, value_enum)]
    mode: Option<ModeOption>,

    /// Frames in several buffers, which drivers need in native mode for an MTU above about
    /// 3,500 (Linux 5.18): `auto` only where the driver asks for it
    #[arg(long, value_enum)]
    frags: Option<FragsOption>,

    /// How the filter sees what leaves through an interface: `auto` by a link (TCX, Linux 6.6) if
    /// the kernel has it, otherwise by the queueing discipline `clsact`
    #[arg(long, value_enum)]
    egress: Option<EgressOption>,

    /// Where to serve metrics and the page: an address with its port, or a socket
    /// file as unix:PATH (repeatable) [default: 127.0.0.1:9641]
    ///
    /// Every user of this machine can read 127.0.0.1. Only its owner and group can
    /// read a socket file.
    #[arg(long, value_name = "ADDR:PORT|unix:PATH")]
    listen: Vec<Listen>,

    /// File with a token that every TCP request must show, as
    /// `Authorization: Bearer TOKEN`
    #[arg(long, value_name = "FILE")]
    listen_token_file: Option<PathBuf>,

    /// Who may read devices and contacts on the page: `everyone` who can read the page; `login`,
    /// only sessions of `monitor page --login`; `nobody` [default: everyone]
    ///
    /// Figures, policies and coverage are shown to everyone.
    #[arg(long, value_name = "WHO", value_enum, hide_possible_values = true)]
    page_contacts: Option<PageContacts>,

    /// Directory for what must survive a reboot [default: /var/lib/monitor]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,

    /// Directory on a BPF file system, for the filter and its counters [default: /sys/fs/bpf/monitor]
    #[arg(long, value_name = "DIR")]
    pin_dir: Option<PathBuf>,

    /// Control socket, on which other verbs reach the daemon [default: /run/monitor/monitor.sock]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,

    /// Go back to the old policies after this time, such as 60s, unless
    /// `monitor confirm` runs before; without old policies, packets pass
    #[arg(long, value_name = "TIME", value_parser = confirm::within)]
    confirm: Option<Duration>,

    /// Take over the filter of a version whose counters this one cannot read: save
    /// them as JSON in the state directory, and start from 0
    #[arg(long, conflicts_with = "confirm")]
    reset_state: bool,

    /// Do not watch the policy files; load them only at `reload` or SIGHUP
    #[arg(long)]
    no_watch: bool,

    /// The most that is recorded about packets that matched a policy: `counters`; `flows`,
    /// also which device contacted which address and port, and when; `names`, also the names
    /// of these addresses [default: names]
    ///
    /// A policy file can record less for a policy of its own, and never more.
    #[arg(long, value_enum, hide_possible_values = true)]
    evidence: Option<EvidenceLevel>,

    /// Write matched packets to the log, with addresses and MACs: at most about 1000
    /// a second on each CPU; `monitor_lost_total{reason="log"}` counts the others
    #[arg(long)]
    log_packets: bool,

    /// Print the settings with where each comes from, as `monitor config` does, and end
    #[arg(long)]
    print_config: bool,
}

impl RunArgs {
    /// The options that these arguments set.
    pub(super) fn options(self) -> Options {
        Options {
            interface: OneOrMany(self.interface),
            mode: self.mode,
            frags: self.frags,
            egress: self.egress,
            listen: OneOrMany(self.listen),
            listen_token_file: self.listen_token_file,
            state_dir: self.state_dir,
            pin_dir: self.pin_dir,
            socket: self.socket,
            log_packets: self.log_packets.then_some(true),
            evidence: self.evidence,
            watch: self.no_watch.then_some(false),
            page: PageOptions::of_contacts(self.page_contacts),
            ..Options::default()
        }
    }
}

/// Runs the daemon until a signal or `detach` ends it.
pub(super) fn run(common: &Common, args: RunArgs) -> anyhow::Result<()> {
    let options = StartOptions {
        confirm: args.confirm,
        reset_state: args.reset_state,
    };
    let is_printed = args.print_config;
    let given = args.options();
    let configured = given.clone().over(common.options()?);
    configured.check_roles()?;
    configured.page.check()?;
    if is_printed {
        return config::print_settings(common, given);
    }
    let settings = configured.settle();
    if settings.interfaces.is_empty() {
        anyhow::bail!(
            "no interface to filter; name the one on the devices' side, for example --interface wlan0, or let `monitor setup` propose it"
        );
    }
    memory::return_large_blocks();
    init_log(settings.log_packets);
    // Other users cannot connect to a socket before it has its final mode.
    let before = umask(Mode::S_IWOTH);
    umask(before | Mode::S_IWOTH);
    let runtime = tokio::runtime::Runtime::new().context("start the runtime")?;
    let ended = runtime.block_on(serve(settings, options));
    // A blocked thread must not keep the process alive: the filter is in the kernel.
    runtime.shutdown_timeout(Duration::from_secs(2));
    if ended? == DaemonEnd::Stopped {
        info!("stopped; the filter and its counters stay in force, `monitor detach` removes them");
    }
    Ok(())
}

async fn serve(settings: Settings, start: StartOptions) -> anyhow::Result<DaemonEnd> {
    let mut signals = Signals::install()?;
    let alarm = Alarm::new().context("make a timer")?;
    warn_if_public(&settings);
    make_state_dir(&settings.state_dir)?;
    let key = device_key(&settings.state_dir)?;
    let control = ControlSocket::bind(&settings.socket).await?;
    let load = tokio::task::spawn_blocking(move || Core::start(settings, start));
    let (started, stop) = signals.during(load).await;
    let (core, notes) = started.context("start the filter")??;
    for note in notes {
        warn!("{}", note.trim_end());
    }
    if stop {
        return Ok(DaemonEnd::Stopped);
    }
    let labels = DeviceLabels::new(
        core.settings().device_label(),
        key,
        core.settings().max_devices,
    );
    announce(&core);
    let core = Arc::new(core);
    let (reader, named) = (Arc::clone(&core), Arc::clone(&core));
    let site = Site {
        read_snapshot: Arc::new(move || reader.snapshot().map_err(|error| error_text(&error))),
        interfaces: Arc::new(move || {
            let settings = named.settings();
            let real = settings.real_interfaces();
            real.unwrap_or_else(|_| settings.interfaces.clone())
        }),
        labels: Arc::new(tokio::sync::Mutex::new(labels)),
        pages: core.pages(),
        login: core.login(),
        limits: monitor::http::Limits::default(),
    };
    Ok(daemon::run(core, control, site, &mut signals, &alarm).await?)
}

/// Creates the state directory for its owner only, whatever the umask, and removes
/// unfinished files of a killed daemon. If the disk is full or broken, the daemon
/// only warns, and still attaches the filter. If other users can change the
/// directory, the start fails.
fn make_state_dir(path: &Path) -> anyhow::Result<()> {
    let directory = Directory {
        path,
        purpose: "state directory",
        option: "--state-dir",
    };
    directory.check()?;
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    if let Err(error) = made.and_then(|()| remove_unfinished(path)) {
        warn!(
            "the state directory {} cannot be used: {error}; the filter starts without it, and keeps nothing for the next start; name another with --state-dir",
            monitor::printable::path(path)
        );
    }
    Ok(directory.check()?)
}

/// The key for the pseudonyms of devices. Without a state directory, each start has
/// a new key.
fn device_key(state_dir: &Path) -> anyhow::Result<DeviceKey> {
    DeviceKey::load_or_create(state_dir).or_else(|error| {
        warn!(
            "{}; until the next start devices have other names in the metrics",
            error_text(&error)
        );
        Ok(DeviceKey::random()?)
    })
}

/// Logs what is in force and what is recorded.
fn announce(core: &Core) {
    match core.snapshot() {
        Ok(snapshot) => announce_in_force(&snapshot),
        // The filter is in force anyway.
        Err(error) => warn!("{}", error_text(&error)),
    }
    info!("{}", recorded(core.settings()));
}

/// What the daemon records about matched packets, as a sentence.
fn recorded(settings: &Settings) -> String {
    let store = printable::path(&settings.state_dir);
    let keep = settings.store.keep.as_secs();
    let keep = match keep / 86_400 {
        days if days > 1 && keep.is_multiple_of(86_400) => format!("{days} days"),
        _ => humantime::format_duration(settings.store.keep).to_string(),
    };
    let more = match settings.evidence {
        EvidenceLevel::Counters => {
            "recorded of matched packets: counters of policies and devices, in kernel memory only; no destination addresses, no names".to_owned()
        }
        EvidenceLevel::Flows => format!(
            "recorded of matched packets, for {keep} in {store}: which device contacted which address and port, how much and when; addresses and host names of these devices; no names of destinations"
        ),
        EvidenceLevel::Names => format!(
            "recorded of matched packets, for {keep} in {store}: which device contacted which address and port, how much and when, and the names of these addresses; addresses, host names and models of these devices"
        ),
    };
    match settings.evidence {
        EvidenceLevel::Counters => more,
        _ => format!("{more}; --evidence counters records less, `monitor forget` erases a device"),
    }
}

fn announce_in_force(snapshot: &Snapshot) {
    for interface in &snapshot.interfaces {
        if let (Some(mode), Some(generation)) = (interface.mode, interface.generation) {
            info!(
                "generation {generation} is in force on {} ({} mode)",
                interface.name,
                mode.name()
            );
        }
    }
    if let Some(unconfirmed) = &snapshot.unconfirmed {
        warn!("{unconfirmed}");
    }
}

fn warn_if_public(settings: &Settings) {
    // With a login, other machines reach pages by TLS and a session only.
    if settings.listen_token_file.is_some() || settings.page.login {
        return;
    }
    for listen in &settings.listen {
        if let Listen::Tcp(address) = listen
            && !address.ip().is_loopback()
        {
            warn!(
                "{address} is not a loopback address: every machine that reaches it can read the counters; ask for a token with --listen-token-file"
            );
        }
    }
}

fn init_log(log_packets: bool) {
    let default = if log_packets {
        "info,monitor=debug"
    } else {
        "info"
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let colours = stderr().is_terminal();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || LogWriter::new(stderr(), colours))
        .with_ansi(colours)
        // Without colours, only `LogWriter` escapes, as in all other outputs.
        .with_ansi_sanitization(colours)
        .with_target(false)
        .init();
}
