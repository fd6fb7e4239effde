//! JSON Web Tokens by the rules of RFC 8725.
//!
//! HS256 only, and every claim is required. The key can be replaced while tokens
//! signed with the previous one are in use.

use crate::hs256;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The claim `iss`.
const ISSUER: &str = "auth.service";
/// The claim `aud`.
const AUDIENCE: &str = "monolith";
/// How far the clocks of two replicas may differ, in seconds.
const LEEWAY: u64 = 5;
/// The most keys that are kept. If there are more within one token lifetime, the
/// oldest is dropped early.
const MAX_KEYS: usize = 8;

/// The longest header of a token that is decoded, in characters of base64. Those that are issued
/// have 36.
const MAX_HEADER: usize = 64;

/// The claims of a token, all required.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    iss: String,
    aud: String,
    /// The user's name.
    pub(crate) sub: String,
    email: String,
    /// Seconds since 1970, as is `exp`.
    iat: u64,
    exp: u64,
}

/// Why a token was rejected; the client does not learn it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("invalid token")]
    Invalid(#[source] jsonwebtoken::errors::Error),
    #[error("the token has a header of more than {MAX_HEADER} characters")]
    Header,
    #[error("the token was issued in the future")]
    Future,
    #[error("the token has a critical extension (RFC 7515, section 4.1.11)")]
    Critical,
    #[error("the clock is before 1970")]
    Clock,
}

/// Issues tokens and verifies them.
pub(crate) struct Tokens {
    lifetime: Duration,
    validation: Validation,
    /// The signing key first, then those that only verify.
    keys: RwLock<Vec<Key>>,
}

struct Key {
    secret: Vec<u8>,
    /// When the last token signed with a replaced key expires.
    until: Option<SystemTime>,
}

impl Tokens {
    /// Tokens signed with `secret` that live for `lifetime`.
    pub(crate) fn new(secret: Vec<u8>, lifetime: Duration) -> Self {
        hs256::install();
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        // Setting the audience checks it only where it is present (jsonwebtoken#493).
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        let keys = RwLock::new(vec![Key {
            secret,
            until: None,
        }]);
        Self {
            lifetime,
            validation,
            keys,
        }
    }

    /// Signs with `secret` from now on. Tokens signed before stay valid until they
    /// expire. Returns whether the key is a new one.
    pub(crate) fn replace(&self, secret: Vec<u8>, now: SystemTime) -> bool {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        if keys.first().is_some_and(|key| key.secret == secret) {
            return false;
        }
        if let Some(key) = keys.first_mut() {
            key.until = Some(now + self.lifetime + Duration::from_secs(LEEWAY));
        }
        keys.retain(|key| key.secret != secret && key.until.is_some_and(|until| until > now));
        keys.insert(
            0,
            Key {
                secret,
                until: None,
            },
        );
        keys.truncate(MAX_KEYS);
        true
    }

    /// A token for the user `name`.
    ///
    /// # Errors
    /// When the clock is before 1970.
    pub(crate) fn issue(&self, name: &str) -> Result<String, TokenError> {
        let now = seconds()?;
        let claims = Claims {
            iss: ISSUER.into(),
            aud: AUDIENCE.into(),
            sub: name.into(),
            email: email(name),
            iat: now,
            exp: now + self.lifetime.as_secs(),
        };
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let secret = keys
            .first()
            .map(|key| key.secret.as_slice())
            .unwrap_or_default();
        encode(
            &Header::new(Algorithm::HS256),
            &claims,
            &EncodingKey::from_secret(secret),
        )
        .map_err(TokenError::Invalid)
    }

    /// Accepts a token that one of the keys signed and whose claims are all valid.
    ///
    /// # Errors
    /// Why it was rejected.
    pub(crate) fn verify(&self, token: &str) -> Result<Claims, TokenError> {
        // The header is parsed before the signature is checked, and recursively: a long one may be
        // too deep for the stack of a thread. The claims are parsed after it.
        let header = token.split('.').next().unwrap_or_default();
        if header.len() > MAX_HEADER {
            return Err(TokenError::Header);
        }
        let now = SystemTime::now();
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let mut rejection = TokenError::Clock;
        for key in keys
            .iter()
            .filter(|key| key.until.is_none_or(|until| until > now))
        {
            match self.verify_with(token, &key.secret) {
                Ok(claims) => return Ok(claims),
                Err(error) => rejection = error,
            }
        }
        Err(rejection)
    }

    fn verify_with(&self, token: &str, secret: &[u8]) -> Result<Claims, TokenError> {
        let key = DecodingKey::from_secret(secret);
        let data = decode::<Claims>(token, &key, &self.validation).map_err(TokenError::Invalid)?;
        if data.header.crit.is_some() {
            return Err(TokenError::Critical);
        }
        if data.claims.iat > seconds()? + LEEWAY {
            return Err(TokenError::Future);
        }
        Ok(data.claims)
    }
}

/// The claim `email`.
fn email(name: &str) -> String {
    if name.contains('@') {
        name.to_owned()
    } else {
        format!("{name}@example.com")
    }
}

fn seconds() -> Result<u64, TokenError> {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_err(|_| TokenError::Clock)?;
    Ok(since_epoch.as_secs())
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
