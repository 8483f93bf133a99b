//! The signature of a webhook, by Standard Webhooks (standardwebhooks.com), symmetric scheme.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

/// The begin of a secret.
const PREFIX: &str = "whsec_";

/// Bytes of a secret, by the specification.
const LENGTHS: std::ops::RangeInclusive<usize> = 24..=64;

/// The secret that signs webhooks. It is never shown.
pub struct SigningKey(Vec<u8>);

impl SigningKey {
    /// Reads a secret as the specification writes it; `None` if it is not one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let encoded = text.trim().strip_prefix(PREFIX)?;
        let bytes = BASE64_STANDARD.decode(encoded).ok()?;
        LENGTHS.contains(&bytes.len()).then_some(Self(bytes))
    }
}

/// The header `webhook-signature` of a message: id, time in seconds, body.
#[must_use]
pub fn signature(key: &SigningKey, id: &str, timestamp: i64, body: &[u8]) -> String {
    // HMAC takes keys of every length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&key.0) else {
        return String::new();
    };
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the reference libraries.
    #[test]
    fn the_example_of_the_specification() {
        let key = SigningKey::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
        let body = br#"{"test": 2432232314}"#;
        assert_eq!(
            signature(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn a_secret_has_its_prefix_and_enough_bytes() {
        for wrong in [
            "",
            "secret",
            "whsec_",
            "whsec_AAAA",
            "whsec_%%",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        ] {
            assert!(SigningKey::parse(wrong).is_none(), "{wrong}");
        }
    }
}
