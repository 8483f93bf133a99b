//! Asks a small RDAP server on 127.0.0.1 that answers as the servers of the registries do,
//! and as a hostile one.

#![expect(clippy::unwrap_used, reason = "a test panics where it fails")]

mod hostile;
mod registries;

use std::{
    collections::HashMap,
    fmt::Write as _,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use monitor::{
    data::rdap::{Answer, Client, RdapError, Server},
    feeds::Own,
    registry::Registry,
};
use serde_json::{Value, json};

/// An HTTP server. Each path has a fixed answer.
struct HttpServer {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

type Answers = HashMap<String, Vec<u8>>;

impl HttpServer {
    fn start(answers: impl FnOnce(&str) -> Answers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answers = answers(&url);
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        thread::spawn(move || {
            for connection in listener.incoming() {
                serve(&mut connection.unwrap(), &answers, &seen);
            }
        });
        Self { url, requests }
    }

    fn ask(&self, address: &str) -> Result<Answer, RdapError> {
        let server: Server = self.url.parse().unwrap();
        let client = Client::new(None, Own::default()).unwrap();
        let now = "2026-11-29T12:00:00Z".parse().unwrap();
        client.ask(address.parse().unwrap(), Some(&server), now)
    }
}

fn serve(connection: &mut TcpStream, answers: &Answers, seen: &Mutex<Vec<String>>) {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && matches!(connection.read(&mut byte), Ok(1)) {
        request.push(byte[0]);
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    seen.lock().unwrap().push(request);
    let missing = || status("404 Not Found", "{}");
    let answer = answers.get(&path).cloned().unwrap_or_else(missing);
    // The client may have ended the connection, if the answer is too large.
    let _ = connection.write_all(&answer);
}

fn status(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/rdap+json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

fn redirect(to: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )
    .into_bytes()
}

/// Asks about 42.62.48.1 a server that answers with `body`.
fn answer(body: &str) -> Result<Answer, RdapError> {
    let answer = status("200 OK", body);
    let server = HttpServer::start(|_| Answers::from([("/ip/42.62.48.1".to_owned(), answer)]));
    server.ask("42.62.48.1")
}

fn text(answer: &Answer) -> String {
    // The port of the server differs in each run.
    answer.statements.to_string()
}

fn card(name: &str, kind: &str) -> Value {
    json!(["vcard", [
        ["version", {}, "text", "4.0"],
        ["fn", {}, "text", name],
        ["kind", {}, "text", kind],
        ["adr", {"label": "Beijing, China"}, "text", ["", "", "", "", "", "", ""]],
    ]])
}

/// An object as APNIC answers for a range that a member of CNNIC holds, made up for this
/// test. It has no registrant.
fn of_a_member() -> Value {
    json!({
        "rdapConformance": ["history_version_0", "nro_rdap_profile_0", "cidr0", "rdap_level_0"],
        "objectClassName": "ip network",
        "handle": "42.62.0.0 - 42.62.127.255",
        "startAddress": "42.62.0.0",
        "endAddress": "42.62.127.255",
        "ipVersion": "v4",
        "name": "EXAMPLE-HOSTING",
        "type": "ALLOCATED PORTABLE",
        "country": "CN",
        "status": ["active"],
        "port43": "whois.apnic.net",
        "cidr0_cidrs": [{"v4prefix": "42.62.0.0", "length": 17}],
        "events": [
            {"eventAction": "registration", "eventDate": "2011-03-10T04:21:36Z"},
            {"eventAction": "last changed", "eventDate": "2021-06-16T01:21:16Z"},
        ],
        "remarks": [
            {"title": "description", "description": ["CNNIC", "Example Hosting Co. Ltd", "Beijing"]},
            {"title": "remarks", "description": ["------"]},
        ],
        "entities": [
            {
                "objectClassName": "entity", "handle": "IRT-CNNIC-CN", "roles": ["abuse"],
                "vcardArray": card("IRT-CNNIC-CN", "group"),
            },
            {
                "objectClassName": "entity", "handle": "XX1-AP",
                "roles": ["administrative", "technical"],
                "vcardArray": card("Somebody Else", "individual"),
            },
        ],
        "notices": [{"title": "Terms and Conditions", "description": ["x"]}],
    })
}

#[test]
fn the_holder_is_never_the_registry_whose_authorisation_objects_are_there() {
    let answer = answer(&of_a_member().to_string()).unwrap();
    assert_eq!(answer.server, "127.0.0.1");
    assert_eq!(answer.last_changed, "2021-06-16".parse().ok());
    assert_eq!(
        text(&answer),
        "registry: APNIC (127.0.0.1 asked 2026-11-29)
    also: CNNIC (national registry under APNIC; 127.0.0.1 asked 2026-11-29)
holder: EXAMPLE-HOSTING (netname; 127.0.0.1 asked 2026-11-29)
    also: Example Hosting Co. Ltd (descr; 127.0.0.1 asked 2026-11-29)
origin AS: unknown
country of delegation: unknown
country (where the administrative contact sits): CN (127.0.0.1 asked 2026-11-29)
list author: unknown
"
    );
    assert_eq!(
        answer.to_string(),
        "RDAP 127.0.0.1 about 42.62.48.1: 42.62.0.0 - 42.62.127.255, handle 42.62.0.0 - 42.62.127.255, last changed 2021-06-16"
    );
}

#[test]
fn the_registrant_is_the_holder() {
    let mut object = of_a_member();
    let registrant = json!({
        "handle": "ORG-EX1-AP", "roles": ["registrant"],
        "vcardArray": card("Example Holder Ltd", "org"),
    });
    object["entities"].as_array_mut().unwrap().push(registrant);
    let holders = answer(&object.to_string()).unwrap().statements.holder;
    let names: Vec<&str> = holders
        .iter()
        .map(|holder| holder.value.name.as_str())
        .collect();
    assert_eq!(names, ["Example Holder Ltd"]);
}

#[test]
fn an_object_that_names_only_registries_has_no_holder() {
    for (handle, registry) in [
        ("MAINT-CNNIC-AP", Registry::Cnnic),
        ("MAINT-JPNIC", Registry::Jpnic),
        ("MNT-KRNIC-AP", Registry::Krnic),
        ("MAINT-TW-TWNIC", Registry::Twnic),
        ("MAINT-IN-IRINN", Registry::Irinn),
        ("MAINT-VN-VNNIC", Registry::Vnnic),
        ("MNT-APJII-ID", Registry::Idnic),
    ] {
        let mut object = of_a_member();
        object["name"] = json!(handle);
        object["remarks"] = json!([{"title": "description", "description": [handle, "-"]}]);
        object["entities"] = json!([{
            "handle": handle, "roles": ["registrant"], "vcardArray": card(handle, "org"),
        }]);
        let statements = answer(&object.to_string()).unwrap().statements;
        assert_eq!(statements.holder, [], "{handle}");
        let registries = statements.registry.iter().map(|found| found.value.registry);
        let expected = [Registry::Apnic, registry];
        assert_eq!(registries.collect::<Vec<_>>(), expected, "{handle}");
    }
}

#[test]
fn a_remark_counts_if_there_is_neither_registrant_nor_name_nor_description() {
    let mut object = of_a_member();
    object["name"] = json!(null);
    object["remarks"] = json!([{"description": ["CNNIC", "held by Example"]}]);
    let shown = text(&answer(&object.to_string()).unwrap());
    assert!(
        shown.contains("holder: held by Example (remarks; "),
        "{shown}"
    );
    for remark in [
        "JPNIC Allocation Block",
        "Allocated to KRNIC Member.",
        "If you would like to find assignment information see below",
        "This object can only be updated by APNIC hostmasters.",
        "noc@example.net",
        "Please contact us",
        "http://www.iana.org/assignments/ipv4-address-space",
    ] {
        object["remarks"] = json!([{"title": "remarks", "description": [remark]}]);
        let holders = answer(&object.to_string()).unwrap().statements.holder;
        assert_eq!(holders, [], "{remark}");
    }
}

#[test]
fn an_error_after_a_redirect_names_the_last_server() {
    let server = HttpServer::start(|_| {
        let to = redirect("https://rdap.invalid/ip/42.62.48.1");
        Answers::from([("/ip/42.62.48.1".to_owned(), to)])
    });
    let error = server.ask("42.62.48.1").unwrap_err().to_string();
    assert!(error.contains("ask rdap.invalid: "), "{error}");
}

#[test]
fn the_question_is_one_request_for_the_address_and_redirects_are_followed() {
    let body = of_a_member().to_string();
    let server = HttpServer::start(|url| {
        Answers::from([
            (
                "/ip/42.62.48.1".to_owned(),
                redirect(&format!("{url}/other/ip/42.62.48.1")),
            ),
            ("/other/ip/42.62.48.1".to_owned(), status("200 OK", &body)),
        ])
    });
    server.ask("::ffff:42.62.48.1").unwrap();
    let requests = server.requests.lock().unwrap();
    assert_eq!(requests.len(), 2);
    let request = requests[0].to_lowercase();
    assert!(
        request.starts_with("get /ip/42.62.48.1 http/1.1\r\n"),
        "{request}"
    );
    assert!(
        request.contains("accept: application/rdap+json, application/json\r\n"),
        "{request}"
    );
}

#[test]
fn statuses_are_told_apart() {
    for (code, expected) in [
        ("404 Not Found", "127.0.0.1 has no object for 42.62.48.1"),
        ("429 Too Many Requests", "was asked too often"),
        ("500 Internal Server Error", "the server answers 500"),
        ("304 Not Modified", "the server redirects to nowhere"),
    ] {
        let answer = status(code, "");
        let server = HttpServer::start(|_| Answers::from([("/ip/42.62.48.1".to_owned(), answer)]));
        let error = server.ask("42.62.48.1").unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn fields_of_other_types_count_as_missing_and_lists_are_cut() {
    for field in [
        "name", "country", "port43", "remarks", "entities", "events", "handle",
    ] {
        for value in [
            json!(7),
            json!(null),
            json!({"a": []}),
            json!([[], 7, null, {"roles": 1}]),
            json!("\u{1b}"),
        ] {
            let mut object = of_a_member();
            object[field] = value.clone();
            let answer = answer(&object.to_string()).unwrap();
            let shown = format!("{answer}\n{}", text(&answer));
            assert!(!shown.contains('\u{1b}'), "{field} {value}: {shown}");
        }
    }
    let mut object = of_a_member();
    object["entities"] = json!(vec![
        json!({"handle": "X", "roles": [], "vcardArray": ["vcard", [[]]]});
        500
    ]);
    let mut last = json!({"handle": "R", "roles": ["registrant"]});
    last["vcardArray"] = card("Too Late Ltd", "org");
    object["entities"].as_array_mut().unwrap().push(last);
    let shown = text(&answer(&object.to_string()).unwrap());
    assert!(!shown.contains("Too Late"), "{shown}");
}

#[test]
fn markup_and_controls_in_names_are_shown_harmlessly() {
    let mut hostile = String::from("<script>alert(1)</script>\u{1b}[2J\u{202e}\r\nregistry: fake");
    write!(hostile, "{}", "é".repeat(400)).unwrap();
    let mut object = of_a_member();
    object["name"] = json!(hostile);
    object["handle"] = json!(hostile);
    object["entities"] = json!([]);
    object["remarks"] = json!([]);
    let answer = answer(&object.to_string()).unwrap();
    let shown = format!("{answer}\n{}", text(&answer));
    let forged = |line: &str| line.starts_with("registry: fake");
    assert!(!shown.lines().any(forged), "{shown}");
    assert!(!shown.contains(['\u{1b}', '\u{202e}', '\r']), "{shown:?}");
    let name = &answer.statements.holder[0].value.name;
    assert!(
        name.starts_with("<script>") && (250..=255).contains(&name.len()),
        "{name}"
    );
}

#[test]
fn the_url_of_a_server_is_https_or_on_this_machine() {
    for url in [
        "https://rdap.apnic.net",
        "https://rdap.arin.net/registry/",
        "http://127.0.0.1:1",
        "http://[::1]/x",
    ] {
        url.parse::<Server>().unwrap();
    }
    for (url, expected) in [
        ("http://rdap.apnic.net/", "write an https URL"),
        ("rdap.apnic.net", "https://rdap.apnic.net/"),
        ("ftp://rdap.apnic.net/", "https://rdap.apnic.net/"),
        ("https://me:secret@rdap.apnic.net/", "remove the user name"),
        ("https://rdap.apnic.net/?x", "remove the part"),
    ] {
        let error = url.parse::<Server>().unwrap_err().to_string();
        assert!(error.contains(expected), "{url}: {error}");
    }
}
