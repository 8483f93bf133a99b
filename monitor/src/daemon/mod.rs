//! Wires the tasks: policies → generation, signals, file watching, control
//! socket, HTTP.

mod addresses;
mod alerts;
mod blocking;
mod capture;
mod clients;
mod core;
mod devices;
mod doctor;
mod endpoints;
mod events;
mod evidence;
mod evidence_handle;
mod feeds;
mod jobs;
mod log_reader;
mod manager;
mod ranges;
mod saving;
mod serve;
mod signals;
mod sockets;
mod unix_socket;
mod watch;

pub use self::core::{Core, LoadError, StartOptions};
pub use events::ServeError;
pub use serve::{DaemonEnd, run};
pub use signals::{SignalError, Signals};
pub use sockets::ControlSocket;
pub use unix_socket::BindError;
