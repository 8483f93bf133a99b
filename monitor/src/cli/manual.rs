//! `monitor manual DIR`: man pages and completions, made from the command line's definition.
//! Packages contain its output.

use std::{fs, path::PathBuf};

use anyhow::Context as _;
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::Cli;

/// Write man pages and completions for bash, zsh and fish into a directory
#[derive(Args, Debug)]
pub(crate) struct ManualArgs {
    /// Directory for the files; created if it is absent
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// Writes the files: a page for each visible verb, and one completion for each shell.
pub(super) fn run(args: &ManualArgs) -> anyhow::Result<()> {
    let directory = &args.directory;
    let context = || format!("write into {}", monitor::printable::path(directory));
    fs::create_dir_all(directory).with_context(context)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut Cli::command(), "monitor", directory)
            .with_context(context)?;
    }
    clap_mangen::generate_to(Cli::command(), directory).with_context(context)
}
