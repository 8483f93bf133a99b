//! Typed policy → model: checks the rules that involve more than one value.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, Ipv6Addr},
    path::Path,
    sync::Arc,
};

use super::{
    DeviceNames, PolicyName,
    by_command::ByCommand,
    conditions,
    destinations::Destinations,
    diagnostic::{Capped, Diagnostic, Diagnostics, SourceFile, SourcePlace},
    list::{Lists, ReadList},
    model::{CurrentEffect, Policy},
    source::{SourceDestination, SourceFeed, SourceList, SourceOverride, SourcePolicy, Spanned},
};
use crate::address::{Address, Destination, Interval, IntervalSet};

/// Builds the policy from `typed`, with the override `change` applied. Returns
/// `None` if it is invalid; `out` then has the errors.
pub(super) fn policy(
    typed: SourcePolicy,
    change: Option<&SourceOverride>,
    file: &SourceFile,
    devices: &DeviceNames,
    lists: &mut Lists<'_>,
    out: &mut Diagnostics,
) -> Option<Policy> {
    let mut builder = Builder {
        file,
        files: vec![(Arc::clone(file.path()), &['#'])],
        ipv4: Destinations::default(),
        ipv6: Destinations::default(),
        feeds: BTreeSet::new(),
        valid: true,
    };
    for destination in &typed.destinations {
        builder.add(destination, typed.name.as_ref(), lists, out);
    }
    builder.warn_duplicates(lists, out);
    let scope = conditions::scope(&typed, devices, file, out);
    if let Some(scope) = &scope {
        let span = typed.scope.services.as_ref().map(|services| &services.span);
        let overriding = change.and_then(SourceOverride::action);
        if let Some(action) = overriding.or(typed.action) {
            conditions::note_quic(action, &scope.services, span, file, out);
        }
    }
    conditions::note_handshake(&typed, file, out);
    let (name, action, scope) = (typed.name?, typed.action?, scope?);
    let valid = builder.valid && typed.times_valid;
    let policy = valid.then(|| Policy {
        place: file.place(name.span),
        name: name.value,
        action,
        enabled: typed.enabled,
        description: typed.description,
        observed: typed.observed,
        about: typed.about,
        references: typed.references,
        scope,
        schedule: typed.schedule,
        expires: typed.expires,
        by_command: ByCommand::default(),
        now: CurrentEffect::default(),
        scope_now: None,
        files: builder.files.into_iter().map(|(path, _)| path).collect(),
        ipv4: builder.ipv4,
        ipv6: builder.ipv6,
        derives: typed.derives,
        evidence: typed.evidence,
        allow_handshake: typed.allow_handshake.is_some(),
        changed: None,
        accepted: typed.accepted.into_iter().collect(),
    })?;
    match change {
        Some(change) => change.apply(policy, out),
        None => Some(policy),
    }
}

struct Builder<'a> {
    file: &'a SourceFile,
    /// Path and comment characters of each file: the policy file first, then
    /// its lists.
    files: Vec<(Arc<Path>, &'static [char])>,
    ipv4: Destinations<Ipv4Addr>,
    ipv6: Destinations<Ipv6Addr>,
    /// Indices into `files` of fetched lists. The operator cannot edit those,
    /// so duplicates in them are not reported.
    feeds: BTreeSet<u32>,
    valid: bool,
}

