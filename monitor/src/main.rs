//! The command line of monitor.

fn main() {}
