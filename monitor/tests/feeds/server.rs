//! An HTTP server that a test scripts, with correct and faulty behaviour.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A stream, encrypted or not.
pub(crate) trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// The server's reaction to a request.
pub(crate) type Behaviour = Box<dyn Fn(&str, &mut dyn Stream) -> io::Result<()> + Send>;

/// A server that runs until the test ends.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    behaviour: Arc<Mutex<Behaviour>>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Starts a server on a listener, which may be of any namespace.
    pub(crate) fn on(listener: TcpListener, tls: Option<Arc<ServerConfig>>) -> Self {
        let address = listener.local_addr().unwrap();
        let behaviour: Behaviour = Box::new(|_, _| Ok(()));
        let behaviour = Arc::new(Mutex::new(behaviour));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (does, seen) = (Arc::clone(&behaviour), Arc::clone(&requests));
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // A client may close the connection, and must do so if it
                // refuses the reply.
                let _ = match &tls {
                    None => serve(client, &does, &seen),
                    Some(config) => ServerConnection::new(Arc::clone(config))
                        .map_err(io::Error::other)
                        .and_then(|tls| serve(StreamOwned::new(tls, client), &does, &seen)),
                };
            }
        });
        Self {
            address,
            behaviour,
            requests,
        }
    }

    pub(crate) fn here() -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), None)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn behaves(
        &self,
        behaviour: impl Fn(&str, &mut dyn Stream) -> io::Result<()> + Send + 'static,
    ) {
        *self.behaviour.lock().unwrap() = Box::new(behaviour);
    }

    /// Makes the server reply with this content and status 200.
    pub(crate) fn gives(&self, content: impl Into<Vec<u8>>) {
        let content = content.into();
        self.behaves(move |_, client| answer(client, "200 OK", "", &content));
    }

    /// The heads of all requests so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn serve(
    mut client: impl Stream,
    behaviour: &Mutex<Behaviour>,
    seen: &Mutex<Vec<String>>,
) -> io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    seen.lock().unwrap().push(head.clone());
    behaviour.lock().unwrap()(&head, &mut client)
}

/// Sends a reply with its length.
pub(crate) fn answer(
    client: &mut dyn Stream,
    status: &str,
    headers: &str,
    body: &[u8],
) -> io::Result<()> {
    let length = body.len();
    write!(
        client,
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n"
    )?;
    client.write_all(body)?;
    client.flush()
}

/// A certificate for 127.0.0.1 that signs itself: PEM, and a server's configuration.
pub(crate) fn certificate() -> (String, Arc<ServerConfig>) {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (made.cert.pem(), Arc::new(config))
}

/// An address that refuses connections, because its listener is closed.
pub(crate) fn refusing() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    assert!(TcpStream::connect(address).is_err());
    address
}
