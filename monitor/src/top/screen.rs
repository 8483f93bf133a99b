//! Draws the screen. It fits into every size: columns and lines that find no room are left out.

use jiff::Timestamp;
use ratatui::{
    Frame,
    layout::{Alignment, Constraint, Layout, Rect},
    text::Line,
    widgets::{Cell, Paragraph, Row as TableRow, Table, Wrap},
};

use super::{
    Moment, Palette, Top, details,
    rows::Row,
    state::{Message, Mode},
};
use crate::{clock::to_the_second, printable};

/// Width from which all columns fit.
const WIDE: u16 = 140;

/// Width from which the columns of a usual terminal fit.
const USUAL: u16 = 66;

/// Height from which the lines above the rows fit.
const TALL: u16 = 8;

/// The line of keys.
const KEYS: &str = "Enter details  b block  p pause  / filter  s sort  d blindness  ? keys  q end";

/// Draws the state into a frame.
pub fn draw(frame: &mut Frame<'_>, top: &mut Top, palette: Palette) {
    let area = frame.area();
    let above = if area.height >= TALL { 3 } else { 0 };
    let [head, middle, note, keys] = Layout::vertical([
        Constraint::Length(above),
        Constraint::Min(0),
        Constraint::Length(note_height(top, area.width, palette)),
        Constraint::Length(1),
    ])
    .areas(area);
    frame.render_widget(Paragraph::new(head_lines(top, head.width, palette)), head);
    match top.mode {
        Mode::List | Mode::Typing(_) | Mode::Asks(_) => draw_rows(frame, middle, top, palette),
        Mode::Details(line) => {
            let shown = top.shown();
            let selected = top.selected(&shown);
            let lines = selected.map_or_else(
                || vec![Line::raw("no row is selected")],
                |(_, row)| details::row(top, row, palette),
            );
            draw_text(frame, middle, lines, line);
        }
        Mode::Blindness(line) => draw_text(frame, middle, details::blindness(top, palette), line),
        Mode::Help => draw_text(frame, middle, details::help(palette), 0),
    }
    let note_text = Paragraph::new(note_line(top, palette)).wrap(Wrap { trim: false });
    frame.render_widget(note_text, note);
    let shown_keys = match &top.mode {
        Mode::List => KEYS,
        Mode::Typing(_) => "type a text  Enter keep  Esc as before",
        Mode::Details(_) => "↑ ↓ scroll  b block  p pause  Esc back",
        Mode::Blindness(_) => "↑ ↓ scroll  Esc back",
        Mode::Help => "any key: back",
        Mode::Asks(question) => question.keys(),
    };
    frame.render_widget(Paragraph::new(shown_keys).style(palette.selected()), keys);
}

fn draw_text(frame: &mut Frame<'_>, area: Rect, lines: Vec<Line<'static>>, first: u16) {
    let most = u16::try_from(lines.len())
        .unwrap_or(u16::MAX)
        .saturating_sub(1);
    let text = Paragraph::new(lines)
        .wrap(Wrap { trim: false })
        .scroll((first.min(most), 0));
    frame.render_widget(text, area);
}

/// Period and sums; interfaces; blindness.
fn head_lines(top: &Top, width: u16, palette: Palette) -> Vec<Line<'static>> {
    let unread = top.unread.as_deref().map(|why| {
        let text = format!("NOT READ: {}", one_line(why));
        Line::styled(shortened(&text, width), palette.alarm())
    });
    let Some(facts) = &top.facts else {
        return vec![unread.unwrap_or_else(|| Line::raw("monitor top: reads …"))];
    };
    let when = match (top.moment, top.is_paused) {
        (Moment::Past(at), _) => format!("past, until {}", to_the_second(at)),
        (Moment::Now, true) => format!("STOPPED at {}", to_the_second(facts.at)),
        (Moment::Now, false) => to_the_second(facts.at),
    };
    let since = facts.since.map_or_else(
        || "all that is stored".to_owned(),
        |at| format!("since {}", to_the_second(at)),
    );
    let rows = top.shown().len();
    let more = if facts.flows.more { "+" } else { "" };
    let first = format!("monitor top  {when}  {rows}{more} rows {since}");
    let (blindness, is_blind) = facts.blindness();
    let blindness = printable::escape(&blindness, &[]).into_owned();
    let style = if is_blind {
        palette.alarm()
    } else {
        palette.quiet()
    };
    vec![
        unread.unwrap_or_else(|| Line::styled(first, palette.heading())),
        Line::raw(status_line(top)),
        Line::styled(shortened(&blindness, width), style),
    ]
}

