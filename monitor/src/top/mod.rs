//! `monitor top`: what the filter sees now, as a screen of devices and destinations.
//!
//! ```text
//! daemon, or store ─► Facts ─► rows ─► Top (state) ─► screen
//!                               keys ──► Top ─► Step: quit, or ask the daemon
//! ```
//!
//! All of it is pure: the time comes in with the facts, keys come in as events, and the screen
//! is drawn into a buffer. `cli/top.rs` reads the facts and owns the terminal.

mod details;
mod facts;
mod keys;
mod palette;
mod rows;
mod screen;
mod state;

pub use facts::{Facts, Moment};
pub use palette::Palette;
pub use rows::Sort;
pub use screen::draw;
pub use state::{Step, Top};

#[cfg(test)]
mod tests;
