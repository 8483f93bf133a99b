//! What operators did over the page's login. Each is an event with its author.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// An operator's act on the page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageEvent {
    /// What it was.
    #[serde(flatten)]
    pub act: PageAct,
    /// Name of the session; `None` if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Address of the browser.
    pub address: IpAddr,
    /// Group or name of the devices of a change. A single MAC is the device of the event, so that
    /// `monitor forget` erases it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub devices: Option<String>,
}

/// The act. The word of each variant is the value of `act` in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "kebab-case")]
pub enum PageAct {
    /// A link of `monitor page --login` opened a session.
    Login,
    /// The operator ended the session.
    Logout,
    /// A link was shown again after its use.
    LinkUsedAgain,
    /// A change came into force.
    Change {
        /// The command without its devices, such as `block 198.51.100.7`.
        command: String,
        /// When it ends by itself (RFC 3339).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<String>,
    },
    /// A change was undone.
    Undo {
        /// The command of the change.
        command: String,
    },
    /// A change was refused.
    Refused {
        /// The command of the change.
        command: String,
        /// Why, shortened.
        why: String,
    },
}

impl PageEvent {
    /// What happened, in words. Texts of others are not escaped.
    #[must_use]
    pub fn sentence(&self) -> String {
        let whom = self.devices.as_ref();
        let whom = whom.map_or_else(String::new, |devices| format!(" for {devices}"));
        let act = match &self.act {
            PageAct::Login => "login".to_owned(),
            PageAct::Logout => "logout".to_owned(),
            PageAct::LinkUsedAgain => "a link that was used before was shown again".to_owned(),
            PageAct::Change {
                command,
                until: Some(until),
            } => format!("in force: {command}{whom} until {until}"),
            PageAct::Change {
                command,
                until: None,
            } => format!("in force: {command}{whom}"),
            PageAct::Undo { command } => format!("undone: {command}{whom}"),
            PageAct::Refused { command, why } => format!("refused: {command}{whom}: {why}"),
        };
        let session = self.session.as_deref().unwrap_or("none");
        format!("{act} (session {session}, from {})", self.address)
    }
}
