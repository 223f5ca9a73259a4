//! Secrets: one of type `kubernetes.io/service-account-token` is filled with a token of its
//! account.

use everynode_api::kinds::SECRET;
use everynode_api::status::Status;
use serde_json::Value;

use crate::auth::token::{Bound, Reference, Wanted};
use crate::catalogue::{Row, built_in};
use crate::hub::FieldRules;
use crate::object::{self, meta, text};
use crate::registry::strategy::Strategy;
use crate::registry::token_request::SECONDS_MAX;
use crate::registry::{Registry, Target};
use crate::schema::Rules;
use crate::tables::Printer;

pub(crate) struct Secrets;

const TOKEN_TYPE: &str = "kubernetes.io/service-account-token";
const ACCOUNT: &str = "kubernetes.io/service-account.name";

/// Everything about them.
pub(crate) fn row() -> Row {
    Row {
        strategy: &Secrets,
        rules: Rules::SECRET,
        fields: FieldRules::secrets(),
        printer: Printer::secrets(),
        ..Row::ordinary(&SECRET)
    }
}

impl Strategy for Secrets {
    /// Such a token has no time of its own: it ends with its secret or its account.
    fn prepare_name(&self, registry: &Registry, value: &mut Value) -> Result<(), Status> {
        if value["type"] != TOKEN_TYPE {
            return Ok(());
        }
        let name = value["metadata"]["annotations"][ACCOUNT].as_str().unwrap_or("").to_owned();
        // Without an account it is invalid, which validation says.
        if name.is_empty() {
            return Ok(());
        }
        let account = account(registry, value, &name)?;
        let reference =
            |object: &Value| Reference { name: meta(object, "name").into(), uid: meta(object, "uid").into() };
        let namespace = meta(value, "namespace").to_owned();
        let bound = Bound {
            namespace: namespace.clone(),
            serviceaccount: reference(&account),
            secret: Some(reference(value)),
            ..Bound::default()
        };
        let wanted = Wanted { id: registry.env.uid(), bound, audiences: Vec::new(), seconds: SECONDS_MAX };
        let issued = registry.tokens.issue(wanted, registry.env.now()).map_err(Status::internal)?;
        let authority = registry.settings.ca_pem.as_bytes();
        let parts = [("token", issued.token.as_bytes()), ("ca.crt", authority), ("namespace", namespace.as_bytes())];
        let data = object::object_mut(value, "data");
        for (key, part) in parts {
            data.insert(key.into(), everynode_common::base64::encode(part).into());
        }
        Ok(())
    }
}

fn account(registry: &Registry, secret: &Value, name: &str) -> Result<Value, Status> {
    let info = &built_in::SERVICE_ACCOUNT;
    let namespace = text(secret, &["metadata", "namespace"]);
    let target = Target { info: info.into(), namespace: namespace.into(), name: name.into(), subresource: "" };
    match registry.current_value(&target) {
        Ok((_, account)) => Ok(account),
        Err(status) if status.is_not_found() => {
            let text = format!("error looking up service account {namespace}/{name}: {}", status.message);
            Err(Status::forbidden(&SECRET, meta(secret, "name"), &text))
        }
        Err(status) => Err(status),
    }
}
