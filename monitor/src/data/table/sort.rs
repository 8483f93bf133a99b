//! Sorts ranges with a fixed amount of memory: sorted runs go to a file, and are merged
//! at the end.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    fs::File,
    io::{self, Write as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use super::{Entry, Family};

/// Number of ranges in a run. They use 1.5 MiB of memory.
const RUN: usize = 32 * 1024;

/// Number of ranges of each run that are in memory while the runs are merged.
const READ_AHEAD: usize = 256;

/// The order of ranges: by first address, a larger range before a smaller one in it.
fn order(entry: &Entry) -> (u128, Reverse<u128>) {
    (entry.first, Reverse(entry.last))
}

/// Collects ranges in any order.
pub(super) struct Sorter {
    family: Family,
    directory: PathBuf,
    /// Number of ranges in a run.
    run: usize,
    buffer: Vec<Entry>,
    /// The file of runs, if one was needed.
    spilled: Option<File>,
    /// Number of runs in the file.
    runs: usize,
}

impl Sorter {
    pub(super) fn new(family: Family, directory: &Path) -> Self {
        Self::with_run(family, directory, RUN)
    }

    /// Returns a sorter with runs of this many ranges.
    pub(super) fn with_run(family: Family, directory: &Path, run: usize) -> Self {
        Self {
            family,
            directory: directory.to_owned(),
            run,
            buffer: Vec::new(),
            spilled: None,
            runs: 0,
        }
    }

    pub(super) fn add(&mut self, entry: Entry) -> io::Result<()> {
        self.buffer.push(entry);
        if self.buffer.len() < self.run {
            return Ok(());
        }
        // A stable sort: among equal ranges, the order of the rows decides.
        self.buffer.sort_by_key(order);
        let mut bytes = Vec::with_capacity(self.run * self.family.record());
        for entry in self.buffer.drain(..) {
            entry.write(self.family, &mut bytes);
        }
        let file = match &mut self.spilled {
            Some(file) => file,
            None => self.spilled.insert(tempfile::tempfile_in(&self.directory)?),
        };
        file.write_all(&bytes)?;
        self.runs += 1;
        Ok(())
    }

    /// Returns all ranges in order. Among equal ranges, the one added first comes first.
    pub(super) fn finish(mut self) -> Sorted {
        self.buffer.sort_by_key(order);
        let mut runs: Vec<Run> = (0..self.runs)
            .map(|number| Run::spilled(number, self.run))
            .collect();
        runs.push(Run {
            ahead: self.buffer.into(),
            offset: 0,
            left: 0,
        });
        let next = BinaryHeap::with_capacity(runs.len());
        Sorted {
            family: self.family,
            file: self.spilled,
            runs,
            next,
            started: false,
        }
    }
}

/// A sorted run.
struct Run {
    /// The next ranges.
    ahead: VecDeque<Entry>,
    /// Number of the first range in the file that is not yet in `ahead`.
    offset: usize,
    /// Number of ranges in the file that are not yet in `ahead`.
    left: usize,
}

impl Run {
    fn spilled(number: usize, length: usize) -> Self {
        Self {
            ahead: VecDeque::new(),
            offset: number * length,
            left: length,
        }
    }

    fn next(&mut self, family: Family, file: Option<&File>) -> io::Result<Option<Entry>> {
        if let (true, 1.., Some(file)) = (self.ahead.is_empty(), self.left, file) {
            let count = self.left.min(READ_AHEAD);
            let mut bytes = vec![0; count * family.record()];
            file.read_exact_at(&mut bytes, (self.offset * family.record()) as u64)?;
            let records = bytes.chunks_exact(family.record());
            self.ahead
                .extend(records.filter_map(|record| Entry::read(family, record)));
            self.offset += count;
            self.left -= count;
        }
        Ok(self.ahead.pop_front())
    }
}

/// The order of a range, the number of its run, and its value.
type Next = Reverse<((u128, Reverse<u128>), usize, u32)>;

/// Merges the runs.
pub(super) struct Sorted {
    family: Family,
    file: Option<File>,
    runs: Vec<Run>,
    /// The next range of each run.
    next: BinaryHeap<Next>,
    started: bool,
}

impl Sorted {
    /// Returns the next range.
    pub(super) fn next(&mut self) -> io::Result<Option<Entry>> {
        if !self.started {
            self.started = true;
            for run in 0..self.runs.len() {
                self.advance(run)?;
            }
        }
        let Some(Reverse(((first, Reverse(last)), run, value))) = self.next.pop() else {
            return Ok(None);
        };
        self.advance(run)?;
        Ok(Some(Entry { first, last, value }))
    }

    fn advance(&mut self, number: usize) -> io::Result<()> {
        let Some(run) = self.runs.get_mut(number) else {
            return Ok(());
        };
        if let Some(entry) = run.next(self.family, self.file.as_ref())? {
            let key = (order(&entry), number, entry.value);
            self.next.push(Reverse(key));
        }
        Ok(())
    }
}
