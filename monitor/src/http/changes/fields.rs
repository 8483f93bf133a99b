//! Forms of the page → requests of the control socket.

use std::collections::BTreeMap;

use crate::{
    control::{ChangeRequest, typed},
    policy::Effect,
};

/// The most fields of a form.
const MOST_FIELDS: usize = 16;

/// Why a form is not understood. The text names the field and the fix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct BadForm(String);

/// The fields of a form. Empty fields are left out.
#[derive(Debug)]
pub(super) struct Fields(BTreeMap<String, String>);

/// What the operator chose in a row.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// The change.
    pub(super) request: ChangeRequest,
    /// The page that comes next.
    pub(super) back: String,
}

impl Fields {
    /// Reads the body of a request.
    pub(super) fn parse(body: &[u8]) -> Result<Self, BadForm> {
        let mut fields = BTreeMap::new();
        for (number, (name, value)) in form_urlencoded::parse(body).enumerate() {
            let is_new = fields
                .insert(name.into_owned(), value.into_owned())
                .is_none();
            if !is_new || number >= MOST_FIELDS {
                return Err(BadForm(
                    "the form has a field twice, or too many".to_owned(),
                ));
            }
        }
        fields.retain(|_, value| !value.is_empty());
        Ok(Self(fields))
    }

    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    fn need(&mut self, name: &str) -> Result<String, BadForm> {
        let found = self.take(name);
        found.ok_or_else(|| BadForm(format!("the field `{name}` is missing")))
    }

    /// The change of a form that was sent to this path. Fails if a field is left over.
    pub(super) fn asked(mut self, verb: &str) -> Result<Asked, BadForm> {
        let effect = match verb {
            "block" => Effect::Block(self.destination()?),
            "allow" => Effect::Allow(self.destination()?),
            "pause" => {
                let name = self.need("policy")?;
                Effect::Pause(parsed("policy", name.parse())?)
            }
            "undo" => effect_of(&self.need("command")?)?,
            _ => return Err(BadForm("there is no such change".to_owned())),
        };
        let undo = verb == "undo";
        let length = self
            .take("for")
            .map(|text| parsed("for", typed::length(&text)));
        let length = length.transpose()?.filter(|_| !undo);
        if matches!(effect, Effect::Pause(_)) && length.is_none() && !undo {
            return Err(BadForm(
                "`for` is missing: a pause needs a length".to_owned(),
            ));
        }
        let reason = self
            .take("reason")
            .map(|text| parsed("reason", typed::reason(&text)));
        let asked = Asked {
            request: ChangeRequest {
                effect,
                device: self.take("device"),
                seconds: length.map(|length| length.as_secs()),
                undo,
                reason: reason.transpose()?,
            },
            back: own_path(self.take("back")),
        };
        match self.0.keys().next() {
            Some(field) => Err(BadForm(format!(
                "the form has a field `{}` that this change does not know",
                crate::quoted::quoted(field)
            ))),
            None => Ok(asked),
        }
    }

    fn destination(&mut self) -> Result<crate::address::Destination, BadForm> {
        let text = self.need("destination")?;
        parsed("destination", typed::destination(&text))
    }
}

/// The effect that a command of `monitor status` names.
fn effect_of(command: &str) -> Result<Effect, BadForm> {
    let unknown = || BadForm("`command` is no change that can be undone".to_owned());
    let (verb, object) = command.split_once(' ').ok_or_else(unknown)?;
    match (verb, object.strip_prefix("--reject ")) {
        ("block", Some(object)) => {
            parsed("command", typed::destination(object)).map(Effect::Reject)
        }
        ("block", None) => parsed("command", typed::destination(object)).map(Effect::Block),
        ("allow", None) => parsed("command", typed::destination(object)).map(Effect::Allow),
        ("pause", None) => parsed("command", object.parse()).map(Effect::Pause),
        _ => Err(unknown()),
    }
}

fn parsed<T, E: std::fmt::Display>(field: &str, result: Result<T, E>) -> Result<T, BadForm> {
    result.map_err(|error| BadForm(format!("`{field}`: {error}")))
}

/// A path of this page. Everything else, such as the address of another server, becomes the page
/// of changes.
fn own_path(back: Option<String>) -> String {
    let is_own = |path: &String| {
        path.len() <= 500
            && path.starts_with('/')
            && !path.starts_with("//")
            && path
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b'\\')
    };
    back.filter(is_own).unwrap_or_else(|| "/changes".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(verb: &str, body: &str) -> Result<Asked, String> {
        let fields = Fields::parse(body.as_bytes()).map_err(|error| error.to_string())?;
        fields.asked(verb).map_err(|error| error.to_string())
    }

    #[test]
    fn a_form_becomes_the_request_of_the_command() {
        let block = asked(
            "block",
            "destination=198.51.100.0%2F24&device=64%3Acc%3A2e%3A11%3A22%3A33&for=1h&back=%2Fcontacts%3Ftext%3Da",
        )
        .unwrap();
        assert_eq!(block.request.effect.command(), "block 198.51.100.0/24");
        assert_eq!(block.request.device.as_deref(), Some("64:cc:2e:11:22:33"));
        assert_eq!(block.request.seconds, Some(3_600));
        assert_eq!(block.back, "/contacts?text=a");
        let pause = asked("pause", "policy=range&for=10m").unwrap();
        assert_eq!(pause.request.effect.command(), "pause range");
        for command in [
            "block 192.0.2.7",
            "block --reject 192.0.2.7",
            "allow 2001:db8::/32",
            "pause a",
        ] {
            let body = form_urlencoded::Serializer::new(String::new())
                .append_pair("command", command)
                .append_pair("device", "")
                .finish();
            let undo = asked("undo", &body).unwrap();
            assert!(undo.request.undo);
            assert_eq!(undo.request.device, None);
            assert_eq!(undo.request.effect.command(), command);
        }
    }

    #[test]
    fn forms_of_nobody_are_refused_and_lead_nowhere_else() {
        for (verb, body, part) in [
            ("block", "", "`destination` is missing"),
            ("block", "destination=x", "`destination`"),
            ("block", "destination=192.0.2.1-192.0.2.9", "one CIDR"),
            ("block", "destination=192.0.2.1&for=0s", "from 1s"),
            (
                "block",
                "destination=192.0.2.1&destination=192.0.2.2",
                "twice",
            ),
            ("block", "destination=192.0.2.1&undo=1", "`undo`"),
            ("block", "destination=192.0.2.1&reason=a%0ab", "one line"),
            ("pause", "policy=range", "`for` is missing"),
            ("pause", "policy=%3Cscript%3E&for=1h", "`policy`"),
            ("undo", "command=detach", "no change"),
            ("undo", "command=doctor+--canary", "no change"),
            ("detach", "", "no such change"),
        ] {
            let error = asked(verb, body).unwrap_err();
            assert!(error.contains(part), "{verb} {body}: {error}");
        }
        for back in [
            "//evil.example",
            "https://evil.example",
            "/\\evil.example",
            "/a%0d%0ab",
            "x",
        ] {
            let body = format!("destination=192.0.2.1&back={back}");
            assert_eq!(asked("block", &body).unwrap().back, "/changes", "{back}");
        }
    }
}
