//! Wires the tasks: policies → generation, signals, file watching, control
//! socket, HTTP.

mod addresses;
mod blocking;
mod clients;
mod core;
mod devices;
mod endpoints;
mod feeds;
mod log_reader;
mod manager;
mod saving;
mod serve;
mod signals;
mod sockets;
mod unix_socket;
mod watch;

pub use self::core::{Core, LoadError, StartOptions};
pub use serve::{DaemonEnd, ServeError, run};
pub use signals::{SignalError, Signals};
pub use sockets::ControlSocket;
pub use unix_socket::BindError;
