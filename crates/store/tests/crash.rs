//! The embedded store is killed at random moments under load and must keep its word.
//!
//! The test runs itself again as a child that commits from several threads and prints what was
//! acknowledged; the parent kills it without warning, opens what is left and compares. The child
//! folds its log all the time. One load is mostly writes that need an fsync, the other renewals.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use everynode_store::{
    Durability, EmbeddedOptions, EmbeddedStore, KeyValue, Limits, Outcome, Revision, Store, StoreError, Transaction,
    WatchItem, Write, prefix_range,
};

const CHILD: &str = "EVERYNODE_STORE_CRASH_CHILD";
/// How many writes of each hundred of the child need no fsync.
const RELAXED: &str = "EVERYNODE_STORE_CRASH_RELAXED";
const ROUNDS: u64 = 12;
const THREADS: u64 = 4;

fn open(dir: &Path) -> EmbeddedStore {
    let limits = Limits { log_writes_max: 40, ..Limits::default() };
    let relaxed_flush_after = Duration::from_millis(20);
    let relaxed_gather = Duration::from_micros(100);
    let options = EmbeddedOptions { limits, relaxed_flush_after, relaxed_gather, ..Default::default() };
    EmbeddedStore::open(dir, options).expect("opens")
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

/// The child's side: does nothing unless the parent below asked for it.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let relaxed = std::env::var(RELAXED).expect("said").parse().expect("a number");
    let store = Arc::new(open(Path::new(&dir)));
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let store = store.clone();
            std::thread::spawn(move || write_for_ever(&store, thread, relaxed))
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("is killed before"));
}

/// Writes pairs of keys, now and then one relaxed key, and prints each acknowledgement.
fn write_for_ever(store: &EmbeddedStore, thread: u64, relaxed_percent: u64) {
    for step in 0.. {
        // Spread evenly: the whole part of the sum grows by one as often as it should.
        let relaxed = (step + 1) * relaxed_percent / 100 > step * relaxed_percent / 100;
        let value = format!("{thread}-{step}-{}", "v".repeat((step % 300) as usize * 10));
        let names = if relaxed { vec!["lease"] } else { vec!["left", "right"] };
        let put = |name| Write::Put {
            key: format!("/{name}/{thread}/{}", step % 50).into(),
            value: value.clone().into(),
            expires_in: None,
        };
        let transaction = Transaction {
            writes: names.into_iter().map(put).collect(),
            durability: if relaxed { Durability::Relaxed } else { Durability::Fsync },
            ..Transaction::default()
        };
        let Ok(Outcome::Committed(revision)) = block_on(store.commit(transaction)) else {
            panic!("not committed");
        };
        // One write call per line, so that threads do not mix and nothing waits in a buffer.
        let line = format!("ack {relaxed} {thread}/{} {step} {}\n", step % 50, revision.0);
        std::io::stderr().write_all(line.as_bytes()).expect("the parent listens");
    }
}

#[derive(Debug)]
struct Ack {
    relaxed: bool,
    name: String,
    step: u64,
    revision: Revision,
}

fn parse(line: &str) -> Option<Ack> {
    let mut words = line.strip_prefix("ack ")?.split(' ');
    Some(Ack {
        relaxed: words.next()?.parse().ok()?,
        name: words.next()?.to_owned(),
        step: words.next()?.parse().ok()?,
        revision: Revision(words.next()?.parse().ok()?),
    })
}

fn spawn(dir: &Path, relaxed_percent: u64) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("own path"));
    command.args(["--exact", "child", "--nocapture", "--test-threads=1"]).env(CHILD, dir);
    command.env(RELAXED, relaxed_percent.to_string());
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("starts")
}

/// Runs a child until `acks` lines have come, kills it, and returns every line it got out.
fn run_and_kill(dir: &Path, relaxed_percent: u64, acks: usize) -> Vec<Ack> {
    let mut child = spawn(dir, relaxed_percent);
    let mut lines = BufReader::new(child.stderr.take().expect("piped")).split(b'\n');
    let mut seen = Vec::new();
    // A line cut by the kill is not an acknowledgement that anybody got, but may look like one
    // with a shorter number; only lines that end in a newline before the last one count.
    while seen.len() < acks {
        let line = lines.next().expect("the child writes on").expect("readable");
        seen.extend(parse(&String::from_utf8_lossy(&line)));
    }
    child.kill().expect("is there");
    let rest: Vec<_> = lines.map(|line| line.expect("readable")).collect();
    let whole = rest.len().saturating_sub(1);
    seen.extend(rest[..whole].iter().filter_map(|line| parse(&String::from_utf8_lossy(line))));
    child.wait().expect("ended");
    seen
}

/// What the parent knows: the newest durable acknowledgement per key and all revisions.
#[derive(Default)]
struct Known {
    durable: BTreeMap<String, (u64, Revision)>,
    renewed: BTreeMap<String, Vec<Revision>>,
    issued: BTreeSet<Revision>,
}

