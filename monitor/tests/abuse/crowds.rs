//! Many clients at once, slow clients, and clients that disconnect.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
    os::unix::net::UnixStream,
};

use monitor::{control::MAX_CLIENTS, http::Limits};

use crate::{
    check, connect, rest,
    support::lab::{Lab, poll},
};

/// Number of clients: more than either socket serves at the same time.
const CROWD: usize = 300;

/// Number of clients that fill both the places for clients and the listener's
/// queue. A further client would have to wait.
const HTTP_CROWD: usize = 150;

#[test]
fn a_crowd_that_never_finishes_asking_is_sent_away() {
    let lab = Lab::new("abuse-crowd");
    let mut daemon = lab.start(&["--mode", "generic"]);
    let crowd: Vec<TcpStream> = (0..HTTP_CROWD)
        .map(|number| half_asked(&lab, number))
        .collect();
    let silent: Vec<UnixStream> = (0..CROWD)
        .map(|number| half_requested(&lab, number))
        .collect();
    let most = Limits::default().connections + MAX_CLIENTS;
    poll("it reads from as many as it may", || {
        descriptors(daemon.child.id()) >= most
    });
    let open = descriptors(daemon.child.id());
    println!("{} clients, {open} descriptors", CROWD + HTTP_CROWD);
    // The allowance is for descriptors that the daemon itself needs.
    assert!(open < most + 100, "{open} descriptors");
    // Other clients wait until the daemon has closed the connections before
    // them.
    assert_eq!(lab.generation("wlan0"), Some(1));
    for client in crowd.iter().take(Limits::default().connections) {
        assert_eq!(rest(client), "", "an answer to nothing");
    }
    drop((crowd, silent));
    check(&lab, &mut daemon);
    poll("its descriptors are closed", || {
        descriptors(daemon.child.id()) < 100
    });
}

#[test]
fn who_asks_for_much_and_never_reads_keeps_nobody_waiting() {
    let lab = Lab::new("abuse-unread");
    let mut daemon = lab.start(&["--mode", "generic"]);
    let unread: Vec<UnixStream> = (0..CROWD)
        .map(|_| {
            let mut client = UnixStream::connect(lab.socket()).unwrap();
            client.write_all(b"{\"verb\":\"status\"}\n").unwrap();
            client
        })
        .collect();
    let scrapes: Vec<TcpStream> = (0..CROWD)
        .map(|_| {
            let mut client = connect(&lab);
            client
                .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
                .unwrap();
            client
        })
        .collect();
    check(&lab, &mut daemon);
    for mut client in unread {
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("{\"status\":"), "{answer}");
    }
    for client in scrapes {
        assert!(rest(&client).ends_with("# EOF\n"));
    }
}

#[test]
fn clients_that_leave_at_any_byte_leave_nothing_behind() {
    let lab = Lab::new("abuse-leave");
    let mut daemon = lab.start(&["--mode", "generic"]);
    let request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for length in 0..=request.len() {
        let mut client = connect(&lab);
        client.write_all(&request[..length]).unwrap();
        match length % 3 {
            0 => client.shutdown(Shutdown::Write).unwrap(),
            1 => client.shutdown(Shutdown::Both).unwrap(),
            _ => {}
        }
    }
    let request = b"{\"verb\":\"reload\"}";
    for length in 0..=request.len() {
        let mut client = UnixStream::connect(lab.socket()).unwrap();
        client.write_all(&request[..length]).unwrap();
        if length % 2 == 0 {
            client.shutdown(Shutdown::Write).unwrap();
        }
    }
    check(&lab, &mut daemon);
    poll("its descriptors are closed", || {
        descriptors(daemon.child.id()) < 100
    });
}

fn half_asked(lab: &Lab, number: usize) -> TcpStream {
    let mut client = connect(lab);
    let request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r";
    client
        .write_all(&request[..number % request.len()])
        .unwrap();
    client
}

fn half_requested(lab: &Lab, number: usize) -> UnixStream {
    let mut client = UnixStream::connect(lab.socket()).unwrap();
    let request = b"{\"verb\":\"detach\"}";
    client
        .write_all(&request[..number % request.len()])
        .unwrap();
    client
}

fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}
