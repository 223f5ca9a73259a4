//! Reads: order, pages, older revisions, compaction.

use std::collections::BTreeMap;

use super::*;
use crate::{KeyValue, Limits, Range, StoreError, prefix_range};

fn keys(items: &[KeyValue]) -> Vec<&str> {
    items.iter().map(|kv| &*kv.key).collect()
}

pub async fn ranges_are_ordered_and_half_open(open: Open<'_>) {
    let backend = open(Limits::default());
    let store = backend.store();
    for name in ["/p/b", "/p/a", "/q", "/p/c", "/p", "/p/a/x", "/p0", "/p/é"] {
        put(store, name, name).await;
    }
    let range = |start: &str, end: &str| {
        let range = Range { start: key(start), end: key(end) };
        store.range(&range, None, 0).unwrap().items
    };
    assert_eq!(keys(&range("/p/", "/p0")), ["/p/a", "/p/a/x", "/p/b", "/p/c", "/p/é"]);
    assert_eq!(keys(&range("/p/a/", "/p/c")), ["/p/a/x", "/p/b"]);
    assert_eq!(keys(&range("/p/c", "")), ["/p/c", "/p/é", "/p0", "/q"]);
    assert!(range("/q", "/p").is_empty());
    let all = store.range(&prefix_range(""), None, 0).unwrap();
    assert_eq!((all.items.len(), all.remaining, all.revision), (8, 0, Revision(8)));
}

pub async fn pages_count_what_remains(open: Open<'_>) {
    let backend = open(Limits::default());
    let store = backend.store();
    for n in 0..250 {
        put(store, &format!("/p/{n:03}"), "x").await;
    }
    put(store, "/q", "x").await;
    let first = store.range(&prefix_range("/p/"), None, 100).unwrap();
    assert_eq!((first.items.len(), first.remaining), (100, 150));
    // The rest is read at the first page's revision: what changes meanwhile must not show.
    delete(store, "/p/100").await;
    delete(store, "/p/000").await;
    put(store, "/p/120", "changed").await;
    put(store, "/p/120x", "new").await;
    let after = |last: &str| Range { start: key(&format!("{last}\0")), end: key("/p0") };
    let at = Some(first.revision);
    let second = store.range(&after("/p/099"), at, 100).unwrap();
    assert_eq!((second.items.len(), second.remaining), (100, 50));
    assert_eq!((keys(&second.items)[0], second.revision), ("/p/100", first.revision));
    assert!(second.items.iter().all(|kv| kv.value == "x"));
    let third = store.range(&after("/p/199"), at, 100).unwrap();
    assert_eq!((third.items.len(), third.remaining), (50, 0));
    let exact = store.range(&prefix_range("/q"), None, 1).unwrap();
    assert_eq!((exact.items.len(), exact.remaining), (1, 0));
}

pub async fn older_revisions_can_be_read(open: Open<'_>) {
    let backend = open(Limits::default());
    let store = backend.store();
    let one = put(store, "/a", "1").await;
    let two = put(store, "/a", "2").await;
    let three = delete(store, "/a").await;
    let four = put(store, "/a", "4").await;
    let at = |revision| text(store, "/a", Some(revision));
    assert_eq!(at(Revision(0)), None);
    assert_eq!(at(one).as_deref(), Some("1"));
    assert_eq!(at(two).as_deref(), Some("2"));
    assert_eq!(at(three), None);
    assert_eq!(at(four).as_deref(), Some("4"));
    let old = store.get("/a", Some(two)).unwrap().unwrap();
    assert_eq!((old.created, old.modified), (one, two));
}

/// Every revision of a busy store is compared with a plain map kept beside it.
pub async fn old_states_agree_with_a_model(open: Open<'_>) {
    let backend = open(Limits::default());
    let store = backend.store();
    let (mut model, mut states) = (BTreeMap::new(), Vec::new());
    for step in 0..600u64 {
        // A fixed walk over 40 keys that puts twice and deletes once.
        let name = format!("/m/{:02}", step * 17 % 40);
        let revision = if step % 3 == 2 {
            model.remove(&name);
            delete(store, &name).await
        } else {
            model.insert(name.clone(), step.to_string());
            put(store, &name, &step.to_string()).await
        };
        states.push((revision, model.clone()));
    }
    let range = Range { start: key("/m/05"), end: key("/m/30") };
    for (revision, state) in &states {
        let page = store.range(&range, Some(*revision), 7).unwrap();
        let mut want = state.range("/m/05".to_owned().."/m/30".to_owned());
        for kv in &page.items {
            let (name, value) = want.next().expect("not more than the model has");
            assert_eq!((&*kv.key, &*kv.value), (name.as_str(), value.as_bytes()));
        }
        assert_eq!(page.remaining, want.count() as u64, "{revision:?}");
    }
}

pub async fn compacted_and_future_revisions_are_refused(open: Open<'_>) {
    let backend = open(Limits::default());
    let store = backend.store();
    for n in 1..=10 {
        put(store, "/a", &n.to_string()).await;
    }
    store.compact(Revision(6)).await.unwrap();
    store.compact(Revision(3)).await.unwrap();
    assert_eq!(text(store, "/a", Some(Revision(6))).as_deref(), Some("6"));
    assert_eq!(text(store, "/a", None).as_deref(), Some("10"));
    let (asked, oldest) = (Revision(5), Revision(6));
    let is_compacted = |error: Option<StoreError>| match error {
        Some(StoreError::Compacted { asked: a, oldest: o }) => assert_eq!((a, o), (asked, oldest)),
        other => panic!("{other:?}"),
    };
    is_compacted(store.get("/a", Some(asked)).err());
    is_compacted(store.range(&prefix_range("/"), Some(asked), 0).err());
    is_compacted(store.watch("/", asked).err());
    assert!(store.watch("/", oldest).is_ok());
    let future = Revision(11);
    assert!(matches!(store.get("/a", Some(future)), Err(StoreError::Future { .. })));
    assert!(matches!(store.watch("/", future).err(), Some(StoreError::Future { .. })));
    assert!(matches!(store.compact(future).await, Err(StoreError::Future { .. })));
}

pub async fn history_is_bounded(open: Open<'_>) {
    let backend = open(Limits { history_changes_max: 64, ..Limits::default() });
    let store = backend.store();
    for n in 0..200 {
        put(store, "/a", &n.to_string()).await;
    }
    let Err(StoreError::Compacted { oldest, .. }) = store.get("/a", Some(Revision(1))) else {
        panic!("revision 1 is still held");
    };
    assert!((130..=140).contains(&oldest.0), "{oldest:?}");
    assert_eq!(text(store, "/a", Some(oldest)), Some((oldest.0 - 1).to_string()));
    // Age, too: the next commits find everything before them too old.
    backend.advance(Limits::default().history_age * 2).await;
    let newest = put(store, "/a", "new").await;
    for _ in 0..8 {
        put(store, "/a", "newer").await;
    }
    assert!(matches!(store.get("/a", Some(oldest)), Err(StoreError::Compacted { .. })));
    assert_eq!(text(store, "/a", Some(newest)).as_deref(), Some("new"));
}
