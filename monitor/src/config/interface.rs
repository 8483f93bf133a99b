//! An interface and its role, as they are typed.

use std::{convert::Infallible, fmt, str::FromStr};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use thiserror::Error;

use super::Options;
use crate::policy::Role;

/// An interface: `wlan0`, `eth0:wan`, or `{name: eth0, role: wan}`.
///
/// No interface name of the kernel has a colon (`dev_valid_name`). An alternative name may
/// have one: only `:lan` and `:wan` at the end are a role, and the form with keys takes
/// every name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceOption {
    /// Name of the interface.
    pub name: String,
    /// Its role.
    pub role: Role,
}

/// One interface has two roles.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "interface {name} has two roles: number {first} of the list is `{name}:{first_role}`, and number {second} is `{name}:{second_role}`; name it once"
)]
pub struct TwoRoles {
    name: String,
    first: usize,
    first_role: Role,
    second: usize,
    second_role: Role,
}

impl FromStr for InterfaceOption {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let with_role = text
            .rsplit_once(':')
            .and_then(|(name, role)| Some((name, role.parse().ok()?)));
        let (name, role) = with_role.unwrap_or((text, Role::Lan));
        Ok(Self {
            name: name.to_owned(),
            role,
        })
    }
}

impl<'de> Deserialize<'de> for InterfaceOption {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOrKeys)
    }
}

struct TextOrKeys;

impl<'de> Visitor<'de> for TextOrKeys {
    type Value = InterfaceOption;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a name such as wlan0 or eth0:wan, or {name: eth0, role: wan}")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<InterfaceOption, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<InterfaceOption, A::Error> {
        let (mut name, mut role) = (None, None);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "name" => name = Some(map.next_value::<String>()?),
                "role" => role = Some(map.next_value::<Role>()?),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    return Err(serde::de::Error::unknown_field(&key, &["name", "role"]));
                }
            }
        }
        Ok(InterfaceOption {
            name: name.ok_or_else(|| serde::de::Error::missing_field("name"))?,
            role: role.unwrap_or_default(),
        })
    }
}

impl Options {
    /// Returns an error if one interface has two roles.
    ///
    /// # Errors
    ///
    /// The error names both entries.
    pub fn check_roles(&self) -> Result<(), TwoRoles> {
        let interfaces = &self.interface.0;
        for (second, later) in interfaces.iter().enumerate() {
            let mut earlier = interfaces[..second].iter();
            let conflict = earlier.position(|one| one.name == later.name && one.role != later.role);
            if let Some(first) = conflict {
                return Err(TwoRoles {
                    name: later.name.clone(),
                    first: first + 1,
                    first_role: interfaces[first].role,
                    second: second + 1,
                    second_role: later.role,
                });
            }
        }
        Ok(())
    }
}

/// All names, and those with the role `wan`.
pub(super) fn by_role(interfaces: Vec<InterfaceOption>) -> (Vec<String>, Vec<String>) {
    let wan = interfaces.iter().filter(|one| one.role == Role::Wan);
    let wan = wan.map(|one| one.name.clone()).collect();
    (interfaces.into_iter().map(|one| one.name).collect(), wan)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wan(options: &str) -> (Vec<String>, Vec<String>) {
        let settings = Options::parse(options).unwrap().settle();
        (settings.interfaces, settings.wan)
    }

    #[test]
    fn a_role_is_behind_the_name_or_a_key_and_lan_if_missing() {
        let both = (
            vec!["wlan0".to_owned(), "eth0".to_owned()],
            vec!["eth0".to_owned()],
        );
        assert_eq!(
            wan("interfaces: [{name: wlan0}, {name: eth0, role: wan}]"),
            both
        );
        assert_eq!(wan("interface: ['wlan0:lan', 'eth0:wan']"), both);
        let alone = (vec!["a:b".to_owned()], Vec::new());
        assert_eq!(wan("interface: 'a:b'"), alone);
        assert_eq!(wan("interfaces: [{name: 'a:b', role: lan}]"), alone);
        assert!(Options::parse("interfaces: [{name: eth0, role: internet}]").is_err());
        assert!(Options::parse("interfaces: [{name: eth0, rule: wan}]").is_err());
        assert!(Options::parse("interfaces: [{role: wan}]").is_err());
    }

    #[test]
    fn two_roles_of_one_interface_name_both_places() {
        let options = Options::parse("interfaces: [eth0, wlan0, 'eth0:wan']").unwrap();
        let error = options.check_roles().unwrap_err().to_string();
        assert!(
            error.contains("number 1 of the list is `eth0:lan`"),
            "{error}"
        );
        assert!(error.contains("number 3 is `eth0:wan`"), "{error}");
        let same = Options::parse("interfaces: ['eth0:wan', {name: eth0, role: wan}]").unwrap();
        assert_eq!(same.check_roles(), Ok(()));
    }
}
