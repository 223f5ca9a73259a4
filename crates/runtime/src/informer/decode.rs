//! From the server's bytes to views, one object at a time: an object that can not be decoded
//! harms only itself.

use std::sync::atomic::AtomicU64;

use everynode_api::kinds::Kind;
use everynode_api::meta::{Key, Meta};
use everynode_api::ports::{ApiError, WatchEvent};
use everynode_api::view::Item;
use jiff::Timestamp;
use serde::Deserialize;

use super::list::ListPage;
use super::machine::Page;
use crate::cache::Delta;
use crate::metrics::count;

/// The metadata of any object.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct MetaOnly {
    pub metadata: Meta,
}

/// Decodes a page of a list.
pub(crate) fn page(kind: &Kind, body: &[u8], now: Timestamp, errors: &AtomicU64) -> Result<Page, ApiError> {
    let ListPage { items, revision, continue_token } =
        ListPage::parse(body).map_err(|error| ApiError::Garbled(error.to_string()))?;
    let items = items.into_iter().filter_map(|item| item_of(kind, item.get().as_bytes(), now, errors)).collect();
    Ok(Page { items, revision, continue_token })
}

fn item_of(kind: &Kind, json: &[u8], now: Timestamp, errors: &AtomicU64) -> Option<Item> {
    match Item::heard(kind, json, now) {
        Ok(item) => Some(item),
        Err(error) => {
            count(errors);
            let key = meta_of(json).key();
            tracing::error!(kind = %kind.kind, %key, %error, "cannot decode an object; its last good state stays");
            None
        }
    }
}

/// Decodes a watch event. Where the object can not be decoded, its revision is still observed.
pub(crate) fn delta(kind: &Kind, event: WatchEvent, now: Timestamp, errors: &AtomicU64) -> Delta {
    match event {
        WatchEvent::Bookmark { resource_version } => Delta::Observe(resource_version),
        WatchEvent::Deleted(json) => {
            let meta = meta_of(&json);
            Delta::Remove(meta.key(), meta.resource_version)
        }
        WatchEvent::Added(json) | WatchEvent::Modified(json) => match item_of(kind, &json, now, errors) {
            Some(item) => Delta::Upsert(item),
            None => Delta::Observe(meta_of(&json).resource_version),
        },
    }
}

/// The revision up to which this event brings the view.
pub(crate) fn revision(delta: &Delta) -> u64 {
    match delta {
        Delta::Upsert(item) => item.meta().resource_version,
        Delta::Remove(_, revision) | Delta::Observe(revision) => *revision,
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
        let errors = AtomicU64::new(0);
        let body = br#"{"metadata":{"resourceVersion":"9","continue":"t"},"items":[
            {"metadata":{"name":"good","resourceVersion":"1"}},
            {"metadata":{"name":"bad","resourceVersion":"2"},"spec":{"containers":"none"}},
            {"metadata":{"name":"worse","labels":7}}]}"#;
        let page = page(&kinds::POD, body, Timestamp::MIN, &errors).unwrap();
        assert_eq!((page.items.len(), page.revision, page.continue_token.as_deref()), (1, 9, Some("t")));
        assert_eq!(errors.load(Ordering::Relaxed), 2);
        let bad = WatchEvent::Modified(r#"{"metadata":{"name":"a","labels":7,"resourceVersion":"12"}}"#.into());
        assert!(matches!(delta(&kinds::POD, bad, Timestamp::MIN, &errors), Delta::Observe(12)));
    }

    #[test]
    fn an_empty_list_may_be_null() {
        let errors = AtomicU64::new(0);
        let found = page(&kinds::POD, br#"{"metadata":{"resourceVersion":"9"},"items":null}"#, Timestamp::MIN, &errors)
            .unwrap();
        assert!(found.items.is_empty() && found.continue_token.is_none());
        assert!(page(&kinds::POD, b"<html>", Timestamp::MIN, &errors).is_err());
    }
}
