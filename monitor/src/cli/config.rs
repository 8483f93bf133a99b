//! `monitor config`: the settings in force, and where each comes from.

use std::path::Path;

use clap::Args;
use monitor::{
    config::{ConfigError, Options, shown, shown_as_text},
    regular_file::{self, Purpose},
};

use super::{Common, print, print_json, run::RunArgs};

/// Print the settings in force, each with where it comes from: default, line of the config file, or
/// command line
///
/// They are those that `monitor run` would take with the same options. A daemon that started before
/// the file changed has the old ones.
#[derive(Args, Debug)]
pub(crate) struct ConfigArgs {
    #[command(flatten)]
    run: RunArgs,
}

/// Prints the settings.
pub(super) fn run(common: &Common, args: ConfigArgs) -> anyhow::Result<()> {
    print_settings(common, args.run.options())
}

/// Prints the settings that the options of `run` give.
pub(super) fn print_settings(common: &Common, options: Options) -> anyhow::Result<()> {
    let arguments = options.over(common.arguments());
    let file = common.config_file();
    let text = match &file {
        Some(path) => text_of(path)?,
        None => String::new(),
    };
    let settings = arguments.clone().over(common.file_options()?).settle();
    let shown = shown(
        &settings,
        file.map(|path| (path, text.as_str())),
        &arguments,
    );
    if common.json {
        return print_json(&shown);
    }
    print(&shown_as_text(&shown))
}

fn text_of(path: &Path) -> Result<String, ConfigError> {
    regular_file::read_text(path, Purpose::Config).map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        source,
    })
}
