//! The conformance suite on a real directory, restarts, damage, and the second process.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;
use crate::suite::{self, Backend, block_on, put, put_expiring, put_relaxed, text};
use crate::{ManualClock, StoreError, prefix_range};

struct Embedded {
    store: EmbeddedStore,
    clock: ManualClock,
    _dir: TempDir,
}

impl Backend for Embedded {
    fn store(&self) -> &dyn Store {
        &self.store
    }

    fn advance(&self, by: Duration) -> BoxFuture<'_, ()> {
        self.clock.advance(by);
        Box::pin(async { self.store.expire_due().await.expect("expires") })
    }
}

fn fixture(limits: Limits) -> Embedded {
    let (dir, clock) = (tempfile::tempdir().unwrap(), ManualClock::default());
    let options = EmbeddedOptions { clock: Arc::new(clock.clone()), limits, ..Default::default() };
    Embedded { store: EmbeddedStore::open(dir.path(), options).unwrap(), clock, _dir: dir }
}

crate::conformance!(fixture);

fn open(dir: &TempDir) -> Result<EmbeddedStore, StoreError> {
    EmbeddedStore::open(dir.path(), EmbeddedOptions::default())
}

#[test]
fn everything_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    block_on(async {
        let store = open(&dir).unwrap();
        let first = put(&store, "/a", "1").await;
        put(&store, "/b", "1").await;
        put(&store, "/a", "2").await;
        suite::delete(&store, "/b").await;
        let relaxed = put_relaxed(&store, "/lease", "1").await;
        put_relaxed(&store, "/lease", "2").await;
        let last = put_relaxed(&store, "/lease", "3").await;
        let before = store.range(&prefix_range(""), None, 0).unwrap();
        store.shutdown().await.unwrap();
        drop(store);
        assert!(!dir.path().join("store.db-wal").exists(), "one file after a clean shutdown");

        let store = open(&dir).unwrap();
        assert_eq!(store.range(&prefix_range(""), None, 0).unwrap(), before);
        assert_eq!(store.current_revision().await.unwrap(), last, "no numbers are skipped");
        let a = store.get("/a", None).unwrap().unwrap();
        assert_eq!((a.created, store.get("/lease", None).unwrap().unwrap().created), (first, relaxed));
        // So is what happened before: whoever had seen some of it goes on from there.
        let mut watch = store.watch("/", first).unwrap();
        let next = put(&store, "/b", "2").await;
        assert_eq!(next.0, last.0 + 1);
        for revision in first.0 + 1..=next.0 {
            assert_eq!(suite::next_change(&mut *watch).await.revision, Revision(revision));
        }
        assert_eq!(text(&store, "/a", Some(first)).as_deref(), Some("1"));
    });
}

/// The log is folded into the rows again and again; nothing but old history is lost by it.
#[test]
fn the_log_stays_within_its_limits() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { log_writes_max: 20, ..Limits::default() };
    let options = EmbeddedOptions { limits, ..Default::default() };
    block_on(async {
        let store = EmbeddedStore::open(dir.path(), options.clone()).unwrap();
        for n in 0..300u32 {
            let name = format!("/k/{}", n % 17);
            match n % 5 {
                4 => suite::delete(&store, &name).await,
                _ => put(&store, &name, &format!("{n} and what stays the same")).await,
            };
        }
        let before = store.range(&prefix_range(""), None, 0).unwrap();
        store.shutdown().await.unwrap();
        drop(store);
        let store = EmbeddedStore::open(dir.path(), options).unwrap();
        assert_eq!(store.range(&prefix_range(""), None, 0).unwrap(), before);
        let floor = match store.watch("/", Revision(0)).err() {
            Some(StoreError::Compacted { oldest, .. }) => oldest.0,
            other => panic!("not folded: {other:?}"),
        };
        let held = before.revision.0 - floor;
        assert!((1..=20 * 4 + 1).contains(&held), "{held} of {} revisions are held", before.revision.0);
        let mut watch = store.watch("/", Revision(floor)).unwrap();
        for revision in floor + 1..=before.revision.0 {
            assert_eq!(suite::next_change(&mut *watch).await.revision, Revision(revision));
        }
    });
}