/// Interfaces, their counters, and changes by command.
fn status_line(top: &Top) -> String {
    let Some(status) = top.facts.as_ref().and_then(|facts| facts.status.as_ref()) else {
        return match top.moment {
            Moment::Past(_) => "from the store; --since chooses the begin".to_owned(),
            Moment::Now => "the counters of the interfaces cannot be read".to_owned(),
        };
    };
    let mut parts: Vec<String> = status
        .snapshot
        .interfaces
        .iter()
        .map(|interface| {
            let mode = interface.mode.map_or("NOT ATTACHED", |mode| mode.name());
            let unparsed = interface.unparsed_sum();
            let passed = interface.ipv4.passed.packets
                + interface.ipv6.passed.packets
                + unparsed.passed.packets;
            let dropped = interface.ipv4.dropped.packets
                + interface.ipv6.dropped.packets
                + unparsed.dropped.packets;
            format!(
                "{} {mode}: {passed} passed, {dropped} dropped",
                interface.name
            )
        })
        .collect();
    let changes = status
        .daemon
        .as_ref()
        .map_or(0, |daemon| daemon.changes.len());
    match (&status.daemon, changes) {
        (None, _) => parts.push("no daemon runs".to_owned()),
        (Some(_), 0) => {}
        (Some(_), 1) => parts.push("1 change by command".to_owned()),
        (Some(_), changes) => parts.push(format!("{changes} changes by command")),
    }
    printable::escape(&parts.join("; "), &[]).into_owned()
}

/// Lines of the note, at most four. A question is shown whole: its end says how long.
fn note_height(top: &Top, width: u16, palette: Palette) -> u16 {
    let length = u16::try_from(note_line(top, palette).width()).unwrap_or(u16::MAX);
    if length <= width {
        return 1;
    }
    // A break between words can take a line more.
    length.div_ceil(width.max(1)).saturating_add(1).min(4)
}

/// The question, the filter or the last answer.
fn note_line(top: &Top, palette: Palette) -> Line<'static> {
    match (&top.mode, &top.message) {
        (Mode::Asks(question), _) => Line::styled(question.text(), palette.question()),
        (Mode::Typing(_), _) => Line::raw(format!("filter: {}▏", top.filter)),
        (_, Some(Message::Failed(text))) => Line::styled(one_line(text), palette.alarm()),
        (_, Some(Message::Done(text))) => Line::styled(one_line(text), palette.done()),
        (_, None) if !top.filter.is_empty() => {
            Line::raw(format!("filter: {} (Esc clears)", top.filter))
        }
        (_, None) => {
            let reversed = if top.reversed { ", reversed" } else { "" };
            Line::styled(
                format!("sorted by {}{reversed}", top.sort.word()),
                palette.quiet(),
            )
        }
    }
}

fn one_line(text: &str) -> String {
    printable::escape(&text.trim_end().replace('\n', " "), &[]).into_owned()
}

/// A column: heading, width, alignment, text of a row.
struct Column {
    heading: &'static str,
    width: Constraint,
    is_number: bool,
    text: fn(&Row, Timestamp) -> String,
}

const fn text_column(
    heading: &'static str,
    width: Constraint,
    text: fn(&Row, Timestamp) -> String,
) -> Column {
    Column {
        heading,
        width,
        is_number: false,
        text,
    }
}

const fn number_column(
    heading: &'static str,
    width: u16,
    text: fn(&Row, Timestamp) -> String,
) -> Column {
    Column {
        heading,
        width: Constraint::Length(width),
        is_number: true,
        text,
    }
}

