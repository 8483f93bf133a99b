//! Short names of feeds for messages and metrics.

use std::collections::BTreeMap;

use crate::lists::FeedUrl;

/// Returns a label for each URL: its host and path. If several URLs have the same
/// host and path, all but the first get a number, in the order of the URLs. `urls`
/// must be sorted.
#[must_use]
pub fn labels<'a>(urls: impl IntoIterator<Item = &'a FeedUrl>) -> BTreeMap<FeedUrl, String> {
    let mut used: BTreeMap<String, usize> = BTreeMap::new();
    let mut labels = BTreeMap::new();
    for url in urls {
        let label = url.label();
        let count = used.entry(label.clone()).or_default();
        *count += 1;
        let label = if *count == 1 {
            label
        } else {
            format!("{label} ({count})")
        };
        labels.insert(url.clone(), label);
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_differ_only_in_the_query_get_numbers_and_show_no_secret() {
        let urls = [
            "https://a.example/l?key=1",
            "https://a.example/l?key=2",
            "https://b.example/",
        ];
        let urls = urls.map(|url| url.parse::<FeedUrl>().unwrap());
        let labels: Vec<String> = labels(&urls).into_values().collect();
        assert_eq!(labels, ["a.example/l", "a.example/l (2)", "b.example/"]);
    }
}
