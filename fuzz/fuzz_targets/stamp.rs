#![no_main]
//! `monitor_fuzz::targets::stamp` under libFuzzer.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| monitor_fuzz::targets::stamp(bytes));
