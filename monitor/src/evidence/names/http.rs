//! Finds names in an HTTP/1 request (RFC 9112).

mod user_agent;

use httparse::{EMPTY_HEADER, Header, Status};

use super::{Message, asked, text};

/// Maximum number of header fields of a request.
const MAX_HEADERS: usize = 128;

/// The part of a request that tells names and a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The host of the field `Host`, without its port. It can be any bytes. `None` where
    /// the request goes to a proxy: the destination has another name then.
    pub host: Option<Vec<u8>>,
    /// Names inside the request that are not the destination's.
    pub asked: Vec<String>,
    /// The model of the device in the field `User-Agent`.
    pub model: Option<String>,
    /// True for CONNECT: what follows goes to another server.
    pub is_tunnel: bool,
}

/// Finds a request at the front of `bytes`. An incomplete request has content as soon as
/// its field `Host` is complete.
#[must_use]
pub fn request(bytes: &[u8]) -> Message<Request> {
    if !begins_with_method(bytes) {
        return Message::Other;
    }
    let mut headers = [EMPTY_HEADER; MAX_HEADERS];
    let mut head = httparse::Request::new(&mut headers);
    match head.parse(bytes) {
        Ok(Status::Complete(length)) => Message::Whole {
            content: content(&head),
            length: length.saturating_add(body_length(head.headers)),
        },
        Ok(Status::Partial) => Message::Incomplete {
            content: complete_lines(bytes),
        },
        Err(_) => Message::Other,
    }
}

/// Returns true if `bytes` can begin with a method of upper-case letters and a space.
fn begins_with_method(bytes: &[u8]) -> bool {
    const LONGEST: usize = 16;
    let letters = bytes
        .iter()
        .take_while(|b| b.is_ascii_uppercase() || **b == b'-')
        .count();
    match bytes.get(letters) {
        Some(b' ') => (3..=LONGEST).contains(&letters),
        Some(_) => false,
        None => (1..=LONGEST).contains(&letters),
    }
}

/// Reads the lines that are complete, if one of them is the field `Host`.
fn complete_lines(bytes: &[u8]) -> Option<Request> {
    let last_line = bytes.iter().rposition(|b| *b == b'\n')?;
    let mut lines = bytes.get(..=last_line)?.to_vec();
    lines.extend_from_slice(b"\r\n");
    let mut headers = [EMPTY_HEADER; MAX_HEADERS];
    let mut head = httparse::Request::new(&mut headers);
    let complete = head.parse(&lines).ok()?.is_complete();
    let has_host = complete && field(head.headers, "host").is_some();
    has_host.then(|| content(&head))
}

fn content(head: &httparse::Request<'_, '_>) -> Request {
    let method = head.method.unwrap_or_default();
    let target = head.path.unwrap_or_default();
    let host = field(head.headers, "host").map(|value| text::host_of_authority(value.trim_ascii()));
    let host_text = host.and_then(|host| str::from_utf8(host).ok());
    let mut request = Request {
        model: field(head.headers, "user-agent").and_then(user_agent::model),
        is_tunnel: method == "CONNECT",
        ..Request::default()
    };
    if request.is_tunnel {
        request.asked.extend(proxied(target, host_text));
    } else if let Some(authority) = absolute(target) {
        request.asked.extend(proxied(authority, host_text));
        request.asked.extend(asked::in_query(target, host_text));
    } else {
        request.asked = asked::in_query(target, host_text);
        request.host = host.filter(|host| !host.is_empty()).map(<[u8]>::to_vec);
    }
    request
}

/// Returns the authority of a target in absolute form, which goes to a proxy (RFC 9112,
/// section 3.2.2).
fn absolute(target: &str) -> Option<&str> {
    let (scheme, rest) = target.split_once("://")?;
    let is_scheme = ["http", "https", "ftp"]
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known));
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    is_scheme.then(|| rest.get(..end)).flatten()
}

/// Returns the domain names of the authority of a request to a proxy, and of its `Host`.
fn proxied(authority: &str, host: Option<&str>) -> impl Iterator<Item = String> {
    let target = str::from_utf8(text::host_of_authority(authority.as_bytes())).ok();
    let target = target.filter(|name| text::is_domain(name));
    let host = host.filter(|name| text::is_domain(name));
    let other = host.and_then(|host| asked::differing(host, target));
    let target = target.and_then(|name| asked::differing(name, None));
    target.into_iter().chain(other)
}

/// Returns the value of the first field with this name.
fn field<'a>(headers: &[Header<'a>], name: &str) -> Option<&'a [u8]> {
    let header = headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case(name))?;
    Some(header.value)
}

/// Returns the length of the body, in bytes. The length of a body in chunks is unknown, so
/// it covers all that follows.
fn body_length(headers: &[Header<'_>]) -> usize {
    if field(headers, "transfer-encoding").is_some() {
        return usize::MAX;
    }
    let Some(value) = field(headers, "content-length") else {
        return 0;
    };
    let digits = str::from_utf8(value.trim_ascii()).ok();
    digits
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
