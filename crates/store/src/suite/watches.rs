//! Watches: order, past values, no gaps, bounds, the end.

use std::collections::BTreeMap;

use super::*;
use crate::{Limits, StoreError, prefix_range};

pub async fn a_watch_tells_every_change_once_with_its_past(open: Open<'_>) {
    let backend = open(Limits::default());
    let store = backend.store();
    let mut watch = store.watch("/w/", Revision(0)).unwrap();
    let one = put(store, "/w/a", "1").await;
    put(store, "/x/a", "elsewhere").await;
    put(store, "/w", "above").await;
    let two = put(store, "/w/a", "2").await;
    let three = delete(store, "/w/a").await;
    let value = |kv: &Option<crate::KeyValue>| kv.as_ref().map(|kv| (kv.value.clone(), kv.modified));
    let mut told = Vec::new();
    for _ in 0..3 {
        let change = next_change(&mut *watch).await;
        assert_eq!(&*change.key, "/w/a");
        told.push((change.revision, value(&change.value), value(&change.previous)));
    }
    let (first, second) = (Some(("1".into(), one)), Some(("2".into(), two)));
    let want = [(one, first.clone(), None), (two, second.clone(), first), (three, None, second)];
    assert_eq!(told, want);
}

/// Watchers that begin at every revision, while writes go on, see the same changes in order.
pub async fn a_watch_resumes_without_gaps(open: Open<'_>) {
    let backend = open(Limits::default());
    let store = backend.store();
    let (before, total) = (200u64, 400u64);
    for n in 1..=before {
        put(store, &format!("/w/{}", n % 7), &n.to_string()).await;
    }
    let mut watches: Vec<_> =
        (0..=before).step_by(9).map(|after| (after, store.watch("/w/", Revision(after)).unwrap())).collect();
    for n in before + 1..=total {
        put(store, &format!("/w/{}", n % 7), &n.to_string()).await;
    }
    for (after, watch) in &mut watches {
        for want in *after + 1..=total {
            let change = next_change(&mut **watch).await;
            assert_eq!(change.revision, Revision(want), "after {after}");
            assert_eq!(change.value.unwrap().value, want.to_string());
            let previous = change.previous.map(|kv| kv.value);
            assert_eq!(previous, want.checked_sub(7).filter(|n| *n > 0).map(|n| n.to_string().into()));
        }
    }
}

pub async fn a_transaction_comes_in_one_batch(open: Open<'_>) {
    let backend = open(Limits::default());
    let store = backend.store();
    let mut all = store.watch("/", Revision(0)).unwrap();
    let mut part = store.watch("/w/", Revision(0)).unwrap();
    committed(store, writes([put_of("/w/a", "1"), put_of("/x", "1"), put_of("/w/b", "1")])).await;
    let names = |changes: Vec<Change>| changes.iter().map(|one| one.key.to_string()).collect::<Vec<_>>();
    assert_eq!(names(next_changes(&mut *all).await), ["/w/a", "/x", "/w/b"]);
    assert_eq!(names(next_changes(&mut *part).await), ["/w/a", "/w/b"]);
    let mut late = store.watch("/w/", Revision(0)).unwrap();
    assert_eq!(names(next_changes(&mut *late).await), ["/w/a", "/w/b"]);
}

