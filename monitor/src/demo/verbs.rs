//! Runs `monitor` as a person would, and shows the command.

use std::env;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Result;

use crate::demo::daemon;
use crate::demo::process::output;
use crate::demo::topology::Topology;

/// Width of a terminal.
const WIDTH: usize = 80;

/// A verb of `monitor` about the demonstration's daemon.
pub(crate) fn command(monitor: &Path, topology: &Topology, words: &[&str]) -> Command {
    let mut command = Command::new(monitor);
    command
        .args(words)
        .arg("--config")
        .arg(daemon::config(topology))
        .stdin(Stdio::null())
        // Ctrl-C reaches the demonstration only.
        .process_group(0);
    command
}

/// Prints the command line of a verb of `monitor`, runs it, and prints its output.
pub(crate) fn show(monitor: &Path, topology: &Topology, words: &[&str]) -> Result<()> {
    let mut command = command(monitor, topology, words);
    println!("{}", shown(&command));
    let said = output(&mut command)?;
    print!("{}", wrapped(&said));
    Ok(())
}

/// The same, but prints only the paragraph that begins with a text.
pub(crate) fn show_part(
    monitor: &Path,
    topology: &Topology,
    words: &[&str],
    begin: &str,
) -> Result<()> {
    let mut command = command(monitor, topology, words);
    println!("{}", shown(&command));
    let said = output(&mut command)?;
    let mut paragraphs = said.split("\n\n");
    match paragraphs.find(|paragraph| paragraph.starts_with(begin)) {
        Some(part) => println!("…\n{}\n…", part.trim_end()),
        None => print!("{said}"),
    }
    Ok(())
}

/// The command for a shell in the present directory, in lines that fit into a terminal.
pub(crate) fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let here = env::current_dir().unwrap_or_default();
    let program = program.strip_prefix(here).unwrap_or(program);
    let words = std::iter::once(program.as_os_str()).chain(command.get_args());
    let mut units: Vec<String> = Vec::new();
    for word in words.map(|word| quoted(&word.to_string_lossy())) {
        // A value stays beside its option.
        match units.last_mut() {
            Some(unit) if unit.starts_with("--") && !unit.contains(['=', ' ']) => {
                *unit = format!("{unit} {word}");
            }
            _ => units.push(word),
        }
    }
    let (mut lines, mut line) = (String::new(), "$".to_owned());
    for unit in units {
        // Room for the backslash.
        if line != "$" && line.len() + unit.len() + 3 > WIDTH {
            lines = format!("{lines}{line} \\\n");
            line = String::from("   ");
        }
        line = format!("{line} {unit}");
    }
    lines + &line
}

/// A word of a shell command.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Text in lines that fit into a terminal, if its words do.
pub(crate) fn wrapped(text: &str) -> String {
    let mut wrapped = String::new();
    for line in text.lines() {
        let mut length = 0;
        for word in line.split_inclusive(' ') {
            let letters = word.chars().count();
            if length > 0 && length + word.trim_end().chars().count() > WIDTH - 1 {
                wrapped.push_str("\n  ");
                length = 2;
            }
            wrapped.push_str(word);
            length += letters;
        }
        wrapped.push('\n');
    }
    wrapped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_command_fits_and_a_shell_reads_it_back() {
        let words = [
            "mark",
            "it's off",
            "--device",
            "64:cc:2e:00:26:62",
            "--kind",
            "setting-changed",
            "--model",
            "Redmi Note",
        ];
        let mut command = Command::new("/opt/monitor");
        command.args(words);
        let shown = shown(&command);
        assert!(shown.lines().all(|line| line.len() <= WIDTH), "{shown}");
        assert!(shown.lines().count() > 1, "{shown}");
        let shell = shown.replacen("$ /opt/monitor", "printf '%s\\n'", 1);
        let read = output(Command::new("sh").args(["-c", &shell])).unwrap();
        assert_eq!(read.lines().collect::<Vec<_>>(), words);
    }

    #[test]
    fn wrapped_text_keeps_its_words() {
        let text = "a word and another ".repeat(12);
        let lines = wrapped(&text);
        assert!(lines.lines().all(|line| line.trim_end().len() < WIDTH));
        let words = |text: &str| {
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(words(&lines), words(&text));
    }
}
