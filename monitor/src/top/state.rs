//! State of the screen: the rows, the cursor, and the question to the operator.

use std::collections::BTreeMap;

use jiff::Timestamp;
use ratatui::widgets::TableState;

use super::{
    Facts, Moment, Sort,
    rows::{Key, Row, rows},
};
use crate::{control::ChangeRequest, policy::Effect, printable};

/// The lengths of a change that the question offers, with their words. `None`: until undone.
const LENGTHS: [(Option<u64>, &str); 6] = [
    (Some(600), "10 minutes"),
    (Some(3_600), "1 hour"),
    (Some(8 * 3_600), "8 hours"),
    (Some(24 * 3_600), "1 day"),
    (Some(7 * 24 * 3_600), "7 days"),
    (None, "until you undo it"),
];

/// The place of the default length in [`LENGTHS`]: one hour.
const DEFAULT_LENGTH: usize = 1;

/// The longest text of a filter, in characters.
const MAX_FILTER: usize = 60;

/// What the caller has to do after a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing but to draw.
    Draw,
    /// End.
    Quit,
    /// Read the facts now.
    Read,
    /// Ask the daemon for this change.
    Change(ChangeRequest),
}

/// What fills the screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// The rows.
    List,
    /// The rows, while a filter is typed. Holds the filter before.
    Typing(String),
    /// Everything about the selected row. Holds the first line shown.
    Details(u16),
    /// What the gateway does not see. Holds the first line shown.
    Blindness(u16),
    /// The keys.
    Help,
    /// A question.
    Asks(Question),
}

/// A change that the operator is asked to confirm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) effect: Effect,
    /// MAC of the device, and how the operator knows it.
    device: Option<(String, String)>,
    every_device: bool,
    length: usize,
    undo: bool,
}

/// The last answer, for the line above the keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    Done(String),
    Failed(String),
}

/// The state of the screen.
#[derive(Debug)]
pub struct Top {
    pub(super) moment: Moment,
    pub(super) facts: Option<Facts>,
    rows: Vec<Row>,
    before: Option<(Timestamp, BTreeMap<Key, u64>)>,
    pub(super) sort: Sort,
    pub(super) reversed: bool,
    pub(super) filter: String,
    selected: Option<Key>,
    pub(super) table: TableState,
    pub(super) mode: Mode,
    pub(super) message: Option<Message>,
    /// Why the last reading failed.
    pub(super) unread: Option<String>,
    pub(super) is_paused: bool,
    last_change: Option<ChangeRequest>,
}

impl Top {
    /// An empty screen about a moment.
    #[must_use]
    pub fn new(moment: Moment) -> Self {
        Self {
            moment,
            facts: None,
            rows: Vec::new(),
            before: None,
            sort: match moment {
                Moment::Now => Sort::Rate,
                Moment::Past(_) => Sort::Packets,
            },
            reversed: false,
            filter: String::new(),
            selected: None,
            table: TableState::default(),
            mode: Mode::List,
            message: None,
            unread: None,
            is_paused: false,
            last_change: None,
        }
    }

    /// Takes a new reading, unless the operator stopped the screen.
    pub fn take(&mut self, facts: Facts) {
        if self.is_paused {
            return;
        }
        self.unread = None;
        self.rows = rows(&facts, self.before.as_ref());
        let packets = self.rows.iter().map(|row| (row.key, row.packets));
        self.before = Some((facts.at, packets.collect()));
        self.facts = Some(facts);
    }

    /// Shows that a reading failed. The rows stay, and are marked as old.
    pub fn not_read(&mut self, why: String) {
        self.unread = Some(why);
    }

    /// Shows why something cannot be done.
    pub fn refuse(&mut self, why: impl Into<String>) {
        self.message = Some(Message::Failed(why.into()));
    }

    /// Shows that a change is in force. `text` is the daemon's answer.
    pub fn changed(&mut self, request: ChangeRequest, text: String) {
        self.message = Some(Message::Done(text));
        self.last_change = (!request.undo).then_some(request);
    }

    /// The rows that the filter selects, in order.
    pub(super) fn shown(&self) -> Vec<&Row> {
        let part = self.filter.to_lowercase();
        let is_shown = |row: &&Row| part.is_empty() || row.contains(&part);
        let mut shown: Vec<&Row> = self.rows.iter().filter(is_shown).collect();
        shown.sort_by(|a, b| self.sort.compare(a, b));
        if self.reversed {
            shown.reverse();
        }
        shown
    }

