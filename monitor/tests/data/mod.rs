//! Real data that is stored outside the project.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

/// The folder of range files. Where it is missing, the test is skipped with a
/// message; under `CI=true` it fails.
pub(crate) fn ranges() -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let data = std::env::var_os("MONITOR_TEST_DATA").map_or(default, PathBuf::from);
    let ranges = data.join("ranges");
    if ranges.is_dir() {
        return Some(ranges.canonicalize().unwrap());
    }
    let ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(!ci, "no test data at {}", ranges.display());
    eprintln!("skipped: no test data at {}", ranges.display());
    None
}

/// The text of a gzipped file.
pub(crate) fn unpacked(file: &Path) -> String {
    let mut text = String::new();
    let file = File::open(file).unwrap();
    flate2::read::GzDecoder::new(file)
        .read_to_string(&mut text)
        .unwrap();
    text
}

/// The prefixes of a gzipped `prefix<TAB>asn` table, one per line.
pub(crate) fn prefixes(table: &Path) -> String {
    let text = unpacked(table);
    let prefixes = text.lines().filter(|line| !line.starts_with('#'));
    prefixes
        .filter_map(|line| line.split('\t').next())
        .flat_map(|prefix| [prefix, "\n"])
        .collect()
}
