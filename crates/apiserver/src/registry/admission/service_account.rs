//! Every pod has a service account, and its token mounted (DS-H37, DS-L05).

use everynode_api::kinds::POD;
use everynode_api::status::Status;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::auth::node::references;
use crate::catalogue::built_in;
use crate::object::{self, items, text};
use crate::registry::{Registry, Target, store_failure};
use crate::{keys, stored};

const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const VOLUME_PREFIX: &str = "kube-api-access-";
/// Seven seconds over an hour, so that components can tell these tokens from asked-for ones; as
/// Kubernetes does.
const TOKEN_SECONDS: i64 = 3607;

/// What a service account says about its pods.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Account {
    automount_service_account_token: Option<bool>,
    /// A list, or null.
    image_pull_secrets: Value,
}

impl Registry {
    pub(super) fn admit_service_account(&self, target: &Target, pod: &mut Value) -> Result<(), Status> {
        if references::is_mirror(pod) {
            return Ok(());
        }
        object::object_mut(pod, "spec");
        let name = match text(pod, &["spec", "serviceAccountName"]) {
            "" => "default".to_owned(),
            name => name.to_owned(),
        };
        for field in ["serviceAccountName", "serviceAccount"] {
            pod["spec"][field] = name.as_str().into();
        }
        let account = self.service_account(target, pod, &name)?;
        if wants_token(pod, account.automount_service_account_token) {
            self.mount_token(pod);
        }
        if items(pod, &["spec", "imagePullSecrets"]).is_empty() && account.image_pull_secrets.is_array() {
            pod["spec"]["imagePullSecrets"] = account.image_pull_secrets;
        }
        Ok(())
    }

    fn service_account(&self, target: &Target, pod: &Value, name: &str) -> Result<Account, Status> {
        let namespace = &target.namespace;
        let key = keys::object(&built_in::SERVICE_ACCOUNT, namespace, name);
        let kv = self.store.get(&key, None).map_err(|error| store_failure(&error))?;
        let kv = kv.ok_or_else(|| {
            let text =
                format!("error looking up service account {namespace}/{name}: serviceaccount \"{name}\" not found");
            Status::forbidden(&POD, shown_name(pod), &text)
        })?;
        serde_json::from_slice(&kv.value).map_err(|error| stored::corrupt(&error))
    }

    fn mount_token(&self, pod: &mut Value) {
        let mut existing = items(pod, &["spec", "volumes"]).iter().filter_map(|volume| volume["name"].as_str());
        let existing = existing.find(|name| name.starts_with(VOLUME_PREFIX)).map(str::to_owned);
        let name = existing.clone().unwrap_or_else(|| format!("{VOLUME_PREFIX}{}", self.env.name_suffix(5)));
        let mut used = false;
        for list in ["initContainers", "containers"] {
            let containers = pod["spec"].get_mut(list).and_then(Value::as_array_mut);
            for container in containers.into_iter().flatten() {
                used |= mount(container, &name);
            }
        }
        if used && existing.is_none() {
            object::list_mut(&mut pod["spec"], "volumes").push(volume(&name));
        }
    }
}

/// What no mirror pod may have: its agent has it from a file, and would not look.
pub(super) fn check_mirror(target: &Target, pod: &Value) -> Result<(), Status> {
    if !references::is_mirror(pod) {
        return Ok(());
    }
    let refuse = |text: &str| Err(Status::forbidden(&target.info.kind, shown_name(pod), text));
    if !references::account(pod).is_empty() {
        return refuse("a mirror pod may not reference service accounts");
    }
    if references::secrets(pod).next().is_some() {
        return refuse("a mirror pod may not reference secrets");
    }
    match references::token_sources(pod).next() {
        Some(_) => refuse("a mirror pod may not use ServiceAccountToken volume projections"),
        None => Ok(()),
    }
}

fn shown_name(pod: &Value) -> &str {
    match object::meta(pod, "name") {
        "" => object::meta(pod, "generateName"),
        name => name,
    }
}

/// The pod's own wish, or else its account's.
fn wants_token(pod: &Value, account_says: Option<bool>) -> bool {
    let pod_says = pod["spec"]["automountServiceAccountToken"].as_bool();
    pod_says.or(account_says).unwrap_or(true)
}

/// Whether the mount was added: something else may be mounted there.
fn mount(container: &mut Value, name: &str) -> bool {
    if items(container, &["volumeMounts"]).iter().any(|mount| mount["mountPath"] == MOUNT_PATH) {
        return false;
    }
    let mount = json!({"name": name, "readOnly": true, "mountPath": MOUNT_PATH});
    object::list_mut(container, "volumeMounts").push(mount);
    true
}

fn volume(name: &str) -> Value {
    json!({"name": name, "projected": {"defaultMode": 0o644, "sources": [
        {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
    ]}})
}