/// Writers race over few keys; every change must fit onto what the changes before it made, and
/// the sum of them must be the list.
pub async fn watchers_rebuild_the_state_of_racing_writers(open: Open<'_>) {
    let (tasks, steps) = (4u64, 150u64);
    let backend: std::sync::Arc<dyn Backend> = open(Limits::default()).into();
    let write = |task: u64, backend: std::sync::Arc<dyn Backend>| async move {
        for step in 0..steps {
            let name = format!("/w/{}", (task + step) * 7 % 5);
            match (task + step) % 3 {
                0 => drop(delete(backend.store(), &name).await),
                _ => drop(put(backend.store(), &name, &format!("{task}-{step}")).await),
            }
        }
    };
    let mut watch = backend.store().watch("/w/", Revision(0)).unwrap();
    let running: Vec<_> = (0..tasks).map(|task| tokio::spawn(write(task, backend.clone()))).collect();
    let done = tokio::spawn(async move {
        for task in running {
            task.await.expect("no panic");
        }
        put(backend.store(), "/w/end", "").await;
        backend.store().range(&prefix_range("/w/"), None, 0).unwrap()
    });
    let (mut state, mut newest) = (BTreeMap::new(), Revision(0));
    while !state.contains_key("/w/end") {
        for change in next_changes(&mut *watch).await {
            assert!(change.revision > newest);
            newest = change.revision;
            let name = change.key.to_string();
            let had = match change.value {
                Some(value) => state.insert(name, value),
                None => state.remove(&name),
            };
            assert_eq!(had, change.previous, "a change does not follow the one before it");
        }
    }
    let page = done.await.expect("no panic");
    assert_eq!(state.into_values().collect::<Vec<_>>(), page.items);
}

pub async fn quiet_watchers_learn_the_revision(open: Open<'_>) {
    let backend = open(Limits::default());
    let store = backend.store();
    put(store, "/w/a", "1").await;
    let joined = put(store, "/x", "1").await;
    let mut watch = store.watch("/w/", Revision(0)).unwrap();
    next_change(&mut *watch).await;
    assert_eq!(watch.next().await, Some(WatchItem::Progress(joined)));
    backend.advance(Limits::default().progress_every).await;
    let moved = put(store, "/x", "2").await;
    assert_eq!(watch.next().await, Some(WatchItem::Progress(moved)));
    // Progress never overtakes a change.
    backend.advance(Limits::default().progress_every).await;
    let changed = put(store, "/w/a", "2").await;
    assert_eq!(next_change(&mut *watch).await.revision, changed);
}

pub async fn slow_watchers_are_overrun(open: Open<'_>) {
    let backend = open(Limits { watch_backlog_changes_max: 10, ..Limits::default() });
    let store = backend.store();
    let mut slow = store.watch("/w/", Revision(0)).unwrap();
    let mut quick = store.watch("/w/", Revision(0)).unwrap();
    for n in 1..=11 {
        put(store, "/w/a", &n.to_string()).await;
        assert_eq!(next_change(&mut *quick).await.revision, Revision(n));
    }
    assert_eq!(slow.next().await, Some(WatchItem::Overrun));
    assert_eq!(slow.next().await, None);
    let last = put(store, "/w/a", "last").await;
    assert_eq!(next_change(&mut *quick).await.revision, last);
    // Starting again from a list works.
    let page = store.range(&prefix_range("/w/"), None, 0).unwrap();
    let mut again = store.watch("/w/", page.revision).unwrap();
    let next = put(store, "/w/a", "next").await;
    assert_eq!(next_change(&mut *again).await.revision, next);
}

pub async fn shutdown_ends_watches_and_refuses_the_rest(open: Open<'_>) {
    let backend = open(Limits::default());
    let store = backend.store();
    let mut watch = store.watch("/w/", Revision(0)).unwrap();
    let waiting = tokio::spawn(async move {
        let change = next_change(&mut *watch).await;
        (change.revision, watch.next().await)
    });
    let last = put(store, "/w/a", "1").await;
    store.shutdown().await.unwrap();
    let (told, end) = waiting.await.unwrap();
    assert_eq!((told, end), (last, None));
    let refused = store.commit(writes([put_of("/w/b", "2")])).await;
    assert!(matches!(refused, Err(StoreError::Closed)), "{refused:?}");
    assert!(matches!(store.get("/w/a", None), Err(StoreError::Closed)));
    assert!(matches!(store.watch("/w/", Revision(0)).err(), Some(StoreError::Closed)));
    store.shutdown().await.expect("twice is once");
}
