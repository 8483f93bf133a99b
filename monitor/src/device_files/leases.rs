//! Reads lease files: only those that changed, one after another, within a limit for all
//! together.

use jiff::Timestamp;

use super::{
    reading::{Reading, Stamp, read},
    told::{self, Kind, Problem, Told},
};
use crate::{
    config::LeasesOption,
    devices::leases::{self, Lease, LeaseFormat, MAX_LEASES},
    regular_file::Purpose,
};

/// The most files with leases.
pub(super) const MAX_LEASE_FILES: usize = 16;

/// The most bytes that are read in one round. The next round reads the other files.
const MAX_ROUND: u64 = 32 << 20;

/// The most leases of all files.
const MAX_ALL: usize = 16_384;

/// Time in seconds after which a server has surely written the end of its last line.
const UNFINISHED: i64 = 60;

const WHAT: &str = "lease file";

/// The lease files, with the leases that were read from each.
#[derive(Debug, Default)]
pub(super) struct LeaseFiles {
    files: Vec<LeaseFile>,
    /// True if the operator named the files. Then a missing one is told.
    are_named: bool,
    /// The file at which the round goes on.
    next: usize,
    /// Files that the round has not looked at yet.
    left: usize,
    /// Bytes that the round has read.
    read: u64,
    /// Leases that found no room.
    lost: u64,
}

#[derive(Debug)]
struct LeaseFile {
    option: LeasesOption,
    /// The version that was read. `None` if the file has to be read again.
    stamp: Option<Stamp>,
    leases: Vec<Lease>,
    /// Leases of this version that found no room.
    not_kept: u64,
}

impl LeaseFiles {
    pub(super) fn new(options: Vec<LeasesOption>, are_named: bool) -> Self {
        let files = options.into_iter().map(|option| LeaseFile {
            option,
            stamp: None,
            leases: Vec::new(),
            not_kept: 0,
        });
        Self {
            files: files.collect(),
            are_named,
            ..Self::default()
        }
    }

    /// Begins a round over all files.
    pub(super) fn begin(&mut self) {
        self.left = self.files.len();
        self.read = 0;
    }

    /// Reads the next file that changed. Returns false if the round is at its end.
    pub(super) fn read_next(&mut self, now: Timestamp, told: &mut Told) -> bool {
        while self.left > 0 {
            let index = self.next % self.files.len();
            let Some(file) = self.files.get_mut(index) else {
                return false;
            };
            let stamp = Stamp::of(&file.option.path);
            let is_same = stamp.is_some() && file.stamp == stamp;
            let size = stamp.map_or(0, |stamp| stamp.size.min(Purpose::Devices.limit()));
            if !is_same && self.read > 0 && self.read + size > MAX_ROUND {
                return false;
            }
            self.left -= 1;
            self.next = index + 1;
            if is_same {
                continue;
            }
            self.read += size;
            let before = file.not_kept;
            file.read(self.are_named, now, told);
            self.lost += file.not_kept.saturating_sub(before);
            self.shorten(told);
            return true;
        }
        false
    }

    /// The leases of each file.
    pub(super) fn leases(&self) -> impl Iterator<Item = &[Lease]> {
        self.files.iter().map(|file| file.leases.as_slice())
    }

    /// Leases that found no room.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// Shortens the longest files until all leases find room.
    fn shorten(&mut self, told: &mut Told) {
        loop {
            let all: usize = self.files.iter().map(|file| file.leases.len()).sum();
            let longest = self.files.iter_mut().max_by_key(|file| file.leases.len());
            let (Some(longest), Some(excess)) = (longest, all.checked_sub(MAX_ALL)) else {
                return;
            };
            if excess == 0 {
                return;
            }
            // Each file keeps its share, also if many files are long.
            let kept = longest.leases.len().saturating_sub(excess);
            let kept = kept.max(MAX_ALL / MAX_LEASE_FILES);
            let cut = longest.leases.len() - kept;
            // IPv4 comes first, so the leases of IPv6 go first.
            longest.leases.truncate(kept);
            longest.not_kept += cut as u64;
            self.lost += cut as u64;
            let text = format!(
                ": all lease files together have more than {MAX_ALL} leases; {cut} of this file are not used"
            );
            told.reading(WHAT, &longest.option.path, &[(Kind::Room, text)]);
        }
    }
}

