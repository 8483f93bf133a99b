//! Judges an update of a data feed against the content in force.

use std::path::Path;

use super::{Contents, DataError, DataFile};
use crate::policy::Share;

/// The reason why an update is refused.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The content is not a data file.
    #[error(transparent)]
    Unusable(DataError),
    /// The update cannot be judged now, for example because the disk is full. Another
    /// attempt may succeed.
    #[error("the update cannot be judged: {0}")]
    Failed(DataError),
    /// The update is much smaller or larger than the content in force.
    #[error("it changes from {before} to {after} {what}, by more than {limit}")]
    Changes {
        /// The counted items.
        what: &'static str,
        /// Number in the content in force.
        before: u128,
        /// Number in the update.
        after: u128,
        /// Largest accepted change.
        limit: Share,
    },
}

impl Refusal {
    /// Returns true if an operator may accept the update in spite of this reason.
    #[must_use]
    pub const fn is_acceptable(&self) -> bool {
        match self {
            Self::Changes { .. } => true,
            Self::Unusable(_) | Self::Failed(_) => false,
        }
    }

    /// Returns true if the update could not be judged, so that another attempt may succeed.
    #[must_use]
    pub const fn is_failure(&self) -> bool {
        match self {
            Self::Failed(_) => true,
            Self::Changes { .. } | Self::Unusable(_) => false,
        }
    }

    /// Returns the fix.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Self::Changes { .. } => "accept it with `monitor feed accept` if it is right",
            Self::Unusable(_) => {
                "check the content of the URL; if it stays like this, use another URL"
            }
            Self::Failed(error) => error.help(),
        }
    }
}

/// Judges `update`. `before` is the content in force, if there is one. The temporary
/// tables are in `directory`.
///
/// # Errors
///
/// Returns the reason if the update is refused.
pub fn judge(update: &[u8], before: Option<&[u8]>, directory: &Path) -> Result<(), Refusal> {
    let contents = |bytes: &[u8]| -> Result<Contents, DataError> {
        let file = DataFile::read(bytes, "", None, directory)?;
        Ok(*file.contents())
    };
    let after = contents(update)?;
    match before.map(contents).map(comparable) {
        Some(Ok(Some(before))) => compare(&before, &after),
        Some(Err(refusal)) => Err(refusal),
        Some(Ok(None)) | None => Ok(()),
    }
}

/// Returns the content in force, which passed this check when it was taken. If it is no
/// data file any more, the update is judged without a comparison.
fn comparable(before: Result<Contents, DataError>) -> Result<Option<Contents>, Refusal> {
    match before {
        Ok(before) => Ok(Some(before)),
        Err(error) if error.is_final() => Ok(None),
        Err(error) => Err(Refusal::Failed(error)),
    }
}

fn compare(before: &Contents, after: &Contents) -> Result<(), Refusal> {
    let rows = |contents: &Contents| u128::from(contents.ipv4_rows + contents.ipv6_rows);
    for (what, before, after) in [
        ("rows", rows(before), rows(after)),
        (
            "IPv4 addresses",
            before.ipv4_addresses,
            after.ipv4_addresses,
        ),
        (
            "IPv6 addresses",
            before.ipv6_addresses,
            after.ipv6_addresses,
        ),
    ] {
        let limit = Share::DEFAULT_CHANGE;
        if exceeds(before.abs_diff(after), before, limit) {
            return Err(Refusal::Changes {
                what,
                before,
                after,
                limit,
            });
        }
    }
    Ok(())
}

impl From<DataError> for Refusal {
    fn from(error: DataError) -> Self {
        if error.is_final() {
            Self::Unusable(error)
        } else {
            Self::Failed(error)
        }
    }
}

/// Returns true if `part` is more than `share` of `whole`.
fn exceeds(part: u128, whole: u128, share: Share) -> bool {
    // Divides before it multiplies, because the product could overflow.
    let percent = u128::from(share.percent());
    part > whole / 100 * percent + whole % 100 * percent / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: u32) -> Vec<u8> {
        let row = |at: u32| format!("10.{}.{}.0/24\t{at}\n", at / 256, at % 256);
        (1..=rows).map(row).collect::<String>().into_bytes()
    }

    #[test]
    fn an_update_that_changes_by_more_than_half_waits_for_the_operator() {
        let directory = tempfile::tempdir().unwrap();
        let judge = |update: &[u8], before| judge(update, before, directory.path());
        let before = table(100);
        judge(&before, None).unwrap();
        for rows in [50, 99, 100, 150] {
            judge(&table(rows), Some(&before)).unwrap();
        }
        for rows in [49, 151] {
            let refusal = judge(&table(rows), Some(&before)).unwrap_err();
            assert!(refusal.is_acceptable(), "{refusal}");
            assert!(
                refusal.to_string().contains("by more than 50%"),
                "{refusal}"
            );
        }
        let wide = [before.as_slice(), b"64.0.0.0/2\t1\n"].concat();
        let refusal = judge(&wide, Some(&before)).unwrap_err();
        assert!(refusal.to_string().contains("IPv4 addresses"), "{refusal}");
        judge(&before, Some(b"damaged")).unwrap();
    }

    #[test]
    fn without_room_for_a_table_an_update_is_neither_taken_nor_refused() {
        let missing = tempfile::tempdir().unwrap().path().join("missing");
        let refusal = judge(&table(10), Some(&table(100)), &missing).unwrap_err();
        assert!(refusal.is_failure() && !refusal.is_acceptable());
        assert!(
            refusal.to_string().contains("write the look-up table: "),
            "{refusal}"
        );
        let full = || std::io::Error::from(std::io::ErrorKind::StorageFull);
        for error in [DataError::Io(full()), DataError::Table(full())] {
            assert!(comparable(Err(error)).unwrap_err().is_failure());
        }
        assert_eq!(comparable(Err(DataError::Empty)).unwrap(), None);
    }

    #[test]
    fn another_content_is_refused_for_good() {
        let directory = tempfile::tempdir().unwrap();
        for update in [
            b"<html>".as_slice(),
            b"",
            b"\0\0\0",
            b"127.0.0.1 localhost\n",
            b"# nothing\n",
            b"1.0.0.0/24,-\n",
        ] {
            let refusal = judge(update, None, directory.path()).unwrap_err();
            assert!(!refusal.is_acceptable(), "{refusal}");
            assert!(!refusal.is_failure(), "{refusal}");
        }
    }
}
