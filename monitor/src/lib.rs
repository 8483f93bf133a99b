//! An eBPF packet filter and blocker for Linux WiFi gateways.
//!
//! Data flows in one direction, and a module imports only from earlier stages. The
//! exception is [`snapshot`]: every module may use its types, and it imports only
//! [`policy`].
//!
//! ```text
//! control   YAML → source → model → ruleset → generation → kernel
//! packet    frame → parse → match → decide → account → verdict
//! evidence  counters → snapshot → metrics, status
//! ```
//!
//! [`pipeline`] runs the control stages from policy files to the ruleset.

#![cfg_attr(
    not(test),
    warn(clippy::disallowed_methods, clippy::print_stdout, clippy::print_stderr)
)]

pub mod address;
pub mod alerts;
mod at_once;
pub mod backup;
pub mod capture;
pub mod clock;
pub mod compile;
pub mod config;
pub mod control;
pub mod daemon;
pub mod data;
pub mod datapath;
mod default_routes;
#[cfg_attr(
    not(test),
    expect(
        clippy::disallowed_methods,
        clippy::print_stderr,
        clippy::print_stdout,
        reason = "a program of its own in a terminal: it shows its own texts and its own files"
    )
)]
pub mod demo;
pub mod device_book;
pub mod device_files;
pub mod device_list;
pub mod device_names;
pub mod devices;
pub mod doctor;
pub mod error_text;
pub mod events;
pub mod evidence;
pub mod explain;
pub mod feeds;
pub mod file_lock;
pub mod flows;
mod free_space;
pub mod guard;
pub mod http;
pub mod listing;
pub mod lists;
pub mod memory;
pub mod merkle;
pub mod metrics;
mod netlink;
pub mod new_file;
pub mod page_facts;
pub mod pipeline;
pub mod policy;
pub mod printable;
pub mod quoted;
pub mod recompute;
pub mod registry;
pub mod regular_file;
pub mod replay;
pub mod replay_evidence;
pub mod report;
pub mod report_facts;
pub mod secret_file;
pub mod setup;
pub mod snapshot;
pub mod stamp;
pub mod state_dir;
pub mod store;
pub mod top;
pub mod trusted;
