#![no_main]
//! `monitor_fuzz::server::server` under libFuzzer.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| monitor_fuzz::server::server(bytes));
