//! The text of the file that names the interfaces.

use std::fmt::Write as _;

use crate::{
    config::Options,
    quoted::{message, quoted},
};

/// The settings that a package installs, as a YAML file.
const YAML: &str = include_str!("../../../packaging/systemd/monitor.yaml");
/// The line of [`YAML`] that names the interfaces.
const YAML_LINE: &str = "interface: [wlan0]\n";
/// The settings that the OpenWrt package installs.
const UCI: &str = include_str!("../../../packaging/openwrt/monitor.config");
/// The line of a UCI file before the interfaces.
const UCI_SECTION: &str = "config monitor";

/// The form of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The config file of `monitor`.
    Yaml,
    /// `/etc/config/monitor` on OpenWrt, from which the service makes the config file.
    Uci,
}

/// The file cannot be changed.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The file names other interfaces.
    #[error("it names {} already; to change that, write `{line}` in its place", named.join(", "))]
    NamesOthers {
        /// The interfaces that the file names.
        named: Vec<String>,
        /// The line to write.
        line: String,
    },
    /// The file cannot be read.
    #[error("{0}; fix it, or move the file away and run `monitor setup` again")]
    Invalid(String),
    /// A line cannot simply be added.
    #[error("its form is not one that `monitor setup` can add to; write `{0}` into it")]
    Add(String),
}

/// The text of a file that names these interfaces. `old` is the present text, if there is a file.
/// `None`: the file names them already.
pub fn with_interfaces(
    form: Form,
    old: Option<&str>,
    names: &[String],
) -> Result<Option<String>, SetupError> {
    let line = form.line(names);
    let Some(old) = old else {
        return Ok(Some(form.template(&line)));
    };
    let present = form.named(old)?;
    if present == names {
        return Ok(None);
    }
    if !present.is_empty() {
        let line = line.trim().to_owned();
        return Err(SetupError::NamesOthers {
            named: present,
            line,
        });
    }
    let new = form.add(old, &line);
    match form.named(&new) {
        Ok(found) if found == names => Ok(Some(new)),
        _ => Err(SetupError::Add(line.trim().to_owned())),
    }
}

impl Form {
    /// The text that names the interfaces, of whole lines.
    fn line(self, names: &[String]) -> String {
        match self {
            Self::Yaml => {
                let names: Vec<_> = names.iter().map(|name| yaml_word(name)).collect();
                format!("interface: [{}]\n", names.join(", "))
            }
            Self::Uci => names.iter().fold(String::new(), |mut lines, name| {
                // Writing to a text does not fail.
                let _ = writeln!(lines, "\tlist interface '{name}'");
                lines
            }),
        }
    }

    /// A new file.
    fn template(self, line: &str) -> String {
        match self {
            Self::Yaml => YAML.replacen(YAML_LINE, line, 1),
            Self::Uci => self.add(UCI, line),
        }
    }

    /// The interfaces that a file names.
    fn named(self, text: &str) -> Result<Vec<String>, SetupError> {
        match self {
            Self::Yaml => {
                let options = Options::parse(text)
                    .map_err(|error| SetupError::Invalid(message(error.to_string())))?;
                let interfaces = options.interface.0.into_iter();
                Ok(interfaces.map(|one| one.name).collect())
            }
            Self::Uci => text.lines().filter_map(uci_interface).collect(),
        }
    }

    fn add(self, text: &str, line: &str) -> String {
        let section = text.lines().position(|old| old.starts_with(UCI_SECTION));
        let before = match (self, section) {
            (Self::Yaml, _) => 0,
            (Self::Uci, Some(section)) => section + 1,
            (Self::Uci, None) => return format!("{text}\n{UCI_SECTION} 'main'\n{line}"),
        };
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let (above, below) = lines.split_at(before.min(lines.len()));
        [&above.concat(), line, &below.concat()].concat()
    }
}

/// A name as YAML: in quotes, unless it can only be a text.
fn yaml_word(name: &str) -> String {
    let is_plain = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        && !["null", "true", "false", "yes", "no", "on", "off", "y", "n"]
            .contains(&name.to_ascii_lowercase().as_str());
    if is_plain {
        name.to_owned()
    } else {
        serde_json::Value::from(name).to_string()
    }
}

/// The name in a line `list interface 'wlan0'`.
fn uci_interface(line: &str) -> Option<Result<String, SetupError>> {
    let mut words = line.split_whitespace();
    let (Some("list" | "option"), Some("interface"), name) =
        (words.next(), words.next(), words.next())
    else {
        return None;
    };
    let name = name.map(|name| name.trim_matches(['\'', '"']).to_owned());
    Some(name.filter(|name| !name.is_empty()).ok_or_else(|| {
        SetupError::Invalid(format!("the line {} has no name", quoted(line.trim())))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_new_file_has_the_interfaces_and_all_that_the_package_sets() {
        let wanted = names(&["br-lan", "on", "wl#n[1]"]);
        let text = with_interfaces(Form::Yaml, None, &wanted).unwrap().unwrap();
        let options = Options::parse(&text).unwrap();
        assert_eq!(Form::Yaml.named(&text).unwrap(), wanted);
        assert_eq!(
            options.pin_dir.as_deref(),
            Some("/run/monitor/bpf/monitor".as_ref())
        );
        let text = with_interfaces(Form::Uci, None, &names(&["br-lan", "wlan1"])).unwrap();
        let text = text.unwrap();
        assert!(
            text.contains("\tlist interface 'br-lan'\n\tlist interface 'wlan1'\n"),
            "{text}"
        );
        assert_eq!(Form::Uci.named(&text).unwrap(), ["br-lan", "wlan1"]);
    }

    #[test]
    fn a_file_is_added_to_and_never_changed() {
        let wlan0 = names(&["wlan0"]);
        let old = "# mine\nevidence: flows\n";
        let new = with_interfaces(Form::Yaml, Some(old), &wlan0).unwrap();
        assert_eq!(
            new.as_deref(),
            Some("interface: [wlan0]\n# mine\nevidence: flows\n")
        );
        assert_eq!(
            with_interfaces(Form::Yaml, new.as_deref(), &wlan0).unwrap(),
            None
        );
        let error = with_interfaces(Form::Yaml, new.as_deref(), &names(&["br0"])).unwrap_err();
        assert!(
            error.to_string().contains("it names wlan0 already"),
            "{error}"
        );
        assert!(error.to_string().contains("interface: [br0]"), "{error}");
    }

    #[test]
    fn a_file_in_another_form_is_left_alone_with_the_line_to_write() {
        let wlan0 = names(&["wlan0"]);
        for old in [
            "---\nevidence: flows\n",
            "interface: []\n",
            "{evidence: flows}\n",
        ] {
            let error = with_interfaces(Form::Yaml, Some(old), &wlan0).unwrap_err();
            assert!(
                error.to_string().contains("write `interface: [wlan0]`"),
                "{error}"
            );
        }
        let error = with_interfaces(Form::Yaml, Some("evidnce: flows\n"), &wlan0).unwrap_err();
        assert!(error.to_string().contains("unknown field"), "{error}");
        let error = with_interfaces(Form::Uci, Some("list interface\n"), &wlan0).unwrap_err();
        assert!(error.to_string().contains("has no name"), "{error}");
    }
}
