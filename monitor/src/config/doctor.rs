//! The `doctor` section of the config file: findings that the operator accepts.

use serde::Deserialize;

use crate::doctor::Accepted;

/// The `doctor` section of the config file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DoctorOptions {
    /// Findings that the operator accepts.
    pub accept: Vec<AcceptedOption>,
}

/// An entry of `doctor.accept`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Accepted")]
pub struct AcceptedOption(Accepted);

/// The longest reason, in characters.
const MOST_REASON: usize = 200;

impl TryFrom<Accepted> for AcceptedOption {
    type Error = String;

    fn try_from(accepted: Accepted) -> Result<Self, String> {
        let reason = accepted.reason.trim();
        let is_fine = !reason.is_empty()
            && reason.chars().count() <= MOST_REASON
            && !reason.contains(char::is_control);
        if is_fine {
            Ok(Self(accepted))
        } else {
            Err(format!(
                "write the reason for which `{}` is accepted, on one line of at most {MOST_REASON} characters",
                accepted.check.name()
            ))
        }
    }
}

impl DoctorOptions {
    pub(super) fn or(self, other: Self) -> Self {
        if self == Self::default() { other } else { self }
    }

    pub(super) fn settle(self) -> Vec<Accepted> {
        let accepted = self.accept.into_iter();
        accepted.map(|AcceptedOption(accepted)| accepted).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Options;
    use crate::doctor::CheckName;

    #[test]
    fn a_finding_is_accepted_with_a_reason() {
        let text =
            "doctor:\n  accept:\n    - {check: interface, about: docker0, reason: test machines}\n";
        let accepted = Options::parse(text).unwrap().settle().accepted;
        assert_eq!(accepted[0].check, CheckName::Interface);
        assert_eq!(accepted[0].about.as_deref(), Some("docker0"));
        for wrong in [
            "{check: interface}",
            "{check: interface, reason: ' '}",
            "{check: interfaces, reason: x}",
            "{check: interface, reason: \"a\\nb\"}",
        ] {
            let text = format!("doctor:\n  accept: [{wrong}]\n");
            let error = Options::parse(&text).unwrap_err();
            assert_eq!(error.location().map(|at| at.line()), Some(2), "{error}");
        }
    }
}
