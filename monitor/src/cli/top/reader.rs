//! The thread that asks the daemon, so that keys never wait for an answer.

use std::{
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread,
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use monitor::{
    clock::now,
    control::{Answer, ChangeRequest, Request, Status, ask},
    datapath,
    doctor::Diagnosis,
    error_text::error_text,
    top::Facts,
};

use super::super::{
    change, devices, doctor, flows,
    reach::{Reach, ask_status},
    select::Select,
};

/// Time between two readings.
const INTERVAL: Duration = Duration::from_secs(2);

/// Time between two looks for blindness: a look takes much longer than a reading.
const LOOKS_EVERY: Duration = Duration::from_secs(30);

/// The period that the screen shows if the operator names none.
const PERIOD: SignedDuration = SignedDuration::from_hours(1);

/// What the thread is asked for.
pub(super) enum Asked {
    /// To read now.
    Facts,
    /// To ask the daemon for a change.
    Change(ChangeRequest),
}

/// What the thread answers.
pub(super) enum Heard {
    Facts(Box<Facts>),
    NotRead(String),
    Changed(ChangeRequest, String),
    NotChanged(String),
}

/// The thread, from the side of the screen.
pub(super) struct Reader {
    asked: Sender<Asked>,
    pub(super) heard: Receiver<Heard>,
}

/// The thread's own side.
struct Source {
    reach: Reach,
    select: Select,
    /// The time in the past to show; `None`: now.
    at: Option<Timestamp>,
    diagnosis: Option<(Instant, Diagnosis)>,
}

impl Reader {
    /// Starts the thread. It reads at once, and then again and again.
    pub(super) fn start(
        reach: Reach,
        select: &Select,
        at: Option<Timestamp>,
    ) -> anyhow::Result<Self> {
        let until = at.unwrap_or_else(|| now().at);
        // The begin stands still, so that sums only grow, and their differences are rates.
        let since = select.since().or_else(|| until.checked_sub(PERIOD).ok());
        anyhow::ensure!(
            at.is_none() || since.is_none_or(|since| since < until),
            "--since must be before --at"
        );
        let source = Source {
            reach,
            select: select.within(since, at),
            at,
            diagnosis: None,
        };
        let (asked, requests) = mpsc::channel();
        let (answers, heard) = mpsc::channel();
        thread::Builder::new()
            .name("reader".to_owned())
            .spawn(move || source.serve(&requests, &answers))?;
        Ok(Self { asked, heard })
    }

    /// Asks the thread. If it ended, the screen ends too.
    pub(super) fn ask(&self, asked: Asked) {
        let _ = self.asked.send(asked);
    }
}

impl Source {
    /// Reads and asks until the screen is gone.
    fn serve(mut self, requests: &Receiver<Asked>, answers: &Sender<Heard>) {
        loop {
            if answers.send(self.read()).is_err() {
                return;
            }
            let asked = match self.at {
                // The past does not change.
                Some(_) => requests.recv().map_err(|_| RecvTimeoutError::Disconnected),
                None => requests.recv_timeout(INTERVAL),
            };
            let answer = match asked {
                Ok(Asked::Change(change)) => self.change(change),
                Ok(Asked::Facts) | Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if answers.send(answer).is_err() {
                return;
            }
        }
    }

    fn read(&mut self) -> Heard {
        match self.facts() {
            Ok(facts) => Heard::Facts(Box::new(facts)),
            Err(error) => Heard::NotRead(error_text(error.as_ref())),
        }
    }

    fn facts(&mut self) -> anyhow::Result<Facts> {
        let (flows, _) = flows::read(&self.reach, &self.select)?;
        let (devices, _) = devices::read(&self.reach, &self.select)?;
        let is_now = self.at.is_none();
        Ok(Facts {
            at: self.at.unwrap_or_else(|| now().at),
            since: self.select.since(),
            flows,
            devices: devices.devices,
            status: is_now.then(|| self.status()).flatten(),
            diagnosis: is_now.then(|| self.diagnosis()).flatten(),
        })
    }

    /// The counters, from the daemon or from the pins.
    fn status(&self) -> Option<Status> {
        let settings = &self.reach.settings;
        if self.reach.daemon.is_some() {
            return ask_status(&settings.socket).ok();
        }
        let reader = datapath::Reader::open(&settings.pin_dir).ok()?;
        Some(Status {
            daemon: None,
            checks: Vec::new(),
            missed_edges: Vec::new(),
            snapshot: reader.snapshot(None).ok()?,
        })
    }

    /// The last look for blindness, or a new one.
    fn diagnosis(&mut self) -> Option<Diagnosis> {
        let known = self.diagnosis.as_ref();
        if let Some((looked, diagnosis)) = known
            && looked.elapsed() < LOOKS_EVERY
        {
            return Some(diagnosis.clone());
        }
        let diagnosis = doctor::read(&self.reach).ok()?;
        self.diagnosis = Some((Instant::now(), diagnosis.clone()));
        Some(diagnosis)
    }

    fn change(&self, request: ChangeRequest) -> Heard {
        if let Err(error) = self.reach.require_daemon() {
            return Heard::NotChanged(error.to_string());
        }
        match ask(
            &self.reach.settings.socket,
            &Request::Change(request.clone()),
        ) {
            Ok(Answer::Changed(changed)) => {
                let mut text = change::render(&changed);
                for note in &changed.notes {
                    text.push_str(note);
                    text.push('\n');
                }
                Heard::Changed(request, text)
            }
            Ok(Answer::Refused(why)) => Heard::NotChanged(format!("the daemon refused: {why}")),
            Ok(other) => {
                Heard::NotChanged(format!("the daemon gave an unexpected answer: {other:?}"))
            }
            Err(error) => Heard::NotChanged(error_text(&error)),
        }
    }
}
