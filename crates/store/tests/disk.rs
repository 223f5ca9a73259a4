//! Disks that refuse: full, and read-only. Each in a tmpfs of a mount namespace that the test
//! makes by running itself again under `unshare`, so that nothing is left behind.

use std::fs;
use std::path::Path;
use std::process::Command;

use everynode_store::{
    Durability, EmbeddedOptions, EmbeddedStore, Outcome, Revision, Store, StoreError, Transaction, Write, prefix_range,
};

const INSIDE: &str = "EVERYNODE_STORE_DISK_INSIDE";

/// Runs one of the tests below on a fresh tmpfs, or says why that is not possible here.
fn on_tmpfs(test: &str) {
    let dir = tempfile::tempdir().expect("a directory");
    let script = "mount -t tmpfs -o size=4m tmpfs \"$1\" || exit 77; \
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
    EmbeddedStore::open(dir, EmbeddedOptions::default())
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
    fs::write(dir.join("ballast"), vec![0; 2 << 20]).expect("fits");
    let mut newest = first;
    let refused = (0..100).find_map(|n| match commit(&store, &format!("/b/{n}"), 65_536, fsync) {
        Ok(revision) => {
            newest = revision;
            None
        }
        Err(error) => Some(error),
    });
    let Some(StoreError::Disk(text)) = refused else { panic!("{refused:?}") };
    assert!(text.contains("store.db") && text.contains("full"), "{text}");
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
        assert!(matches!(refused, Err(StoreError::Disk(_))), "{refused:?}");
        renewed.expect("needs no disk yet");
    }
    let renewed = commit(&store, "/lease", 13, relaxed).expect("needs no disk yet");

    fs::remove_file(dir.join("ballast")).expect("there");
    let after = commit(&store, "/c", 500_000, fsync).expect("there is space again");
    assert!(after > renewed, "no revision is issued twice");
    let before = store.range(&prefix_range("/"), None, 0).expect("readable");
    drop(store);
    let store = open(dir).expect("opens");
    assert_eq!(store.range(&prefix_range("/"), None, 0).expect("readable").items, before.items);
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
    remount("ro");
    assert!(matches!(open(dir), Err(StoreError::Disk(_))));
}
