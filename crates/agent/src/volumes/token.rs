//! Service-account tokens that are bound to a pod (DS-H37).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use everynode_api::kinds;
use everynode_api::ports::{Api, Request, Target};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use crate::ports::{Clock, PodRef};

/// What is asked for where nothing is said, as in Kubernetes.
const DEFAULT_SECONDS: i64 = 3600;
/// However long a token lives, a new one is asked for after this.
const AGE_MAX: SignedDuration = SignedDuration::from_hours(24);

/// Asks for tokens and keeps them until it is time for new ones.
pub(super) struct Tokens {
    api: Arc<dyn Api>,
    clock: Arc<dyn Clock>,
    /// At most one per token projection of the node's pods.
    kept: Mutex<BTreeMap<Key, Kept>>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    uid: String,
    audience: Option<String>,
    seconds: i64,
}

#[derive(Clone)]
struct Kept {
    token: String,
    expires_at: Timestamp,
    renew_at: Timestamp,
}

impl Tokens {
    pub(super) fn new(api: Arc<dyn Api>, clock: Arc<dyn Clock>) -> Self {
        Tokens { api, clock, kept: Mutex::default() }
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<Key, Kept>> {
        self.kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// A token for the pod's service account: the one at hand while it is fresh. Where a new one
    /// cannot be had, the old one serves until it ends.
    ///
    /// # Errors
    /// There is none, and the API server gives none.
    pub(super) async fn get(&self, pod: &Pod, audience: Option<&str>, seconds: Option<i64>) -> Result<String, String> {
        let audience = audience.filter(|audience| !audience.is_empty()).map(str::to_owned);
        let key = Key { uid: PodRef::of(pod).uid, audience, seconds: seconds.unwrap_or(DEFAULT_SECONDS) };
        let known = self.kept().get(&key).cloned();
        let now = self.clock.now();
        if let Some(known) = &known
            && now < known.renew_at
        {
            return Ok(known.token.clone());
        }
        match (self.ask(pod, &key).await, known) {
            (Ok(new), _) => {
                self.kept().insert(key, new.clone());
                Ok(new.token)
            }
            (Err(error), Some(old)) if now < old.expires_at => {
                tracing::warn!(pod = %PodRef::of(pod), error, "cannot renew a service-account token");
                Ok(old.token)
            }
            (Err(error), _) => Err(error),
        }
    }

    /// The pod is gone.
    pub(super) fn forget(&self, uid: &str) {
        self.kept().retain(|key, _| key.uid != uid);
    }

    async fn ask(&self, pod: &Pod, key: &Key) -> Result<Kept, String> {
        let reference = PodRef::of(pod);
        let account = pod.spec.as_ref().and_then(|spec| spec.service_account_name.as_deref());
        let account = account.filter(|name| !name.is_empty()).unwrap_or("default");
        let target = Target::new(kinds::SERVICE_ACCOUNT, &reference.namespace, account).subresource("token");
        let body = request(&reference, key);
        let answer = self.api.call(Request::Create { target, body }).await.map_err(|error| error.to_string())?;
        let answer: Value = serde_json::from_slice(&answer).map_err(|error| format!("token request: {error}"))?;
        understand(&answer, key.seconds).ok_or_else(|| "token request: an answer without a token".to_owned())
    }
}

fn request(pod: &PodRef, key: &Key) -> Value {
    json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {
            "audiences": key.audience.iter().collect::<Vec<_>>(),
            "expirationSeconds": key.seconds,
            "boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": pod.name, "uid": pod.uid},
        },
    })
}

fn understand(answer: &Value, asked_seconds: i64) -> Option<Kept> {
    let token = answer["status"]["token"].as_str().filter(|token| !token.is_empty())?.to_owned();
    let expires_at: Timestamp = answer["status"]["expirationTimestamp"].as_str()?.parse().ok()?;
    // The server may give another life than was asked for.
    let seconds = answer["spec"]["expirationSeconds"].as_i64().unwrap_or(asked_seconds);
    Some(Kept { token, expires_at, renew_at: renew_at(expires_at, seconds) })
}

/// After 80 % of its life, or a day.
fn renew_at(expires_at: Timestamp, seconds: i64) -> Timestamp {
    let life = SignedDuration::from_secs(seconds.max(0));
    let at = |since_end: SignedDuration| expires_at.checked_add(since_end).unwrap_or(expires_at);
    at(-(life / 5)).min(at(AGE_MAX - life))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renewed_after_80_percent_or_a_day() {
        // DS-H37
        let end: Timestamp = "2026-01-10T00:00:00Z".parse().unwrap();
        for (seconds, renewed) in [
            (3600, "2026-01-09T23:48:00Z"),
            (600, "2026-01-09T23:58:00Z"),
            // Ten days: a day after its beginning.
            (864_000, "2026-01-01T00:00:00Z"),
        ] {
            assert_eq!(renew_at(end, seconds), renewed.parse().unwrap(), "{seconds}");
        }
    }

    #[test]
    fn the_server_decides_about_the_life() {
        let answer = json!({"spec": {"expirationSeconds": 600},
            "status": {"token": "t", "expirationTimestamp": "2026-01-01T00:10:00Z"}});
        assert_eq!(understand(&answer, 3607).unwrap().renew_at, "2026-01-01T00:08:00Z".parse().unwrap());
        assert!(understand(&json!({"status": {}}), 3607).is_none());
    }
}
