//! Service-account tokens: JWTs signed with the cluster's own key (KEP-1205, KEP-2799).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use everynode_api::kinds::SERVICE_ACCOUNT;
use everynode_api::status::Status;
use everynode_api::time::rfc3339;
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::object::{self, at, text};

/// Kubernetes' own bounds of `expirationSeconds`.
const SECONDS_MIN: i64 = 600;
const SECONDS_MAX: i64 = 1 << 32;
const SECONDS_DEFAULT: i64 = 3600;
/// Checked signatures that are remembered: one per pod of a large node set, 1 KiB each.
const CACHE_MAX: usize = 8192;

/// Makes and checks tokens.
pub(crate) struct Issuer {
    issuer: String,
    encoding: EncodingKey,
    decoding: DecodingKey,
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
    jti: String,
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
    #[serde(default)]
    pub(crate) uid: String,
}

impl Issuer {
    /// `private` and `public` are PEM; `key_id` tells keys apart after a rotation.
    pub(crate) fn new(
        issuer: &str,
        private: &str,
        public: &str,
        key_id: &str,
    ) -> Result<Issuer, jsonwebtoken::errors::Error> {
        Ok(Issuer {
            issuer: issuer.to_owned(),
            encoding: EncodingKey::from_ec_pem(private.as_bytes())?,
            decoding: DecodingKey::from_ec_pem(public.as_bytes())?,
            key_id: key_id.to_owned(),
            checked: Mutex::default(),
        })
    }

    /// Answers a `TokenRequest` for a service account. A token that was asked for a longer life lives `longest` seconds,
    /// as with Kubernetes' own bound of it.
    pub(crate) fn request(
        &self,
        account: &Value,
        body: &Value,
        bound: Option<&Value>,
        longest: Option<i64>,
        now: Timestamp,
    ) -> Result<Value, Status> {
        let seconds = at(body, &["spec", "expirationSeconds"]).as_i64().unwrap_or(SECONDS_DEFAULT);
        check_seconds(seconds)?;
        let seconds = seconds.min(longest.unwrap_or(i64::MAX).max(SECONDS_MIN));
        let asked: Vec<String> =
            object::items(body, &["spec", "audiences"]).iter().filter_map(Value::as_str).map(str::to_owned).collect();
        let audiences = if asked.is_empty() { vec![self.issuer.clone()] } else { asked };
        let expires = now + SignedDuration::from_secs(seconds);
        let claims = self.claims(account, bound, audiences.clone(), now, expires);
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.key_id.clone());
        let token = jsonwebtoken::encode(&header, &claims, &self.encoding).map_err(Status::internal)?;
        let mut spec = body["spec"].clone();
        spec["audiences"] = json!(audiences);
        spec["expirationSeconds"] = seconds.into();
        Ok(json!({
            "kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1",
            "metadata": {"name": object::meta(account, "name"), "namespace": object::meta(account, "namespace"),
                         "creationTimestamp": rfc3339(now)},
            "spec": spec,
            "status": {"token": token, "expirationTimestamp": rfc3339(expires)},
        }))
    }

    fn claims(
        &self,
        account: &Value,
        bound: Option<&Value>,
        aud: Vec<String>,
        now: Timestamp,
        expires: Timestamp,
    ) -> Claims {
        let reference = |value: &Value| Reference {
            name: object::meta(value, "name").into(),
            uid: object::meta(value, "uid").into(),
        };
        let of_kind = |kind: &str| bound.filter(|value| value["kind"] == kind).map(reference);
        let node_of_pod = bound.map(|value| text(value, &["spec", "nodeName"])).filter(|name| !name.is_empty());
        let node = of_kind("Node").or(node_of_pod.map(|name| Reference { name: name.into(), uid: String::new() }));
        let namespace = object::meta(account, "namespace");
        Claims {
            aud,
            exp: expires.as_second(),
            iat: now.as_second(),
            nbf: now.as_second(),
            iss: self.issuer.clone(),
            sub: format!("{}{namespace}:{}", super::SERVICE_ACCOUNT_PREFIX, object::meta(account, "name")),
            jti: format!("{}-{}", object::meta(account, "uid"), now.as_nanosecond()),
            bound: Bound {
                namespace: namespace.into(),
                serviceaccount: reference(account),
                pod: of_kind("Pod"),
                secret: of_kind("Secret"),
                node,
            },
        }
    }

    /// The claims of a token with a good signature that is valid now and meant for one of `audiences` (for this
    /// server if there are none). Whether what it is bound to still exists is the caller's to check.
    pub(crate) fn check(&self, token: &str, audiences: &[String], now: Timestamp) -> Option<Claims> {
        let claims = self.verified(token)?;
        let wanted: &[String] = if audiences.is_empty() { std::slice::from_ref(&self.issuer) } else { audiences };
        let second = now.as_second();
        // Half a minute for clocks that differ.
        let in_time = claims.nbf <= second + 30 && second < claims.exp;
        let meant = claims.aud.iter().any(|audience| wanted.contains(audience));
        (claims.iss == self.issuer && in_time && meant).then_some(claims)
    }

    fn verified(&self, token: &str) -> Option<Claims> {
        if let Some(claims) = self.lock().get(token) {
            return Some(claims.clone());
        }
        // Times and audiences are compared with our own clock, in `check`.
        let mut validation = Validation::new(Algorithm::ES256);
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        let claims = jsonwebtoken::decode::<Claims>(token, &self.decoding, &validation).ok()?.claims;
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

    pub(crate) fn audience(&self) -> &str {
        &self.issuer
    }
}

fn check_seconds(seconds: i64) -> Result<(), Status> {
    let refuse = |text: &str| {
        let path = everynode_api::field::Path::new("spec").child("expirationSeconds");
        let error = everynode_api::field::FieldError::invalid(&path, seconds, text);
        Err(Status::invalid(&SERVICE_ACCOUNT, "", &[error]))
    };
    match seconds {
        seconds if seconds < SECONDS_MIN => refuse("may not specify a duration less than 10 minutes"),
        seconds if seconds > SECONDS_MAX => refuse("may not specify a duration larger than 2^32 seconds"),
        _ => Ok(()),
    }
}
