//! The secret key that turns MAC addresses into pseudonyms.

use std::{
    fmt,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use crate::{
    new_file,
    policy::MacAddress,
    regular_file::{Purpose, RegularFile},
};

/// The first part of every pseudonym.
const PREFIX: &str = "device-";

/// The number of hexadecimal digits of a pseudonym, 4 bits each.
const DIGITS: usize = 12;

/// The key of the pseudonyms. Without the key, a reader of the metrics cannot find
/// the MAC of a pseudonym by hashing all possible MACs.
#[derive(Clone)]
pub struct DeviceKey([u8; DeviceKey::LEN]);

/// The reason why there is no device key.
#[derive(Debug, thiserror::Error)]
pub enum DeviceKeyError {
    /// The file exists but cannot be read.
    #[error("read the device key {}", crate::printable::path(path))]
    Read {
        /// Path of the key file.
        path: PathBuf,
        /// The error of the system call.
        source: io::Error,
    },
    /// The file does not have the length of a key.
    #[error(
        "the device key {} is not {} bytes long: restore the file, or remove it to get a new key; then every device gets another pseudonym",
        crate::printable::path(path),
        DeviceKey::LEN
    )]
    Length {
        /// Path of the key file.
        path: PathBuf,
    },
    /// The file cannot be created.
    #[error("create the device key {}", crate::printable::path(path))]
    Create {
        /// Path of the key file.
        path: PathBuf,
        /// The error of the system call.
        source: io::Error,
    },
    /// The system returns no random bytes.
    #[error("draw a random device key")]
    Random(#[from] getrandom::Error),
}

impl DeviceKey {
    /// Length in bytes.
    pub const LEN: usize = 32;

    /// Name of the file in the state directory.
    pub const FILE_NAME: &str = "device.key";

    /// Returns a key that consists of `bytes`.
    #[must_use]
    pub const fn new(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// Returns a new random key.
    pub fn random() -> Result<Self, DeviceKeyError> {
        let mut bytes = [0; Self::LEN];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// Reads the key from the state directory. If there is none, creates it in one
    /// step, as a file that only its owner can read.
    pub fn load_or_create(state_dir: &Path) -> Result<Self, DeviceKeyError> {
        let path = state_dir.join(Self::FILE_NAME);
        match Self::load(&path) {
            Err(DeviceKeyError::Read { source, .. })
                if source.kind() == io::ErrorKind::NotFound => {}
            loaded => return loaded,
        }
        let key = Self::random()?;
        match new_file::create(&path, &key.0) {
            Ok(()) => Ok(key),
            // Another process created the file in the meantime: use its key.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Self::load(&path),
            Err(source) => Err(DeviceKeyError::Create { path, source }),
        }
    }

    /// Returns a label such as `device-3f9a6c2e1b07`: the first 48 bits of BLAKE3
    /// in keyed mode over the six bytes of the MAC. The same key and MAC always
    /// give the same label.
    #[must_use]
    pub fn pseudonym(&self, mac: MacAddress) -> String {
        let hash = blake3::keyed_hash(&self.0, &mac.0);
        format!("{PREFIX}{}", &hash.to_hex()[..DIGITS])
    }

    /// Returns true if `text` has the form of a pseudonym.
    #[must_use]
    pub fn is_pseudonym(text: &str) -> bool {
        let digits = text.strip_prefix(PREFIX).map(str::as_bytes);
        digits.is_some_and(|digits| {
            digits.len() == DIGITS && digits.iter().all(u8::is_ascii_hexdigit)
        })
    }

    fn load(path: &Path) -> Result<Self, DeviceKeyError> {
        let read = |source| DeviceKeyError::Read {
            path: path.to_owned(),
            source,
        };
        let mut bytes = Vec::new();
        // Reads one byte more than a key has, to notice a file that is too long.
        RegularFile::open(path, Purpose::State)
            .and_then(|file| file.take(Self::LEN as u64 + 1).read_to_end(&mut bytes))
            .map_err(read)?;
        match bytes.try_into() {
            Ok(bytes) => Ok(Self(bytes)),
            Err(_) => Err(DeviceKeyError::Length {
                path: path.to_owned(),
            }),
        }
    }
}

/// Writes a fixed text, so that no log contains the secret.
impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _, thread};

    use super::*;

    const PHONE: MacAddress = MacAddress([0x64, 0xcc, 0x2e, 0x11, 0x22, 0x33]);

    #[test]
    fn a_key_is_created_once_and_only_its_owner_can_read_it() {
        let directory = tempfile::tempdir().unwrap();
        let made = DeviceKey::load_or_create(directory.path()).unwrap();
        let loaded = DeviceKey::load_or_create(directory.path()).unwrap();
        assert_eq!(made.0, loaded.0);
        let files: Vec<_> = fs::read_dir(directory.path())
            .unwrap()
            .map(|f| f.unwrap())
            .collect();
        assert_eq!(files.len(), 1, "{files:?}");
        assert_eq!(
            files[0].metadata().unwrap().permissions().mode() & 0o7777,
            0o600
        );
        assert_eq!(fs::read(files[0].path()).unwrap(), made.0);
    }

    #[test]
    fn threads_that_start_at_the_same_time_get_the_same_key() {
        let directory = tempfile::tempdir().unwrap();
        let keys: Vec<_> = thread::scope(|scope| {
            let load = || DeviceKey::load_or_create(directory.path()).unwrap().0;
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(load)).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
    }

    #[test]
    fn a_file_of_wrong_length_is_an_error_and_is_not_changed() {
        for length in [0, 31, 33, 5000] {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join(DeviceKey::FILE_NAME);
            fs::write(&path, vec![1; length]).unwrap();
            let error = DeviceKey::load_or_create(directory.path()).unwrap_err();
            assert!(matches!(error, DeviceKeyError::Length { .. }), "{error}");
            assert!(
                error.to_string().contains(path.to_str().unwrap()),
                "{error}"
            );
            assert_eq!(fs::read(&path).unwrap().len(), length);
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_or_created_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join(DeviceKey::FILE_NAME)).unwrap();
        let error = DeviceKey::load_or_create(directory.path()).unwrap_err();
        assert!(matches!(error, DeviceKeyError::Read { .. }), "{error}");

        let error = DeviceKey::load_or_create(&directory.path().join("missing")).unwrap_err();
        assert!(matches!(error, DeviceKeyError::Create { .. }), "{error}");
    }

    #[test]
    fn a_pseudonym_depends_on_key_and_mac_alone() {
        let [one, two] = [1, 2].map(|byte| DeviceKey::new([byte; DeviceKey::LEN]));
        let pseudonym = one.pseudonym(PHONE);
        let digits = pseudonym.strip_prefix("device-").unwrap();
        assert!(
            digits.len() == 12 && digits.bytes().all(|b| b.is_ascii_hexdigit()),
            "{pseudonym}"
        );
        assert_eq!(pseudonym, one.clone().pseudonym(PHONE));
        assert_ne!(pseudonym, two.pseudonym(PHONE));
        assert_ne!(pseudonym, one.pseudonym(MacAddress([0; 6])));
    }

    #[test]
    fn debug_does_not_show_the_secret() {
        assert_eq!(
            format!("{:?}", DeviceKey::new([65; DeviceKey::LEN])),
            "DeviceKey(…)"
        );
    }
}