impl Builder<'_> {
    fn add(
        &mut self,
        destination: &SourceDestination,
        policy: Option<&Spanned<PolicyName>>,
        lists: &mut Lists<'_>,
        out: &mut Diagnostics,
    ) {
        match destination {
            SourceDestination::Plain(destination) => self.add_typed(destination, &[], out),
            SourceDestination::Except { cidr, except } => self.add_typed(cidr, except, out),
            SourceDestination::List(list) | SourceDestination::Table(list) => match &list.feed {
                Some(feed) => self.add_feed((list, feed), policy, lists, out),
                None => self.add_list(list, lists, out),
            },
        }
    }

    fn add_typed(
        &mut self,
        destination: &Spanned<Destination>,
        except: &[Spanned<Destination>],
        out: &mut Diagnostics,
    ) {
        let line = self.file.line_of(destination.span.start);
        let added = match destination.value {
            Destination::Ipv4(interval) => {
                self.ipv4.add(interval, line);
                let holes = holes(self.file, interval, except, ipv4, out);
                self.ipv4.carve(holes)
            }
            Destination::Ipv6(interval) => {
                self.ipv6.add(interval, line);
                let holes = holes(self.file, interval, except, ipv6, out);
                self.ipv6.carve(holes)
            }
        };
        self.valid &= added;
    }

    fn add_list(&mut self, typed: &SourceList, lists: &mut Lists<'_>, out: &mut Diagnostics) {
        let Some((path, list)) = lists.load(typed, self.file, out) else {
            self.valid = false;
            return;
        };
        self.add_lines(path, list);
    }

    /// A list that is not fetched yet adds nothing; that is no error.
    fn add_feed(
        &mut self,
        feed: (&SourceList, &SourceFeed),
        policy: Option<&Spanned<PolicyName>>,
        lists: &mut Lists<'_>,
        out: &mut Diagnostics,
    ) {
        let policy = policy.map(|name| &name.value);
        if let Some((source, list)) = lists.load_feed(feed, policy, self.file, out) {
            self.feeds.insert(self.next_file());
            self.add_lines(Arc::clone(source.path()), list);
        }
    }

    fn next_file(&self) -> u32 {
        u32::try_from(self.files.len()).unwrap_or(u32::MAX)
    }

    fn add_lines(&mut self, path: Arc<Path>, list: &ReadList) {
        let file = self.next_file();
        self.files.push((path, list.kind.comments()));
        self.ipv4.add_list(&list.ipv4, file);
        self.ipv6.add_list(&list.ipv6, file);
    }

    fn warn_duplicates(&self, lists: &Lists<'_>, out: &mut Diagnostics) {
        let mut capped: BTreeMap<u32, Capped> = BTreeMap::new();
        let mut warn = |network: String, first: (u32, u32), second: (u32, u32)| {
            if self.feeds.contains(&second.0) {
                return;
            }
            let capped = capped.entry(second.0).or_insert_with(Capped::new);
            capped.push(out, || {
                let message = format!("`{network}` is named twice in one policy");
                let help = "remove one of the two; it counts once";
                Diagnostic::warning(self.place(second, lists), message, help)
                    .with_related(self.place(first, lists), "it is named here first")
            });
        };
        self.ipv4.duplicates(&mut warn);
        self.ipv6.duplicates(&mut warn);
        for (file, capped) in capped {
            capped.finish(out, |hidden| {
                let place = SourcePlace::file_only(&self.files[file as usize].0);
                let message = format!(
                    "and {hidden} more destinations of this file are named twice in one policy"
                );
                Diagnostic::warning(place, message, "remove one of each two; each counts once")
            });
        }
    }

    fn place(&self, (file, line): (u32, u32), lists: &Lists<'_>) -> SourcePlace {
        let (path, comments) = &self.files[file as usize];
        match lists.text(path) {
            Some(source) if file > 0 => source.place_of_line(line, comments),
            None if file > 0 => SourcePlace::file_only(path),
            Some(_) | None => self.file.place_of_line(line, comments),
        }
    }
}

/// The addresses that `except` leaves out of `outer`; `None` if an exception is
/// invalid or nothing remains.
fn holes<A: Address>(
    file: &SourceFile,
    outer: Interval<A>,
    except: &[Spanned<Destination>],
    of_family: impl Fn(Destination) -> Option<Interval<A>>,
    out: &mut Diagnostics,
) -> Option<Vec<Interval<A>>> {
    let mut holes = Vec::new();
    let mut valid = true;
    for hole in except {
        if let Some(inside) = of_family(hole.value).filter(|hole| outer.contains(*hole)) {
            holes.push(inside);
        } else {
            valid = false;
            out.push(Diagnostic::error(
                file.place(hole.span.clone()),
                "this exception does not lie inside its `cidr`",
                "remove it, or move it to the destination that it lies in",
            ));
        }
    }
    if let Some(last) = except.last()
        && valid
        && holes
            .iter()
            .copied()
            .collect::<IntervalSet<_>>()
            .covers(outer)
    {
        out.push(Diagnostic::error(
            file.place(last.span.clone()),
            "the exceptions leave nothing of this `cidr`",
            "remove the destination, or an exception",
        ));
        return None;
    }
    valid.then_some(holes)
}

fn ipv4(destination: Destination) -> Option<Interval<Ipv4Addr>> {
    match destination {
        Destination::Ipv4(interval) => Some(interval),
        Destination::Ipv6(_) => None,
    }
}

fn ipv6(destination: Destination) -> Option<Interval<Ipv6Addr>> {
    match destination {
        Destination::Ipv4(_) => None,
        Destination::Ipv6(interval) => Some(interval),
    }
}
