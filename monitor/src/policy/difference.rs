//! What differs between two versions of destinations, and the part of destinations that
//! concerns a difference.

use std::{cmp::Ordering, collections::HashSet};

use super::{
    destinations::{Destinations, Hole},
    lines::Lines,
};
use crate::address::{Address, Network, Region};

impl<A: Address> Destinations<A> {
    /// The networks of all entries that only one of `self` and `other` has, or that both
    /// have with different exceptions. The order of the entries and their lines do not
    /// matter.
    pub(crate) fn difference(&self, other: &Self) -> Vec<Network<A>> {
        if self.holes.is_empty() && other.holes.is_empty() {
            let (one, other) = middles(self.networks_without(other), other.networks_without(self));
            return in_one_only(one, other);
        }
        let (plain, with_holes) = self.split();
        let (others_plain, others_with_holes) = other.split();
        let (plain, others_plain) = middles(plain, others_plain);
        let mut networks = in_one_only(plain, others_plain);
        let differing = in_one_only(with_holes, others_with_holes);
        networks.extend(differing.into_iter().map(|(network, _)| network));
        networks
    }

    /// The entries that overlap `region`, with their exceptions.
    pub(crate) fn only(&self, region: &Region<A>) -> Self {
        let mut kept = Self::default();
        let mut holes = self.holes.as_slice();
        for (index, entry) in self.near(region, 0) {
            kept.push_entry(entry);
            let (_, after) = holes.split_at(holes.partition_point(|hole| hole.entry < index));
            holes = after;
            let own = holes_of(&mut holes, index);
            let entry = kept.len() - 1;
            kept.holes.extend(own.iter().map(|hole| Hole {
                entry,
                network: hole.network,
            }));
        }
        kept
    }

    /// The networks of all entries, without the parts of lists that `other` has too.
    fn networks_without(&self, other: &Self) -> Vec<Network<A>> {
        let others: HashSet<usize> = other
            .parts
            .iter()
            .map(|part| part.lines.identity())
            .collect();
        let own = self.parts.iter().map(|part| &part.lines);
        let own = own.filter(|lines| !others.contains(&lines.identity()));
        own.flat_map(Lines::networks).collect()
    }

    /// The networks of entries without exceptions, and the others with their exceptions.
    fn split(&self) -> (Vec<Network<A>>, Vec<WithHoles<A>>) {
        let (mut plain, mut with_holes) = (Vec::new(), Vec::new());
        let mut holes = self.holes.as_slice();
        for (index, network) in self.networks().enumerate() {
            match holes_of(&mut holes, index) {
                [] => plain.push(network),
                own => with_holes.push((network, own.iter().map(|hole| hole.network).collect())),
            }
        }
        (plain, with_holes)
    }
}

/// A network, and what it leaves out.
type WithHoles<A> = (Network<A>, Vec<Network<A>>);

/// Splits the holes of the entry with this index off from `holes`, which are sorted by
/// entry.
fn holes_of<'a, A>(holes: &mut &'a [Hole<A>], index: usize) -> &'a [Hole<A>] {
    let end = holes.iter().take_while(|hole| hole.entry == index).count();
    holes.split_off(..end).unwrap_or_default()
}

/// Both sequences without the elements at their begin and at their end that are equal. Most
/// elements of two versions of a list are equal and at the same place.
fn middles<T: Eq>(mut one: Vec<T>, mut other: Vec<T>) -> (Vec<T>, Vec<T>) {
    let same = |(one, other): &(&T, &T)| one == other;
    let trailing = one.iter().rev().zip(other.iter().rev());
    let trailing = trailing.take_while(same).count();
    one.truncate(one.len() - trailing);
    other.truncate(other.len() - trailing);
    let leading = one.iter().zip(&other).take_while(same).count();
    one.drain(..leading);
    other.drain(..leading);
    (one, other)
}

/// The elements that only one of the two has.
fn in_one_only<T: Ord>(mut one: Vec<T>, mut other: Vec<T>) -> Vec<T> {
    one.sort_unstable();
    other.sort_unstable();
    let (mut one, mut other) = (one.into_iter().peekable(), other.into_iter().peekable());
    let mut found = Vec::new();
    loop {
        let order = match (one.peek(), other.peek()) {
            (None, None) => return found,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(one), Some(other)) => one.cmp(other),
        };
        match order {
            Ordering::Less => found.extend(one.next()),
            Ordering::Greater => found.extend(other.next()),
            Ordering::Equal => {
                one.next();
                other.next();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use crate::policy::{Disk, KnownLists, Loaded, load_after};

    fn loaded(folder: &Path, own: &str, list: &str, known: &KnownLists) -> Loaded {
        let file = folder.join("p.yaml");
        let yaml = format!(
            "version: 1\npolicies:\n  - {{name: p, action: count, destinations: [{own}, {{list: list.txt}}]}}\n"
        );
        fs::write(&file, yaml).unwrap();
        fs::write(folder.join("list.txt"), list).unwrap();
        let loaded = load_after(&[file], &Disk, &[], known);
        assert!(!loaded.diagnostics.has_errors());
        loaded
    }

    fn difference(before: &Loaded, after: &Loaded) -> Vec<String> {
        let [before, after] = [before, after].map(|loaded| loaded.policies[0].ipv4());
        let networks = after.difference(before);
        networks.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_unchanged_list_is_shared_and_other_entries_differ() {
        let folder = tempfile::tempdir().unwrap();
        let list = "8.8.8.0/24\n9.9.9.0/24\n";
        let first = loaded(folder.path(), "1.1.1.1", list, &KnownLists::default());
        let second = loaded(folder.path(), "1.1.1.2", list, &first.known);
        let [one, other] = [&first, &second].map(|loaded| &loaded.policies[0].ipv4().parts[1]);
        assert_eq!(one.lines.identity(), other.lines.identity());
        assert_eq!(difference(&first, &second), ["1.1.1.1/32", "1.1.1.2/32"]);
        let list = "9.9.9.0/24\n7.7.7.0/24\n8.8.8.0/24\n";
        let third = loaded(folder.path(), "1.1.1.2", list, &second.known);
        assert_eq!(difference(&second, &third), ["7.7.7.0/24"]);
    }

    #[test]
    fn an_entry_with_other_exceptions_differs() {
        let folder = tempfile::tempdir().unwrap();
        let entry = |hole: &str| format!("1.2.0.0/16, {{cidr: 1.0.0.0/16, except: [{hole}]}}");
        let load = |own: &str| loaded(folder.path(), own, "9.9.9.9\n", &KnownLists::default());
        let (one, other) = (load(&entry("1.0.0.0/24")), load(&entry("1.0.1.0/24")));
        assert_eq!(difference(&one, &other), ["1.0.0.0/16", "1.0.0.0/16"]);
        assert_eq!(difference(&one, &one), [""; 0]);
        assert_eq!(
            difference(&one, &load("1.2.0.0/16")),
            ["1.0.0.0/16"],
            "an entry is gone"
        );
    }
}
