//! What files say about devices: vendors, leases and names.

pub mod leases;
pub mod lines;
pub mod mac;
pub mod names;
pub mod oui;
