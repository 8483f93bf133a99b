//! Opens and closes the store.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, config::DbConfig};

use super::{
    Store,
    aside::{self, io_error},
    compact::Sweep,
    error::{Remedy, StoreError, on},
    migrate,
    rows::number,
    schema::{FILE, PAGE},
    settings::StoreSettings,
    types::Loss,
    writer::Known,
};
use crate::new_file;

/// How long a statement waits for a lock of another process.
const WAIT: Duration = Duration::from_secs(2);

/// Number of pages in the log after which SQLite copies them into the database.
const CHECKPOINT_PAGES: u32 = 1_000;

/// What the store found when it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// True if the store is new, also in place of a damaged one.
    pub new: bool,
    /// The migration, if the file had an older schema.
    pub migrated: Option<Migration>,
    /// The damaged file that was set aside.
    pub damaged: Option<Damage>,
    /// True if the last process that wrote did not close the store. Its last claims may be
    /// missing; the store holds a loss with the reason "killed".
    pub killed: bool,
}

/// A migration to the current version of the schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migration {
    /// The version before.
    pub from: i64,
    /// The version now.
    pub to: i64,
    /// Name of the copy of the old file, in the state directory. `None` if the disk had no
    /// room for it.
    pub copy: Option<String>,
}

/// A damaged file that was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Its new name, in the state directory.
    pub name: String,
    /// The damage, in the words of SQLite.
    pub why: String,
}

impl Store {
    /// Opens the store in the state directory. Creates it if there is none, migrates an
    /// older one, and sets a damaged one aside. After a kill or a power failure the call
    /// reads the whole file to find damage.
    pub fn open(
        state_dir: &Path,
        settings: StoreSettings,
        now: Timestamp,
    ) -> Result<(Self, Opened), StoreError> {
        let path = path_in(state_dir)?;
        let mut opened = Opened::default();
        let store = match Self::open_at(&path, settings, now, &mut opened) {
            Err(error) if error.remedy() == Remedy::Reopen => {
                let name = aside::set_aside(&path, now)?;
                opened = Opened {
                    damaged: Some(Damage {
                        name,
                        why: error.to_string(),
                    }),
                    ..Opened::default()
                };
                Self::open_at(&path, settings, now, &mut opened)
            }
            store => store,
        };
        let mut store = store?;
        store.note_opening(&opened, now)?;
        Ok((store, opened))
    }

    fn open_at(
        path: &Path,
        settings: StoreSettings,
        now: Timestamp,
        opened: &mut Opened,
    ) -> Result<Self, StoreError> {
        make_file(path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let mut connection = Connection::open_with_flags(path, flags).map_err(on("open"))?;
        connection.busy_timeout(WAIT).map_err(on("open"))?;
        // Comes first, because a file of another program must stay as it is.
        let version = migrate::version(&connection, path)?;
        configure(&connection, &settings)?;
        opened.new = version == 0;
        if version > 0 {
            opened.killed = !is_clean(&connection)?;
            if opened.killed {
                check(&connection)?;
            }
        }
        if version < migrate::newest() {
            let copy = migrate::migrate(&mut connection, path, version, now)?;
            opened.migrated = (version > 0).then(|| Migration {
                from: version,
                to: migrate::newest(),
                copy,
            });
        }
        Ok(Self {
            connection,
            path: path.to_owned(),
            settings,
            known: Known::default(),
            checkpointed: None,
            sweep: Sweep::default(),
        })
    }

    fn note_opening(&mut self, opened: &Opened, now: Timestamp) -> Result<(), StoreError> {
        let reasons = [
            (opened.killed, "killed"),
            (opened.damaged.is_some(), "damaged"),
        ];
        let losses: Vec<_> = reasons
            .into_iter()
            .filter(|(is_so, _)| *is_so)
            .map(|(_, reason)| Loss {
                reason: reason.to_owned(),
                policy: None,
                packets: 0,
                bytes: 0,
            })
            .collect();
        if !losses.is_empty() {
            // The size may be smaller than before.
            self.make_room(now)?;
            self.write_losses(&losses, now)?;
        }
        self.set_clean(false)
    }

    /// Closes the store: copies the log into the database and notes that nothing is
    /// missing. Dropping a [`Store`] instead counts as a kill.
    pub fn close(mut self) -> Result<(), StoreError> {
        self.set_clean(true)?;
        self.empty_log()?;
        let closed = self.connection.close();
        closed.map_err(|(_, source)| on("close")(source))
    }

    fn set_clean(&mut self, is_clean: bool) -> Result<(), StoreError> {
        self.connection
            .execute("UPDATE state SET clean = ?1", [is_clean])
            .map_err(on("write"))?;
        Ok(())
    }
}

/// Returns the path of the database in a state directory, without symbolic links.
pub(super) fn path_in(state_dir: &Path) -> Result<PathBuf, StoreError> {
    let directory = fs::canonicalize(state_dir).map_err(io_error("open", state_dir))?;
    Ok(directory.join(FILE))
}

/// Creates the file, which only its owner can read, if there is none.
pub(super) fn make_file(path: &Path) -> Result<(), StoreError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(()),
        Ok(_) => {
            let other = io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file");
            Err(io_error("open", path)(other))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            match new_file::create(path, &[]) {
                // Another thread made it meanwhile.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                made => made.map_err(io_error("create", path)),
            }
        }
        Err(error) => Err(io_error("open", path)(error)),
    }
}

fn configure(connection: &Connection, settings: &StoreSettings) -> Result<(), StoreError> {
    let set = || {
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        bound_memory(connection)?;
        // These two take effect before the first table is created.
        connection.pragma_update(None, "page_size", PAGE)?;
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.pragma_update(None, "secure_delete", "ON")?;
        connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
        let log = settings.log().min(8 << 20);
        connection.pragma_update(None, "journal_size_limit", number(log))?;
        connection.pragma_update(
            None,
            "max_page_count",
            number(settings.database() / u64::from(PAGE)),
        )
    };
    set().map_err(on("open"))
}

/// Bounds the memory of a connection.
pub(super) fn bound_memory(connection: &Connection) -> rusqlite::Result<()> {
    // Kibibytes, because the number is negative.
    connection.pragma_update(None, "cache_size", -2048)?;
    connection.pragma_update(None, "mmap_size", 0)?;
    // Temporary files would hold private data outside the state directory.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.set_prepared_statement_cache_capacity(48);
    Ok(())
}

fn is_clean(connection: &Connection) -> Result<bool, StoreError> {
    connection
        .query_row("SELECT clean FROM state", [], |row| row.get(0))
        .map_err(on("open"))
}

/// Reads the whole file and fails if SQLite finds damage.
fn check(connection: &Connection) -> Result<(), StoreError> {
    let answer: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(on("check"))?;
    if answer == "ok" {
        return Ok(());
    }
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    Err(on("check")(rusqlite::Error::SqliteFailure(
        code,
        Some(answer),
    )))
}
