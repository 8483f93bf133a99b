//! The file of the runtime overlay, with one line of JSON for each change.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{StateDirError, read, write};
use crate::policy::RuntimeOverlay;

/// Name of the file in the state directory.
pub const RUNTIME_FILE: &str = "runtime.jsonl";

/// Reads the changes that a daemon stored in `state_dir`; empty if it stored none.
pub fn read_runtime(state_dir: &Path) -> Result<RuntimeOverlay, StateDirError> {
    let file = state_dir.join(RUNTIME_FILE);
    let text = read(&file)?.unwrap_or_default();
    parse_runtime(file, &text)
}

/// Parses the changes in `text`. `file` is the path for errors and for later
/// writes.
pub fn parse_runtime(file: PathBuf, text: &str) -> Result<RuntimeOverlay, StateDirError> {
    let lines = text.lines().zip(1..);
    let changes = lines.map(|(text, line)| {
        serde_json::from_str(text).map_err(|source| StateDirError::Content {
            path: file.clone(),
            line,
            source,
        })
    });
    Ok(RuntimeOverlay {
        changes: changes.collect::<Result<_, _>>()?,
        file,
    })
}

/// Writes the changes of `overlay` to its file.
pub fn write_runtime(overlay: &RuntimeOverlay) -> Result<(), StateDirError> {
    write(&overlay.file, runtime_text(overlay))
}

/// Text of the file with the changes of `overlay`.
pub fn runtime_text(overlay: &RuntimeOverlay) -> serde_json::Result<String> {
    let lines = overlay.changes.iter().map(|change| {
        let line = serde_json::to_string(change)?;
        Ok(line + "\n")
    });
    lines.collect()
}

/// Renames a file that cannot be read, and returns the new path.
pub fn set_runtime_aside(state_dir: &Path) -> io::Result<PathBuf> {
    let file = state_dir.join(RUNTIME_FILE);
    let aside = file.with_extension("jsonl.unread");
    fs::rename(file, &aside)?;
    Ok(aside)
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::{
        clock,
        policy::{ChangeEnd, Effect, RuntimeChange},
    };

    #[test]
    fn what_is_kept_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let none = read_runtime(directory.path()).unwrap();
        assert!(none.changes.is_empty());
        let now = clock::now();
        let change = |effect, device: &str, ends| RuntimeChange {
            effect,
            devices: vec![device.to_owned().try_into().unwrap()],
            device: Some("tablet".to_owned()),
            since: now.at,
            ends,
            reason: Some("a \"reason\"\nof two lines".to_owned()),
        };
        let end = ChangeEnd::after(&now, SignedDuration::from_mins(10));
        let changes = vec![
            change(
                Effect::Pause("p".parse().unwrap()),
                "interface wlan0",
                Some(end),
            ),
            change(
                Effect::Block("2001:db8::/48".parse().unwrap()),
                "64:cc:2e:00:00:00/24",
                None,
            ),
            change(
                Effect::Allow("198.51.100.7".parse().unwrap()),
                "fd00::/64",
                None,
            ),
        ];
        let overlay = RuntimeOverlay { changes, ..none };
        write_runtime(&overlay).unwrap();
        assert_eq!(read_runtime(directory.path()).unwrap(), overlay);
    }

    #[test]
    fn a_line_that_is_no_change_is_named_and_set_aside() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(RUNTIME_FILE);
        fs::write(&file, "\n").unwrap();
        let error = read_runtime(directory.path()).unwrap_err().to_string();
        assert!(error.contains("runtime.jsonl:1: "), "{error}");
        let aside = set_runtime_aside(directory.path()).unwrap();
        assert_eq!(fs::read_to_string(aside).unwrap(), "\n");
        assert!(read_runtime(directory.path()).unwrap().changes.is_empty());
    }
}
