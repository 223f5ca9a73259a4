//! The verb pipeline: everything that can be done to stored objects, whoever asks and however.
//!
//! ```text
//! decode (schema) → default → admission → strategy → validate → one store transaction
//! ```
//! Reading order: this file, [`strategy`], [`create`], [`update`], [`delete`], [`read`],
//! [`subresource`], then `kinds/` for what is special.

pub(crate) mod admission;
pub(crate) mod apply;
pub(crate) mod claims;
pub(crate) mod create;
mod delete;
pub(crate) mod events;
mod eviction;
mod fence;
pub(crate) mod kinds;
pub(crate) mod managed_fields;
pub(crate) mod node_keys;
pub(crate) mod patch;
pub(crate) mod quota;
pub(crate) mod read;
pub(crate) mod rooms;
pub(crate) mod strategy;
mod subresource;
mod token_request;
pub(crate) mod update;

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use everynode_api::fence::Fence;
use everynode_api::status::Status;
use everynode_store::limits::VALUE_BYTES_MAX;
use everynode_store::{Health, KeyValue, Store, StoreError};
use serde_json::Value;

use crate::auth::User;
use crate::catalogue::{Catalogue, Row, RowRef};
use crate::env::Env;
use crate::hub::Hub;
use crate::schema::{self, FieldValidation, Media};
use crate::{keys, stored};

pub(crate) use apply::Applied;
pub(crate) use delete::{DeleteOptions, propagation};
pub(crate) use events::stored_field_selector;
pub(crate) use patch::{Change, PatchBody};
pub(crate) use read::{ListOptions, ListPage, WatchParameters};

/// Attempts to carry out a write that does not insist on a revision before it is given up with a
/// conflict.
pub(crate) const WRITE_ATTEMPTS: usize = 6;

/// Stored objects and everything that can be done to them.
pub(crate) struct Registry {
    /// What is served.
    pub(crate) catalogue: Catalogue,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) env: Env,
    pub(crate) settings: Settings,
    pub(crate) tokens: Arc<crate::auth::token::Issuer>,
    /// The policy that the stored roles and bindings make.
    pub(crate) rbac: crate::auth::rbac::Rbac,
    /// What is taken of each node.
    pub(crate) rooms: rooms::Rooms,
    /// Creates in namespaces with quotas, one after the other.
    pub(crate) quota_locks: quota::Locks,
}

/// What the registry has to know of the cluster.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The first three bytes of the service network (`10.96.0.0/24` is allocated from).
    pub(crate) service_network: [u8; 3],
    /// The certificate authority, which tokens come with.
    pub(crate) ca_pem: Arc<str>,
    /// Whether daemon pods claim their place (see `claims`), and all pods their part of a node
    /// (see `rooms`).
    pub(crate) exclusive_places: bool,
}

/// Which object or collection, of which kind.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) info: RowRef,
    /// Empty for cluster-scoped kinds and for all namespaces.
    pub(crate) namespace: String,
    /// Empty for collections.
    pub(crate) name: String,
    /// One of the kind's own; empty for the object itself.
    pub(crate) subresource: &'static str,
}

impl Target {
    /// An object, or a collection if `name` is empty.
    pub(crate) fn of(row: impl Into<RowRef>, namespace: &str, name: &str) -> Target {
        Target { info: row.into(), namespace: namespace.to_owned(), name: name.to_owned(), subresource: "" }
    }

    /// Whether it is an object, or a subresource that shows one.
    pub(crate) fn is_readable(&self) -> bool {
        let shown = self.info.subresource(self.subresource).is_some_and(|known| known.verbs.contains(&"get"));
        self.subresource.is_empty() || shown
    }

    pub(crate) fn key(&self) -> everynode_store::Key {
        keys::object(&self.info, &self.namespace, &self.name)
    }

    pub(crate) fn not_found(&self) -> Status {
        Status::not_found(&self.info.kind, &self.name)
    }
}

/// The user that writes, and how.
pub(crate) struct Caller<'a> {
    pub(crate) user: &'a User,
    pub(crate) dry_run: bool,
    pub(crate) validation: FieldValidation,
    /// The write counts only while this holds.
    pub(crate) fence: Option<&'a Fence>,
    /// The name under which the fields are owned that are written, empty if none is given; `None`:
    /// a part of this process.
    pub(crate) manager: Option<&'a str>,
    /// Where they are warned; parts of this process are not.
    pub(crate) warnings: Option<&'a Warnings>,
}