/// A database of format 1 has its rows and no log.
#[test]
fn an_older_format_is_brought_up_to_date() {
    let dir = tempfile::tempdir().unwrap();
    let last = block_on(async {
        let store = open(&dir).unwrap();
        put(&store, "/a", "1").await;
        put(&store, "/a", "2").await
    });
    let path = dir.path().join("store.db");
    let connection = rusqlite::Connection::open(&path).unwrap();
    let mut entry = tables::entry(&connection, 1).unwrap();
    tables::records(&connection, |record| {
        let mut rows = log::RowMap::new();
        for write in log::decode(&record.bytes).unwrap() {
            rows.extend(entry.take().map(|entry| (1, entry)));
            entry = write.replay(&mut rows).unwrap().new;
        }
        Ok(true)
    })
    .unwrap();
    tables::put_entry(&connection, &entry.unwrap()).unwrap();
    let older = "DROP TABLE log; ALTER TABLE numbers DROP COLUMN folded; ALTER TABLE numbers DROP COLUMN first;
                 ALTER TABLE numbers DROP COLUMN next; ALTER TABLE numbers DROP COLUMN sum;
                 ALTER TABLE numbers DROP COLUMN checksum; UPDATE numbers SET reserved = 100; PRAGMA user_version = 1;";
    connection.execute_batch(older).unwrap();
    drop(connection);
    fs::remove_file(witness::path_in(dir.path())).unwrap();

    block_on(async {
        let store = open(&dir).unwrap();
        let a = store.get("/a", None).unwrap().unwrap();
        assert_eq!((&*a.value, a.modified), (&b"2"[..], last));
        // It had crashed: what was reserved is behind us.
        assert_eq!(store.current_revision().await.unwrap(), Revision(100));
        assert!(matches!(store.watch("/", last).err(), Some(StoreError::Compacted { .. })));
        assert_eq!(put(&store, "/a", "3").await, Revision(101));
        drop(store);
        assert_eq!(text(&open(&dir).unwrap(), "/a", None).as_deref(), Some("3"));
    });
}

/// 1,000 leases are renewed ten times, once a second, and the log is folded once: what reaches the
/// disk is what changes and not the pages that it is on.
#[test]
fn renewals_cost_their_bytes_and_not_their_pages() {
    let (dir, leases, rounds) = (tempfile::tempdir().unwrap(), 1_000, 10);
    let (mut disk, _) = Disk::open(dir.path()).unwrap();
    let lease = |row: u64, modified: u64| {
        let (key, text) = (format!("/registry/leases/kube-node-lease/node-{row}"), "x".repeat(400));
        let value = format!("{{\"metadata\":\"{text}\",\"spec\":{{\"renewTime\":\"{modified}\"}}}}").into();
        let kv = KeyValue { key: key.into(), value, created: Revision(row), modified: Revision(modified) };
        Arc::new(crate::tree::Entry { kv, expires_ms: None, row })
    };
    let renewal = |round: u64, row: u64| {
        let at = round * leases + row;
        let old = round.checked_sub(1).map(|before| lease(row, before * leases + row));
        crate::stage::Step { revision: Revision(at), old, new: Some(lease(row, at)) }
    };
    let mut flush = |round: u64| {
        let steps: Vec<_> = (1..=leases).map(|row| renewal(round, row)).collect();
        let revision = Revision((round + 1) * leases);
        let commit = disk::Commit { revision, reserved: Revision(0), keys: leases as usize, at_ms: 0 };
        disk.append(&[], &steps, commit).unwrap();
        if round == rounds / 2 {
            disk.fold(&LogSize { writes: leases as usize * 5, bytes: usize::MAX }).unwrap();
        }
    };
    // SQLite's log below 4 MiB only grows: its length is what was written.
    let written = || fs::metadata(dir.path().join("store.db-wal")).unwrap().len();
    flush(0);
    let before = written();
    (1..=rounds).for_each(&mut flush);
    let each = (written() - before) / (leases * rounds);
    assert!((20..150).contains(&each), "{each} bytes for each renewal");
}

