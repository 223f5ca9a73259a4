//! Every file of the store is damaged and cut everywhere: it starts with all that was acknowledged,
//! or says what is wrong and changes nothing. No revision comes twice.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::suite::{block_on, put, put_relaxed};
use crate::{StoreError, prefix_range};

/// What a crash or a clean end left, and what had been acknowledged by then.
struct Remains {
    files: Vec<(&'static str, Vec<u8>)>,
    acknowledged: Vec<KeyValue>,
    revision: Revision,
}

const FILES: [&str; 3] = ["store.db", "store.db-wal", "store.witness"];

fn options() -> EmbeddedOptions {
    EmbeddedOptions {
        limits: Limits { log_writes_max: 8, ..Limits::default() },
        reserve_bytes: 0,
        ..Default::default()
    }
}

/// Creates, changes, deletes, renewals; the log is folded on the way.
fn remains(crashed: bool, writes: u64) -> Remains {
    let dir = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(dir.path(), options()).unwrap();
    let read = |dir: &Path| {
        let files = FILES.into_iter().filter_map(|name| Some((name, fs::read(dir.join(name)).ok()?)));
        files.collect::<Vec<_>>()
    };
    let (files, acknowledged, revision) = block_on(async {
        put_relaxed(&store, "/lease", "0").await;
        for n in 0..writes {
            let name = format!("/k/{}", n % 11);
            match n % 7 {
                6 => drop(crate::suite::delete(&store, &name).await),
                _ => drop(put(&store, &name, &format!("{n} {}", "v".repeat((n % 5) as usize * 300))).await),
            }
        }
        let page = store.range(&prefix_range(""), None, 0).unwrap();
        let files = read(dir.path());
        store.shutdown().await.unwrap();
        (files, page.items, page.revision)
    });
    drop(store);
    Remains { files: if crashed { files } else { read(dir.path()) }, acknowledged, revision }
}

impl Remains {
    fn file(&self, name: &str) -> &[u8] {
        &self.files.iter().find(|(file, _)| *file == name).expect("there").1
    }

    /// The files in a new directory, one of them as given (`None`: missing).
    fn with(&self, name: &str, content: Option<&[u8]>) -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (file, bytes) in &self.files {
            let bytes = if *file == name { content } else { Some(&**bytes) };
            bytes.into_iter().for_each(|bytes| fs::write(dir.path().join(file), bytes).unwrap());
        }
        dir
    }

    /// True: refused. It is never a start with less than was acknowledged, nor a change of what is
    /// refused.
    fn is_refused(&self, what: &str, name: &str, content: Option<&[u8]>) -> bool {
        let dir = self.with(name, content);
        match EmbeddedStore::open(dir.path(), options()) {
            Ok(store) => {
                let page = store.range(&prefix_range(""), None, 0).unwrap();
                assert!(page.items == self.acknowledged, "{what}: started with something else");
                assert!(page.revision >= self.revision, "{what}: {:?}", page.revision);
                false
            }
            Err(StoreError::Corrupt(text)) => {
                self.verify_and_repair(what, dir.path());
                let dir = self.with(name, content);
                let _ = EmbeddedStore::open(dir.path(), options()).expect_err("refused again");
                let way_out = text.contains("store verify") || text.contains("use the program that wrote it");
                assert!(way_out && text.contains("store.db"), "{what}: {text}");
                for (file, bytes) in &self.files {
                    let before = if *file == name { content } else { Some(&**bytes) };
                    let now = fs::read(dir.path().join(file)).ok();
                    // SQLite makes the log where there is none.
                    let now = now.as_deref().filter(|now| before.is_some() || !now.is_empty());
                    assert!(now == before, "{what}: {file} was changed");
                }
                true
            }
            Err(other) => panic!("{what}: {other}"),
        }
    }

    /// What is refused is damaged for `verify`, too; what can be read of it goes on beyond what was
    /// acknowledged.
    fn verify_and_repair(&self, what: &str, dir: &Path) {
        // Thousands of repairs take minutes.
        if what.bytes().map(usize::from).sum::<usize>() % 8 != 0 {
            return;
        }
        let found = match verify(dir, &mut |_| ()) {
            Ok(found) => found,
            Err(StoreError::Corrupt(_)) => return,
            Err(other) => panic!("{what}: {other}"),
        };
        assert!(!found.problems.is_empty(), "{what}: {found:?}");
        let repaired = repair(dir, &mut |_| ()).unwrap_or_else(|error| panic!("{what}: {error}")).1;
        let repaired = repaired.unwrap_or_else(|| panic!("{what}: not repaired"));
        assert!(repaired.goes_on_after > self.revision && repaired.kept.join("store.db").exists(), "{what}");
        assert_eq!(verify(dir, &mut |_| ()).unwrap().problems, [], "{what}");
        let store = EmbeddedStore::open(dir, options()).unwrap_or_else(|error| panic!("{what}: {error}"));
        let page = store.range(&prefix_range(""), None, 0).unwrap();
        assert!(page.items.iter().all(|kv| kv.modified <= self.revision), "{what}");
        assert!(block_on(put(&store, "/a", "1")) > repaired.goes_on_after, "{what}");
        assert!(matches!(store.watch("/", self.revision).err(), Some(StoreError::Compacted { .. })), "{what}");
    }

