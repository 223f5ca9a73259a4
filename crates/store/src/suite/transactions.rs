//! Writes: revisions, conditions, refusals.

use super::*;
use crate::{Limits, StoreError, limits, prefix_range};

pub async fn writes_share_a_revision_and_know_their_creation(open: Open<'_>) {
    let backend = open(Limits::default());
    let store = backend.store();
    let first = committed(store, writes([put_of("/a", "1"), put_of("/b", "1")])).await;
    assert_eq!(first, Revision(1));
    let second = put(store, "/a", "2").await;
    assert!(second > first);
    let (a, b) = (store.get("/a", None).unwrap().unwrap(), store.get("/b", None).unwrap().unwrap());
    assert_eq!((a.created, a.modified), (first, second));
    assert_eq!((b.created, b.modified), (first, first));
    assert!(delete(store, "/a").await > second);
    let reborn = put(store, "/a", "3").await;
    assert_eq!(store.get("/a", None).unwrap().unwrap().created, reborn);
    assert_eq!(store.current_revision().await.unwrap(), reborn);
}

pub async fn conditions_hold_or_nothing_happens(open: Open<'_>) {
    let backend = open(Limits::default());
    let store = backend.store();
    let made = put(store, "/pods/a/1", "x").await;
    let before = store.current_revision().await.unwrap();
    let refused = [
        (Condition::Absent(key("/pods/a/1")), true),
        (Condition::ModifiedAt(key("/pods/a/1"), Revision(made.0 + 1)), true),
        (Condition::ModifiedAt(key("/pods/a/2"), made), false),
        (Condition::Present(key("/pods/a/2")), false),
        (Condition::NoneBelow(key("/pods/a/")), true),
        (Condition::NoneBelow(key("/pods/")), true),
    ];
    for (condition, shows_current) in refused {
        let outcome = put_if(store, condition.clone(), "/other", "y").await;
        let Outcome::Refused { condition: 0, current } = outcome else { panic!("{condition:?}") };
        assert_eq!(current.map(|kv| kv.key), shows_current.then(|| key("/pods/a/1")), "{condition:?}");
    }
    assert_eq!(text(store, "/other", None), None);
    assert_eq!(store.current_revision().await.unwrap(), before);
    let held = [
        Condition::Absent(key("/pods/a/2")),
        Condition::ModifiedAt(key("/pods/a/1"), made),
        Condition::Present(key("/pods/a/1")),
        Condition::NoneBelow(key("/pods/b/")),
        Condition::NoneBelow(key("/pods/a/1/")),
    ];
    let transaction = writes([put_of("/other", "y")]);
    committed(store, Transaction { conditions: held.into(), ..transaction }).await;
    assert_eq!(text(store, "/other", None).as_deref(), Some("y"));
}

pub async fn transactions_without_effect_get_no_revision(open: Open<'_>) {
    let backend = open(Limits::default());
    let store = backend.store();
    assert_eq!(delete(store, "/nothing").await, Revision(0));
    let first = put(store, "/a", "1").await;
    assert_eq!(delete(store, "/nothing").await, first);
    assert_eq!(committed(store, Transaction::default()).await, first);
    assert_eq!(put(store, "/a", "1").await, Revision(first.0 + 1), "a put is always a change");
}

pub async fn malformed_transactions_are_refused(open: Open<'_>) {
    let backend = open(Limits::default());
    let store = backend.store();
    let long = "k".repeat(limits::KEY_BYTES_MAX + 1);
    let many = (0..=limits::TRANSACTION_STEPS_MAX).map(|n| put_of(&format!("/{n}"), "x"));
    let invalid = [
        writes([put_of("", "x")]),
        writes([put_of(&long, "x")]),
        writes([put_of("/a", "x"), delete_of("/a")]),
        writes(many),
    ];
    for transaction in invalid {
        let refused = store.commit(transaction).await;
        assert!(matches!(refused, Err(StoreError::Invalid(_))), "{refused:?}");
    }
    let large = Bytes::from(vec![0; limits::VALUE_BYTES_MAX + 1]);
    let fits = large.slice(1..);
    let too_large = [writes([put_of("/a", large)]), writes((0..6).map(|n| put_of(&format!("/{n}"), fits.clone())))];
    for transaction in too_large {
        let refused = store.commit(transaction).await;
        assert!(matches!(refused, Err(StoreError::TooLarge { .. })), "{refused:?}");
    }
    assert_eq!(committed(store, writes([put_of("/a", fits)])).await, Revision(1));
}

/// Eight tasks count one number up by compare-and-write: every step must survive, each revision
/// is given once, and no reader ever sees one half of the pair.
pub async fn racing_writers_lose_nothing(open: Open<'_>) {
    let (tasks, steps) = (8, 25);
    let backend: std::sync::Arc<dyn Backend> = open(Limits::default()).into();
    put(backend.store(), "/count", "0").await;
    let count = |backend: std::sync::Arc<dyn Backend>| async move {
        let mut revisions = Vec::new();
        while revisions.len() < steps {
            let store = backend.store();
            let page = store.range(&prefix_range("/count"), None, 0).unwrap();
            assert!(page.items.iter().all(|kv| kv.value == page.items[0].value), "{page:?}");
            let seen = &page.items[0];
            let next = (String::from_utf8_lossy(&seen.value).parse::<u32>().unwrap() + 1).to_string();
            let conditions = vec![Condition::ModifiedAt(key("/count"), seen.modified)];
            let pair = [put_of("/count", next.clone()), put_of("/count-too", next)];
            let transaction = Transaction { conditions, ..writes(pair) };
            if let Outcome::Committed(revision) = store.commit(transaction).await.unwrap() {
                revisions.push(revision);
            }
        }
        revisions
    };
    let running: Vec<_> = (0..tasks).map(|_| tokio::spawn(count(backend.clone()))).collect();
    let mut revisions = Vec::new();
    for task in running {
        revisions.extend(task.await.expect("no panic"));
    }
    revisions.sort_unstable();
    revisions.dedup();
    assert_eq!(revisions.len(), tasks * steps);
    let total = (tasks * steps).to_string();
    assert_eq!(text(backend.store(), "/count", None), Some(total));
}
