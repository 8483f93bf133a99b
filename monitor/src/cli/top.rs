//! `monitor top`: devices and destinations on a screen, as they are now or were.

mod reader;
mod terminal;

use std::{
    io::{self, IsTerminal as _},
    sync::mpsc::TryRecvError,
    time::Duration,
};

use anyhow::Context as _;
use clap::Args;
use jiff::Timestamp;
use monitor::top::{Moment, Palette, Step, Top, draw};
use ratatui::crossterm::event::{self, Event};

use super::{
    Common, ReachArgs,
    select::{Select, since},
};
use reader::{Asked, Heard, Reader};
use terminal::Screen;

/// How long the screen waits for a key before it looks for signals and new facts, milliseconds.
const WAIT: u8 = 100;

/// Show devices and destinations on a live screen; block and pause with a key
///
/// The screen shows what matched a policy: who contacted what, how much and how fast. Keys sort,
/// filter and show details. `?` shows the keys. `b` blocks a destination for a device, `p` pauses
/// a policy; each asks first. These two need root or the user that runs the daemon. A line says
/// what the gateway does not see, as `monitor doctor` does. With `NO_COLOR` there are no colours.
#[derive(Args, Debug)]
pub(crate) struct TopArgs {
    /// Show this time in the past, from the store: a length before now, such as 2d, or a time
    /// such as 2026-11-01T20:00:00Z. Shows the hour before it, or what began with --since
    #[arg(long, value_name = "TIME", value_parser = since)]
    at: Option<Timestamp>,

    #[command(flatten)]
    select: Select,

    #[command(flatten)]
    reach: ReachArgs,
}

impl TopArgs {
    fn moment(&self) -> Moment {
        self.at.map_or(Moment::Now, Moment::Past)
    }
}

/// Shows the screen until the operator ends it.
pub(super) fn run(common: &Common, args: &TopArgs) -> anyhow::Result<()> {
    anyhow::ensure!(
        !common.json,
        "`monitor top` is a screen and prints no JSON; use `monitor flows --json`"
    );
    anyhow::ensure!(
        io::stdin().is_terminal() && is_terminal_out(),
        "`monitor top` needs a terminal; use `monitor flows`, or `monitor events --follow`"
    );
    let reach = args.reach.reach(common)?;
    let reader = Reader::start(reach, &args.select, args.at)?;
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let palette = Palette::new(!no_colour);
    let mut screen = Screen::open().context("use the terminal")?;
    let shown = show(&mut screen, &reader, args.moment(), palette);
    // The terminal is as before when an error is printed.
    drop(screen);
    shown
}

#[expect(clippy::disallowed_methods, reason = "only asks what it is")]
fn is_terminal_out() -> bool {
    io::stdout().is_terminal()
}

fn show(
    screen: &mut Screen,
    reader: &Reader,
    moment: Moment,
    palette: Palette,
) -> anyhow::Result<()> {
    let mut top = Top::new(moment);
    let mut is_changed = true;
    loop {
        if std::mem::take(&mut is_changed) {
            screen
                .terminal
                .draw(|frame| draw(frame, &mut top, palette))?;
        }
        if screen.is_asked_to_end() {
            return Ok(());
        }
        anyhow::ensure!(Screen::waits(WAIT.into())?, "the terminal is gone");
        if event::poll(Duration::ZERO)? {
            is_changed = true;
            let step = match event::read()? {
                Event::Key(key) => top.press(key),
                _ => Step::Draw,
            };
            match step {
                Step::Draw => {}
                Step::Quit => return Ok(()),
                Step::Read => reader.ask(Asked::Facts),
                Step::Change(change) => reader.ask(Asked::Change(change)),
            }
        }
        loop {
            match reader.heard.try_recv() {
                Ok(heard) => {
                    is_changed = true;
                    take(&mut top, heard);
                }
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => anyhow::bail!("the thread that reads ended"),
            }
        }
    }
}

fn take(top: &mut Top, heard: Heard) {
    match heard {
        Heard::Facts(facts) => top.take(*facts),
        Heard::NotRead(why) => top.not_read(why),
        Heard::Changed(request, text) => top.changed(request, text),
        Heard::NotChanged(why) => top.refuse(why),
    }
}
