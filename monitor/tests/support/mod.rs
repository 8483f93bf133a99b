//! Helpers of the integration tests: a slow and simple model of the filter,
//! frames and rulesets for it, captures, real data, and a lab of network
//! namespaces.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

pub(crate) mod books;
pub(crate) mod browser;
pub(crate) mod captured;
pub(crate) mod captures;
pub(crate) mod damage;
pub(crate) mod data;
pub(crate) mod datagrams;
pub(crate) mod dhcp;
pub(crate) mod generate;
pub(crate) mod hung;
pub(crate) mod kernel;
pub(crate) mod kernel_ids;
pub(crate) mod lab;
pub(crate) mod links;
pub(crate) mod mmdb;
pub(crate) mod objects;
pub(crate) mod packets;
pub(crate) mod raw;
pub(crate) mod reference;
pub(crate) mod release;
pub(crate) mod scope;
pub(crate) mod story;
pub(crate) mod strace;
pub(crate) mod tools;
pub(crate) mod user;
pub(crate) mod verbs;