    /// The row under the cursor, and its place among the rows shown. The cursor stays on its
    /// row when the order changes. Without a choice, it is on the first row.
    pub(super) fn selected<'a>(&self, shown: &[&'a Row]) -> Option<(usize, &'a Row)> {
        let chosen = self.selected.as_ref();
        let place = chosen.and_then(|key| shown.iter().position(|row| row.key == *key));
        let place = place.unwrap_or(0);
        shown.get(place).map(|row| (place, *row))
    }

    pub(super) fn move_by(&mut self, rows: isize) {
        let shown = self.shown();
        let Some((place, _)) = self.selected(&shown) else {
            return;
        };
        let place = place.saturating_add_signed(rows).min(shown.len() - 1);
        self.selected = Some(shown[place].key);
    }

    /// Asks whether to block the selected destination for the selected device.
    pub(super) fn ask_to_block(&mut self) {
        let shown = self.shown();
        let Some((_, row)) = self.selected(&shown) else {
            return self.refuse("there is no row to block");
        };
        let Some(destination) = row.key.1 else {
            return self
                .refuse("this row stands for many destinations: name one with `monitor block`");
        };
        let device = question_device(row);
        // An address is always a destination.
        match destination.to_string().parse() {
            Ok(destination) => self.ask(Effect::Block(destination), device),
            Err(_) => self.refuse("this address cannot be blocked"),
        }
    }

    /// Asks whether to pause the effective policy of the selected row.
    pub(super) fn ask_to_pause(&mut self) {
        let shown = self.shown();
        let Some((_, row)) = self.selected(&shown) else {
            return self.refuse("there is no row, so no policy to pause");
        };
        let device = question_device(row);
        match row.policies.first().cloned() {
            Some(policy) => self.ask(Effect::Pause(policy), device),
            None => self.refuse("no policy matched this row"),
        }
    }

    /// Asks whether to undo the last change that this screen made.
    pub(super) fn ask_to_undo(&mut self) {
        match self.last_change.clone() {
            Some(change) => {
                self.mode = Mode::Asks(Question {
                    effect: change.effect,
                    every_device: change.device.is_none(),
                    device: change.device.map(|device| (device.clone(), device)),
                    length: DEFAULT_LENGTH,
                    undo: true,
                });
            }
            None => self.refuse("no change was made here; `monitor status` lists all changes"),
        }
    }

    fn ask(&mut self, effect: Effect, device: Option<(String, String)>) {
        if let Moment::Past(_) = self.moment {
            return self.refuse("this is the past; changes are made now, without --at");
        }
        self.message = None;
        self.mode = Mode::Asks(Question {
            effect,
            every_device: device.is_none(),
            device,
            length: DEFAULT_LENGTH,
            undo: false,
        });
    }

    pub(super) fn type_char(&mut self, c: char) {
        if !printable::acts(c) && self.filter.chars().count() < MAX_FILTER {
            self.filter.push(c);
        }
    }
}

/// MAC and shown name of the device of a row.
fn question_device(row: &Row) -> Option<(String, String)> {
    let mac = row.key.0?.to_string();
    let shown = if row.device == mac {
        mac.clone()
    } else {
        format!("{} ({mac})", row.device)
    };
    Some((mac, shown))
}

impl Question {
    /// The question in words.
    pub(super) fn text(&self) -> String {
        let verb = if self.undo { "Undo: " } else { "" };
        let whom = match &self.device {
            Some((_, shown)) if !self.every_device => shown.as_str(),
            _ => "EVERY device",
        };
        let length = if self.undo {
            String::new()
        } else {
            format!(", {}", LENGTHS[self.length].1)
        };
        format!("{verb}{} for {whom}{length}?", self.effect.command())
    }

    /// The keys that answer it.
    pub(super) fn keys(&self) -> &'static str {
        match (self.undo, &self.device) {
            (true, _) => "y yes  n no",
            (false, Some(_)) => "y yes  n no  +/- time  a this device or every device",
            (false, None) => "y yes  n no  +/- time",
        }
    }

    pub(super) fn change_length(&mut self, by: isize) {
        if !self.undo {
            self.length = self.length.saturating_add_signed(by).min(LENGTHS.len() - 1);
        }
    }

    pub(super) fn toggle_every_device(&mut self) {
        if !self.undo && self.device.is_some() {
            self.every_device = !self.every_device;
        }
    }

    pub(super) fn request(self) -> ChangeRequest {
        let device = self.device.filter(|_| !self.every_device);
        ChangeRequest {
            effect: self.effect,
            device: device.map(|(mac, _)| mac),
            seconds: if self.undo {
                None
            } else {
                LENGTHS[self.length].0
            },
            undo: self.undo,
            reason: (!self.undo).then(|| "monitor top".to_owned()),
        }
    }
}
