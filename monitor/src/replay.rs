//! stub
use monitor_common::Reason;
use crate::compile::PolicyIndex;
/// stub
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrameOutcome {
    /// stub
    Unparsed(Reason),
    /// stub
    Parsed { 
    /// stub
        matched: Vec<PolicyIndex>, 
    /// stub
        dropped: bool },
}
impl crate::compile::Ruleset {
    /// stub
    pub fn hash(&self) -> u64 { 0 }
}
