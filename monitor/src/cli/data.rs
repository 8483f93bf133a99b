//! `monitor data`: the sources of data about address ranges.

use jiff::{civil::Date, tz::Offset};
use monitor::{
    clock,
    config::Settings,
    control::{Answer, Request, ask},
    data::{Data, Statement},
    evidence::FlowsView,
    policy::Policy,
};

use super::{Common, ReachArgs, print, print_json};

/// Asks the daemon, or reads the sources.
pub(super) fn run(common: &Common, args: &ReachArgs) -> anyhow::Result<()> {
    let reach = args.reach(common)?;
    let listing = if reach.daemon.is_some() {
        match ask(&reach.settings.socket, &Request::Data {})? {
            Answer::Data(listing) => *listing,
            Answer::Refused(why) => anyhow::bail!("the daemon refused: {why}"),
            other => anyhow::bail!("the daemon gave an unexpected answer: {other:?}"),
        }
    } else {
        reach.warn_of_other_daemon();
        read(&reach.settings).listing(today())
    };
    if common.json {
        print_json(&listing)
    } else {
        print(&listing.to_string())
    }
}

/// Reads the sources that the settings name. Their tables are temporary files without names:
/// in the state directory, because `/tmp` is memory on many routers, or else in `/tmp`.
pub(super) fn read(settings: &Settings) -> Data {
    let is_writable = tempfile::tempfile_in(&settings.state_dir).is_ok();
    let tables = if is_writable {
        settings.state_dir.clone()
    } else {
        std::env::temp_dir()
    };
    Data::read(&settings.data, &settings.state_dir, &tables, None)
}

/// Adds to flows what the data of the settings and the authors of the policies state.
pub(super) fn with_holders(
    settings: &Settings,
    policies: &[Policy],
    flows: FlowsView,
) -> FlowsView {
    let data = read(settings);
    let authors = Statement::authors(policies, &settings.derivation);
    flows.with_holders(|address| data.about(address, &settings.derivation), authors)
}

/// The date (UTC).
pub(super) fn today() -> Date {
    Offset::UTC.to_datetime(clock::now().at).date()
}
