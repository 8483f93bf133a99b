//! The program `monitor`: runs the command line and sets the exit code.

#![cfg_attr(
    not(test),
    warn(clippy::disallowed_methods, clippy::print_stdout, clippy::print_stderr)
)]

mod cli;

use std::process::ExitCode;

use clap::Parser as _;
use monitor::error_text::error_text;

/// The exit code for invalid arguments.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => {
            // `tell` escapes the message, because it repeats arguments such as file names.
            cli::tell(error.render().to_string().trim_end());
            return ExitCode::from(USAGE);
        }
        // Help and version contain no untrusted text.
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
