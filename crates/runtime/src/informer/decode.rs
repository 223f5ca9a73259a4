//! From the server's bytes to views, one object at a time: an object that can not be decoded
//! harms only itself.

use std::sync::Arc;

use bytes::Bytes;
use everynode_api::kinds::Kind;
use everynode_api::meta::{Key, Meta};
use everynode_api::view::Item;
use jiff::Timestamp;
use serde::Deserialize;

use crate::cache::Delta;
use crate::clock::Env;
use crate::follow::{Decode, Observed};
use crate::metrics::{Counters, count};

/// The metadata of any object.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct MetaOnly {
    pub metadata: Meta,
}

/// Reads objects of one kind as views.
pub(crate) struct Reader {
    pub kind: Kind,
    /// Says when an object was heard of.
    pub env: Env,
    pub counters: Arc<Counters>,
}

impl Reader {
    fn item(&self, json: &[u8], at: Timestamp) -> Option<Item> {
        match Item::heard(&self.kind, json, at) {
            Ok(item) => Some(item),
            Err(error) => {
                count(&self.counters.decode_errors_total);
                let (kind, key) = (&self.kind.kind, meta_of(json).key());
                tracing::error!(%kind, %key, %error, "cannot decode an object; its last good state stays");
                None
            }
        }
    }
}

impl Decode for Reader {
    type Object = Item;
    type Change = Delta;

    fn object(&self, json: Bytes) -> Option<Item> {
        self.item(&json, self.env.now())
    }

    /// All objects of a page are heard of at one moment.
    fn objects(&self, page: impl Iterator<Item = Bytes>) -> Vec<Item> {
        let now = self.env.now();
        page.filter_map(|json| self.item(&json, now)).collect()
    }

    /// Where the object cannot be decoded, its revision is still observed.
    fn change(&self, json: Bytes, is_gone: bool) -> Observed<Delta> {
        if is_gone {
            let meta = meta_of(&json);
            let (revision, key) = (meta.resource_version, meta.key());
            return Observed { revision, change: Some(Delta::Remove(key, revision)) };
        }
        let (revision, delta) = match self.item(&json, self.env.now()) {
            Some(item) => (item.meta().resource_version, Delta::Upsert(item)),
            None => {
                let revision = meta_of(&json).resource_version;
                (revision, Delta::Observe(revision))
            }
        };
        Observed { revision, change: Some(delta) }
    }

    fn bookmark(&self, revision: u64) -> Option<Delta> {
        Some(Delta::Observe(revision))
    }
}

/// What can be read of an object's identity even when the rest of it, or of its metadata, is wrong.
fn meta_of(json: &[u8]) -> Meta {
    if let Ok(object) = serde_json::from_slice::<MetaOnly>(json) {
        return object.metadata;
    }
    let value: serde_json::Value = serde_json::from_slice(json).unwrap_or_default();
    let text = |name: &str| value["metadata"][name].as_str().unwrap_or_default();
    let Key { namespace, name } = Key::new(text("namespace"), text("name"));
    Meta { name, namespace, resource_version: text("resourceVersion").parse().unwrap_or(0), ..Meta::default() }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use everynode_api::kinds;

    use super::*;

    #[test]
    fn one_bad_object_harms_only_itself() {
        let counters = Arc::new(Counters::default());
        let reader = Reader { kind: kinds::POD, env: Env::real(), counters: counters.clone() };
        let good = r#"{"metadata":{"name":"good","resourceVersion":"1"}}"#;
        let bad = r#"{"metadata":{"name":"bad","resourceVersion":"2"},"spec":{"containers":"none"}}"#;
        assert!(reader.object(good.into()).is_some() && reader.object(bad.into()).is_none());
        assert!(reader.object(r#"{"metadata":{"name":"worse","labels":7}}"#.into()).is_none());
        assert_eq!(counters.decode_errors_total.load(Ordering::Relaxed), 2);
        let bad = r#"{"metadata":{"name":"a","labels":7,"resourceVersion":"12"}}"#;
        let observed = reader.change(bad.into(), false);
        assert!(matches!((observed.revision, observed.change), (12, Some(Delta::Observe(12)))));
    }
}
