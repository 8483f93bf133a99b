//! Wires the tasks: policies → generation, signals, file watching, control
//! socket, HTTP.

mod core;
mod log_reader;
mod serve;
mod sockets;
mod watch;

pub use self::core::{Core, StartError};
pub use serve::{End, ServeError, run};
pub use sockets::{BindError, Sockets};
