//! Tests without a daemon: files, verbs, replays, and the program in the kernel on maps of
//! its own. They are one program, because linking each alone takes most of the time of a
//! build.

#[path = "../command/mod.rs"]
mod command;
#[path = "../data/mod.rs"]
mod data;
#[expect(dead_code, reason = "other programs use the rest")]
#[path = "../support/mod.rs"]
mod support;

mod anchors;
mod capture;
mod capture_formats;
mod compile;
mod databases;
mod derived;
mod directions;
mod evidence_captures;
mod generate;
mod guard_model;
mod holders;
mod hostile_frames;
mod identities;
mod list_command;
mod list_forms;
mod list_keys;
mod list_samples;
mod lists;
mod nesting;
mod no_daemon;
mod overlays;
mod packaging;
mod pages;
mod policies;
mod publish;
mod rdap;
mod reference;
mod replay;
mod report;
mod sign;
mod tables;
mod vendors;
mod verify;
mod whole_table;
mod whose_range;
