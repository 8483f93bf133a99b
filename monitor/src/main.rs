//! The command line of monitor.

#![cfg_attr(
    not(test),
    warn(clippy::disallowed_methods, clippy::print_stdout, clippy::print_stderr)
)]

mod cli;

use std::process::ExitCode;

use clap::Parser as _;
use monitor::error_text::error_text;

/// Exit code of wrong arguments.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => {
            // The message repeats arguments, which may be names of files.
            cli::tell(error.render().to_string().trim_end());
            return ExitCode::from(USAGE);
        }
        // Help and version, which hold no text of others.
        Err(error) => error.exit(),
    };
    match cli.run() {
        Ok(outcome) => outcome.into(),
        Err(error) => {
            cli::tell(&format!("error: {}", error_text(error.as_ref())));
            ExitCode::FAILURE
        }
    }
}
