//! Keys → what changes on the screen, and what the caller does.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::{
    Step, Top,
    state::{Mode, Question},
};

/// Rows that a page key moves.
const PAGE: isize = 10;

/// Lines that a page key moves.
const PAGE_LINES: u16 = 10;

/// What the help shows: the key, and what it does.
pub(super) const HELP: [(&str, &str); 15] = [
    ("↑ ↓, k j", "previous and next row"),
    ("PgUp PgDn", "ten rows up and down"),
    ("Home End, g G", "first and last row"),
    ("Enter", "details of the row: names, holder, flows, device"),
    ("d", "what the gateway does not see, why, and the fix"),
    (
        "/",
        "filter by text: device, name, address, service, policy",
    ),
    ("s", "next order: rate, packets, bytes, dropped, last, …"),
    ("r", "reverse the order"),
    ("b", "block the destination, after a question"),
    ("p", "pause the policy that decided, after a question"),
    ("u", "undo the last change made here"),
    ("Space", "stop the screen, and go on"),
    ("F5", "read now"),
    ("Esc", "back; clears the filter"),
    ("q, Ctrl-C", "end"),
];

impl Top {
    /// Handles a key.
    pub fn press(&mut self, key: KeyEvent) -> Step {
        if key.kind == KeyEventKind::Release {
            return Step::Draw;
        }
        if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) {
            return Step::Quit;
        }
        match std::mem::replace(&mut self.mode, Mode::List) {
            Mode::List => self.press_in_list(key.code),
            Mode::Typing(before) => self.press_while_typing(key.code, before),
            Mode::Details(line) => self.press_in_text(key.code, line, Mode::Details),
            Mode::Blindness(line) => self.press_in_text(key.code, line, Mode::Blindness),
            Mode::Help => Step::Draw,
            Mode::Asks(question) => self.press_at_question(key.code, question),
        }
    }

    fn press_in_list(&mut self, key: KeyCode) -> Step {
        match key {
            KeyCode::Char('q') => return Step::Quit,
            KeyCode::Up | KeyCode::Char('k') => self.move_by(-1),
            KeyCode::Down | KeyCode::Char('j') => self.move_by(1),
            KeyCode::PageUp => self.move_by(-PAGE),
            KeyCode::PageDown => self.move_by(PAGE),
            KeyCode::Home | KeyCode::Char('g') => self.move_by(isize::MIN),
            KeyCode::End | KeyCode::Char('G') => self.move_by(isize::MAX),
            KeyCode::Enter => self.mode = Mode::Details(0),
            KeyCode::Char('d') => self.mode = Mode::Blindness(0),
            KeyCode::Char('/') => self.mode = Mode::Typing(self.filter.clone()),
            KeyCode::Char('s') => self.sort = self.sort.next(),
            KeyCode::Char('r') => self.reversed = !self.reversed,
            KeyCode::Char('b') => self.ask_to_block(),
            KeyCode::Char('p') => self.ask_to_pause(),
            KeyCode::Char('u') => self.ask_to_undo(),
            KeyCode::Char(' ') => self.is_paused = !self.is_paused,
            KeyCode::Char('?' | 'h') => self.mode = Mode::Help,
            KeyCode::F(5) => return Step::Read,
            KeyCode::Esc => {
                self.filter.clear();
                self.message = None;
            }
            _ => {}
        }
        Step::Draw
    }

    fn press_while_typing(&mut self, key: KeyCode, before: String) -> Step {
        match key {
            KeyCode::Enter => return Step::Draw,
            KeyCode::Esc => {
                self.filter = before;
                return Step::Draw;
            }
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Char(c) => self.type_char(c),
            _ => {}
        }
        self.mode = Mode::Typing(before);
        Step::Draw
    }

    fn press_in_text(&mut self, key: KeyCode, line: u16, mode: fn(u16) -> Mode) -> Step {
        let line = match key {
            KeyCode::Up | KeyCode::Char('k') => line.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => line.saturating_add(1),
            KeyCode::PageUp => line.saturating_sub(PAGE_LINES),
            KeyCode::PageDown => line.saturating_add(PAGE_LINES),
            KeyCode::Char('b') => {
                self.ask_to_block();
                return Step::Draw;
            }
            KeyCode::Char('p') => {
                self.ask_to_pause();
                return Step::Draw;
            }
            KeyCode::Esc | KeyCode::Enter | KeyCode::Char('q') => return Step::Draw,
            _ => line,
        };
        self.mode = mode(line);
        Step::Draw
    }

    /// Only `y` says yes, so that no key pressed too often changes the filter.
    fn press_at_question(&mut self, key: KeyCode, mut question: Question) -> Step {
        match key {
            KeyCode::Char('y') => return Step::Change(question.request()),
            KeyCode::Char('n' | 'q') | KeyCode::Esc => return Step::Draw,
            KeyCode::Char('+') => question.change_length(1),
            KeyCode::Char('-') => question.change_length(-1),
            KeyCode::Char('a') => question.toggle_every_device(),
            _ => {}
        }
        self.mode = Mode::Asks(question);
        Step::Draw
    }
}
