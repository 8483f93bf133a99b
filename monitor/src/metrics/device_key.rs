//! The secret that makes pseudonyms of MAC addresses.

use std::{
    fmt,
    fs::File,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use crate::policy::MacAddress;

/// Makes pseudonyms; who lacks it cannot find a MAC by hashing all of them.
#[derive(Clone)]
pub struct DeviceKey([u8; DeviceKey::LEN]);

/// The key cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum DeviceKeyError {
    /// The file is there and cannot be read.
    #[error("read the device key {}", path.display())]
    Read {
        /// Of the key.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Something else than a key is in the file.
    #[error(
        "the device key {} is not {} bytes long: restore it, or remove it and every device gets another pseudonym",
        path.display(),
        DeviceKey::LEN
    )]
    Length {
        /// Of the key.
        path: PathBuf,
    },
    /// The file cannot be made.
    #[error("create the device key {}", path.display())]
    Create {
        /// Of the key.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The system gives no random bytes.
    #[error("draw a random device key")]
    Random(#[from] getrandom::Error),
}

impl DeviceKey {
    /// Length in bytes.
    pub const LEN: usize = 32;

    /// Name of the file in the state directory.
    pub const FILE_NAME: &str = "device.key";

    /// A key made of these bytes.
    #[must_use]
    pub const fn new(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// A key that nobody else has.
    pub fn random() -> Result<Self, DeviceKeyError> {
        let mut bytes = [0; Self::LEN];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// Reads the key from the state directory; where there is none, makes one,
    /// whole or not at all, for the owner's eyes only.
    pub fn load_or_create(state_dir: &Path) -> Result<Self, DeviceKeyError> {
        let path = state_dir.join(Self::FILE_NAME);
        match Self::load(&path) {
            Err(DeviceKeyError::Read { source, .. })
                if source.kind() == io::ErrorKind::NotFound => {}
            loaded => return loaded,
        }
        let key = Self::random()?;
        match key.create(state_dir, &path) {
            Ok(()) => Ok(key),
            // Another process was faster: its key is the key.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Self::load(&path),
            Err(source) => Err(DeviceKeyError::Create { path, source }),
        }
    }

    /// A label such as `device-3f9a6c2e1b07`, always the same for this key:
    /// the first 48 bits of BLAKE3 in keyed mode over the six bytes of the MAC.
    #[must_use]
    pub fn pseudonym(&self, mac: MacAddress) -> String {
        let hash = blake3::keyed_hash(&self.0, &mac.0);
        format!("device-{}", &hash.to_hex()[..12])
    }

    fn load(path: &Path) -> Result<Self, DeviceKeyError> {
        let read = |source| DeviceKeyError::Read {
            path: path.to_owned(),
            source,
        };
        let mut bytes = Vec::new();
        // One byte more than a key shows that a file is too long.
        File::open(path)
            .and_then(|file| file.take(Self::LEN as u64 + 1).read_to_end(&mut bytes))
            .map_err(read)?;
        match bytes.try_into() {
            Ok(bytes) => Ok(Self(bytes)),
            Err(_) => Err(DeviceKeyError::Length {
                path: path.to_owned(),
            }),
        }
    }

    fn create(&self, state_dir: &Path, path: &Path) -> io::Result<()> {
        // Temporary files are made with mode 0600.
        let mut file = tempfile::NamedTempFile::new_in(state_dir)?;
        file.write_all(&self.0)?;
        file.as_file().sync_all()?;
        file.persist_noclobber(path)?;
        File::open(state_dir)?.sync_all()
    }
}

/// Shows nothing of the secret.
impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceKey(…)")
    }
}
