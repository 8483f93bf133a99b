//! Tests of the daemon in a lab: a phone and a gateway in network namespaces. They are one
//! program, because linking each alone takes most of the time of a build.

#[expect(dead_code, reason = "other programs use the rest")]
#[path = "../command/mod.rs"]
mod command;
#[expect(dead_code, reason = "other programs use the rest")]
#[path = "../support/mod.rs"]
mod support;

mod accounting;
mod alerts;
mod backup;
mod canary;
mod capture;
mod capture_ends;
mod capture_truth;
mod control;
mod counters;
mod daemon_state;
mod demo;
mod device_names;
mod devices;
mod directions;
mod doctor;
mod endpoints;
mod flood;
mod flows;
mod frags;
mod handshake;
mod hang;
mod holders;
mod interfaces;
mod large_hello;
mod last_good;
mod life;
mod lock_out;
mod notify;
mod page;
mod page_contacts;
mod page_login;
mod page_tls;
mod patterns;
mod pins;
mod places;
mod privacy;
mod prometheus;
mod recompute;
mod reject;
mod reload;
mod report;
mod runtime;
mod scopes;
mod setup;
mod special_files;
mod start;
mod state_dir;
mod swap;
mod tagged;
mod terminal;
mod times;
mod top;
mod traffic;
mod twins;
