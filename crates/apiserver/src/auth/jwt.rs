//! JSON web tokens signed with ES256 (RFC 7515; RFC 7518, section 3.4), and no others.

use everynode_common::base64;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A coordinate of a point of P-256.
pub(crate) const COORDINATE_BYTES: usize = 32;

/// A key that cannot be used, or a signature that could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JwtError {
    #[error("the key is no PEM block of a PKCS #8 key")]
    Pem(#[source] rustls_pki_types::pem::Error),
    #[error("the key is no key of the curve P-256: {0}")]
    Key(ring::error::KeyRejected),
    #[error("signing failed")]
    Sign,
    #[error("the claims cannot be written")]
    Claims(#[source] serde_json::Error),
}

/// What a token's first part says.
#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    typ: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kid: Option<String>,
    /// Extensions that a reader has to know: there are none, so a token that names any is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crit: Option<serde_json::Value>,
}

/// A private key and its public one.
pub(crate) struct SigningKey {
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

impl SigningKey {
    /// Reads a private key: PKCS #8 in PEM.
    ///
    /// # Errors
    /// It is no such key.
    pub(crate) fn from_pem(pem: &str) -> Result<SigningKey, JwtError> {
        let key = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).map_err(JwtError::Pem)?;
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.secret_pkcs8_der(), &random);
        Ok(SigningKey { pair: pair.map_err(JwtError::Key)?, random })
    }

    /// The coordinates x and y of the public key.
    pub(crate) fn coordinates(&self) -> (&[u8], &[u8]) {
        // An uncompressed point: a byte for its form, then the two.
        let point = self.pair.public_key().as_ref().get(1..).unwrap_or_default();
        point.split_at(point.len().min(COORDINATE_BYTES))
    }

    /// A token with these claims; `key_id` is in its header.
    ///
    /// # Errors
    /// The claims are no JSON, or the system gives no random bytes.
    pub(crate) fn sign(&self, claims: &impl Serialize, key_id: &str) -> Result<String, JwtError> {
        let header =
            Header { alg: ALGORITHM.into(), typ: Some("JWT".into()), kid: Some(key_id.to_owned()), crit: None };
        let header = serde_json::to_vec(&header).map_err(JwtError::Claims)?;
        let claims = serde_json::to_vec(claims).map_err(JwtError::Claims)?;
        let message = format!("{}.{}", base64::encode_url(&header), base64::encode_url(&claims));
        let signature = self.pair.sign(&self.random, message.as_bytes()).map_err(|_| JwtError::Sign)?;
        Ok(format!("{message}.{}", base64::encode_url(signature.as_ref())))
    }

    /// The claims of a token that this key signed; `None` for anything else. Times and audiences
    /// are not looked at.
    pub(crate) fn verify<T: DeserializeOwned>(&self, token: &str) -> Option<T> {
        let (message, signature) = token.rsplit_once('.')?;
        let (header, claims) = message.split_once('.')?;
        let header: Header = serde_json::from_slice(&base64::decode_url(header)?).ok()?;
        if header.alg != ALGORITHM || header.crit.is_some() {
            return None;
        }
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.pair.public_key());
        public.verify(message.as_bytes(), &base64::decode_url(signature)?).ok()?;
        serde_json::from_slice(&base64::decode_url(claims)?).ok()
    }
}

const ALGORITHM: &str = "ES256";

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn key() -> SigningKey {
        SigningKey::from_pem(&rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap()
    }

    /// The example of RFC 7515, appendix A.3: a key and the signature that another program made.
    #[test]
    fn the_example_of_the_rfc_is_verified() {
        let part = |text| base64::decode_url(text).unwrap();
        let x = part("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU");
        let y = part("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0");
        let point = [&[4][..], &x, &y].concat();
        let message = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt\
            cGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let signature = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
        assert!(public.verify(message.as_bytes(), &part(signature)).is_ok());
    }

    #[test]
    fn only_what_the_key_signed_is_good() {
        let (key, other) = (key(), key());
        let claims = json!({"sub": "x", "exp": 7});
        let token = key.sign(&claims, "k1").unwrap();
        assert_eq!(key.verify::<Value>(&token), Some(claims.clone()));
        assert_eq!(other.verify::<Value>(&token), None);
        let (header, rest) = token.split_once('.').unwrap();
        assert_eq!(base64::decode_url(header).unwrap(), br#"{"alg":"ES256","typ":"JWT","kid":"k1"}"#);
        let (body, signature) = rest.split_once('.').unwrap();
        let changed = base64::encode_url(br#"{"sub":"y","exp":7}"#);
        for forged in [
            format!("{header}.{changed}.{signature}"),
            format!("{header}.{body}."),
            format!("{header}.{body}"),
            format!("{header}.{body}.{signature}="),
            format!("{header}.{body}.{signature}."),
            format!(".{body}.{signature}"),
            String::new(),
            "..".into(),
        ] {
            assert_eq!(key.verify::<Value>(&forged), None, "{forged}");
        }
    }

    /// A header that names another algorithm, or something that has to be understood, is refused
    /// although its signature is good.
    #[test]
    fn headers_cannot_choose() {
        let key = key();
        let token = |header: &str| {
            let message = format!("{}.{}", base64::encode_url(header.as_bytes()), base64::encode_url(b"{}"));
            let signature = key.pair.sign(&key.random, message.as_bytes()).unwrap();
            format!("{message}.{}", base64::encode_url(signature.as_ref()))
        };
        assert_eq!(key.verify::<Value>(&token(r#"{"alg":"ES256"}"#)), Some(json!({})));
        for header in [
            r#"{"alg":"none"}"#,
            r#"{"alg":"HS256"}"#,
            r#"{"alg":"ES384"}"#,
            r#"{"alg":"ES256","crit":["b64"],"b64":false}"#,
            "{}",
            "[]",
            "x",
        ] {
            assert_eq!(key.verify::<Value>(&token(header)), None, "{header}");
        }
    }

    #[test]
    fn other_keys_are_refused_and_the_public_one_is_known() {
        let private = rcgen::KeyPair::generate().unwrap();
        let key = SigningKey::from_pem(&private.serialize_pem()).unwrap();
        let (x, y) = key.coordinates();
        assert_eq!([&[4][..], x, y].concat(), private.public_key_raw());
        let wide = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        assert!(matches!(SigningKey::from_pem(&wide.serialize_pem()), Err(JwtError::Key(_))));
        assert!(matches!(SigningKey::from_pem("nothing"), Err(JwtError::Pem(_))));
        assert!(matches!(SigningKey::from_pem(&private.public_key_pem()), Err(JwtError::Pem(_))));
    }
}
