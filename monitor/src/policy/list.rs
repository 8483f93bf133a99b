//! Lists: one destination per line, `#` and `;` begin a comment.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{
    destination::Destination,
    diagnostic::{Capped, Diagnostic, Diagnostics, SourceFile},
    network::Interval,
};

/// What a list holds, each with the number of its line, from 1.
#[derive(Debug, Default)]
pub(super) struct List {
    pub(super) ipv4: Vec<(Interval<Ipv4Addr>, u32)>,
    pub(super) ipv6: Vec<(Interval<Ipv6Addr>, u32)>,
}

impl List {
    /// Reads every line; those that name no destination go to `out`.
    pub(super) fn parse(file: &SourceFile, out: &mut Diagnostics) -> Self {
        let mut list = Self::default();
        let mut wrong = Capped::new();
        for (text, line) in file.text().lines().zip(1_u32..) {
            let text = content(text);
            if text.is_empty() {
                continue;
            }
            match text.parse() {
                Ok(Destination::Ipv4(interval)) => list.ipv4.push((interval, line)),
                Ok(Destination::Ipv6(interval)) => list.ipv6.push((interval, line)),
                Err(error) => wrong.push(out, || {
                    Diagnostic::error(file.place_of_line(line), error.to_string(), error.help())
                }),
            }
        }
        let none = list.ipv4.is_empty() && list.ipv6.is_empty() && wrong.is_empty();
        wrong.finish(out, |hidden| more_errors(file, hidden));
        if none {
            out.push(empty(file));
        }
        list
    }
}

fn content(line: &str) -> &str {
    line.split(['#', ';']).next().unwrap_or_default().trim()
}

fn empty(file: &SourceFile) -> Diagnostic {
    Diagnostic::error(
        file.place(0..0),
        "the list holds no destination, so that it would protect nothing",
        "write one CIDR, address or range per line, or remove the `list:` that names this file",
    )
}

fn more_errors(file: &SourceFile, hidden: usize) -> Diagnostic {
    Diagnostic::error(
        super::diagnostic::Place::file_only(file.path()),
        format!("and {hidden} more lines of this list are wrong"),
        "a list holds one CIDR, address or range per line; `#` and `;` begin a comment",
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn parse(text: &str) -> (List, Diagnostics) {
        let mut out = Diagnostics::default();
        let file = SourceFile::new(Path::new("list.txt"), text.to_owned());
        let list = List::parse(&file, &mut out);
        (list, out)
    }

    #[test]
    fn comments_blank_lines_and_line_ends() {
        let (list, out) =
            parse("# head\r\n\r\n10.0.0.0/8 # why\r\n ; x\n2001:db8::/32;y\n1.0.0.1-1.0.0.9");
        assert_eq!(out, Diagnostics::default());
        let lines: Vec<u32> = list.ipv4.iter().map(|(_, line)| *line).collect();
        assert_eq!(lines, [3, 6]);
        assert_eq!(list.ipv6.first().map(|(_, line)| *line), Some(5));
    }

    #[test]
    fn every_wrong_line_is_counted_and_the_first_twenty_are_shown() {
        let text = "nonsense here\n".repeat(1000) + "10.0.0.0/8\n";
        let (list, out) = parse(&text);
        assert_eq!(list.ipv4.len(), 1);
        assert_eq!(out.errors().count(), 21);
        assert_eq!(out.error_count(), 1000);
        let summary = out.errors().last().unwrap();
        assert_eq!(
            summary.message(),
            "and 980 more lines of this list are wrong"
        );
    }

    #[test]
    fn a_list_without_destinations_is_an_error() {
        for text in ["", "\n", "# only a comment\n"] {
            let (_, out) = parse(text);
            assert_eq!(out.error_count(), 1, "{text:?}");
        }
    }

    #[test]
    fn the_place_is_the_text_without_white_space_and_comment() {
        let (_, out) = parse("10.0.0.0/8\n   10.0.0.1/8   # both?\n");
        let error = out.errors().next().unwrap();
        assert_eq!(error.place().to_string(), "list.txt:2:4");
    }
}
