//! Writes a backup, also while the daemon runs.

use std::{
    fs::{self, File, Metadata},
    io::{self, Read as _, Seek as _, Write},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
};

use flate2::{Compression, write::GzEncoder};
use jiff::Timestamp;
use nix::unistd::{Gid, Group, Uid, User};
use rusqlite::{Connection, OpenFlags};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::{
    collect::Sources,
    error::{BackupError, on},
    manifest::{Entry, FORMAT, Manifest, NAME, Part},
};
use crate::{
    new_file,
    regular_file::{Purpose, RegularFile},
};

/// The first bytes of a database of SQLite.
const DATABASE: &[u8] = b"SQLite format 3\0";

type Archive<W> = tar::Builder<GzEncoder<W>>;

/// Writes the backup to a new file, mode 0600, and returns its manifest. A database is copied as
/// it is at one moment, while the daemon writes on.
///
/// # Errors
///
/// A file cannot be read, the disk is full, or `path` exists.
pub fn write(sources: &Sources, path: &Path, now: Timestamp) -> Result<Manifest, BackupError> {
    let path = std::path::absolute(path).map_err(on("find", path))?;
    let directory = path.parent().unwrap_or(Path::new("/"));
    let begun = || -> io::Result<_> {
        if path.try_exists()? {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "it exists already; choose another name",
            ));
        }
        new_file::begin(directory)
    };
    let mut file = begun().map_err(on("write", &path))?;
    let copies =
        TempDir::with_prefix_in(".unfinished-", directory).map_err(on("write", directory))?;
    let mut archive = tar::Builder::new(GzEncoder::new(&mut file, Compression::default()));
    let mut entries = Vec::new();
    for (source, part) in &sources.files {
        let name = Manifest::name(entries.len());
        let added = match part {
            Part::Directory => directory_entry(source),
            part => add_file(&mut archive, &name, source, *part, copies.path(), &path),
        };
        match added {
            // The daemon removed it after the directory was read.
            Err(BackupError::Io { source: gone, .. })
                if *part == Part::State && gone.kind() == io::ErrorKind::NotFound => {}
            added => entries.push(added?),
        }
    }
    let manifest = Manifest {
        format: FORMAT,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        made: now,
        state_dir: sources.state_dir.clone(),
        entries,
    };
    let finished = || -> io::Result<()> {
        let text = serde_json::to_vec_pretty(&manifest)?;
        append(
            &mut archive,
            NAME,
            text.len() as u64,
            now,
            &mut text.as_slice(),
        )?;
        archive.into_inner()?.finish()?;
        Ok(())
    };
    finished().map_err(on("write", &path))?;
    new_file::put_new(file, &path).map_err(on("write", &path))?;
    Ok(manifest)
}

fn directory_entry(path: &Path) -> Result<Entry, BackupError> {
    let metadata = fs::symlink_metadata(path).map_err(on("read", path))?;
    Ok(entry(path, Part::Directory, &metadata))
}

/// Adds a file, and returns its entry.
fn add_file<W: Write>(
    archive: &mut Archive<W>,
    name: &str,
    source: &Path,
    part: Part,
    copies: &Path,
    backup: &Path,
) -> Result<Entry, BackupError> {
    let opened = RegularFile::open(source, Purpose::Capture).map_err(on("read", source))?;
    let metadata = opened.metadata().map_err(on("read", source))?;
    let mut file = opened.into_file();
    if is_database(&mut file).map_err(on("read", source))? {
        file = copy_database(source, copies)?;
    }
    let size = file.metadata().map_err(on("read", source))?.len();
    let mut hashed = Hashed {
        inner: file.take(size),
        hash: Sha256::new(),
    };
    append(archive, name, size, Timestamp::UNIX_EPOCH, &mut hashed).map_err(on("write", backup))?;
    if hashed.inner.limit() > 0 {
        let shorter = io::Error::other("it became shorter meanwhile; try again");
        return Err(on("read", source)(shorter));
    }
    Ok(Entry {
        size,
        sha256: hex::encode(hashed.hash.finalize()),
        ..entry(source, part, &metadata)
    })
}

fn append<W: Write>(
    archive: &mut Archive<W>,
    name: &str,
    size: u64,
    at: Timestamp,
    content: &mut impl io::Read,
) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o600);
    header.set_mtime(u64::try_from(at.as_second()).unwrap_or_default());
    archive.append_data(&mut header, name, &mut *content)
}

fn is_database(file: &mut File) -> io::Result<bool> {
    let mut first = Vec::new();
    (&*file)
        .take(DATABASE.len() as u64)
        .read_to_end(&mut first)?;
    file.rewind()?;
    Ok(first == DATABASE)
}

/// Copies a database as it is at one moment, with what is in the log beside it.
fn copy_database(source: &Path, copies: &Path) -> Result<File, BackupError> {
    let failed = |error| BackupError::Database {
        path: source.to_owned(),
        source: error,
    };
    let copy = copies.join("database");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(source, flags).map_err(failed)?;
    connection
        .execute("VACUUM INTO ?1", [copy.to_string_lossy()])
        .map_err(failed)?;
    let opened = RegularFile::open(&copy, Purpose::Capture).map_err(on("read", &copy))?;
    fs::remove_file(&copy).map_err(on("remove", &copy))?;
    Ok(opened.into_file())
}

fn entry(path: &Path, part: Part, metadata: &Metadata) -> Entry {
    let (user, group) = (metadata.uid(), metadata.gid());
    let owner = User::from_uid(Uid::from_raw(user)).ok().flatten();
    let owner = owner.map_or_else(|| user.to_string(), |found| found.name);
    let of = Group::from_gid(Gid::from_raw(group)).ok().flatten();
    let group = of.map_or_else(|| group.to_string(), |found| found.name);
    Entry {
        path: path.to_owned(),
        part,
        mode: metadata.permissions().mode() & 0o7777,
        owner,
        group,
        size: 0,
        sha256: String::new(),
    }
}

/// Reads, and hashes what was read.
struct Hashed<R> {
    inner: R,
    hash: Sha256,
}

impl<R: io::Read> io::Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hash.update(&buffer[..read]);
        Ok(read)
    }
}