    /// Flips a bit at each of these places; how many were refused.
    fn flipped(&self, name: &str, places: impl Iterator<Item = usize>) -> usize {
        let whole = self.file(name);
        let refused = places.filter(|at| {
            let mut bad = whole.to_vec();
            bad[*at] ^= 1 << (at % 8);
            self.is_refused(&format!("bit {} of byte {at} of {name}", at % 8), name, Some(&bad))
        });
        refused.count()
    }
}

/// Sparse, with other bits of other structures each time round, and dense where headers are.
fn places(length: usize, page: usize, step: usize) -> impl Iterator<Item = usize> {
    (0..length).filter(move |at| at % step == 0 || at % page < 12 && at / page < 4)
}

#[test]
fn a_flipped_bit_of_the_log_is_never_a_silent_loss() {
    let remains = remains(true, 20);
    let log = remains.file("store.db-wal").len();
    let (frame, mut places) = (4_096 + 24, places(log, 4_096, 997).collect::<Vec<_>>());
    places.extend((32..log).step_by(frame).flat_map(|at| (0..24).step_by(7).map(move |byte| at + byte)));
    let refused = remains.flipped("store.db-wal", places.iter().copied().filter(|at| *at < log));
    assert!(refused > places.len() * 9 / 10, "{refused} of {}", places.len());
}

#[test]
fn a_flipped_bit_of_the_database_is_never_a_silent_loss() {
    let remains = remains(false, 60);
    let length = remains.file("store.db").len();
    let refused = remains.flipped("store.db", places(length, 4_096, 101).chain(12..100));
    assert!(refused > 100, "{refused}");
}

#[test]
fn a_flipped_bit_of_the_witness_loses_nothing() {
    let remains = remains(true, 20);
    let length = remains.file("store.witness").len();
    assert_eq!(remains.flipped("store.witness", (0..length).step_by(251).chain(0..40).chain(4_096..4_136)), 0);
}

/// What was acknowledged reaches to the log's end: every cut before it is a loss that is told.
#[test]
fn a_file_that_was_cut_is_never_a_silent_loss() {
    let crashed = remains(true, 40);
    let log = crashed.file("store.db-wal");
    for length in (0..log.len()).step_by(4_999).chain([0, 31, 32, 33, log.len() - 1]) {
        assert!(crashed.is_refused(&format!("log cut at {length}"), "store.db-wal", Some(&log[..length])));
    }
    assert!(crashed.is_refused("no log", "store.db-wal", None));
    let clean = remains(false, 40);
    let database = clean.file("store.db");
    for length in (0..database.len()).step_by(1_999) {
        assert!(clean.is_refused(&format!("database cut at {length}"), "store.db", Some(&database[..length])));
    }
    assert!(clean.is_refused("no database", "store.db", None));
    let witness = clean.file("store.witness");
    for length in (0..witness.len()).step_by(499) {
        clean.is_refused(&format!("witness cut at {length}"), "store.witness", Some(&witness[..length]));
    }
}

/// A log that goes on behind what was acknowledged is what a crash leaves, torn or not.
#[test]
fn a_torn_end_is_no_damage() {
    let (before, after) = (remains(true, 40), remains(true, 42));
    let mut torn = remains(true, 40);
    let known = before.file("store.db-wal").len();
    let log = after.file("store.db-wal");
    for length in (known..log.len()).step_by(2_017) {
        // Salts differ from store to store, so the end is noise to this log: as pages that never
        // arrived.
        let bytes = [before.file("store.db-wal"), &log[known..length]].concat();
        torn.files.iter_mut().filter(|(name, _)| *name == "store.db-wal").for_each(|file| file.1.clone_from(&bytes));
        assert!(!before.is_refused(&format!("{length}"), "store.db-wal", Some(&bytes)));
    }
}

/// Without a witness it is not known what was issued: no number comes again, and clients begin
/// anew.
#[test]
fn without_a_witness_numbers_leap_and_history_is_cut() {
    for crashed in [true, false] {
        let remains = remains(crashed, 30);
        let dir = remains.with("store.witness", None);
        let store = EmbeddedStore::open(dir.path(), options()).unwrap();
        let current = block_on(store.current_revision()).unwrap();
        assert!(current.0 >= remains.revision.0 + disk::UNKNOWN_REVISIONS, "{current:?}");
        let asked = store.watch("/", remains.revision).err();
        assert!(matches!(asked, Some(StoreError::Compacted { .. })), "{asked:?}");
        assert!(block_on(put(&store, "/a", "1")) > current);
        drop(store);
        let store = EmbeddedStore::open(dir.path(), options()).unwrap();
        assert_eq!(block_on(store.current_revision()).unwrap().0, current.0 + 1, "it leaps once");
    }
}

