//! Time stamps of an authority (RFC 3161): a signed statement that some bytes existed at a time.
//!
//! ```text
//! bytes ─► Request ─► authority ─► response ─► open ─► Stamp ─► is it of a trusted authority?
//! ```
//!
//! The modules are pure. [`crate::feeds::Fetcher::post`] sends the request.

mod algorithm;
mod authorities;
mod certificate;
mod elements;
mod error;
mod open;
mod request;
mod response;
mod token;
mod tst_info;

pub use authorities::{Authorities, InvalidAuthorities, Untrusted};
pub use error::{Refusal, StampError};
pub use open::{Stamp, open};
pub use request::{NONCE_BYTES, Request};

/// Media type of a request (RFC 3161, section 3.4).
pub const REQUEST_TYPE: &str = "application/timestamp-query";

/// Media type of a response.
pub const RESPONSE_TYPE: &str = "application/timestamp-reply";

/// The largest response, in bytes. Responses with all certificates have about 8 KiB.
pub const MAX_RESPONSE: u64 = 256 << 10;
