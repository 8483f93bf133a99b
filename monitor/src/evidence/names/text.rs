//! Turns bytes of the network into text, and recognises domain names and addresses.

use std::{fmt::Write as _, net::IpAddr};

/// Maximum length of a name, in bytes (RFC 1035, section 2.3.4).
pub const MAX_NAME: usize = 255;

/// Maximum length of a label of a domain name, in bytes (RFC 1035, section 2.3.4).
const MAX_LABEL: usize = 63;

/// Returns the text of a name: lower case, without a final dot, at most [`MAX_NAME`]
/// bytes of printable ASCII. The function writes each other byte, space and backslash as
/// `\xNN`. A text that becomes too long loses its end. Returns `None` if `bytes` holds no
/// name or is longer than [`MAX_NAME`].
#[must_use]
pub fn name(bytes: &[u8]) -> Option<String> {
    let bytes = bytes.strip_suffix(b".").unwrap_or(bytes);
    if bytes.is_empty() || bytes.len() > MAX_NAME {
        return None;
    }
    Some(printable(bytes, false).to_ascii_lowercase())
}

/// Returns the text of a model: at most [`MAX_NAME`] bytes of printable ASCII. The
/// function writes each other byte and backslash as `\xNN`. A text that becomes too long
/// loses its end. Returns `None` if `bytes` holds only spaces or is longer than 64 bytes.
#[must_use]
pub fn model(bytes: &[u8]) -> Option<String> {
    let bytes = bytes.trim_ascii();
    if bytes.is_empty() || bytes.len() > 64 {
        return None;
    }
    Some(printable(bytes, true))
}

fn printable(bytes: &[u8], spaces: bool) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        let shown = byte.is_ascii_graphic() && byte != b'\\' || spaces && byte == b' ';
        let length = if shown { 1 } else { 4 };
        if text.len() + length > MAX_NAME {
            break;
        }
        if shown {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// Returns true if `text` has the form of a domain name of at least two labels: letters,
/// digits, hyphens and underscores. The last label has a letter and no underscore, so no
/// IPv4 address and no version number is a domain name.
#[must_use]
pub fn is_domain(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let Some((_, last)) = text.rsplit_once('.') else {
        return false;
    };
    let top = last.len() >= 2
        && last.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && last.bytes().next().is_some_and(|b| b.is_ascii_alphabetic());
    top && text.len() <= MAX_NAME && text.split('.').all(is_label)
}

fn is_label(label: &str) -> bool {
    !label.is_empty()
        && label.len() <= MAX_LABEL
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// Returns the host of an authority `user@host:port` (RFC 3986, section 3.2). The host of
/// `[2001:db8::1]:80` is `2001:db8::1`.
#[must_use]
pub fn host_of_authority(authority: &[u8]) -> &[u8] {
    let host_and_port = match authority.iter().rposition(|b| *b == b'@') {
        Some(at) => authority.get(at + 1..).unwrap_or_default(),
        None => authority,
    };
    if let Some(inside) = host_and_port.strip_prefix(b"[") {
        let end = inside.iter().position(|b| *b == b']');
        return inside.get(..end.unwrap_or(inside.len())).unwrap_or(inside);
    }
    match host_and_port.iter().position(|b| *b == b':') {
        // More than one colon: an IPv6 address without brackets.
        Some(first) if !host_and_port.iter().skip(first + 1).any(|b| *b == b':') => {
            host_and_port.get(..first).unwrap_or(host_and_port)
        }
        _ => host_and_port,
    }
}

/// Returns true if `text` is an IP address.
#[must_use]
pub fn is_address(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_printable_lower_case_and_bounded() {
        assert_eq!(
            name(b"WWW.Example.COM.").as_deref(),
            Some("www.example.com")
        );
        assert_eq!(
            name(b"a\x1b[2J\nb c\\").as_deref(),
            Some(r"a\x1b[2j\x0ab\x20c\x5c")
        );
        assert_eq!(
            name("e\u{202e}\u{fc}".as_bytes()).as_deref(),
            Some(r"e\xe2\x80\xae\xc3\xbc")
        );
        assert_eq!(name(b"<b>&\"'").as_deref(), Some("<b>&\"'"));
        assert_eq!(name(b""), None);
        assert_eq!(name(b"."), None);
        assert_eq!(name(&[b'a'; 255]), Some("a".repeat(255)));
        assert_eq!(name(&[b'a'; 257]), None);
        let cut = name(&[0; 255]).unwrap();
        assert_eq!(cut, r"\x00".repeat(63));
    }

    #[test]
    fn a_model_keeps_its_spaces_and_its_case() {
        assert_eq!(model(b" Redmi Note 9S ").as_deref(), Some("Redmi Note 9S"));
        assert_eq!(model(b"a\tb").as_deref(), Some(r"a\x09b"));
        assert_eq!(model(b"  "), None);
        assert_eq!(model(&[b'a'; 65]), None);
    }

    #[test]
    fn domain_names_are_told_from_numbers_and_words() {
        for domain in [
            "a.cn",
            "www.example.com.",
            "_dns.resolver.arpa",
            "x.xn--p1ai",
            "1.2.com",
        ] {
            assert!(is_domain(domain), "{domain}");
        }
        let long = format!("{}.com", "a".repeat(64));
        for other in [
            "",
            "com",
            "1.2.3",
            "203.107.1.65",
            "a..com",
            ".com",
            "a.c",
            "-a.com",
            "a-.com",
            "a b.com",
            "a.4g",
            "a/b.com",
            "2001:db8::1",
            "\u{e9}.com",
            &long,
        ] {
            assert!(!is_domain(other), "{other}");
        }
    }

    #[test]
    fn the_host_of_an_authority_has_no_port_and_no_user() {
        for (authority, host) in [
            ("example.com", "example.com"),
            ("example.com:8080", "example.com"),
            ("user:pass@example.com:80", "example.com"),
            ("203.107.1.65:80", "203.107.1.65"),
            ("[2001:db8::1]:80", "2001:db8::1"),
            ("[2001:db8::1", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            (":80", ""),
            ("", ""),
            ("@", ""),
        ] {
            assert_eq!(host_of_authority(authority.as_bytes()), host.as_bytes());
        }
    }
}
