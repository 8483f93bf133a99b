//! Seeds of the mutations.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::Target;

/// The most bytes of a seed. Larger files make mutations slow.
const LARGEST: u64 = 48 * 1024;

/// Folder of the workspace.
#[must_use]
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Folders and files with the seeds of a target. A target that uses the seeds of others
/// may have no folder in `corpus/`.
#[must_use]
pub fn places(target: &Target) -> Vec<PathBuf> {
    let corpus = root().join("fuzz/corpus").join(target.name);
    let others = target.seeds.iter().map(|place| root().join(place));
    let own = corpus.exists().then_some(corpus);
    own.into_iter().chain(others).collect()
}

/// The seeds of a target with their paths, sorted by path.
pub fn read(target: &Target) -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut files = Vec::new();
    for place in places(target) {
        collect(&place, &mut files)?;
    }
    files.sort();
    let each = files.into_iter().map(|path| {
        let bytes = fs::read(&path)?;
        Ok((path, bytes))
    });
    each.collect()
}

fn collect(place: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    let metadata = fs::metadata(place)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", place.display())))?;
    if !metadata.is_dir() {
        files.extend((metadata.len() <= LARGEST).then(|| place.to_owned()));
        return Ok(());
    }
    for entry in fs::read_dir(place)? {
        collect(&entry?.path(), files)?;
    }
    Ok(())
}