impl Caller<'_> {
    pub(crate) fn warn(&self, texts: impl IntoIterator<Item = String>) {
        let Some(warnings) = self.warnings else { return };
        texts.into_iter().for_each(|text| warnings.add(text));
    }
}

/// What a client is warned of, whatever becomes of the request: each text once.
#[derive(Default)]
pub(crate) struct Warnings(Mutex<Vec<String>>);

impl Warnings {
    pub(crate) fn add(&self, text: String) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !held.contains(&text) {
            held.push(text);
        }
    }

    pub(crate) fn into_texts(self) -> Vec<String> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The object that a request carries.
pub(crate) enum Body {
    Bytes(Bytes, Media),
    /// From a client in this process.
    Value(Value),
}

/// What a request that concerns one object is answered with.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) code: u16,
    /// A complete object: of the target's kind, or what a subresource or a deletion answers with.
    pub(crate) json: Bytes,
    /// Whether `json` is of the target's kind, so that it can be shown as a table.
    pub(crate) is_object: bool,
}

impl Reply {
    /// A stored object, in the form of the kind that was asked for.
    pub(crate) fn stored(code: u16, info: &Row, kv: &KeyValue) -> Result<Reply, Status> {
        Ok(Reply { code, json: read::external(info, &kv.value, kv.modified)?, is_object: true })
    }

    /// An object that was made for this answer.
    pub(crate) fn value(code: u16, value: &Value) -> Reply {
        let json = serde_json::to_vec(value).unwrap_or_default().into();
        Reply { code, json, is_object: false }
    }
}

impl Registry {
    /// The current state of the target.
    pub(crate) fn current(&self, target: &Target) -> Result<KeyValue, Status> {
        let found = self.store.get(&target.key(), None).map_err(|error| store_failure(&error))?;
        found.ok_or_else(|| target.not_found())
    }

    /// The current state of the target as JSON, with its resourceVersion.
    pub(crate) fn current_value(&self, target: &Target) -> Result<(KeyValue, Value), Status> {
        let kv = self.current(target)?;
        let value = stored::decode(&kv.value, kv.modified)?;
        Ok((kv, value))
    }
}

/// Decodes an object that a request carries, and warns of what it has too much.
pub(crate) fn decode<'a>(
    shape: impl Into<schema::Shape<'a>>,
    body: Body,
    caller: &Caller<'_>,
) -> Result<Value, Status> {
    let (value, warnings) = match body {
        Body::Bytes(bytes, media) => schema::decode(shape, &bytes, media, caller.validation)?,
        Body::Value(value) => schema::decode_value(shape, value, caller.validation)?,
    };
    caller.warn(warnings);
    Ok(value)
}

/// Whether a value may be stored: what is only tried is told the same as what is written.
///
/// # Errors
/// 413, as the store's own.
fn check_size(stored: &[u8]) -> Result<(), Status> {
    match stored.len() > VALUE_BYTES_MAX {
        true => Err(Status::too_large(VALUE_BYTES_MAX)),
        false => Ok(()),
    }
}

/// A failure of the store as clients see it.
pub(crate) fn store_failure(error: &StoreError) -> Status {
    match error {
        StoreError::Compacted { asked, oldest } => Status::expired(format!(
            "The provided resource version is too old: {} is before the oldest that is held, {}",
            asked.0, oldest.0
        )),
        StoreError::Future { asked, current } => too_large_version(asked.0, current.0),
        StoreError::TooLarge { limit, .. } => Status::too_large(*limit),
        StoreError::Invalid(_) => Status::internal(error),
        StoreError::Closed => Status::unavailable("the server is shutting down"),
        // The store has logged it itself, once; clients are not shown names of files.
        StoreError::Full(_) => Status::internal(Health::Full.words()),
        StoreError::Disk(_) | StoreError::Corrupt(_) | StoreError::InUse(_) => {
            tracing::error!(%error, "the store failed");
            Status::internal("the store cannot write; the server's log says why")
        }
    }
}

/// A client asked for a state that has not happened (here): kube-apiserver's 504.
pub(crate) fn too_large_version(asked: u64, current: u64) -> Status {
    let message = format!("Timeout: Too large resource version: {asked}, current: {current}");
    let mut status = Status::failure(504, "Timeout", &message).with_cause(
        "ResourceVersionTooLarge",
        "Too large resource version",
        "",
    );
    status.details.get_or_insert_default().retry_after_seconds = 1;
    status
}
