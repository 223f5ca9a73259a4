//! How others check this cluster's tokens: the issuer's documents (OpenID Connect discovery, RFC
//! 7517).

use everynode_common::base64;
use serde_json::{Value, json};

use super::token::Issuer;

pub(crate) const CONFIGURATION: &str = "/.well-known/openid-configuration";
pub(crate) const KEYS: &str = "/openid/v1/jwks";

/// Where the keys are, and what they are used for. `server` is the host and port that others reach
/// the API by.
pub(crate) fn configuration(issuer: &Issuer, server: &str) -> Value {
    json!({
        "issuer": issuer.issuer(),
        "jwks_uri": format!("https://{server}{KEYS}"),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    })
}

/// The public key that checks tokens, as a key set (RFC 7517).
pub(crate) fn keys(issuer: &Issuer) -> Value {
    let (x, y) = issuer.coordinates();
    json!({"keys": [{"use": "sig", "kty": "EC", "kid": issuer.key_id(), "crv": "P-256", "alg": "ES256",
                     "x": base64::encode_url(x), "y": base64::encode_url(y)}]})
}
