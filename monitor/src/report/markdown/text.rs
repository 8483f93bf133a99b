//! Foreign text in Markdown.

use crate::printable;

/// Signs that can stand before and after a name in a sentence.
const BEFORE: [char; 5] = ['(', '"', '\'', '[', '<'];
const AFTER: [char; 10] = ['.', ',', ';', ':', '!', ')', '"', '\'', ']', '>'];

/// Text that Markdown shows as it is. Words that a reader could make a link of are code.
pub(super) fn escaped(text: &str) -> String {
    let text = printable::escape(text, &[]);
    let words = text.split(' ').map(|word| {
        if !is_linkable(word) {
            return plain(word);
        }
        let rest = word.trim_start_matches(BEFORE);
        let core = rest.trim_end_matches(AFTER);
        let before = &word[..word.len() - rest.len()];
        format!(
            "{}{}{}",
            plain(before),
            code(core),
            plain(&rest[core.len()..])
        )
    });
    words.collect::<Vec<_>>().join(" ")
}

/// True for a word that has a name with points, an address of mail, a URL, or a reference such
/// as `@name` and `#1`. GitHub makes links of all but the names, and other readers of names.
fn is_linkable(word: &str) -> bool {
    let is_reference = {
        let mut signs = word.match_indices('#');
        signs.any(|(at, _)| word[at + 1..].starts_with(char::is_alphanumeric))
    };
    let has_name = word.match_indices('.').any(|(at, _)| {
        let before = word[..at].chars().next_back();
        let is_label = before.is_some_and(char::is_alphanumeric);
        is_label && word[at + 1..].starts_with(char::is_alphabetic)
    });
    let is_url = word.contains("//") || word.to_lowercase().contains("www.");
    has_name || is_url || word.contains('@') || is_reference
}

/// Text without markup.
fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '<' => shown.push_str("&lt;"),
            '>' => shown.push_str("&gt;"),
            '&' => shown.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '!' | '~' => {
                shown.push('\\');
                shown.push(c);
            }
            _ => shown.push(c),
        }
    }
    shown
}

/// A name as code, so that no reader makes a link of it.
pub(super) fn code(text: &str) -> String {
    let text = printable::escape(text, &[]).replace('|', "\\|");
    let mut longest = 0;
    for run in text.split(|c| c != '`') {
        longest = longest.max(run.len());
    }
    let fence = "`".repeat(longest + 1);
    if longest > 0 {
        format!("{fence} {text} {fence}")
    } else {
        format!("{fence}{text}{fence}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_code_also_in_sentences() {
        for (text, shown) in [
            (
                "The name is www.example.com.",
                "The name is `www.example.com`.",
            ),
            (
                "(\"annas-phone.lan\"), 1.5 KiB",
                "(\"`annas-phone.lan`\"), 1.5 KiB",
            ),
            ("see https://x/a", "see `https://x/a`"),
            ("to anna@mail.example, then", "to `anna@mail.example`, then"),
            ("WWW.1x", "`WWW.1x`"),
            ("bücher.example", "`bücher.example`"),
            ("a_b *c* 42.62.48.9", "a\\_b \\*c\\* 42.62.48.9"),
            ("by tcp/443, 1/2", "by tcp/443, 1/2"),
            ("@anna and #12", "`@anna` and `#12`"),
            ("x`y.z", "`` x`y.z ``"),
        ] {
            assert_eq!(escaped(text), shown);
        }
    }
}
