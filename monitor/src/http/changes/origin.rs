//! Tells requests of the page's own forms from those of other pages.

use axum::http::{
    HeaderMap,
    header::{HOST, ORIGIN},
};

/// True if a form of this page sent the request. Browsers state the origin of the page that sends
/// a form, and no page can change what they state. The caller has checked that the `Host` header
/// is an address or `localhost`.
pub(super) fn is_own(headers: &HeaderMap, is_tls: bool) -> bool {
    let site = headers.get("sec-fetch-site");
    if site.is_some_and(|site| site != "same-origin") {
        return false;
    }
    let mut origins = headers.get_all(ORIGIN).iter();
    let (Some(origin), None) = (origins.next(), origins.next()) else {
        return false;
    };
    let Some(host) = headers.get(HOST) else {
        return false;
    };
    let scheme = if is_tls { "https://" } else { "http://" };
    let origin = origin.as_bytes().strip_prefix(scheme.as_bytes());
    origin.is_some_and(|origin| origin.eq_ignore_ascii_case(host.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lines: &[(&'static str, &str)], is_tls: bool) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, "127.0.0.1:9641".parse().unwrap());
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        is_own(&headers, is_tls)
    }

    #[test]
    fn only_forms_of_this_page() {
        let (plain, tls) = ("http://127.0.0.1:9641", "https://127.0.0.1:9641");
        assert!(check(&[("origin", plain)], false));
        assert!(check(
            &[("origin", tls), ("sec-fetch-site", "same-origin")],
            true
        ));
        for wrong in [
            &[][..],
            &[("origin", "null")],
            &[("origin", "http://127.0.0.1")],
            &[("origin", "http://127.0.0.1:80")],
            &[("origin", "http://127.0.0.1:9641.example")],
            &[("origin", "http://attacker.example")],
            &[("origin", tls)],
            &[("origin", plain), ("origin", plain)],
            &[("origin", plain), ("sec-fetch-site", "cross-site")],
            &[("origin", plain), ("sec-fetch-site", "same-site")],
            &[("origin", plain), ("sec-fetch-site", "none")],
            &[("sec-fetch-site", "same-origin")],
        ] {
            assert!(!check(wrong, false), "{wrong:?}");
        }
        assert!(!check(&[("origin", plain)], true));
    }
}