fn columns(width: u16) -> Vec<Column> {
    let packets = || number_column("PACKETS", 8, |row, _| amount(row.packets));
    let rate = || number_column("PKT/S", 6, |row, _| row.rate.map_or_else(String::new, rate));
    let dropped = || number_column("DROPPED", 8, |row, _| amount(row.dropped));
    let last = || number_column("LAST", 5, |row, now| age(row.last, now));
    let named = |length| {
        text_column("DESTINATION", length, |row, _| {
            row.shown_destination().to_owned()
        })
    };
    let device = |length| {
        text_column("DEVICE", Constraint::Length(length), |row, _| {
            row.device.clone()
        })
    };
    let service = |length| {
        text_column("SERVICE", Constraint::Length(length), |row, _| {
            row.shown_services()
        })
    };
    if width >= WIDE {
        return vec![
            device(22),
            text_column("NAME", Constraint::Fill(3), |row, _| {
                row.name.clone().unwrap_or_default()
            }),
            text_column("ADDRESS", Constraint::Length(24), |row, _| {
                row.address.clone()
            }),
            service(12),
            packets(),
            number_column("BYTES", 8, |row, _| amount(row.bytes)),
            rate(),
            dropped(),
            last(),
            text_column("POLICIES", Constraint::Length(24), |row, _| {
                let policies: Vec<_> = row.policies.iter().map(ToString::to_string).collect();
                policies.join(", ")
            }),
            text_column("RANGE", Constraint::Fill(2), |row, _| {
                let range = row.range.as_deref().unwrap_or_default();
                range.trim_start_matches("range: ").to_owned()
            }),
        ];
    }
    if width >= USUAL {
        return vec![
            device(16),
            named(Constraint::Fill(1)),
            service(11),
            packets(),
            rate(),
            dropped(),
            last(),
        ];
    }
    vec![device(width / 3), named(Constraint::Fill(1)), packets()]
}

fn draw_rows(frame: &mut Frame<'_>, area: Rect, top: &mut Top, palette: Palette) {
    let columns = columns(area.width);
    let now = top
        .facts
        .as_ref()
        .map_or(Timestamp::UNIX_EPOCH, |facts| facts.at);
    let shown = top.shown();
    if shown.is_empty() {
        let text = match (&top.facts, top.filter.is_empty()) {
            (None, _) => "",
            (Some(_), true) => "no packet matched a policy in this period",
            (Some(_), false) => "no row contains this text",
        };
        return frame.render_widget(Paragraph::new(text), area);
    }
    let selected = top.selected(&shown).map(|(place, _)| place);
    // Only the rows near the cursor are made into text.
    let height = usize::from(area.height.saturating_sub(1)).max(1);
    let place = selected.unwrap_or(0);
    let mut first = top.table.offset().min(place);
    first = first.max((place + 1).saturating_sub(height));
    first = first.min(shown.len().saturating_sub(height));
    let rows: Vec<TableRow<'static>> = shown
        .iter()
        .skip(first)
        .take(height)
        .enumerate()
        .map(|(index, row)| {
            let cells = columns.iter().map(|column| {
                let text = Line::raw((column.text)(row, now));
                Cell::new(if column.is_number {
                    text.alignment(Alignment::Right)
                } else {
                    text
                })
            });
            let style = match (first + index == place, row.dropped > 0) {
                (true, _) => palette.selected(),
                (false, true) => palette.dropped(),
                (false, false) => ratatui::style::Style::new(),
            };
            TableRow::new(cells).style(style)
        })
        .collect();
    let headings = columns.iter().map(|column| {
        let text = Line::raw(column.heading);
        Cell::new(if column.is_number {
            text.alignment(Alignment::Right)
        } else {
            text
        })
    });
    let header = TableRow::new(headings).style(palette.heading());
    let widths = columns.iter().map(|column| column.width);
    *top.table.offset_mut() = first;
    frame.render_widget(Table::new(rows, widths).header(header), area);
}

/// A number in at most six characters: `123456`, `1.2 M`.
fn amount(number: u64) -> String {
    const STEPS: [(u64, &str); 4] = [
        (1_000_000_000_000, "T"),
        (1_000_000_000, "G"),
        (1_000_000, "M"),
        (1_000, "k"),
    ];
    if number < 100_000 {
        return number.to_string();
    }
    let step = STEPS.into_iter().find(|(step, _)| number >= *step);
    let (step, unit) = step.unwrap_or((1, ""));
    format!("{}.{} {unit}", number / step, number % step * 10 / step)
}

fn rate(rate: f64) -> String {
    if rate <= 0.0 {
        "-".to_owned()
    } else if rate < 10.0 {
        format!("{rate:.1}")
    } else {
        format!("{rate:.0}")
    }
}

/// How long ago a packet was seen, in at most four characters.
fn age(last: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(last).as_secs().max(0);
    match seconds {
        0..100 => format!("{seconds}s"),
        100..6_000 => format!("{}m", seconds / 60),
        6_000..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// The text, with an ellipsis if it is longer than the line.
fn shortened(text: &str, width: u16) -> String {
    let width = usize::from(width);
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{kept}…")
}
