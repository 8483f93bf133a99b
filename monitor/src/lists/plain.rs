//! Reads one CIDR, address or range on each line; `#` and `;` begin a comment. Netsets,
//! FireHOL's ipsets and Spamhaus' DROP as text have this format.

use super::line::{InvalidLine, Line};

pub(super) fn line(text: &str) -> Result<Line, InvalidLine> {
    let text = content(text);
    if text.is_empty() {
        return Ok(Line::Nothing);
    }
    Ok(Line::Destination(text.parse()?))
}

/// Returns a line without its comment and without white space around it.
pub(super) fn content(line: &str) -> &str {
    line.split(['#', ';']).next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use crate::lists::{Format, List, Selection, read};

    fn parse(text: &str) -> List {
        read(text, Format::Plain, &Selection::default())
    }

    #[test]
    fn comments_blank_lines_and_line_ends() {
        let list =
            parse("# head\r\n\r\n10.0.0.0/8 # why\r\n ; x\n2001:db8::/32;y\n1.0.0.1-1.0.0.9");
        assert_eq!(list.bad.count(), 0);
        let lines: Vec<u32> = list.ipv4.iter().map(|(_, line)| *line).collect();
        assert_eq!(lines, [3, 6]);
        assert_eq!(list.ipv6.first().map(|(_, line)| *line), Some(5));
    }

    #[test]
    fn spamhaus_drop_proxifier_and_white_space_at_the_end() {
        let list = parse("1.10.16.0/20 ; SBL256894\n13.64.90.137;\n2a12:2640::/29 \n");
        assert_eq!((list.ipv4.len(), list.ipv6.len()), (2, 1));
        assert_eq!(list.bad.count(), 0);
    }

    #[test]
    fn leading_zeros_stay_an_error() {
        let list = parse("010.0.0.1\n");
        let (line, error) = &list.bad.first()[0];
        assert_eq!(*line, 1);
        assert!(error.to_string().contains("leading zero"), "{error}");
        assert_eq!(error.help(), "write `10.0.0.1` if it is decimal");
    }
}
