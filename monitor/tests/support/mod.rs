//! What the integration tests share: a slow and obvious model of the filter,
//! frames and rulesets to try it on, captures, and the real data.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

pub(crate) mod captures;
pub(crate) mod data;
pub(crate) mod generate;
pub(crate) mod packets;
pub(crate) mod reference;
