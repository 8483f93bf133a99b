//! The HTML of a report.

use super::*;
use crate::support::tools;

#[test]
fn the_html_needs_no_other_file_and_runs_nothing() {
    let story = Story::told();
    let html = story.report(&["--format", "html"]);
    for forbidden in ["<link", "<img", "<iframe", "javascript:", "http-equiv"] {
        assert!(!html.contains(forbidden), "{forbidden}");
    }
    assert_eq!(tools::outside_references(&html), Vec::<&str>::new());
    let broken = html.replace("href=\"#", "href=\"//example.org/#");
    assert!(!tools::outside_references(&broken).is_empty());
    assert!(html.contains("@media print") && html.contains("prefers-color-scheme: dark"));
    assert_eq!(html.matches("<svg class=\"timeline\"").count(), 3);
}

#[test]
fn the_checker_of_html_accepts_the_report() {
    let Some(checker) = tools::tidy() else {
        return;
    };
    let story = Story::told();
    let config = story.config();
    let arguments = ["--format", "html", "--config", config.to_str().unwrap()];
    for more in [&[][..], &["--redact"], &["--policy", "silent"]] {
        let html = story.report(&[&arguments[..], more].concat());
        assert_eq!(
            tools::complaint_about_html(&checker, &html),
            None,
            "{more:?}"
        );
    }
    let html = story.report(&arguments);
    for (right, wrong) in [
        ("</table>", ""),
        ("</section>", "</div>"),
        ("<main>", "<main><p><h1 id=\"a\" id=\"b\">"),
    ] {
        assert!(html.contains(right), "{right}");
        let broken = html.replacen(right, wrong, 1);
        assert!(
            tools::complaint_about_html(&checker, &broken).is_some(),
            "{wrong}"
        );
    }
}