/// Renewals wait for each other but not for long, and a write that needs an fsync takes them along.
#[test]
fn renewals_are_decided_together() {
    let dir = tempfile::tempdir().unwrap();
    let options = EmbeddedOptions { relaxed_gather: Duration::from_secs(3_600), ..Default::default() };
    block_on(async {
        let store = Arc::new(EmbeddedStore::open(dir.path(), options).unwrap());
        let renewals: Vec<_> = (0..2_000)
            .map(|n| {
                let store = store.clone();
                tokio::spawn(async move { put_relaxed(&*store, &format!("/lease/{}", n % 700), "1").await })
            })
            .collect();
        let mut done = 0;
        while done < 2_000 {
            // However many have come by now; later ones share the next write.
            put(&*store, "/a", "1").await;
            done = renewals.iter().filter(|renewal| renewal.is_finished()).count();
        }
        let mut revisions = std::collections::BTreeSet::new();
        for renewal in renewals {
            assert!(revisions.insert(renewal.await.unwrap()));
        }
        // Callers that still wait at the end are answered, too.
        let late = tokio::spawn({
            let store = store.clone();
            async move {
                let transaction = suite::writes([suite::put_of("/lease/late", "1")]);
                store.commit(Transaction { durability: Durability::Relaxed, ..transaction }).await
            }
        });
        tokio::task::yield_now().await;
        store.shutdown().await.unwrap();
        assert!(matches!(late.await.unwrap(), Ok(Outcome::Committed(_)) | Err(StoreError::Closed)));
    });
}

/// Dropping without shutdown is a shutdown.
#[test]
fn a_dropped_store_keeps_its_relaxed_writes() {
    let dir = tempfile::tempdir().unwrap();
    block_on(async {
        let store = open(&dir).unwrap();
        put_relaxed(&store, "/lease", "1").await;
        let last = put_relaxed(&store, "/lease", "2").await;
        drop(store);
        let store = open(&dir).unwrap();
        assert_eq!(text(&store, "/lease", None).as_deref(), Some("2"));
        assert_eq!(store.current_revision().await.unwrap(), last);
    });
}

#[test]
fn deadlines_survive_a_restart() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), ManualClock::default());
    let options = EmbeddedOptions { clock: Arc::new(clock.clone()), ..Default::default() };
    block_on(async {
        let store = EmbeddedStore::open(dir.path(), options.clone()).unwrap();
        put_expiring(&store, "/e", "1", Duration::from_secs(60)).await;
        drop(store);
        clock.advance(Duration::from_secs(61));
        let store = EmbeddedStore::open(dir.path(), options).unwrap();
        store.expire_due().await.unwrap();
        assert_eq!(text(&store, "/e", None), None);
    });
}

/// The writer's own timers: a relaxed write reaches the disk, an expired key goes.
#[test]
fn the_writer_wakes_up_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let options = EmbeddedOptions { relaxed_flush_after: Duration::from_millis(1), ..Default::default() };
    block_on(async {
        let store = EmbeddedStore::open(dir.path(), options).unwrap();
        let mut watch = store.watch("/e", Revision(0)).unwrap();
        put_expiring(&store, "/e", "1", Duration::from_millis(1)).await;
        assert!(suite::next_change(&mut *watch).await.value.is_some());
        assert!(suite::next_change(&mut *watch).await.value.is_none());
    });
}

/// Many requests that wait together share a batch, and each gets its own answer.
#[test]
fn a_crowd_of_writers_is_answered_one_by_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(open(&dir).unwrap());
    block_on(async {
        let mut running = Vec::new();
        for n in 0..2_000u32 {
            let store = store.clone();
            running.push(tokio::spawn(async move {
                let name = format!("/k/{:04}", n / 2);
                let condition = crate::Condition::Absent(suite::key(&name));
                suite::put_if(&*store, condition, &name, &n.to_string()).await
            }));
        }
        let mut committed = 0;
        for task in running {
            committed += usize::from(matches!(task.await.unwrap(), Outcome::Committed(_)));
        }
        assert_eq!(committed, 1_000);
        assert_eq!(store.current_revision().await.unwrap(), Revision(1_000));
    });
    drop(store);
    let store = open(&dir).unwrap();
    assert_eq!(store.range(&prefix_range("/k/"), None, 0).unwrap().items.len(), 1_000);
}

