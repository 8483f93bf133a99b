//! Finds names inside a request to another server, such as a request to a resolver over
//! HTTP. Such a name is never the destination's name.

use percent_encoding::percent_decode_str;

use super::text;

/// Maximum number of names of one request.
pub const MAX_NAMES: usize = 16;

/// Query keys whose value states hosts, in the interfaces of resolvers over HTTP.
const HOST_KEYS: [&str; 14] = [
    "d", "dn", "dns", "domain", "domains", "h", "host", "hostname", "hosts", "list", "n", "name",
    "names", "q",
];

/// Last labels that make a value of any key a domain name. File names (`base.js`), class
/// names and most package names end otherwise.
const TOP_LEVELS: [&str; 24] = [
    "app", "biz", "cc", "cloud", "cn", "co", "com", "de", "dev", "eu", "fr", "hk", "in", "info",
    "io", "jp", "kr", "net", "org", "ru", "top", "tw", "uk", "xyz",
];

/// Returns the domain names in the query of a request target (RFC 9112, section 3.2) that
/// differ from `host`, in lower case and without a final dot.
///
/// A key of [`HOST_KEYS`] can hold a list of domain names. A value of another key counts
/// only if it is one domain name with a common last label and is not reversed as package
/// names are (`com.example.app`).
#[must_use]
pub fn in_query(target: &str, host: Option<&str>) -> Vec<String> {
    let mut names = Vec::new();
    let Some((_, query)) = target.split_once('?') else {
        return names;
    };
    for field in query.split(['&', ';']) {
        let Some((key, value)) = field.split_once('=') else {
            continue;
        };
        let value = percent_decode_str(value).decode_utf8_lossy();
        let states_hosts = HOST_KEYS
            .iter()
            .any(|known| key.eq_ignore_ascii_case(known));
        for part in value.split([',', ';', ' ', '+']).map(str::trim) {
            let counts = text::is_domain(part) && (states_hosts || is_plain_name(&value));
            if counts && let Some(name) = differing(part, host) {
                add(&mut names, name);
            }
        }
    }
    names
}

/// Returns the name in lower case and without a final dot, if it differs from `host`.
#[must_use]
pub fn differing(name: &str, host: Option<&str>) -> Option<String> {
    let name = text::name(name.as_bytes())?;
    let host = host.map(|host| host.strip_suffix('.').unwrap_or(host));
    match host {
        Some(host) if host.eq_ignore_ascii_case(&name) => None,
        _ => Some(name),
    }
}

fn is_plain_name(value: &str) -> bool {
    let value = value.strip_suffix('.').unwrap_or(value);
    let is_top = |label: &str| TOP_LEVELS.iter().any(|top| label.eq_ignore_ascii_case(top));
    let last = value.rsplit('.').next().unwrap_or_default();
    let first = value.split('.').next().unwrap_or_default();
    text::is_domain(value) && is_top(last) && !is_top(first)
}

fn add(names: &mut Vec<String>, name: String) {
    if names.len() < MAX_NAMES && !names.contains(&name) {
        names.push(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_requests_to_resolvers_are_found() {
        for (target, names) in [
            (
                "/164566/sign_d?host=appmarket.micloud.xiaomi.net&t=1",
                &["appmarket.micloud.xiaomi.net"][..],
            ),
            (
                "/d?dn=www.qq.com,Mail.QQ.com.&ttl=1",
                &["www.qq.com", "mail.qq.com"],
            ),
            (
                "/gslb/?ver=4.0&type=wifi&list=a.xiaomi.net%2Cb.xiaomi.net",
                &["a.xiaomi.net", "b.xiaomi.net"],
            ),
            (
                "/resolve?name=example.museum&type=AAAA",
                &["example.museum"],
            ),
            ("/x?server=cdn.example.com", &["cdn.example.com"]),
            (
                "http://resolver.example/d?HOST=a.example.org",
                &["a.example.org"],
            ),
            (
                "/d?host=a.example.org&host=a.example.org",
                &["a.example.org"],
            ),
        ] {
            assert_eq!(
                in_query(target, Some("resolver.example")),
                names,
                "{target}"
            );
        }
    }

    #[test]
    fn values_that_only_look_like_names_do_not_count() {
        for target in [
            "/a?v=1.3.3&sdk=android_1.3.3&ip=203.107.1.65",
            "/a?file=jquery.min.js&img=logo.png&page=index.html",
            "/a?pkg=com.tencent.mm&p=com.miui.home&q2=cn.example.com",
            "/a?url=https%3A%2F%2Fwww.example.com%2F",
            "/a?mail=me%40example.com",
            "/a?host=&dn=com&d=-.com",
            "/host=a.example.com",
            "/a?a.example.com",
            "",
        ] {
            assert_eq!(in_query(target, None), [""; 0], "{target}");
        }
    }

    #[test]
    fn the_host_itself_does_not_count() {
        let target = "/a?host=WWW.example.com.&dn=other.example.com";
        assert_eq!(
            in_query(target, Some("www.Example.com")),
            ["other.example.com"]
        );
    }

    #[test]
    fn a_request_states_at_most_16_names() {
        let list: Vec<String> = (0..1000).map(|n| format!("n{n}.example.com")).collect();
        let target = format!("/d?host={}", list.join(","));
        assert_eq!(in_query(&target, None), list[..MAX_NAMES]);
    }
}
