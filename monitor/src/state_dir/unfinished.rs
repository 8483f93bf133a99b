//! Files in the making: whoever is killed leaves them behind.

use std::{fs, io, path::Path, process};

use tempfile::NamedTempFile;

/// How their names begin; the process that writes and something random follow.
const PREFIX: &str = ".unfinished-";

/// Begins a file that will take its place in `directory`, mode 0600.
pub fn new_file(directory: &Path) -> io::Result<NamedTempFile> {
    let prefix = format!("{PREFIX}{}-", process::id());
    tempfile::Builder::new()
        .prefix(&prefix)
        .tempfile_in(directory)
}

/// Removes from `directory` what processes had begun that are gone. To be
/// called before this one begins any.
pub fn remove_unfinished(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let writer = entry.file_name().to_str().and_then(writer);
        if writer.is_some_and(is_gone) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn writer(name: &str) -> Option<u32> {
    let (process, _) = name.strip_prefix(PREFIX)?.split_once('-')?;
    process.parse().ok()
}

/// In a container the next daemon may have the number of the last.
fn is_gone(process: u32) -> bool {
    process == process::id() || !Path::new("/proc").join(process.to_string()).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_writes_any_more_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let begun = new_file(directory.path()).unwrap();
        let (_, own) = begun.keep().unwrap();
        // Process 1 is always there; the kernel numbers up to 2^22.
        let [living, dead] = [1, 5_000_000].map(|process| {
            let path = directory.path().join(format!("{PREFIX}{process}-a1"));
            fs::write(&path, "").unwrap();
            path
        });
        let kept = directory.path().join("last-good.tar");
        fs::write(&kept, "").unwrap();
        remove_unfinished(directory.path()).unwrap();
        let there = [&own, &living, &dead, &kept].map(|path| path.exists());
        assert_eq!(there, [false, true, false, true]);
    }
}
