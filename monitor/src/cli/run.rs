//! `monitor run`: the daemon, in the foreground.

use std::{
    fs::DirBuilder,
    io::IsTerminal as _,
    net::SocketAddr,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use clap::Args;
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;

use super::{Common, confirm, stderr};
use monitor::{
    clock::Alarm,
    config::{ModeOption, OneOrMany, Options, Settings},
    daemon::{self, Core, End, How, Signals, Sockets},
    error_text::error_text,
    http::Site,
    metrics::{DeviceKey, DeviceLabels},
    printable::{self, LogWriter},
    snapshot::Snapshot,
    state_dir::remove_unfinished,
};

/// The daemon, in the foreground: loads the policies, attaches the filter,
/// watches the files, serves metrics.
///
/// Stopping or killing it leaves the filter and the counters in force; the next
/// `run` takes over. `monitor detach` removes them.
#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    /// Interface on the devices' side, before NAT (repeatable)
    #[arg(long, value_name = "NAME")]
    interface: Vec<String>,

    /// Which hook to use: `auto` is the driver's where it has one, else generic
    #[arg(long, value_enum)]
    mode: Option<ModeOption>,

    /// Where to serve metrics and the page [default: 127.0.0.1:9641]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,

    /// What must survive a reboot [default: /var/lib/monitor]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,

    /// What must survive the daemon, on a BPF file system [default: /sys/fs/bpf/monitor]
    #[arg(long, value_name = "DIR")]
    pin_dir: Option<PathBuf>,

    /// Where other verbs reach the daemon [default: /run/monitor/monitor.sock]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,

    /// Go back by itself to what was in force before after that time, such as
    /// 60s, unless it is confirmed; where nothing was, packets pass
    #[arg(long, value_name = "TIME", value_parser = confirm::within)]
    confirm: Option<Duration>,

    /// Take over the filter of another version whose counters this one cannot
    /// read: they are saved as JSON in the state directory, and begin anew
    #[arg(long, conflicts_with = "confirm")]
    reset_state: bool,

    /// Load changed policy files by `reload` or SIGHUP alone
    #[arg(long)]
    no_watch: bool,

    /// Write matched packets to the log, addresses and MACs included: at most
    /// about 1000 a second and CPU; `monitor_lost_total{reason="log"}` counts the others
    #[arg(long)]
    log_packets: bool,
}

impl RunArgs {
    fn options(self) -> Options {
        Options {
            interface: OneOrMany(self.interface),
            mode: self.mode,
            listen: self.listen,
            state_dir: self.state_dir,
            pin_dir: self.pin_dir,
            socket: self.socket,
            log_packets: self.log_packets.then_some(true),
            watch: self.no_watch.then_some(false),
            ..Options::default()
        }
    }
}

/// Runs until it is told to end.
pub(super) fn run(common: &Common, args: RunArgs) -> anyhow::Result<()> {
    let how = How {
        confirm: args.confirm,
        reset_state: args.reset_state,
    };
    let settings = args.options().over(common.options()?).settle();
    if settings.interfaces.is_empty() {
        anyhow::bail!(
            "no interface to attach to; give the one on the devices' side with --interface, for example --interface wlan0"
        );
    }
    init_log(settings.log_packets);
    let runtime = tokio::runtime::Runtime::new().context("start the runtime")?;
    let ended = runtime.block_on(serve(settings, how));
    // Whatever still blocks must not keep the process: the filter is in the kernel.
    runtime.shutdown_timeout(Duration::from_secs(2));
    if ended? == End::Stopped {
        info!("stopped; the filter and its counters stay in force, `monitor detach` removes them");
    }
    Ok(())
}

async fn serve(mut settings: Settings, how: How) -> anyhow::Result<End> {
    let mut signals = Signals::install()?;
    let alarm = Alarm::new().context("make a timer")?;
    warn_if_public(settings.listen);
    make_state_dir(&settings.state_dir)?;
    let key = DeviceKey::load_or_create(&settings.state_dir)?;
    let sockets = Sockets::bind(&settings.socket, settings.listen).await?;
    let address = sockets.http_address().context("read the bound address")?;
    settings.listen = address;
    let load = tokio::task::spawn_blocking(move || Core::start(settings, how));
    let (started, stop) = signals.during(load).await;
    let (core, notes) = started.context("start the filter")??;
    for note in notes {
        warn!("{}", note.trim_end());
    }
    if stop {
        return Ok(End::Stopped);
    }
    let labels = DeviceLabels::new(
        core.settings().device_label(),
        key,
        core.settings().max_devices,
    );
    announce(&core, address);
    let core = Arc::new(core);
    let reader = Arc::clone(&core);
    let site = Site {
        read_snapshot: Arc::new(move || reader.snapshot().map_err(|error| error_text(&error))),
        interfaces: core.settings().interfaces.clone(),
        labels: Arc::new(tokio::sync::Mutex::new(labels)),
        limits: monitor::http::Limits::default(),
    };
    Ok(daemon::run(core, sockets, site, &mut signals, &alarm).await?)
}

/// For its owner only, whatever the umask; without what a killed daemon began.
fn make_state_dir(path: &Path) -> anyhow::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| {
            format!(
                "make the state directory {}; give another with --state-dir",
                printable::path(path)
            )
        })?;
    remove_unfinished(path).with_context(|| format!("tidy {}", printable::path(path)))
}

/// What is in force, what is recorded, where to look.
fn announce(core: &Core, address: SocketAddr) {
    match core.snapshot() {
        Ok(snapshot) => announce_in_force(&snapshot),
        // The filter is in force all the same.
        Err(error) => warn!("{}", error_text(&error)),
    }
    info!("recorded: counters of policies and devices, in the kernel only; no addresses, no names");
    info!("ready: metrics at http://{address}/metrics, page at http://{address}/");
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

fn warn_if_public(listen: SocketAddr) {
    if !listen.ip().is_loopback() {
        warn!("{listen} is not a loopback address: whoever reaches it can read the counters");
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
        // Without colours, the writer alone escapes, as everywhere.
        .with_ansi_sanitization(colours)
        .with_target(false)
        .init();
}
