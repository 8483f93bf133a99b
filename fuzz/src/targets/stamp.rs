//! Time stamps of reports, and certificates of authorities.

use std::sync::LazyLock;

use jiff::Timestamp;
use monitor::{
    error_text::error_text,
    stamp::{self, Authorities},
};

/// The bytes that the stamps among the seeds are of.
const DATA: &[u8] = b"the head of a log\n";

/// The certificate that the stamps among the seeds lead to.
const ROOT: &[u8] = include_bytes!("../../corpus/stamp/root.pem");

/// The time of the stamps among the seeds: 2026-11-30T05:30:38Z.
const AT: Timestamp = Timestamp::constant(1_796_016_638, 0);

static TRUSTED: LazyLock<Option<Authorities>> = LazyLock::new(|| Authorities::from_pem(ROOT).ok());

/// A response of an authority, and a file of certificates. No change of a stamp makes a trusted
/// one of another time.
pub fn stamp(bytes: &[u8]) {
    let _ = Authorities::from_pem(bytes);
    let trusted = TRUSTED.as_ref().expect("the root is a certificate");
    match stamp::open(bytes, DATA, None) {
        Ok(stamp) if stamp.check_authority(trusted).is_ok() => {
            assert_eq!(stamp.at, AT);
            assert!(["rsa", "ecdsa"].contains(&stamp.authority.as_str()));
        }
        Ok(_) => {}
        Err(error) => {
            let text = error_text(&error);
            assert!(text.len() < 2000, "{text}");
        }
    }
}
