//! Links and sessions of the page's login. They are in memory only, so a restart of the daemon
//! ends them all. Times are arguments: the time since boot, which cannot be set.
//!
//! ```text
//! `monitor page --login` ─► link ─► used once ─► session ─► ends after its time
//! ```

use std::{collections::VecDeque, time::Duration};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

/// How long a link can be used.
pub const LINK_LIFE: Duration = Duration::from_mins(10);

/// The most links that wait. A further one ends the oldest.
const MOST_LINKS: usize = 8;

/// The most sessions. A further one ends the oldest.
const MOST_SESSIONS: usize = 16;

/// Bytes of a secret.
const SECRET: usize = 32;

/// Contexts of keys that are derived from the secret of a session (BLAKE3).
const OF_FORMS: &str = "monitor 2026 page: token of the forms of a session";
const OF_NAME: &str = "monitor 2026 page: name of a session in events";

/// A secret, which only the text that a client shows can tell.
#[derive(Clone)]
pub struct Secret([u8; SECRET]);

impl Secret {
    fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; SECRET];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// The secret in a text of a client; `None` if it cannot be one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // A longer text is no secret, and is not decoded.
        let bytes = Some(text).filter(|text| text.len() <= 2 * SECRET)?;
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(bytes).ok()?;
        bytes.try_into().ok().map(Self)
    }

    /// The text that a client shows.
    #[must_use]
    pub fn text(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.0)
    }

    fn hash(&self) -> blake3::Hash {
        blake3::hash(&self.0)
    }

    /// The token that each form of this session carries. A page of another origin cannot know it,
    /// because it cannot read the cookie or the pages of this one.
    #[must_use]
    pub fn form_token(&self) -> blake3::Hash {
        blake3::derive_key(OF_FORMS, &self.0).into()
    }

    /// The name of the session in events. It does not tell the secret.
    fn name(&self) -> String {
        hex::encode(&blake3::derive_key(OF_NAME, &self.0)[..4])
    }
}

/// A session that a request shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its name in events.
    pub name: String,
    /// The token of its forms, hexadecimal.
    pub form_token: String,
    /// When it ends: time since boot.
    pub until: Duration,
}

/// Why a link opens no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadLink {
    /// The link is too old, or there was none.
    Unknown,
    /// The link was used before.
    Used {
        /// True for the first such try.
        is_first: bool,
    },
}

/// The links and sessions.
#[derive(Default)]
pub struct Sessions {
    links: VecDeque<Link>,
    sessions: VecDeque<Open>,
}

struct Link {
    hash: blake3::Hash,
    until: Duration,
    state: LinkState,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum LinkState {
    Waits,
    Used,
    /// It was shown again after its use.
    Reused,
}

struct Open {
    hash: blake3::Hash,
    until: Duration,
}

impl Sessions {
    /// Makes a link.
    pub fn new_link(&mut self, now: Duration) -> Result<Secret, getrandom::Error> {
        self.end_old(now);
        let secret = Secret::random()?;
        if self.links.len() >= MOST_LINKS {
            self.links.pop_front();
        }
        self.links.push_back(Link {
            hash: secret.hash(),
            until: now + LINK_LIFE,
            state: LinkState::Waits,
        });
        Ok(secret)
    }

    /// Opens a session for a link, and ends the link.
    pub fn open(
        &mut self,
        link: &Secret,
        life: Duration,
        now: Duration,
    ) -> Result<Result<(Secret, Session), BadLink>, getrandom::Error> {
        self.end_old(now);
        let hash = link.hash();
        let Some(link) = self.links.iter_mut().find(|link| link.hash == hash) else {
            return Ok(Err(BadLink::Unknown));
        };
        if link.state != LinkState::Waits {
            let is_first = link.state == LinkState::Used;
            link.state = LinkState::Reused;
            return Ok(Err(BadLink::Used { is_first }));
        }
        let secret = Secret::random()?;
        link.state = LinkState::Used;
        if self.sessions.len() >= MOST_SESSIONS {
            self.sessions.pop_front();
        }
        self.sessions.push_back(Open {
            hash: secret.hash(),
            until: now + life,
        });
        let session = Session::of(&secret, now + life);
        Ok(Ok((secret, session)))
    }

    /// The session that this secret shows.
    pub fn find(&mut self, secret: &Secret, now: Duration) -> Option<Session> {
        self.end_old(now);
        // Hashes are compared in constant time.
        let hash = secret.hash();
        let open = self.sessions.iter().find(|open| open.hash == hash)?;
        Some(Session::of(secret, open.until))
    }