#[test]
fn a_second_store_on_the_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(&dir).unwrap();
    let Err(StoreError::InUse(text)) = open(&dir) else { panic!("opened twice") };
    assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
    assert!(text.contains(&dir.path().join("lock").display().to_string()), "{text}");
    drop(first);
    open(&dir).expect("free again");
}

#[test]
fn only_the_owner_may_read() {
    let outer = tempfile::tempdir().unwrap();
    let dir = outer.path().join("new/data");
    let store = EmbeddedStore::open(&dir, EmbeddedOptions::default()).unwrap();
    block_on(put(&store, "/a", "1"));
    let mode = |name: &str| fs::metadata(dir.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(""), 0o700);
    assert_eq!([mode("store.db"), mode("store.db-wal"), mode("lock")], [0o600; 3]);
    drop(store);
    fs::set_permissions(dir.join("store.db"), fs::Permissions::from_mode(0o644)).unwrap();
    let _store = EmbeddedStore::open(&dir, EmbeddedOptions::default()).unwrap();
    assert_eq!(mode("store.db"), 0o600, "tightened");
}

/// Every kind of damage is reported with the file and the way out, and nothing is overwritten.
#[test]
fn damage_is_reported_and_left_alone() {
    type Damage = Box<dyn Fn(Vec<u8>) -> Vec<u8>>;
    let flip = |text: &'static [u8]| -> Damage {
        Box::new(move |mut file| {
            let at = file.windows(text.len()).position(|bytes| bytes == text).expect("stored");
            file[at] ^= 0x10;
            file
        })
    };
    let damages: [(&str, Damage); 7] = [
        ("not a database", Box::new(|_| vec![b'x'; 8_192])),
        ("empty", Box::new(|_| Vec::new())),
        ("header", Box::new(|file| [&[0; 16], &file[16..]].concat())),
        ("half", Box::new(|file| file[..file.len() / 2].to_vec())),
        ("rows", Box::new(|file| [&file[..4_096], &[0; 4_096], &file[8_192..]].concat())),
        ("one bit of the schema", flip(b"value BLOB")),
        ("one bit of a value", flip(b"precious")),
    ];
    for (name, damage) in damages {
        let dir = tempfile::tempdir().unwrap();
        block_on(put(&open(&dir).unwrap(), "/a", "precious"));
        let path = dir.path().join("store.db");
        let damaged = damage(fs::read(&path).unwrap());
        fs::write(&path, &damaged).unwrap();
        match open(&dir) {
            Err(StoreError::Corrupt(text)) => {
                assert!(text.contains(&path.display().to_string()), "{name}: {text}");
                assert!(text.contains("Restore") && text.contains("move"), "{name}: {text}");
            }
            other => panic!("{name}: {:?}", other.map(|_| "opened")),
        }
        assert!(fs::read(&path).unwrap() == damaged, "{name}: the file was changed");
    }
}

#[test]
fn a_missing_database_with_its_log_there_is_no_fresh_start() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(&dir).unwrap());
    fs::rename(dir.path().join("store.db"), dir.path().join("store.db-wal")).unwrap();
    assert!(matches!(open(&dir), Err(StoreError::Corrupt(_))));
}

/// What a crash while the database was being made leaves behind is made anew.
#[test]
fn a_half_made_database_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("store.db.new"), "half").unwrap();
    block_on(put(&open(&dir).unwrap(), "/a", "1"));
    assert!(!dir.path().join("store.db.new").exists());
}

#[test]
fn a_newer_format_is_named() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(&dir).unwrap());
    let connection = rusqlite::Connection::open(dir.path().join("store.db")).unwrap();
    connection.pragma_update(None, "user_version", 9).unwrap();
    drop(connection);
    let Err(StoreError::Corrupt(text)) = open(&dir) else { panic!("opened") };
    assert!(text.contains("format 9"), "{text}");
}
