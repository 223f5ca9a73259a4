//! Disks that refuse: full, and read-only. Each in a tmpfs of a mount namespace that the test
//! makes by running itself again under `unshare`, so that nothing is left behind.

use std::fs;
use std::path::Path;
use std::process::Command;

use everynode_store::{
    Durability, EmbeddedOptions, EmbeddedStore, Health, Outcome, Revision, Store, StoreError, Transaction, Write,
    prefix_range,
};

/// Of a disk of 24 MiB: room for twice what SQLite holds in its log.
const RESERVE: u64 = 8 << 20;
const INSIDE: &str = "EVERYNODE_STORE_DISK_INSIDE";

/// Runs one of the tests below on a fresh tmpfs, or says why that is not possible here.
fn on_tmpfs(test: &str) {
    let dir = tempfile::tempdir().expect("a directory");
    let script = "mount -t tmpfs -o size=24m tmpfs \"$1\" || exit 77; \
                  exec \"$2\" --exact \"$3\" --nocapture";
    let mut command = Command::new("unshare");
    command.args(["-m", "--propagation", "private", "sh", "-c", script, "sh"]);
    command.arg(dir.path()).arg(std::env::current_exe().expect("own path")).arg(test);
    let output = command.env(INSIDE, dir.path()).output().expect("util-linux is installed");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(0) => assert!(text.contains("1 passed"), "{text}"),
        Some(1 | 77) if text.contains("ermitted") || text.contains("denied") => {
            println!("skipped, mount namespaces need privileges: {text}");
        }
        _ => panic!("{text}"),
    }
}

