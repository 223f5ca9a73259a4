//! The corpora, and seeded mutations of them, through every target.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use everynode_common::random::Random;
use everynode_fuzz::mutate::mutate;
use everynode_fuzz::{TARGETS, run};

/// Of each file of a corpus; together a few seconds. More by `EVERYNODE_FUZZ_MUTATIONS`.
const MUTATIONS: usize = 200;
/// A corpus is small: what libFuzzer finds is minimised before it is kept.
const CORPUS_BYTES_MAX: usize = 256 << 10;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let dir = root().join("corpus").join(target);
    let entries = fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

fn mutations() -> usize {
    std::env::var("EVERYNODE_FUZZ_MUTATIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(MUTATIONS)
}

/// The first input that breaks a target, and where it comes from.
fn broken(name: &str) -> Option<String> {
    let corpus = corpus(name);
    assert!(corpus.len() >= 3, "{name} has no corpus");
    assert!(corpus.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() <= CORPUS_BYTES_MAX, "{name}");
    corpus.iter().enumerate().find_map(|(number, (path, bytes))| {
        let mut random = Random::new(number as u64);
        let mutations = (0..mutations()).map(|_| {
            let other = random.index(corpus.len());
            mutate(bytes, &corpus[other].1, &mut random)
        });
        let inputs = std::iter::once(bytes.clone()).chain(mutations.collect::<Vec<_>>());
        let mut inputs = inputs.map(|input| (std::panic::catch_unwind(|| run(name, &input)).is_err(), input));
        let (_, input) = inputs.find(|(broken, _)| *broken)?;
        Some(format!("{name}, from {}: {}", path.display(), input.escape_ascii()))
    })
}

#[test]
fn the_corpora_and_their_mutations_break_nothing() {
    let broken: Vec<_> = TARGETS.iter().filter_map(|(name, _)| broken(name)).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// libFuzzer gets all of them.
#[test]
fn every_target_is_a_program_and_has_a_corpus() {
    let names = |dir: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(root().join(dir)).unwrap();
        entries.map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned()).collect()
    };
    let known: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names("fuzz_targets"), known);
    assert_eq!(names("corpus"), known);
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(known.iter().all(|name| manifest.contains(&format!("name = \"{name}\""))));
}
