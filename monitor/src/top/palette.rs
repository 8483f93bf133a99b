//! Styles of the screen, with and without colours.

use ratatui::style::{Color, Modifier, Style};

/// The styles. Without colours, bold and reversed text carry the same meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Palette {
    colours: bool,
}

#[expect(
    clippy::unused_self,
    reason = "the caller asks the palette for every style"
)]
impl Palette {
    /// Styles with colours, or without them.
    #[must_use]
    pub const fn new(colours: bool) -> Self {
        Self { colours }
    }

    fn coloured(self, colour: Color) -> Style {
        if self.colours {
            Style::new().fg(colour)
        } else {
            Style::new()
        }
    }

    /// A heading of the screen or of a column.
    pub(super) fn heading(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// The selected row, and the line of keys.
    pub(super) fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// Dropped packets.
    pub(super) fn dropped(self) -> Style {
        self.coloured(Color::Red)
    }

    /// What is not seen, and what failed.
    pub(super) fn alarm(self) -> Style {
        self.coloured(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// What was done.
    pub(super) fn done(self) -> Style {
        self.coloured(Color::Green)
    }

    /// A question to the operator.
    pub(super) fn question(self) -> Style {
        self.coloured(Color::Yellow).add_modifier(Modifier::BOLD)
    }

    /// Less important text.
    pub(super) fn quiet(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }
}