fn commit(store: &EmbeddedStore, key: &str, size: usize, durability: Durability) -> Result<Revision, StoreError> {
    let (key, value) = (key.into(), vec![b'v'; size].into());
    let writes = vec![Write::Put { key, value, expires_in: None }];
    let transaction = Transaction { writes, durability, ..Transaction::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    match runtime.block_on(store.commit(transaction))? {
        Outcome::Committed(revision) => Ok(revision),
        refused => panic!("{refused:?}"),
    }
}

fn open(dir: &Path) -> Result<EmbeddedStore, StoreError> {
    EmbeddedStore::open(dir, EmbeddedOptions { reserve_bytes: RESERVE, ..EmbeddedOptions::default() })
}

fn delete(store: &EmbeddedStore, key: &str) -> Result<Outcome, StoreError> {
    let writes = vec![Write::Delete { key: key.into() }];
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(store.commit(Transaction { writes, ..Transaction::default() }))
}

#[test]
fn a_full_disk_refuses_writes_and_nothing_else() {
    on_tmpfs("inside_full");
}

#[test]
fn inside_full() {
    let Some(dir) = std::env::var_os(INSIDE) else { return };
    let (dir, fsync, relaxed) = (Path::new(&dir), Durability::Fsync, Durability::Relaxed);
    let store = open(dir).expect("opens");
    let first = commit(&store, "/a", 1_000, fsync).expect("fits");
    commit(&store, "/lease", 10, relaxed).expect("fits");
    // Fill the disk to the last page, then write until the store notices.
    fs::write(dir.join("ballast"), vec![0; 12 << 20]).expect("fits");
    let mut newest = first;
    let refused = (0..100).find_map(|n| match commit(&store, &format!("/b/{n}"), 65_536, fsync) {
        Ok(revision) => {
            newest = revision;
            None
        }
        Err(error) => Some(error),
    });
    let Some(StoreError::Full(text)) = refused else { panic!("{refused:?}") };
    assert!(text.contains("full"), "{text}");
    assert_eq!(store.health(), Health::Full);
    // Nothing of the refused write is visible; reads, watches and renewals go on.
    let page = store.range(&prefix_range("/"), None, 0).expect("reads go on");
    assert!(page.items.iter().all(|kv| kv.modified <= newest) && page.revision == newest);
    let renewed = commit(&store, "/lease", 11, relaxed).expect("needs no disk yet");
    assert!(renewed > newest);
    store.watch("/", newest).expect("watches go on");
    // Together in one batch or not: what needs the disk fails, what does not goes on.
    for _ in 0..20 {
        let (renewed, refused) = std::thread::scope(|scope| {
            let refused = scope.spawn(|| commit(&store, "/c", 500_000, fsync));
            (commit(&store, "/lease", 12, relaxed), refused.join().expect("no panic"))
        });
        assert!(matches!(refused, Err(StoreError::Full(_))), "{refused:?}");
        renewed.expect("needs no disk yet");
    }
    let renewed = commit(&store, "/lease", 13, relaxed).expect("needs no disk yet");

    fs::remove_file(dir.join("ballast")).expect("there");
    let after = (0..100).find_map(|_| {
        std::thread::sleep(std::time::Duration::from_millis(200));
        commit(&store, "/c", 500_000, fsync).ok()
    });
    let after = after.expect("there is space again");
    assert_eq!(store.health(), Health::Good);
    assert!(after > renewed, "no revision is issued twice");
    let before = store.range(&prefix_range("/"), None, 0).expect("readable");
    drop(store);
    let store = open(dir).expect("opens");
    assert_eq!(store.range(&prefix_range("/"), None, 0).expect("readable").items, before.items);
}

/// The way out of a full disk: what is there can be marked, changed and deleted, and then there is
/// room.
#[test]
fn room_is_made_by_deleting() {
    on_tmpfs("inside_deleting");
}

#[test]
fn inside_deleting() {
    let Some(dir) = std::env::var_os(INSIDE) else { return };
    let (dir, fsync) = (Path::new(&dir), Durability::Fsync);
    let mut store = open(dir).expect("opens");
    let filled = (0..1_000).take_while(|n| commit(&store, &format!("/b/{n}"), 16_000, fsync).is_ok()).count();
    assert!(filled > 20, "{filled}");
    // To the last byte, as other programs do that write to the same disk.
    let fill = || {
        let mut ballast = fs::File::create(dir.join("ballast")).expect("an inode is left");
        while std::io::Write::write(&mut ballast, &[0; 4_096]).is_ok() {}
    };
    assert!(matches!(commit(&store, "/new", 2_000, fsync), Err(StoreError::Full(_))));
    // Here, where nothing was deleted: later there may be room for it again.
    assert!(matches!(commit(&store, "/b/7", 20_000, fsync), Err(StoreError::Full(_))), "not a small change");
    for again in 0..2 {
        for n in 0..5 {
            let name = format!("/b/{}", again * 10 + n);
            commit(&store, &name, 16_300, fsync).expect("a small change");
            assert!(matches!(delete(&store, &name), Ok(Outcome::Committed(_))));
        }
        // A stopped server gives the room of its log back, and another program takes it.
        drop(store);
        fill();
        store = open(dir).expect("opens on a full disk");
        assert_eq!(store.range(&prefix_range("/b/"), None, 0).expect("readable").items.len(), filled - 5 * (again + 1));
        fs::remove_file(dir.join("ballast")).expect("there");
    }
    for n in 20..filled {
        delete(&store, &format!("/b/{n}")).expect("deletes go on");
    }
    let new = (0..100).find_map(|_| {
        std::thread::sleep(std::time::Duration::from_millis(200));
        commit(&store, "/new", 100_000, fsync).ok()
    });
    let files: Vec<_> = fs::read_dir(dir).expect("there").flatten().collect();
    let sizes: Vec<_> =
        files.iter().map(|one| (one.file_name(), one.metadata().map(|about| about.len()).ok())).collect();
    assert!(new.is_some(), "there is room again, made by deletes alone: {sizes:?}");
}

/// A server that starts on a full disk serves, and says so.
#[test]
fn a_start_on_a_full_disk_serves() {
    on_tmpfs("inside_full_start");
}

#[test]
fn inside_full_start() {
    let Some(dir) = std::env::var_os(INSIDE) else { return };
    let dir = Path::new(&dir);
    commit(&open(dir).expect("opens"), "/a", 10, Durability::Fsync).expect("fits");
    let mut ballast = fs::File::create(dir.join("ballast")).expect("fits");
    while std::io::Write::write(&mut ballast, &[0; 4_096]).is_ok() {}
    let store = open(dir).expect("opens");
    assert!(store.get("/a", None).expect("readable").is_some());
    assert!(matches!(delete(&store, "/a"), Ok(Outcome::Committed(_))), "the reserve was there");
    assert_eq!(store.health(), Health::Full);
}

#[test]
fn a_read_only_disk_is_named() {
    on_tmpfs("inside_read_only");
}

#[test]
fn inside_read_only() {
    let Some(dir) = std::env::var_os(INSIDE) else { return };
    let dir = Path::new(&dir);
    let remount = |mode: &str| {
        let mut command = Command::new("mount");
        let status = command.args(["-o", &format!("remount,{mode}")]).arg(dir).status();
        assert!(status.expect("mount is installed").success());
    };
    remount("ro");
    let Err(StoreError::Disk(text)) = open(dir) else { panic!("opened") };
    assert!(text.contains("lock") && text.contains("ead-only"), "{text}");
    let Err(StoreError::Disk(_)) = open(&dir.join("new")) else { panic!("opened") };
    remount("rw");
    commit(&open(dir).expect("opens"), "/a", 10, Durability::Fsync).expect("writable again");
    let store = open(dir).expect("opens");
    assert_eq!(store.health(), Health::Good);
    drop(store);
    remount("ro");
    assert!(matches!(open(dir), Err(StoreError::Disk(_))));
}
