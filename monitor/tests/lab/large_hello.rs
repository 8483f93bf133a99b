//! First messages of TLS and QUIC that are longer than a packet, as key shares against quantum
//! computers make them.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use crate::{handshake::names, support};

use std::{
    collections::BTreeSet,
    io::Read as _,
    net::{SocketAddr, TcpStream, UdpSocket},
    sync::Arc,
    time::Instant,
};

use quinn_proto::{ClientConfig, Endpoint, EndpointConfig, crypto::rustls::QuicClientConfig};
use rustls::{
    ClientConnection, NamedGroup, RootCertStore,
    crypto::{ActiveKeyExchange, CryptoProvider, SharedSecret, SupportedKxGroup, ring},
    ffdhe_groups::FfdheGroup,
};
use support::{
    lab::{Lab, OPEN, poll, sh},
    raw::RawSocket,
};

/// The group X25519MLKEM768 for a client that never gets an answer.
#[derive(Debug)]
struct LargeGroup;

/// Its public key: 1,184 bytes of ML-KEM-768 and 32 of X25519
/// (draft-ietf-tls-ecdhe-mlkem-04, section 4.1).
#[derive(Debug)]
struct LargeShare([u8; 1216]);

impl SupportedKxGroup for LargeGroup {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, rustls::Error> {
        Ok(Box::new(LargeShare(std::array::from_fn(|_| {
            rand::random()
        }))))
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }
}

impl ActiveKeyExchange for LargeShare {
    fn complete(self: Box<Self>, _: &[u8]) -> Result<SharedSecret, rustls::Error> {
        unreachable!("no server answers")
    }

    fn pub_key(&self) -> &[u8] {
        &self.0
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }
}

fn config() -> Arc<rustls::ClientConfig> {
    let provider = CryptoProvider {
        kx_groups: vec![&LargeGroup],
        ..ring::default_provider()
    };
    let mut config = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    // As long as browsers make it with extensions that this client does not have.
    config.alpn_protocols = vec![vec![b'x'; 255]];
    Arc::new(config)
}

/// Sends the first message of TLS to a listener. Returns its length in bytes.
pub(crate) fn send_tls(lab: &Lab, address: &str, name: &'static str) -> usize {
    let listener = lab.listen_tcp(address);
    let to = listener.local_addr().unwrap();
    let mut hello = Vec::new();
    let mut client = ClientConnection::new(config(), name.try_into().unwrap()).unwrap();
    client.write_tls(&mut hello).unwrap();
    lab.phone.run(|| {
        let mut stream = TcpStream::connect(to).unwrap();
        std::io::Write::write_all(&mut stream, &hello).unwrap();
    });
    let mut arrived = Vec::new();
    listener
        .accept()
        .unwrap()
        .0
        .read_to_end(&mut arrived)
        .unwrap();
    assert_eq!(arrived, hello);
    hello.len()
}

/// Sends the first datagrams of a QUIC connection. Returns their number.
fn send_quic(lab: &Lab, to: SocketAddr, version: u32, name: &str) -> usize {
    let crypto = QuicClientConfig::try_from(config()).unwrap();
    let mut client = ClientConfig::new(Arc::new(crypto));
    client.version(version);
    let mut endpoint = Endpoint::new(Arc::new(EndpointConfig::default()), None, false, None);
    let now = Instant::now();
    let (_, mut connection) = endpoint.connect(now, client, to, name).unwrap();
    lab.phone.run(|| {
        let any = support::lab::any_like(&to.ip().to_string());
        let socket = UdpSocket::bind((any, 0)).unwrap();
        let (mut sent, mut datagram) = (0, Vec::new());
        while connection.poll_transmit(now, 1, &mut datagram).is_some() {
            socket.send_to(&datagram, to).unwrap();
            datagram.clear();
            sent += 1;
        }
        sent
    })
}

fn are_named(lab: &Lab, expected: &[(&str, &str)]) {
    let expected: BTreeSet<_> = expected
        .iter()
        .map(|&(how, name)| (how.to_owned(), name.to_owned()))
        .collect();
    poll("the names are known", || {
        BTreeSet::from_iter(names(lab)) == expected
    });
}

const POLICIES: &str = "version: 1
policies:
  - {name: seen, action: count, destinations: [192.0.2.0/24, 2001:db8:1::/48]}
";

/// The message is in two segments.
#[test]
fn tls_in_two_segments() {
    for mode in ["native", "generic"] {
        let lab = Lab::new("large-tls");
        lab.write_policies(POLICIES);
        let _daemon = lab.start(&["--mode", mode]);
        let length = send_tls(&lab, OPEN[0], "four.example");
        assert!(length > 1448, "{length}");
        send_tls(&lab, OPEN[1], "six.example");
        are_named(&lab, &[("sni", "four.example"), ("sni", "six.example")]);
    }
}