impl LeaseFile {
    /// Reads the file. If it cannot be read now, the leases of before stay.
    fn read(&mut self, is_named: bool, now: Timestamp, told: &mut Told) {
        let path = self.option.path.clone();
        self.stamp = None;
        let mut problems = Vec::new();
        let (bytes, stamp) = match read(&path, true) {
            Reading::Content(bytes, stamp) => (bytes, stamp),
            Reading::Ends {
                start,
                end,
                stamp,
                error,
            } => match newest(self.format(&start), &start, end) {
                Some(bytes) => {
                    problems.push((Kind::Cut, cut()));
                    (bytes, stamp)
                }
                None => return told.reading(WHAT, &path, &[(Kind::Read, format!(": {error}"))]),
            },
            Reading::Absent(error) => {
                self.leases.clear();
                let problem = is_named.then(|| (Kind::Read, format!(": {error}")));
                return told.reading(WHAT, &path, problem.as_slice());
            }
            Reading::Changing => return,
            Reading::Failed(error) => {
                return told.reading(WHAT, &path, &[(Kind::Read, format!(": {error}"))]);
            }
        };
        let is_finished = bytes.is_empty() || bytes.ends_with(b"\n");
        let is_young = stamp.changed.0 > now.as_second() - UNFINISHED;
        match self.parse(&bytes, now, &mut problems) {
            // The server is writing the file. The next round reads it again.
            _ if !is_finished && is_young && !self.is_json(&bytes) => return,
            Err(_) if is_young && self.is_json(&bytes) => return,
            Ok(()) if !is_finished && !self.is_json(&bytes) => problems.push((
                Kind::Unfinished,
                ": its last line has no line break, so it is not used; add one".to_owned(),
            )),
            Ok(()) => {}
            Err(text) => {
                self.leases.clear();
                problems.push((Kind::Format, format!(": {text}")));
            }
        }
        self.stamp = Some(stamp);
        told.reading(WHAT, &path, &problems);
    }

    fn format(&self, bytes: &[u8]) -> Option<LeaseFormat> {
        let format = self.option.format;
        format.or_else(|| LeaseFormat::recognise(bytes))
    }

    fn is_json(&self, bytes: &[u8]) -> bool {
        self.format(bytes) == Some(LeaseFormat::Networkd)
    }

    fn parse(
        &mut self,
        bytes: &[u8],
        now: Timestamp,
        problems: &mut Vec<Problem>,
    ) -> Result<(), String> {
        if bytes.trim_ascii().is_empty() {
            self.leases.clear();
            self.not_kept = 0;
            return Ok(());
        }
        let format = self.format(bytes).ok_or(
            "its first lines are no lease of dnsmasq, kea, isc, networkd or odhcpd; write `format`, or give the file of such a server",
        )?;
        let found = leases::parse(bytes, format, now).map_err(|error| error.to_string())?;
        problems.extend(told::skipped(&found.skipped));
        if found.not_kept > 0 {
            let text = format!(
                ": more than {MAX_LEASES} leases of an IP version; {} are not used",
                found.not_kept
            );
            problems.push((Kind::Room, text));
        }
        self.not_kept = found.not_kept;
        self.leases = found.leases;
        Ok(())
    }
}

/// Returns the newest part of a long file to which a server appends: whole rows of Kea below
/// their header, or whole declarations of the ISC server. Returns `None` for another format.
fn newest(format: Option<LeaseFormat>, start: &[u8], mut end: Vec<u8>) -> Option<Vec<u8>> {
    let (mark, header) = match format? {
        LeaseFormat::Kea => {
            let header = start.iter().position(|byte| *byte == b'\n')?;
            (&b"\n"[..], start.get(..=header)?)
        }
        LeaseFormat::Isc => (&b"\n}\n"[..], &b""[..]),
        LeaseFormat::Dnsmasq | LeaseFormat::Networkd | LeaseFormat::Odhcpd => return None,
    };
    let mut windows = end.windows(mark.len());
    let begin = windows.position(|window| window == mark)? + mark.len();
    end.splice(..begin, header.iter().copied());
    Some(end)
}

fn cut() -> String {
    let limit = bytesize::ByteSize::b(Purpose::Devices.limit());
    format!(
        ": it has more than {}; only its end is read; let the server clean it up",
        limit.display().iec()
    )
}
