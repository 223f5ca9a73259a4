//! Keys that delete themselves.

use super::*;
use crate::Limits;

const HOUR: Duration = Duration::from_secs(3_600);
/// What a backend may be late by, and more.
const LATE: Duration = Duration::from_secs(5);

pub async fn keys_expire_at_revisions_of_their_own(open: Open<'_>) {
    let backend = open(Limits::default());
    let store = backend.store();
    put_expiring(store, "/e/a", "1", HOUR).await;
    put_expiring(store, "/e/b", "1", HOUR).await;
    put_expiring(store, "/e/c", "1", HOUR * 2).await;
    let written = put(store, "/e/d", "stays").await;
    let mut watch = store.watch("/e/", written).unwrap();
    backend.advance(HOUR - LATE).await;
    assert_eq!(store.current_revision().await.unwrap(), written);
    backend.advance(LATE * 2).await;
    let (first, second) = (next_change(&mut *watch).await, next_change(&mut *watch).await);
    assert!(first.revision < second.revision, "one of them could be missed after a resume");
    assert_eq!([&*first.key, &*second.key], ["/e/a", "/e/b"]);
    assert!(first.value.is_none() && first.previous.is_some());
    assert_eq!(text(store, "/e/a", None), None);
    assert_eq!(text(store, "/e/c", None).as_deref(), Some("1"));
    assert_eq!(text(store, "/e/d", None).as_deref(), Some("stays"));
}

pub async fn a_rewrite_moves_the_deadline(open: Open<'_>) {
    let backend = open(Limits::default());
    let store = backend.store();
    put_expiring(store, "/e/longer", "1", HOUR).await;
    put_expiring(store, "/e/forever", "1", HOUR).await;
    put_expiring(store, "/e/reborn", "1", HOUR).await;
    backend.advance(HOUR / 2).await;
    put_expiring(store, "/e/longer", "2", HOUR).await;
    put(store, "/e/forever", "2").await;
    delete(store, "/e/reborn").await;
    put(store, "/e/reborn", "2").await;
    backend.advance(HOUR / 2 + LATE).await;
    for name in ["/e/longer", "/e/forever", "/e/reborn"] {
        assert_eq!(text(store, name, None).as_deref(), Some("2"), "{name}");
    }
    backend.advance(HOUR / 2).await;
    assert_eq!(text(store, "/e/longer", None), None);
    assert_eq!(text(store, "/e/forever", None).as_deref(), Some("2"));
}
