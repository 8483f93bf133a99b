//! Blocks of code and pieces of code in a page, and what a block says to do.

/// A block of code of a page.
pub(super) struct Block {
    /// The word behind the fence.
    pub(super) language: String,
    /// Line of the fence in the page.
    pub(super) line: usize,
    pub(super) text: String,
}

/// What a block says to do.
pub(super) enum Step {
    /// Write a file.
    File { path: String },
    /// Run commands on the gateway, as a script.
    Script,
    /// Run commands one after another, each with the output that the page shows.
    Commands(Vec<Command>),
}

/// A command with its output, in a block `console`.
pub(super) struct Command {
    /// True if a device runs it, and not the gateway.
    pub(super) is_of_device: bool,
    pub(super) code: String,
    pub(super) shown: Vec<String>,
}

impl Block {
    /// What the block says to do; `None` if it only shows something.
    pub(super) fn step(&self) -> Option<Step> {
        match self.language.as_str() {
            "yaml" => {
                let first = self.text.lines().next().unwrap_or_default();
                let path = first.strip_prefix("# /")?;
                Some(Step::File {
                    path: format!("/{path}"),
                })
            }
            "sh" => Some(Step::Script),
            "console" => Some(Step::Commands(commands(&self.text, self.line))),
            "json" | "text" | "" => None,
            other => panic!("line {}: no test knows a block of `{other}`", self.line),
        }
    }

    /// True if the block has commands.
    pub(super) fn has_commands(&self) -> bool {
        matches!(self.step(), Some(Step::Script | Step::Commands(_)))
    }
}

/// The commands of a block `console`.
fn commands(text: &str, line: usize) -> Vec<Command> {
    let mut commands: Vec<Command> = Vec::new();
    for shown in text.lines() {
        let of_gateway = shown.strip_prefix("$ ");
        let of_device = shown.strip_prefix("phone$ ");
        if let Some(code) = of_gateway.or(of_device) {
            commands.push(Command {
                is_of_device: of_device.is_some(),
                code: code.replace("sudo ", ""),
                shown: Vec::new(),
            });
        } else {
            let last = commands.last_mut();
            let last = last.unwrap_or_else(|| panic!("line {line}: output without a command"));
            last.shown.push(shown.to_owned());
        }
    }
    commands
}

/// The blocks of code of a page.
pub(super) fn blocks(page: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut is_inside = false;
    for (index, line) in page.lines().enumerate() {
        match line.strip_prefix("```") {
            Some(_) if is_inside => is_inside = false,
            Some(language) => {
                is_inside = true;
                blocks.push(Block {
                    language: language.to_owned(),
                    line: index + 1,
                    text: String::new(),
                });
            }
            None if is_inside => {
                let block = blocks.last_mut().expect("a block");
                block.text.push_str(line);
                block.text.push('\n');
            }
            None => {}
        }
    }
    assert!(!is_inside, "a fence is not closed");
    blocks
}

/// Pieces of code within the text of a page, each with its line. Blocks are left out.
pub(super) fn code_spans(page: &str) -> Vec<(usize, String)> {
    let mut is_inside = false;
    let mut spans = Vec::new();
    for (index, line) in page.lines().enumerate() {
        if line.starts_with("```") {
            is_inside = !is_inside;
        } else if !is_inside {
            let pieces = line.split('`').skip(1).step_by(2);
            spans.extend(pieces.map(|piece| (index + 1, piece.to_owned())));
        }
    }
    spans
}

/// Why an output differs from the one that a page shows; `None` if it does not. `…` in the page
/// stands for any text, and as a line for any lines. Spaces, times and numbers may differ.
pub(super) fn difference(shown: &[String], output: &str) -> Option<String> {
    let output: Vec<String> = output.lines().map(plain).collect();
    let mut rest = output.iter().filter(|line| !line.is_empty());
    let mut skips = false;
    for line in shown.iter().map(|line| plain(line)) {
        match line.as_str() {
            "…" => skips = true,
            "" => {}
            line if skips => {
                if !rest.any(|found| is_like(line, found)) {
                    return Some(format!("there is no line `{line}`"));
                }
                skips = false;
            }
            line => {
                let found = rest.next().map_or("", String::as_str);
                if !is_like(line, found) {
                    return Some(format!("`{line}` is `{found}`"));
                }
            }
        }
    }
    let more = rest.next().filter(|_| !skips)?;
    Some(format!("the page does not show `{more}`"))
}

/// The words of a line, with numbers and times as `N` and `TIME`.
fn plain(line: &str) -> String {
    let words = line.split_whitespace().map(|word| {
        let core = word.trim_end_matches([',', ';', '.', ')']);
        let rest = &word[core.len()..];
        let is_number = !core.is_empty() && core.chars().all(|c| c.is_ascii_digit() || c == ',');
        let is_time = core.len() == 20 && core.ends_with('Z') && core.starts_with("20");
        match (is_number, is_time) {
            (true, _) => format!("N{rest}"),
            (_, true) => format!("TIME{rest}"),
            _ => word.to_owned(),
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// True if a line is as the page shows it, where `…` stands for any text.
fn is_like(shown: &str, line: &str) -> bool {
    let mut parts = shown.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else {
        return false;
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some((_, after)) = rest.split_once(part) else {
            return false;
        };
        rest = after;
    }
    true
}

#[test]
fn an_output_is_compared_with_the_page() {
    let shown = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let output = "one  12 packets\nat 2026-11-30T12:00:00Z, two\nthree\n\nfour: x y\n";
    for same in [
        "one 7 packets\nat 2025-01-01T00:00:00Z, two\nthree\nfour: x y",
        "…\nthree\nfour: …",
        "one 1 …\n…",
        "…",
    ] {
        assert_eq!(difference(&shown(same), output), None, "{same}");
    }
    for other in [
        "one 7 packets",
        "…\nthree",
        "…\nfive",
        "one … bytes\n…",
        "three\n…",
    ] {
        assert!(difference(&shown(other), output).is_some(), "{other}");
    }
}
