//! Service-account tokens: JWTs signed with the cluster's own key (KEP-1205, KEP-2799).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::jwt::{JwtError, SigningKey};

/// Checked signatures that are remembered: one per pod of a large node set, 1 KiB each.
const CACHE_MAX: usize = 8192;
/// For clocks that differ, in seconds.
const LEEWAY_SECONDS: i64 = 30;

/// Makes and checks tokens.
pub(crate) struct Issuer {
    issuer: String,
    key: SigningKey,
    key_id: String,
    /// Tokens whose signature was found good: checking costs far more than looking up.
    checked: Mutex<HashMap<String, Claims>>,
}

/// The claims of a service-account token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Claims {
    aud: Vec<String>,
    exp: i64,
    iat: i64,
    nbf: i64,
    iss: String,
    sub: String,
    pub(crate) jti: String,
    #[serde(rename = "kubernetes.io")]
    pub(crate) bound: Bound,
}

/// `kubernetes.io`: what the token is bound to.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Bound {
    pub(crate) namespace: String,
    pub(crate) serviceaccount: Reference,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pod: Option<Reference>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<Reference>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) node: Option<Reference>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Reference {
    pub(crate) name: String,
    /// Empty where it is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) uid: String,
}

/// A token to be made.
pub(crate) struct Wanted {
    /// Identifies the token among all (a UUID).
    pub(crate) id: String,
    pub(crate) bound: Bound,
    /// None: this server.
    pub(crate) audiences: Vec<String>,
    pub(crate) seconds: i64,
}

/// A token that was made.
pub(crate) struct Issued {
    pub(crate) token: String,
    pub(crate) audiences: Vec<String>,
    pub(crate) expires: Timestamp,
}

/// A token that is good: what it says, and for which of the audiences that were asked for.
pub(crate) struct Checked {
    pub(crate) claims: Claims,
    pub(crate) audiences: Vec<String>,
}

impl Issuer {
    /// `private` is PEM; `key_id` tells keys apart after a rotation.
    ///
    /// # Errors
    /// The key is no private key of P-256.
    pub(crate) fn new(issuer: &str, private: &str, key_id: &str) -> Result<Issuer, JwtError> {
        Ok(Issuer {
            issuer: issuer.to_owned(),
            key: SigningKey::from_pem(private)?,
            key_id: key_id.to_owned(),
            checked: Mutex::default(),
        })
    }

    /// Makes a token.
    ///
    /// # Errors
    /// It cannot be signed.
    pub(crate) fn issue(&self, wanted: Wanted, now: Timestamp) -> Result<Issued, JwtError> {
        let audiences = if wanted.audiences.is_empty() { vec![self.issuer.clone()] } else { wanted.audiences };
        let expires = now + SignedDuration::from_secs(wanted.seconds);
        let account = &wanted.bound.serviceaccount.name;
        let claims = Claims {
            aud: audiences.clone(),
            exp: expires.as_second(),
            iat: now.as_second(),
            nbf: now.as_second(),
            iss: self.issuer.clone(),
            sub: format!("{}{}:{account}", super::SERVICE_ACCOUNT_PREFIX, wanted.bound.namespace),
            jti: wanted.id,
            bound: wanted.bound,
        };
        let token = self.key.sign(&claims, &self.key_id)?;
        Ok(Issued { token, audiences, expires })
    }

    /// The claims of a token with a good signature that is valid now and meant for one of
    /// `audiences` (for this server if there are none), or why it is none. Whether what it is bound
    /// to still exists is the caller's to check.
    pub(crate) fn check(&self, token: &str, audiences: &[String], now: Timestamp) -> Result<Checked, String> {
        let claims = self.verified(token).filter(|claims| claims.iss == self.issuer);
        let claims = claims.ok_or_else(|| "invalid bearer token".to_owned())?;
        let wanted: &[String] = if audiences.is_empty() { std::slice::from_ref(&self.issuer) } else { audiences };
        let meant: Vec<String> = claims.aud.iter().filter(|audience| wanted.contains(audience)).cloned().collect();
        if meant.is_empty() {
            let list = |audiences: &[String]| {
                audiences.iter().map(|audience| format!("{audience:?}")).collect::<Vec<_>>().join(" ")
            };
            return Err(format!(
                "[invalid bearer token, token audiences [{}] is invalid for the target audiences [{}]]",
                list(&claims.aud),
                list(wanted)
            ));
        }
        let second = now.as_second();
        if second >= claims.exp {
            return Err("[invalid bearer token, service account token has expired]".to_owned());
        }
        if claims.nbf > second + LEEWAY_SECONDS {
            return Err("[invalid bearer token, service account token is not valid yet]".to_owned());
        }
        Ok(Checked { claims, audiences: meant })
    }

    fn verified(&self, token: &str) -> Option<Claims> {
        if let Some(claims) = self.lock().get(token) {
            return Some(claims.clone());
        }
        let claims: Claims = self.key.verify(token)?;
        let mut checked = self.lock();
        if checked.len() >= CACHE_MAX {
            checked.clear();
        }
        checked.insert(token.to_owned(), claims.clone());
        Some(claims)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Claims>> {
        self.checked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The coordinates of the public key that checks tokens.
    pub(crate) fn coordinates(&self) -> (&[u8], &[u8]) {
        self.key.coordinates()
    }

    pub(crate) fn key_id(&self) -> &str {
        &self.key_id
    }
}
