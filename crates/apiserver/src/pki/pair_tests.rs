//! A crash after every step, in the middle of every write, and with every part of what was not
//! synced undone.

use std::fs;

use jiff::{SignedDuration, Timestamp};

use super::super::certified;
use super::super::issue::{Authority, Purpose, Subject};
use super::*;

const VALIDITY: SignedDuration = SignedDuration::from_hours(24 * 365);

fn now() -> Timestamp {
    "2026-11-26T00:00:00Z".parse().unwrap()
}

fn subject() -> Subject {
    Subject { name: "a".into(), groups: &[], names: vec!["a.example".into()], purpose: Purpose::Both }
}

/// Runs the steps up to a crash: those before `crash` happen, the write at `crash` is cut in half;
/// of those since the last sync, the ones in `undone` (bits) never reached the disk.
fn crash(steps: &[Step], crash: usize, undone: u32) {
    let synced = steps[..crash].iter().rposition(|step| matches!(step, Step::Sync(_))).map_or(0, |at| at + 1);
    for (number, step) in steps[..crash].iter().enumerate() {
        match step {
            _ if number >= synced && undone & 1 << (number - synced) != 0 => {}
            // Without the file that it was to rename: nothing happens.
            Step::Rename { from, .. } if !from.exists() => {}
            step => step.run().unwrap(),
        }
    }
    if let Some(Step::Write { path, text, .. }) = steps.get(crash) {
        fs::write(path, &text[..text.len() / 2]).unwrap();
    }
}

/// Every way to crash within these steps.
fn crashes(steps: &[Step]) -> Vec<(usize, u32)> {
    let unsynced = |at: usize| steps[..at].iter().rev().take_while(|step| !matches!(step, Step::Sync(_))).count();
    (0..=steps.len()).flat_map(|at| (0..1 << unsynced(at)).map(move |undone| (at, undone))).collect()
}

/// When the new pair is there for good: the file with both has been synced.
fn committed(steps: &[Step]) -> usize {
    steps.iter().position(|step| matches!(step, Step::Sync(_))).unwrap() + 1
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn made(name: &str) -> Credentials {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::open(directory.path(), VALIDITY, now()).unwrap();
    match name {
        "ca" => found(directory.path(), "ca").unwrap(),
        name => authority.credentials(directory.path(), name, &subject(), now()).unwrap(),
    }
}

fn found(directory: &Path, name: &str) -> Option<Credentials> {
    let found = read(directory, name).unwrap();
    Some(Credentials { certificate: found.certificate?, key: found.key? })
}

fn same(a: &Credentials, b: &Credentials) -> bool {
    (&a.certificate, &a.key) == (&b.certificate, &b.key)
}

#[test]
fn a_crash_in_a_replacement_leaves_the_old_pair_or_the_new_one() {
    let (old, new) = (made("a"), made("a"));
    let plan = |directory: &Path| replace(directory, "a", &new);
    let all = crashes(&plan(Path::new("x")));
    assert!(all.len() > 30, "{}", all.len());
    for (at, undone) in all {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        write(directory, "a", &old).unwrap();
        let steps = plan(directory);
        crash(&steps, at, undone);
        let left = found(directory, "a").expect("both files are there");
        assert!(certified(&left).is_ok(), "they belong together: crash at {at}, {undone:b} undone");
        assert!(same(&left, &new) || (at < committed(&steps) && same(&left, &old)), "crash at {at}, {undone:b} undone");
        assert!(!both_path(directory, "a").exists(), "it is finished");
        // What is left over does not get in the way.
        write(directory, "a", &old).unwrap();
        assert!(same(&found(directory, "a").unwrap(), &old) && names(directory) == ["a.crt", "a.key"]);
    }
}

#[test]
fn a_crash_while_a_crash_is_being_finished_is_one_more() {
    let (old, new) = (made("a"), made("a"));
    let steps = |directory: &Path| (replace(directory, "a", &new), finish(directory, "a", &new));
    let (_, again) = steps(Path::new("x"));
    for (at, undone) in crashes(&again) {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        write(directory, "a", &old).unwrap();
        let (first, again) = steps(directory);
        crash(&first, committed(&first), 0);
        crash(&again, at, undone);
        assert!(same(&found(directory, "a").unwrap(), &new), "crash at {at}, {undone:b} undone");
    }
}

/// One without the other is refused for an authority: it must not come from a crash.
#[test]
fn a_crash_in_the_first_start_does_not_keep_the_authority_from_being_opened() {
    let new = made("ca");
    let plan = |directory: &Path| replace(directory, "ca", &new);
    for (at, undone) in crashes(&plan(Path::new("x"))) {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        let steps = plan(directory);
        crash(&steps, at, undone);
        let authority = Authority::open(directory, VALIDITY, now()).unwrap_or_else(|error| panic!("{at}: {error}"));
        let kept = authority.certificate() == new.certificate;
        assert!(kept || at < committed(&steps), "crash at {at}, {undone:b} undone: somebody may know it already");
        assert_eq!(Authority::open(directory, VALIDITY, now()).unwrap().certificate(), authority.certificate());
    }
}

#[test]
fn a_pair_that_does_not_match_is_made_anew_and_an_authority_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let authority = Authority::open(directory, VALIDITY, now()).unwrap();
    let first = authority.credentials(directory, "a", &subject(), now()).unwrap();
    assert!(same(&authority.credentials(directory, "a", &subject(), now()).unwrap(), &first), "it is kept");
    // As a crash of an older version left it.
    fs::write(key_path(directory, "a"), made("a").key).unwrap();
    let second = authority.credentials(directory, "a", &subject(), now()).unwrap();
    assert!(certified(&second).is_ok() && !same(&second, &first));
    fs::write(key_path(directory, "ca"), made("ca").key).unwrap();
    let Err(error) = Authority::open(directory, VALIDITY, now()) else { panic!("another key's authority") };
    assert!(error.to_string().contains("it does not belong to ca.key"), "{error}");
    fs::write(both_path(directory, "ca"), "junk").unwrap();
    let Err(error) = Authority::open(directory, VALIDITY, now()) else { panic!("junk") };
    assert!(error.to_string().contains("ca.pair cannot be used"), "{error}");
}

#[test]
fn keys_are_private_from_the_first_moment() {
    for step in replace(Path::new("x"), "a", &made("a")) {
        if let Step::Write { path, text, mode } = step {
            assert_eq!(mode == files::PRIVATE, text.contains("PRIVATE KEY"), "{}", path.display());
        }
    }
}
