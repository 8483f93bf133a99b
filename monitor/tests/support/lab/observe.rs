//! Reads the outputs of a lab's filter: status, metrics, page.

use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use super::{Lab, tools::text};

impl Lab {
    /// The output of `monitor status --json`, which must succeed.
    pub(crate) fn status(&self) -> Value {
        let output = self.monitor(&["status", "--json"]);
        assert!(
            output.status.success(),
            "status failed: {}",
            text(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).expect("status prints JSON")
    }

    /// The numbers of (passed, dropped) packets of a policy.
    pub(crate) fn policy(&self, name: &str) -> (u64, u64) {
        let status = self.status();
        let policies = status["policies"].as_array().expect("policies");
        let policy = policies
            .iter()
            .find(|policy| policy["name"] == name)
            .unwrap_or_else(|| panic!("no policy {name} in {status:#}"));
        let matched = &policy["matched"];
        (
            matched["passed"]["packets"].as_u64().unwrap(),
            matched["dropped"]["packets"].as_u64().unwrap(),
        )
    }

    /// The generation in force on an interface.
    pub(crate) fn generation(&self, interface: &str) -> Option<u64> {
        let status = self.status();
        let interfaces = status["interfaces"].as_array().expect("interfaces");
        let interface = interfaces
            .iter()
            .find(|candidate| candidate["name"] == interface)?;
        interface["generation"].as_u64()
    }

    /// The metrics as text.
    pub(crate) fn metrics(&self) -> String {
        self.get("/metrics")
    }

    /// The first page for people.
    pub(crate) fn page(&self) -> String {
        self.get("/")
    }

    /// A page for people.
    pub(crate) fn page_at(&self, path: &str) -> String {
        self.get(path)
    }

    /// The reply to `/healthz`, including its head.
    pub(crate) fn health(&self) -> String {
        self.get("/healthz")
    }

    fn get(&self, path: &str) -> String {
        let address = "127.0.0.1:9641".parse().unwrap();
        let page = self.try_get(address, path, "");
        page.expect("connect to metrics")
    }

    /// Head and body of the reply; an error if no server listens on the gateway.
    /// `headers` are extra lines of the request, each with its line end.
    pub(crate) fn try_get(
        &self,
        address: SocketAddr,
        path: &str,
        headers: &str,
    ) -> std::io::Result<String> {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
        self.gateway.run(|| {
            use std::io::{Read as _, Write as _};
            let mut stream = TcpStream::connect(address)?;
            stream.write_all(request.as_bytes())?;
            let mut page = String::new();
            stream.read_to_string(&mut page)?;
            Ok(whole(page))
        })
    }
}

/// Joins the chunks of a body, if it has chunks (RFC 9112, section 7.1).
pub(crate) fn whole(answer: String) -> String {
    let Some((head, mut chunks)) = answer.split_once("\r\n\r\n") else {
        return answer;
    };
    if !head.contains("transfer-encoding: chunked") {
        return answer;
    }
    let mut whole = format!("{head}\r\n\r\n");
    while let Some((size, rest)) = chunks.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("the size of a chunk");
        whole += &rest[..size];
        chunks = &rest[size..];
        chunks = chunks.strip_prefix("\r\n").unwrap_or_default();
    }
    whole
}