    /// Ends the session that this secret shows.
    pub fn end(&mut self, secret: &Secret) {
        let hash = secret.hash();
        self.sessions.retain(|open| open.hash != hash);
    }

    /// Ends all sessions and links. Returns the number of sessions.
    pub fn end_all(&mut self, now: Duration) -> usize {
        self.end_old(now);
        self.links.clear();
        self.sessions.drain(..).len()
    }

    fn end_old(&mut self, now: Duration) {
        self.links.retain(|link| now < link.until);
        self.sessions.retain(|open| now < open.until);
    }
}

impl Session {
    fn of(secret: &Secret, until: Duration) -> Self {
        Self {
            name: secret.name(),
            form_token: secret.form_token().to_hex().to_string(),
            until,
        }
    }

    /// True if a form carries this session's token. Compares in constant time.
    #[must_use]
    pub fn has_token(&self, shown: &str) -> bool {
        let own = blake3::Hash::from_hex(&self.form_token);
        let shown = blake3::Hash::from_hex(shown);
        matches!((own, shown), (Ok(own), Ok(shown)) if own == shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: Duration = Duration::from_hours(1);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(100_000 + seconds)
    }

    #[test]
    fn a_link_opens_one_session_and_its_second_use_is_told_once() {
        let mut sessions = Sessions::default();
        let link = sessions.new_link(at(0)).unwrap();
        let shown = Secret::parse(&link.text()).unwrap();
        let (secret, session) = sessions.open(&shown, LIFE, at(1)).unwrap().unwrap();
        assert_eq!(sessions.find(&secret, at(2)), Some(session.clone()));
        assert_ne!(secret.text(), link.text());
        for is_first in [true, false] {
            let again = sessions.open(&shown, LIFE, at(2)).unwrap();
            assert_eq!(again.err(), Some(BadLink::Used { is_first }));
        }
        assert!(
            sessions.find(&link, at(2)).is_none(),
            "a link is no session"
        );
        sessions.end(&secret);
        assert_eq!(sessions.find(&secret, at(3)), None);
    }

    #[test]
    fn links_and_sessions_end() {
        let mut sessions = Sessions::default();
        let (early, late) = (
            sessions.new_link(at(0)).unwrap(),
            sessions.new_link(at(0)).unwrap(),
        );
        let (secret, _) = sessions.open(&early, LIFE, at(599)).unwrap().unwrap();
        let late = sessions.open(&late, LIFE, at(600)).unwrap();
        assert_eq!(late.err(), Some(BadLink::Unknown));
        assert!(sessions.find(&secret, at(599 + 3_599)).is_some());
        assert!(sessions.find(&secret, at(599 + 3_600)).is_none());
    }

    #[test]
    fn the_oldest_links_and_sessions_go_first() {
        let mut sessions = Sessions::default();
        let first = sessions.new_link(at(0)).unwrap();
        for _ in 0..MOST_LINKS {
            sessions.new_link(at(0)).unwrap();
        }
        let first = sessions.open(&first, LIFE, at(0)).unwrap();
        assert_eq!(first.err(), Some(BadLink::Unknown));
        let mut secrets = Vec::new();
        for _ in 0..=MOST_SESSIONS {
            let link = sessions.new_link(at(0)).unwrap();
            let (secret, _) = sessions.open(&link, LIFE, at(0)).unwrap().unwrap();
            secrets.push(secret);
        }
        assert_eq!(sessions.find(&secrets[0], at(0)), None);
        assert!(sessions.find(&secrets[1], at(0)).is_some());
        assert_eq!(sessions.end_all(at(0)), MOST_SESSIONS);
        assert_eq!(sessions.find(&secrets[1], at(0)), None);
    }

    #[test]
    fn the_token_of_forms_belongs_to_one_session() {
        let mut sessions = Sessions::default();
        let mut open = || {
            let link = sessions.new_link(at(0)).unwrap();
            sessions.open(&link, LIFE, at(0)).unwrap().unwrap()
        };
        let ((secret, one), (_, other)) = (open(), open());
        assert!(one.has_token(&one.form_token));
        for wrong in ["", "0", &other.form_token, &secret.text(), &one.name] {
            assert!(!one.has_token(wrong), "{wrong}");
        }
        assert!(!one.form_token.contains(&one.name));
    }

    #[test]
    fn only_whole_secrets_are_secrets() {
        let secret = Secret::random().unwrap().text();
        assert!(Secret::parse(&secret).is_some());
        for wrong in [
            "",
            &secret[1..],
            &format!("{secret}A"),
            &format!("{}%", &secret[1..]),
            &"A".repeat(100_000),
        ] {
            assert!(Secret::parse(wrong).is_none());
        }
    }
}
