//! How others check this cluster's tokens: the issuer's documents (OpenID Connect discovery, RFC 7517).

use serde_json::{Value, json};

use super::token::Issuer;

pub(crate) const CONFIGURATION: &str = "/.well-known/openid-configuration";
pub(crate) const KEYS: &str = "/openid/v1/jwks";
/// An uncompressed point of P-256: a byte, and two coordinates of 32 bytes. It ends the key's DER form.
const COORDINATE_BYTES: usize = 32;

/// Where the keys are, and what they are used for. `server` is the host and port that others reach the API by.
pub(crate) fn configuration(issuer: &Issuer, server: &str) -> Value {
    json!({
        "issuer": issuer.issuer(),
        "jwks_uri": format!("https://{server}{KEYS}"),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    })
}

/// The public key (PEM, P-256) that tokens are signed with; no keys if it cannot be read.
pub(crate) fn keys(issuer: &Issuer, public: &str) -> Value {
    let body: String = public.lines().filter(|line| !line.starts_with("-----")).map(str::trim).collect();
    let der = crate::base64::decode(&body).unwrap_or_default();
    let Some(start) = der.len().checked_sub(2 * COORDINATE_BYTES) else { return json!({"keys": []}) };
    let (x, y) = der[start..].split_at(COORDINATE_BYTES);
    json!({"keys": [{"use": "sig", "kty": "EC", "kid": issuer.key_id(), "crv": "P-256", "alg": "ES256",
                     "x": base64_url(x), "y": base64_url(y)}]})
}

/// Base 64 for URLs, without padding.
fn base64_url(bytes: &[u8]) -> String {
    crate::base64::encode(bytes).trim_end_matches('=').replace('+', "-").replace('/', "_")
}
