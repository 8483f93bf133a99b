//! A time stamping authority of our own: certificates and stamps of openssl, behind a small
//! HTTP server.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
    thread,
};

use tempfile::TempDir;

/// Kind of a key, as arguments of `openssl genpkey`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Rsa,
    P256,
    P384,
}

impl Kind {
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Rsa => &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
            Self::P256 => &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
            Self::P384 => &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
        }
    }
}

/// Extensions of the certificate of an authority.
pub(crate) const GOOD: &str =
    "extendedKeyUsage=critical,timeStamping\nkeyUsage=critical,digitalSignature\n";

/// An authority with its CA. Everybody can make one.
pub(crate) struct Authority {
    directory: TempDir,
}

/// Heads and bodies of the requests so far.
pub(crate) type Requests = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// An HTTP server.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) requests: Requests,
}

/// Writes an answer to a request with this body.
pub(crate) type Answer = Box<dyn Fn(&[u8], &mut TcpStream) -> io::Result<()> + Send>;

impl Authority {
    /// A CA, and an authority with a certificate of it.
    pub(crate) fn new(kind: Kind) -> Self {
        Self::of_ca(kind, "/CN=Test CA")
    }

    /// The same, with another name of the CA.
    pub(crate) fn of_ca(kind: Kind, name_of_ca: &str) -> Self {
        let authority = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        for name in ["ca", "tsa"] {
            let key = format!("{name}.key");
            let generate = [&["genpkey", "-out", &key], kind.arguments()].concat();
            authority.openssl(&generate);
        }
        let ca = "req -x509 -new -key ca.key -days 30 -out ca.pem -subj";
        authority.openssl(&[&words(ca)[..], &[name_of_ca]].concat());
        let request = "req -new -key tsa.key -out tsa.csr -subj";
        authority.openssl(&[&words(request)[..], &["/O=Test/CN=Time of the test"]].concat());
        authority.certify("tsa.pem", 10, GOOD);
        authority.configure("digests = sha256, sha384, sha512");
        authority
    }

    /// Makes a certificate of the authority's key.
    pub(crate) fn certify(&self, file: &str, days: i32, extensions: &str) {
        self.write("extensions", extensions);
        let days = days.to_string();
        let certify = "x509 -req -in tsa.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile extensions -days";
        self.openssl(&[&words(certify)[..], &[&days, "-out", file]].concat());
    }

    /// Makes a certificate of this CA for another CA, whose key is in `middle.key`.
    pub(crate) fn certify_middle(&self, subject: &str) {
        let request = "req -new -key middle.key -out middle.csr -subj";
        self.openssl(&[&words(request)[..], &[subject]].concat());
        self.write("extensions", "basicConstraints=critical,CA:true\n");
        let certify = "x509 -req -in middle.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile extensions -days 10 -out middle.pem";
        self.openssl(&words(certify));
    }

    /// Writes the configuration of `openssl ts`, with further lines.
    pub(crate) fn configure(&self, lines: &str) {
        self.write("serial", "1000\n");
        self.write(
            "tsa.cnf",
            &format!(
                "[tsa]\ndefault_tsa = one\n[one]\nserial = ./serial\nsigner_cert = ./tsa.pem\nsigner_key = ./tsa.key\nsigner_digest = sha256\ndefault_policy = 1.2.3.4.1\nother_policies = 1.2.3.4.5\naccuracy = secs:1, millisecs:500\ntsa_name = yes\ness_cert_id_alg = sha256\n{lines}\n"
            ),
        );
    }

    /// Answers a request, as `openssl ts -reply` with these arguments.
    pub(crate) fn reply(&self, query: &[u8], arguments: &[&str]) -> Vec<u8> {
        fs::write(self.path("query"), query).unwrap();
        let reply = "ts -reply -config tsa.cnf -queryfile query -out reply";
        self.openssl(&[&words(reply)[..], arguments].concat());
        fs::read(self.path("reply")).unwrap()
    }

    /// Signs what a proper stamp states with another certificate, which `openssl ts` refuses.
    pub(crate) fn reply_as(&self, query: &[u8], certificate: &str) -> Vec<u8> {
        let token = self.reply(query, &["-token_out"]);
        fs::write(self.path("token"), token).unwrap();
        self.openssl(&words(
            "cms -verify -noverify -inform DER -in token -out content",
        ));
        let sign = "cms -sign -binary -nodetach -cades -econtent_type 1.2.840.113549.1.9.16.1.4 -in content -inkey tsa.key -nosmimecap -md sha256 -outform DER -out signed -signer";
        self.openssl(&[&words(sign)[..], &[certificate]].concat());
        granted(&fs::read(self.path("signed")).unwrap())
    }

    /// Checks a stamp with `openssl ts -verify`.
    pub(crate) fn openssl_accepts(&self, stamp: &Path, data: &Path) -> bool {
        let output = Command::new("openssl")
            .args(["ts", "-verify", "-in"])
            .arg(stamp)
            .arg("-data")
            .arg(data)
            .arg("-CAfile")
            .arg(self.path("ca.pem"))
            .output()
            .unwrap();
        output.status.success()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Path of the certificate of the CA.
    pub(crate) fn ca(&self) -> String {
        self.path("ca.pem").to_str().unwrap().to_owned()
    }

    /// A server that answers as this authority.
    pub(crate) fn serve(self: &Arc<Self>) -> Server {
        let own = Arc::clone(self);
        Server::answering(Box::new(move |query, client| {
            answer(client, "200 OK", "", &own.reply(query, &[]))
        }))
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn openssl(&self, arguments: &[&str]) {
        let output = Command::new("openssl")
            .args(arguments)
            .current_dir(self.directory.path())
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {error}");
    }
}

impl Server {
    pub(crate) fn answering(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/tsr", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // A client that refuses the answer closes the connection.
                let _ = serve(client, &answer, &seen);
            }
        });
        Self { url, requests }
    }
}

fn serve(mut client: TcpStream, answer: &Answer, seen: &Requests) -> io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let length = head.split_once("content-length: ").unwrap().1;
    let length = length.lines().next().unwrap().trim().parse().unwrap();
    let mut body = vec![0; length];
    client.read_exact(&mut body)?;
    seen.lock().unwrap().push((head, body.clone()));
    answer(&body, &mut client)
}

/// Sends an answer with its length.
pub(crate) fn answer(
    client: &mut TcpStream,
    status: &str,
    headers: &str,
    body: &[u8],
) -> io::Result<()> {
    let length = body.len();
    write!(
        client,
        "HTTP/1.1 {status}\r\nContent-Type: application/timestamp-reply\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n"
    )?;
    client.write_all(body)
}

/// A response that grants a token: a SEQUENCE of a status and the token.
fn granted(token: &[u8]) -> Vec<u8> {
    let content = [&[0x30, 3, 2, 1, 0], token].concat();
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    [&[0x30, 0x82], &length[..], &content].concat()
}

fn words(text: &str) -> Vec<&str> {
    text.split(' ').collect()
}
