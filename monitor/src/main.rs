//! The command line of monitor.

mod cli;

use std::process::ExitCode;

use clap::Parser as _;
use monitor::error_text::error_text;

fn main() -> ExitCode {
    match cli::Cli::parse().run() {
        Ok(outcome) => outcome.into(),
        Err(error) => {
            eprintln!("error: {}", error_text(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}
