//! What the integration tests share: a slow and obvious model of the filter,
//! frames and rulesets to try it on, captures, and the real data.

pub(crate) mod captures;
pub(crate) mod data;
pub(crate) mod generate;
pub(crate) mod packets;
pub(crate) mod reference;
