//! A store that cannot write: what clients, probes and monitoring are told, and what they are not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use everynode_store::{
    BoxFuture, Health, KeyValue, MemoryStore, Outcome, Page, Range, Revision, Store, StoreError, Transaction, Watch,
};
use serde_json::json;

use crate::support::*;

const PATH: &str = "/var/lib/everynode/store/store.db: database or disk is full";
const STATES: [Health; 3] = [Health::Good, Health::Full, Health::Failing];

/// Refuses every commit while it is not well.
struct Unwell {
    store: MemoryStore,
    state: AtomicUsize,
}

impl Store for Unwell {
    fn commit(&self, transaction: Transaction) -> BoxFuture<'_, Result<Outcome, StoreError>> {
        match self.health() {
            Health::Good => self.store.commit(transaction),
            Health::Full => Box::pin(async { Err(StoreError::Full(PATH.to_owned())) }),
            Health::Failing => Box::pin(async { Err(StoreError::Disk(PATH.to_owned())) }),
        }
    }
    fn get(&self, key: &str, at: Option<Revision>) -> Result<Option<KeyValue>, StoreError> {
        self.store.get(key, at)
    }
    fn range(&self, range: &Range, at: Option<Revision>, limit: usize) -> Result<Page, StoreError> {
        self.store.range(range, at, limit)
    }
    fn watch(&self, prefix: &str, after: Revision) -> Result<Box<dyn Watch>, StoreError> {
        self.store.watch(prefix, after)
    }
    fn current_revision(&self) -> BoxFuture<'_, Result<Revision, StoreError>> {
        self.store.current_revision()
    }
    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<(), StoreError>> {
        self.store.compact(revision)
    }
    fn health(&self) -> Health {
        STATES[self.state.load(Ordering::SeqCst)]
    }
    fn shutdown(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.store.shutdown()
    }
}

fn body_of(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}

#[tokio::test]
async fn clients_learn_of_a_full_disk_and_see_no_path() {
    let store = Arc::new(Unwell { store: MemoryStore::new(), state: AtomicUsize::new(0) });
    let server = Server::start_on(store.clone()).await;
    server.post(CONFIG_MAPS, &config_map("x")).await.expect(201);
    let cases =
        [(1, "full", "the disk is full: only deletes and small changes are taken"), (2, "failing", "cannot write")];
    for (state, name, words) in cases {
        store.state.store(state, Ordering::SeqCst);
        let refused = server.post(CONFIG_MAPS, &config_map("y")).await.expect(500);
        let message = refused["message"].as_str().unwrap_or_default();
        assert!(message.contains(words) && !message.contains("store.db"), "{message}");
        server.get(&format!("{CONFIG_MAPS}/x")).await.expect(200);
        let ready = server.get("/readyz").await;
        let line = format!("[-]store failed: {}\n", STATES[state].words());
        assert!(ready.code == 503 && body_of(&ready).contains(&line), "{}", body_of(&ready));
        assert_eq!(server.get("/livez").await.code, 200, "a restart would not help");
        let metrics = server.get("/metrics").await;
        assert!(body_of(&metrics).contains(&format!("everynode_store_health{{state=\"{name}\"}} 1\n")));
        assert!(body_of(&metrics).contains("everynode_store_health{state=\"good\"} 0\n"));
    }
    store.state.store(0, Ordering::SeqCst);
    assert_eq!(server.get("/readyz").await.code, 200);
    server.post(CONFIG_MAPS, &json!({"metadata": {"name": "y"}})).await.expect(201);
}
