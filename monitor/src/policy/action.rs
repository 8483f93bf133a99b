//! Actions of policies, and everything that depends on the choice of an action.
//!
//! Other modules call the methods of [`Action`] or match its [`Strength`]; they
//! never compare with a variant. So a new variant needs only its constant in
//! `monitor_common` and an arm in each `match` of this file.

use std::{borrow::Cow, cmp::Ordering, fmt, str::FromStr};

use monitor_common::{ACTION_ALLOW, ACTION_COUNT, ACTION_DROP, ACTION_REJECT};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::diagnostic::near_miss;

/// Defines an enum and `ALL` from one list of variants, so that `ALL` misses none.
macro_rules! with_all {
    ($(#[$attribute:meta])* pub enum $name:ident { $($(#[$doc:meta])* $variant:ident,)+ }) => {
        $(#[$attribute])*
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// Every variant, in the order of the declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
        }
    };
}

with_all! {
    /// The action that a policy asks for. Sorts by [`Strength`], strongest
    /// first; equally strong actions sort in the order of this declaration.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum Action {
        /// Exempts from this filter. Wins over every other action.
        Allow,
        /// Drops, unless an `allow` policy matches too.
        Drop,
        /// Drops and answers, unless an `allow` policy matches too.
        Reject,
        /// Counts the packet and lets it pass.
        Count,
    }
}

/// How an action acts on a packet that several policies match, strongest first:
/// the strongest action among them decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Strength {
    /// The packet passes, whatever the other policies ask for.
    Exempts,
    /// The packet is stopped, unless a policy exempts it.
    Blocks,
    /// The packet is counted, and the other policies decide.
    Observes,
}

impl Action {
    /// How the action ranks against other actions that match the same packet.
    #[must_use]
    pub const fn strength(self) -> Strength {
        match self {
            Self::Allow => Strength::Exempts,
            Self::Drop | Self::Reject => Strength::Blocks,
            Self::Count => Strength::Observes,
        }
    }

    /// True if the action stops packets.
    #[must_use]
    pub const fn blocks(self) -> bool {
        match self.strength() {
            Strength::Blocks => true,
            Strength::Exempts | Strength::Observes => false,
        }
    }

    /// True if the action answers the packets that it stops.
    #[must_use]
    pub const fn answers(self) -> bool {
        match self {
            Self::Reject => true,
            Self::Allow | Self::Drop | Self::Count => false,
        }
    }

    /// True if the action exempts packets from every action that blocks.
    #[must_use]
    pub const fn exempts(self) -> bool {
        match self.strength() {
            Strength::Exempts => true,
            Strength::Blocks | Strength::Observes => false,
        }
    }

    /// The word in policy files, JSON and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Drop => "drop",
            Self::Reject => "reject",
            Self::Count => "count",
        }
    }

    /// Length of the longest action name, in characters.
    pub const LONGEST_NAME: usize = {
        let (mut longest, mut index) = (0, 0);
        while index < Self::ALL.len() {
            let length = Self::ALL[index].name().len();
            if length > longest {
                longest = length;
            }
            index += 1;
        }
        longest
    };

    /// The action's `ACTION_*` constant in a
    /// [`monitor_common::GenerationPolicy`].
    #[must_use]
    pub const fn code(self) -> u32 {
        match self {
            Self::Allow => ACTION_ALLOW,
            Self::Drop => ACTION_DROP,
            Self::Reject => ACTION_REJECT,
            Self::Count => ACTION_COUNT,
        }
    }

    /// The action with this `ACTION_*` constant; `None` for a constant of a
    /// newer version.
    #[must_use]
    pub fn from_code(code: u32) -> Option<Self> {
        let mut all = Self::ALL.iter().copied();
        all.find(|action| action.code() == code)
    }

    /// What happens to packets when this action decides, as `explain` prints
    /// it.
    #[must_use]
    pub const fn outcome(self) -> &'static str {
        match self {
            Self::Allow => "its packets pass, whatever other policies ask for",
            Self::Drop => "its packets are dropped",
            Self::Reject => "its packets are dropped, and the device is told so",
            Self::Count => "its packets are counted and pass",
        }
    }

    /// Why an operator writes this action; part of a help text.
    const fn purpose(self) -> &'static str {
        match self {
            Self::Allow => "to exempt from this filter",
            Self::Drop => "to block",
            Self::Reject => "to block and tell the device",
            Self::Count => "to see",
        }
    }

    /// Words that other filters use for this action.
    const fn synonyms(self) -> &'static [&'static str] {
        match self {
            Self::Allow => &["accept", "permit", "pass", "whitelist", "exempt"],
            Self::Drop => &["block", "deny", "blacklist"],
            Self::Reject => &["refuse", "reset", "prohibit"],
            Self::Count => &["log", "monitor", "observe", "watch", "alert"],
        }
    }

    /// Help text that lists every action, weakest first.
    #[must_use]
    pub fn choice() -> String {
        let each = Self::ALL.iter().rev();
        let each = each.map(|action| format!("`{action}` {}", action.purpose()));
        let mut each: Vec<String> = each.collect();
        if let Some(last) = each.last_mut() {
            last.insert_str(0, "or ");
        }
        format!("write {}", each.join(", "))
    }

    /// The action whose name or synonym is nearest to `word`.
    fn meant_by(word: &str) -> Option<Self> {
        let all = Self::ALL.iter().copied();
        let names = all.clone().map(|action| (action.name(), action));
        let synonyms = all.flat_map(|action| {
            let words = action.synonyms().iter();
            words.map(move |word| (*word, action))
        });
        let known: Vec<(&str, Self)> = names.chain(synonyms).collect();
        let words: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
        let near = near_miss(word, &words)?;
        let meant = known.iter().find(|(word, _)| *word == near);
        meant.map(|(_, action)| *action)
    }
}

