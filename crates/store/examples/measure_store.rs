//! Measures the embedded store on this machine: `cargo run --release -p everynode-store --example
//! measure [objects]`. Prints how long loading, single commits, crowds of commits and lists take.

use std::sync::Arc;
use std::time::{Duration, Instant};

use everynode_store::{Durability, EmbeddedOptions, EmbeddedStore, Store, Transaction, Write, prefix_range};

/// About what a daemon pod takes as JSON.
const VALUE_BYTES: usize = 2_300;
const SINGLES: usize = 5_000;

fn put(name: String, durability: Durability) -> Transaction {
    let value = vec![b'v'; VALUE_BYTES].into();
    let writes = vec![Write::Put { key: name.into(), value, expires_in: None }];
    Transaction { writes, durability, ..Transaction::default() }
}

fn show(what: &str, count: usize, took: Duration) {
    let each = took.as_secs_f64() * 1e6 / count.max(1) as f64;
    println!("{what:<44} {count:>7} in {:>8.1} ms, {each:>8.1} us each", took.as_secs_f64() * 1e3);
}

async fn crowd(store: &Arc<EmbeddedStore>, objects: usize) {
    let tasks = 64;
    let running: Vec<_> = (0..tasks)
        .map(|task| {
            let store = store.clone();
            tokio::spawn(async move {
                for n in (task..objects).step_by(tasks) {
                    let name = format!("/registry/pods/default/web-{n:06}");
                    store.commit(put(name, Durability::Fsync)).await.expect("committed");
                }
            })
        })
        .collect();
    for task in running {
        task.await.expect("no panic");
    }
}

async fn singles(store: &EmbeddedStore, durability: Durability) {
    let (begin, mut slowest) = (Instant::now(), Duration::ZERO);
    for n in 0..SINGLES {
        let name = format!("/registry/leases/kube-node-lease/node-{:06}", n % 1_000);
        let begin = Instant::now();
        store.commit(put(name, durability)).await.expect("committed");
        slowest = slowest.max(begin.elapsed());
    }
    show(&format!("{durability:?} commits one after the other"), SINGLES, begin.elapsed());
    show("slowest of them (a checkpoint)", 1, slowest);
}

/// Renewals of as many leases as 5,000 nodes have, until the log has been folded; the slowest
/// waited for that.
async fn folding(store: &EmbeddedStore) {
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (begin, mut slowest, renewals) = (Instant::now(), Duration::ZERO, 50_000);
    for n in 0..renewals {
        let value = format!("{}\"renewTime\":{n}}}", "v".repeat(430)).into();
        let key = format!("/registry/leases/kube-node-lease/node-{:06}", n % 5_000).into();
        let writes = vec![Write::Put { key, value, expires_in: None }];
        let begin = Instant::now();
        store
            .commit(Transaction { writes, durability: Durability::Relaxed, ..Default::default() })
            .await
            .expect("committed");
        slowest = slowest.max(begin.elapsed());
    }
    show("renewals of 5,000 leases", renewals, begin.elapsed());
    show("slowest of them (the log is folded)", 1, slowest);
}

fn lists(store: &EmbeddedStore) {
    let begin = Instant::now();
    let page = store.range(&prefix_range("/registry/pods/"), None, 0).expect("listed");
    show("list of all pods", page.items.len(), begin.elapsed());
    let begin = Instant::now();
    let page = store.range(&prefix_range("/registry/pods/"), None, 500).expect("listed");
    show("first page of 500, counting the rest", page.items.len(), begin.elapsed());
}

fn main() {
    let objects = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(25_000);
    let dir = tempfile::tempdir().expect("a directory");
    // Renewals one after the other: not waiting for a batch.
    let options = || EmbeddedOptions { relaxed_gather: Duration::ZERO, ..Default::default() };
    let open = || EmbeddedStore::open(dir.path(), options()).expect("opens");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let begin = Instant::now();
    let store = Arc::new(open());
    show("open of an empty directory", 1, begin.elapsed());
    let begin = Instant::now();
    runtime.block_on(crowd(&store, objects));
    show("commits from 64 tasks", objects, begin.elapsed());
    runtime.block_on(singles(&store, Durability::Fsync));
    runtime.block_on(singles(&store, Durability::Relaxed));
    runtime.block_on(folding(&store));
    lists(&store);
    let begin = Instant::now();
    drop(store);
    show("clean shutdown", 1, begin.elapsed());
    let begin = Instant::now();
    let store = open();
    show("open with all objects", objects + 1_000, begin.elapsed());
    drop(store);
}
