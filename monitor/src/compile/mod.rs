//! Model → ruleset.

mod ruleset;

pub use ruleset::{MatchSetId, PolicyIndex, Prefix, Ruleset, RulesetPolicy};