/// An older database under a newer witness: a backup of one file was put back.
#[test]
fn an_older_database_is_reported() {
    let (older, newer) = (remains(false, 20), remains(false, 40));
    let dir = newer.with("store.db", Some(older.file("store.db")));
    let Err(StoreError::Corrupt(text)) = EmbeddedStore::open(dir.path(), options()) else { panic!("opened") };
    let told = [older.revision, newer.revision].map(|revision| format!("revision {}", revision.0));
    assert!(told.iter().all(|told| text.contains(told)), "{text}");
}

/// A repair loses the damaged row and nothing else; of a damaged log, what comes after the place.
#[test]
fn a_repair_keeps_what_can_be_read() {
    let clean = remains(false, 40);
    // Without its witness everything is folded into rows.
    let dir = clean.with("store.witness", None);
    drop(EmbeddedStore::open(dir.path(), options()).unwrap());
    let path = dir.path().join("store.db");
    let mut bad = fs::read(&path).unwrap();
    let lost = &clean.acknowledged[1];
    let at = bad.windows(lost.value.len()).rposition(|bytes| bytes == &*lost.value).expect("stored");
    bad[at + 1] ^= 1;
    fs::write(&path, &bad).unwrap();
    let (found, repaired) = repair(dir.path(), &mut |_| ()).unwrap();
    assert!(repaired.is_some() && found.problems.iter().any(|one| one.what.contains(&*lost.key)), "{found:?}");
    let store = EmbeddedStore::open(dir.path(), options()).unwrap();
    let left = store.range(&prefix_range(""), None, 0).unwrap().items;
    assert!(left.iter().eq(clean.acknowledged.iter().filter(|kv| kv.key != lost.key)), "{left:?}");

    let crashed = remains(true, 40);
    let (mut bad, dir) = (crashed.file("store.db-wal").to_vec(), tempfile::tempdir().unwrap());
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    // What was there before the damage, by a log that ends there.
    crashed.files.iter().for_each(|(name, bytes)| fs::write(dir.path().join(name), bytes).unwrap());
    fs::write(dir.path().join("store.db-wal"), &bad[..middle]).unwrap();
    fs::remove_file(dir.path().join("store.witness")).unwrap();
    let before = EmbeddedStore::open(dir.path(), options()).unwrap().range(&prefix_range(""), None, 0).unwrap().items;
    let dir = crashed.with("store.db-wal", Some(&bad));
    let (found, _) = repair(dir.path(), &mut |_| ()).unwrap();
    assert!(found.revision < crashed.revision && found.acknowledged == Some(crashed.revision), "{found:?}");
    assert!(found.problems.iter().any(|one| one.at.is_some_and(|at| at <= middle as u64)), "{found:?}");
    let store = EmbeddedStore::open(dir.path(), options()).unwrap();
    assert_eq!(store.range(&prefix_range(""), None, 0).unwrap().items, before);
}

#[test]
fn a_sound_store_is_left_alone_and_a_running_one_is_not_looked_at() {
    for crashed in [true, false] {
        let remains = remains(crashed, 20);
        let dir = remains.with("", None);
        let (found, repaired) = repair(dir.path(), &mut |_| ()).unwrap();
        assert_eq!((found.problems, repaired, found.revision), (vec![], None, remains.revision));
        assert_eq!((found.keys, found.acknowledged), (remains.acknowledged.len() as u64, Some(remains.revision)));
        for (name, bytes) in &remains.files {
            assert!(fs::read(dir.path().join(name)).unwrap() == *bytes, "{name} was changed");
        }
        let _running = EmbeddedStore::open(dir.path(), options()).unwrap();
        assert!(matches!(verify(dir.path(), &mut |_| ()), Err(StoreError::InUse(_))));
    }
}

/// A backup is put back under clients that have seen more: none of their revisions comes again, and
/// they list anew.
#[test]
fn a_state_that_was_put_back_begins_beyond_what_was_seen_since() {
    let (older, newer) = (remains(true, 20), remains(false, 40));
    let dir = older.with("", None);
    let beyond = begin_anew(dir.path()).unwrap();
    assert!(beyond.0 >= newer.revision.0 + disk::UNKNOWN_REVISIONS / 2, "{beyond:?}");
    let store = EmbeddedStore::open(dir.path(), options()).unwrap();
    assert_eq!(store.range(&prefix_range(""), None, 0).unwrap().items, older.acknowledged);
    for seen in [older.revision, newer.revision] {
        assert!(matches!(store.watch("/", seen).err(), Some(StoreError::Compacted { .. })), "{seen:?}");
    }
    assert!(block_on(put(&store, "/a", "1")) > beyond);
    assert!(matches!(begin_anew(dir.path()), Err(StoreError::InUse(_))));
}
