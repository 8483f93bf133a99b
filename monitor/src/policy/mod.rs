//! Policies: what was typed, and what it means.

mod names;

pub use names::{Action, InvalidMacAddress, InvalidPolicyName, MacAddress, PolicyName};
