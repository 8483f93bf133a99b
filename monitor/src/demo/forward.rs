//! Makes the gateway's page reachable for a browser on this machine.

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

use anyhow::{Context as _, Result};

use crate::demo::daemon::PAGE;
use crate::demo::namespace::Namespace;

/// Forwards connections from this machine's loopback to the page, in a thread that never
/// ends. Returns the address that forwards.
pub(crate) fn start(gateway: &Namespace) -> Result<SocketAddr> {
    let listener = TcpListener::bind(PAGE)
        .or_else(|_taken| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .context("a port for the page")?;
    let address = listener.local_addr().context("the page's port")?;
    let gateway = gateway.clone();
    thread::spawn(move || accept(&listener, &gateway));
    Ok(address)
}

fn accept(listener: &TcpListener, gateway: &Namespace) {
    for client in listener.incoming().flatten() {
        let gateway = gateway.clone();
        thread::spawn(move || {
            if let Err(error) = forward(&client, &gateway) {
                eprintln!("monitor: forward to the page: {error:#}");
            }
        });
    }
}

fn forward(client: &TcpStream, gateway: &Namespace) -> Result<()> {
    let server = gateway.enter(|| TcpStream::connect(PAGE).with_context(|| PAGE.to_string()))?;
    thread::scope(|scope| {
        scope.spawn(|| pump(client, &server));
        pump(&server, client);
    });
    Ok(())
}

/// Copies bytes in both directions. Errors are ignored, because a browser may close a
/// connection at any time.
fn pump(mut from: &TcpStream, mut to: &TcpStream) {
    let _copied = io::copy(&mut from, &mut to);
    let _closed = to.shutdown(Shutdown::Write);
}
