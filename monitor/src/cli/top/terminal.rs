//! The terminal as a screen, and as it was before.

use std::{
    io,
    os::fd::AsFd as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use ratatui::DefaultTerminal;
use signal_hook::{
    SigId,
    consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM},
};

/// The terminal in raw mode, with its other screen. Dropping this value restores it; so does a
/// panic.
pub(super) struct Screen {
    pub(super) terminal: DefaultTerminal,
    end: Arc<AtomicBool>,
    handlers: Vec<SigId>,
}

impl Screen {
    /// Takes over the terminal.
    pub(super) fn open() -> io::Result<Self> {
        let end = Arc::new(AtomicBool::new(false));
        let signals = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];
        let handlers = signals
            .into_iter()
            .map(|signal| signal_hook::flag::register(signal, Arc::clone(&end)))
            .collect::<io::Result<_>>()?;
        // It also sets a hook that restores the terminal before a panic is printed.
        let terminal = ratatui::try_init().inspect_err(|_| ratatui::restore())?;
        Ok(Self {
            terminal,
            end,
            handlers,
        })
    }

    /// Waits until the terminal has input, at most `limit`. False if the terminal is gone: the
    /// library that reads keys would then wait for ever, with a whole processor.
    pub(super) fn waits(limit: PollTimeout) -> io::Result<bool> {
        let input = io::stdin();
        let mut descriptors = [PollFd::new(input.as_fd(), PollFlags::POLLIN)];
        match poll(&mut descriptors, limit) {
            Ok(_) => {
                let gone = PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL;
                let found = descriptors[0].revents();
                Ok(found.is_none_or(|found| !found.intersects(gone)))
            }
            // A signal: the caller looks for it.
            Err(Errno::EINTR) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// True after a signal that asks the process to end.
    pub(super) fn is_asked_to_end(&self) -> bool {
        self.end.load(Ordering::Relaxed)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone cannot be restored.
        let _ = self.terminal.show_cursor();
        let _ = ratatui::try_restore();
        for handler in self.handlers.drain(..) {
            signal_hook::low_level::unregister(handler);
        }
    }
}
