//! A server on the loopback interface, and a client that sends any bytes.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use monitor::{
    http::{Access, Limits, PageSource, ReadSnapshot, Site, serve},
    metrics::{DeviceKey, DeviceLabel, DeviceLabels},
    snapshot::Snapshot,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{Mutex, oneshot},
    task::JoinHandle,
};

use crate::snapshots::{PHONE, named};

/// A test that takes longer hangs, and fails. No time is measured.
pub(crate) const HANGS: Duration = Duration::from_secs(60);

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) stop: oneshot::Sender<()>,
    pub(crate) task: JoinHandle<io::Result<()>>,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

pub(crate) fn site(read_snapshot: ReadSnapshot, limits: Limits) -> Site {
    let key = DeviceKey::new([7; DeviceKey::LEN]);
    let labels = DeviceLabels::new(DeviceLabel::Pseudonym, key, 100_000);
    Site {
        read_snapshot,
        interfaces: Arc::new(|| vec!["br-lan".to_owned()]),
        labels: Arc::new(Mutex::new(labels)),
        pages: PageSource::Withheld("Contacts are not shown here."),
        login: None,
        limits,
    }
}

pub(crate) fn showing(snapshot: Snapshot) -> Site {
    let snapshot = named(snapshot, &[(PHONE, "phone")]);
    site(Arc::new(move || Ok(snapshot.clone())), Limits::default())
}

pub(crate) async fn start(site: Site) -> Server {
    start_with(site, Access::Network(None)).await
}

pub(crate) async fn start_with(site: Site, access: Access) -> Server {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(serve(listener, site, access, async {
        stopped.await.ok();
    }));
    Server {
        address,
        stop,
        task,
    }
}

impl Server {
    pub(crate) async fn ask(&self, method: &str, path: &str) -> Answer {
        self.send(&format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\n\r\n",
            self.address
        ))
        .await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path).await
    }

    pub(crate) async fn send(&self, request: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        read_answer(&mut stream).await
    }
}

impl Server {
    /// A connection that has sent a request.
    pub(crate) async fn open(&self, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address);
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    /// The answer to a request, of which the body may be any bytes. In lower case.
    pub(crate) async fn send_bytes(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let bytes = read_to_end(&mut stream).await;
        String::from_utf8_lossy(&bytes).to_ascii_lowercase()
    }
}

/// The first bytes of an answer that does not end, in lower case.
pub(crate) async fn read_some(stream: &mut TcpStream) -> String {
    let mut bytes = vec![0; 4096];
    let read = tokio::time::timeout(HANGS, stream.read(&mut bytes)).await;
    bytes.truncate(read.expect("the server does not answer").unwrap());
    String::from_utf8_lossy(&bytes).to_ascii_lowercase()
}

pub(crate) async fn read_answer(stream: &mut TcpStream) -> Answer {
    let bytes = read_to_end(stream).await;
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no head: {text:?}"));
    let is_chunked = head
        .to_ascii_lowercase()
        .contains("\r\ntransfer-encoding: chunked");
    let body = if is_chunked && !body.is_empty() {
        whole(body)
    } else {
        body.to_owned()
    };
    Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head: head.to_ascii_lowercase(),
        body,
    }
}

/// Joins the chunks of a body (RFC 9112, section 7.1).
fn whole(mut chunks: &str) -> String {
    let mut body = String::new();
    loop {
        let (size, rest) = chunks.split_once("\r\n").unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return body;
        }
        body += &rest[..size];
        chunks = rest[size..].strip_prefix("\r\n").unwrap();
    }
}

/// All that the server sends until it closes the connection.
pub(crate) async fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = vec![];
    let ended = tokio::time::timeout(HANGS, stream.read_to_end(&mut bytes))
        .await
        .expect("the server does not close");
    match ended {
        Ok(_) => {}
        // The server closed the connection before it had read everything.
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
    }
    bytes
}
