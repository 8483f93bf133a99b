//! The cookie that holds the secret of a session.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header::COOKIE};

use super::sessions::Secret;

/// Name of the cookie over TLS. Browsers accept `__Host-` only from this host itself, over TLS.
const OVER_TLS: &str = "__Host-monitor-session";

/// Name of the cookie over plain HTTP, which is served to this machine only.
const PLAIN: &str = "monitor-session";

const fn name(is_tls: bool) -> &'static str {
    if is_tls { OVER_TLS } else { PLAIN }
}

/// The cookie that begins a session.
pub(super) fn begin(secret: &Secret, life: Duration, is_tls: bool) -> HeaderValue {
    cookie(&secret.text(), life, is_tls)
}

/// The cookie that removes the cookie of a session.
pub(super) fn end(is_tls: bool) -> HeaderValue {
    cookie("", Duration::ZERO, is_tls)
}

fn cookie(value: &str, life: Duration, is_tls: bool) -> HeaderValue {
    let secure = if is_tls { "; Secure" } else { "" };
    let text = format!(
        "{}={value}; Path=/; Max-Age={}; HttpOnly; SameSite=Strict{secure}",
        name(is_tls),
        life.as_secs()
    );
    let value = HeaderValue::try_from(text);
    value.unwrap_or_else(|_| unreachable!("letters, digits and punctuation"))
}

/// The secret in the cookie of a request. `None` also if the request has several such cookies:
/// another server of this host may have set one of them.
pub(super) fn secret_in(headers: &HeaderMap, is_tls: bool) -> Option<Secret> {
    let texts = headers.get_all(COOKIE).iter();
    let texts = texts.filter_map(|value| value.to_str().ok());
    let pairs = texts.flat_map(|text| text.split(';'));
    let pairs = pairs.filter_map(|pair| pair.trim().split_once('='));
    let mut own = pairs.filter(|(key, _)| *key == name(is_tls));
    let (Some((_, value)), None) = (own.next(), own.next()) else {
        return None;
    };
    Secret::parse(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::changes::sessions::Sessions;

    #[test]
    fn a_cookie_is_read_as_it_was_set_and_only_by_its_name() {
        let mut sessions = Sessions::default();
        let secret = sessions.new_link(Duration::ZERO).unwrap();
        let life = Duration::from_hours(12);
        let tls = begin(&secret, life, true);
        let tls = tls.to_str().unwrap();
        assert!(tls.starts_with("__Host-monitor-session="), "{tls}");
        assert!(
            tls.ends_with("; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict; Secure"),
            "{tls}"
        );
        let plain = begin(&secret, life, false);
        let plain = plain.to_str().unwrap();
        assert!(plain.ends_with("HttpOnly; SameSite=Strict"), "{plain}");
        let read = |cookies: &[&str], is_tls| {
            let mut headers = HeaderMap::new();
            for cookie in cookies {
                headers.append(COOKIE, cookie.parse().unwrap());
            }
            secret_in(&headers, is_tls).map(|secret| secret.text())
        };
        let sent = plain.split_once(';').unwrap().0;
        let both = format!("other=1; {sent}");
        assert_eq!(read(&[&both], false), Some(secret.text()));
        assert_eq!(read(&[&both], true), None, "not set over TLS");
        assert_eq!(read(&[sent, "monitor-session=x"], false), None, "two");
        assert_eq!(read(&["x; =; monitor-session"], false), None);
        assert!(
            end(false)
                .to_str()
                .unwrap()
                .contains("=; Path=/; Max-Age=0;")
        );
    }
}
