//! A message as a mail (RFC 5322).

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::Message;

/// Characters of a line of base64.
const LINE: usize = 76;

/// The whole mail. `date` is in the form of RFC 2822. Header fields have no text of a device or
/// a server: that is in the body, in base64, so no line of it can look like a header.
#[must_use]
pub fn mail(message: &Message, from: &str, to: &[String], date: &str, id: &str) -> String {
    let body = format!("{}\n\n{}\n", message.text, message.at);
    let encoded = BASE64_STANDARD.encode(body);
    let mut lines = String::new();
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(LINE));
        lines.push_str(line);
        lines.push('\n');
        rest = after;
    }
    format!(
        "From: {from}\nTo: {}\nSubject: monitor: {}\nDate: {date}\nMessage-ID: <{id}@monitor.invalid>\n\
         Auto-Submitted: auto-generated\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\
         Content-Transfer-Encoding: base64\n\n{lines}",
        to.join(", "),
        message.title,
    )
}
