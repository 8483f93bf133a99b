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

    /// The HTML page.
    pub(crate) fn page(&self) -> String {
        self.get("/")
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
            Ok(page)
        })
    }
}