impl Known {
    fn learn(&mut self, acks: &[Ack]) {
        for ack in acks {
            assert!(self.issued.insert(ack.revision), "{ack:?}: the revision was issued before");
            if ack.relaxed {
                self.renewed.entry(ack.name.clone()).or_default().push(ack.revision);
            } else {
                let newest = self.durable.entry(ack.name.clone()).or_default();
                if ack.revision > newest.1 {
                    *newest = (ack.step, ack.revision);
                }
            }
        }
    }

    /// Compares with what is on disk. A key may be newer than its acknowledgement, never older.
    fn check(&mut self, store: &EmbeddedStore) {
        for (name, (step, revision)) in &self.durable {
            let found = store.get(&format!("/left/{name}"), None).expect("readable");
            let found = found.unwrap_or_else(|| panic!("{name} was acknowledged and is lost"));
            assert!(found.modified >= *revision, "{name}: {:?} < {revision:?}", found.modified);
            let value = String::from_utf8_lossy(&found.value).into_owned();
            if found.modified == *revision {
                assert_eq!(value.split('-').nth(1), Some(&*step.to_string()), "{name}");
            }
        }
        let page = |prefix| store.range(&prefix_range(prefix), None, 0).expect("readable").items;
        let (left, right) = (page("/left/"), page("/right/"));
        assert_eq!(left.len(), right.len(), "half a transaction");
        for (left, right) in left.iter().zip(&right) {
            assert_eq!((&left.value, left.modified), (&right.value, right.modified));
        }
        let current = block_on(store.current_revision()).expect("open");
        assert!(self.issued.last().is_none_or(|newest| *newest <= current), "{current:?}");
        self.check_renewals(store);
        check_history(store);
    }

    /// What is lost of the renewals is a tail: nothing that is older than something that is there.
    fn check_renewals(&mut self, store: &EmbeddedStore) {
        let all = store.range(&prefix_range("/"), None, 0).expect("readable").items;
        let Some(newest) = all.iter().map(|kv| kv.modified).max() else { return };
        for (name, acked) in &self.renewed {
            let Some(before) = acked.iter().filter(|revision| **revision <= newest).max() else { continue };
            let found = store.get(&format!("/lease/{name}"), None).expect("readable").map(|kv| kv.modified);
            assert!(found.is_some_and(|found| found >= *before), "{name}: {found:?} < {before:?} <= {newest:?}");
        }
        // What this crash has lost is lost: nothing that comes later may be held against it.
        self.renewed.values_mut().for_each(|acked| acked.retain(|revision| *revision <= newest));
    }
}

/// What is remembered leads from the oldest state that can be read to the state that is there.
fn check_history(store: &EmbeddedStore) {
    let oldest = match store.watch("", Revision(0)) {
        Err(StoreError::Compacted { oldest, .. }) => oldest,
        Err(error) => panic!("{error}"),
        Ok(_) => Revision(0),
    };
    let page = |at| store.range(&prefix_range(""), at, 0).expect("readable");
    let by_key = |kv: KeyValue| (kv.key.to_string(), kv);
    let mut state: BTreeMap<String, KeyValue> = page(Some(oldest)).items.into_iter().map(by_key).collect();
    let (now, mut watch, mut told) = (page(None), store.watch("", oldest).expect("held"), oldest);
    while told < now.revision {
        match block_on(watch.next()).expect("open") {
            WatchItem::Progress(revision) => told = revision,
            WatchItem::Overrun => panic!("overrun"),
            WatchItem::Changes(changes) => {
                for change in changes.iter() {
                    assert!(change.revision > told, "{change:?} after {told:?}");
                    assert_eq!(state.remove(&*change.key), change.previous, "the past of {}", change.key);
                    state.extend(change.value.clone().map(by_key));
                }
                told = changes[0].revision;
            }
        }
    }
    assert_eq!(state.into_values().collect::<Vec<_>>(), now.items);
}

#[test]
fn a_kill_loses_nothing_that_was_acknowledged() {
    kill_again_and_again(25, 700);
}

#[test]
fn a_kill_loses_only_the_newest_renewals() {
    kill_again_and_again(97, 5_000);
}

fn kill_again_and_again(relaxed_percent: u64, acks_max: u64) {
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    let dir = tempfile::tempdir().expect("a directory");
    let mut known = Known::default();
    for round in 0..ROUNDS {
        let acks = 1 + (seed.wrapping_mul(0x9e37_79b9).wrapping_add(round * 7_919) % acks_max) as usize;
        known.learn(&run_and_kill(dir.path(), relaxed_percent, acks));
        let store = open(dir.path());
        known.check(&store);
        // Half of the time the next child finds the log as the kill left it, but for this look.
        if round % 2 == 0 {
            block_on(store.shutdown()).expect("clean");
        }
    }
    assert!(known.issued.len() > ROUNDS as usize);
}