impl Ord for Action {
    fn cmp(&self, other: &Self) -> Ordering {
        let declared = |action: Self| action as u8;
        let by_strength = self.strength().cmp(&other.strength());
        by_strength.then_with(|| declared(*self).cmp(&declared(*other)))
    }
}

impl PartialOrd for Action {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A word that names no action.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no action `{word}`")]
pub struct InvalidAction {
    word: String,
}

impl InvalidAction {
    /// What to write instead.
    #[must_use]
    pub fn help(&self) -> String {
        match Action::meant_by(&self.word) {
            Some(action) => format!("did you mean `{action}`?"),
            None => Action::choice(),
        }
    }
}

impl FromStr for Action {
    type Err = InvalidAction;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let mut all = Self::ALL.iter().copied();
        let named = all.find(|action| action.name() == word);
        named.ok_or_else(|| InvalidAction {
            word: word.to_owned(),
        })
    }
}

impl Serialize for Action {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Action {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = Cow::<str>::deserialize(deserializer)?;
        word.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strongest_action_sorts_first() {
        let mut sorted = Action::ALL.to_vec();
        sorted.reverse();
        sorted.sort();
        let strengths: Vec<Strength> = sorted.iter().map(|action| action.strength()).collect();
        assert!(strengths.is_sorted());
        let [allow, drop, count] = [Action::Allow, Action::Drop, Action::Count];
        assert!(allow < drop && drop < count);
        assert_eq!(drop.strength(), Action::Reject.strength());
    }

    #[test]
    fn each_name_and_code_leads_back_to_its_action() {
        for action in Action::ALL {
            assert_eq!(action.name().parse(), Ok(*action));
            assert_eq!(Action::from_code(action.code()), Some(*action));
            let json = serde_json::to_string(action).unwrap();
            assert_eq!(json, format!("\"{action}\""));
            assert_eq!(serde_json::from_str::<Action>(&json).unwrap(), *action);
        }
        assert_eq!(Action::from_code(u32::MAX), None);
        assert!(serde_json::from_str::<Action>("\"Drop\"").is_err());
    }

    #[test]
    fn a_word_of_another_filter_leads_to_the_action_of_this_one() {
        for (word, meant) in [
            ("block", "did you mean `drop`?"),
            ("acept", "did you mean `allow`?"),
            ("Count", "did you mean `count`?"),
            ("refuse", "did you mean `reject`?"),
            (
                "explode",
                "write `count` to see, `reject` to block and tell the device, `drop` to block, or `allow` to exempt from this filter",
            ),
        ] {
            let error = word.parse::<Action>().unwrap_err();
            assert_eq!(error.help(), meant, "{word}");
        }
    }
}