/// The kernel hands both segments to the filter as one packet, which is longer than the MTU.
#[test]
fn tls_in_one_aggregate() {
    let lab = Lab::new("large-gro");
    lab.write_policies(POLICIES);
    let _daemon = lab.start(&["--mode", "generic"]);
    for (namespace, interface) in [(&lab.phone, "eth0"), (&lab.gateway, "wlan0")] {
        sh(&format!(
            "nsenter --net=/run/netns/{} ethtool -K {interface} gro on gso on tso on",
            namespace.name
        ));
    }
    let arriving = RawSocket::receiver(&lab.gateway, "wlan0");
    send_tls(&lab, OPEN[0], "four.example");
    send_tls(&lab, OPEN[1], "six.example");
    are_named(&lab, &[("sni", "four.example"), ("sni", "six.example")]);
    let frames = std::iter::from_fn(|| arriving.receive_now());
    assert_eq!(frames.filter(|frame| frame.len() > 1514).count(), 2);
}

/// The message is in two datagrams. QUIC in version 1 and in draft 29.
#[test]
fn quic_in_two_datagrams() {
    let lab = Lab::new("large-quic");
    lab.write_policies(POLICIES);
    let _daemon = lab.start(&[]);
    for (address, version, name) in [
        (OPEN[0], 1, "one.example"),
        (OPEN[1], 0xff00_001d, "draft.example"),
    ] {
        let to = SocketAddr::new(address.parse().unwrap(), 443);
        assert_eq!(send_quic(&lab, to, version, name), 2);
    }
    are_named(&lab, &[("quic", "one.example"), ("quic", "draft.example")]);
}

/// Bytes that a browser sent (`tests/data/chromium-156`).
const NAME_FIRST: &[u8] = include_bytes!("../data/chromium-156/tls-name-first.bin");
const SHARE_FIRST: &[u8] = include_bytes!("../data/chromium-156/tls-share-first.bin");
const QUIC: [&[u8]; 2] = [
    include_bytes!("../data/chromium-156/quic-1.bin"),
    include_bytes!("../data/chromium-156/quic-2.bin"),
];

/// Sends bytes to a listener.
fn send_bytes(lab: &Lab, address: &str, bytes: &[u8]) {
    let listener = lab.listen_tcp(address);
    let to = listener.local_addr().unwrap();
    lab.phone.run(|| {
        let mut stream = TcpStream::connect(to).unwrap();
        std::io::Write::write_all(&mut stream, bytes).unwrap();
    });
    let mut arrived = Vec::new();
    let mut stream = listener.accept().unwrap().0;
    stream.read_to_end(&mut arrived).unwrap();
    assert_eq!(arrived, bytes);
}

/// What a browser sent, through the kernel.
#[test]
fn the_first_messages_of_a_browser() {
    let lab = Lab::new("large-browser");
    lab.write_policies(POLICIES);
    let _daemon = lab.start(&[]);
    send_bytes(&lab, OPEN[0], NAME_FIRST);
    send_bytes(&lab, OPEN[1], SHARE_FIRST);
    lab.phone.run(|| {
        let socket = UdpSocket::bind(("0.0.0.0", 0)).unwrap();
        for datagram in QUIC {
            socket.send_to(datagram, (OPEN[0], 443)).unwrap();
        }
    });
    are_named(&lab, &[("sni", "phone.example"), ("quic", "phone.example")]);
    // Both connections of TLS have the name.
    let tls = ("sni".to_owned(), "phone.example".to_owned());
    poll("both servers are named", || {
        names(&lab).iter().filter(|name| **name == tls).count() == 2
    });
}

/// The path carries packets of 576 bytes, so the message is in four segments.
#[test]
fn the_hello_of_a_browser_on_a_path_with_small_packets() {
    for (name, hello) in [("first", NAME_FIRST), ("last", SHARE_FIRST)] {
        let lab = Lab::new(&format!("large-mtu-{name}"));
        lab.write_policies(POLICIES);
        let _daemon = lab.start(&[]);
        sh(&format!(
            "nsenter --net=/run/netns/{} ip link set eth0 mtu 576",
            lab.phone.name
        ));
        let arriving = RawSocket::receiver(&lab.gateway, "wlan0");
        send_bytes(&lab, OPEN[0], hello);
        are_named(&lab, &[("sni", "phone.example")]);
        let frames = std::iter::from_fn(|| arriving.receive_now());
        assert_eq!(frames.filter(|frame| frame.len() > 400).count(), 4);
    }
}
