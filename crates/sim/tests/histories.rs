//! What the DaemonSet controller of Kubernetes 1.36.2 was seen to do in 75 histories, and what ours
//! does: the same with `--strict`, and by default but for what docs/deviations.md says.
//! `histories/differences.txt` lists every line that differs, each with its reason;
//! `UPDATE_EXPECT=1` writes it anew, with the reasons that are known.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use everynode_sim::history::{Behaviour, replay};

/// Reasons besides a deviation: the choice was free, it depends on how fast things are, it needs a
/// kind that is not there, or the original does it by accident.
const REASONS: [&str; 5] = ["deviation", "choice", "time", "absent", "accident"];

/// By history and `strict`, `default` or `both`: the reasons, and the lines that differ.
type Differences = BTreeMap<(String, String), (String, Vec<String>)>;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/histories")
}

fn played(text: &str, behaviour: Behaviour, keys: &Path) -> Vec<String> {
    let observations = match replay(text, behaviour, keys) {
        Ok(observations) => observations,
        Err(error) => return vec![format!("not played: {error}")],
    };
    assert!(!observations.is_empty() && observations.iter().all(|seen| !seen.original.is_empty()), "{text}");
    let lines = observations.iter().flat_map(|seen| {
        seen.differences().into_iter().map(|line| format!("[{}] {line}", seen.name)).collect::<Vec<_>>()
    });
    lines.collect()
}

/// All histories, played on two threads.
fn found() -> BTreeMap<String, [Vec<String>; 2]> {
    let files = std::fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().path());
    let is_history = |path: &PathBuf| path.file_stem().is_some_and(|name| name != "differences");
    let waiting: Mutex<Vec<PathBuf>> = Mutex::new(files.filter(is_history).collect());
    let found = Mutex::new(BTreeMap::new());
    let work = || {
        let keys = tempfile::tempdir().unwrap();
        loop {
            let Some(path) = waiting.lock().unwrap().pop() else { return };
            let text = std::fs::read_to_string(&path).unwrap();
            let lines = [Behaviour::Strict, Behaviour::Default].map(|behaviour| played(&text, behaviour, keys.path()));
            found.lock().unwrap().insert(path.file_stem().unwrap().to_string_lossy().into_owned(), lines);
        }
    };
    std::thread::scope(|scope| (0..2).for_each(|_| drop(scope.spawn(work))));
    found.into_inner().unwrap()
}

fn known() -> Differences {
    let text = std::fs::read_to_string(directory().join("differences.txt")).unwrap_or_default();
    let mut known = Differences::new();
    let mut at = None;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        match line.strip_prefix("  ") {
            Some(line) => {
                let block = at.as_ref().and_then(|at| known.get_mut(at));
                block.expect("a line below its history").1.push(line.to_owned());
            }
            None => {
                let (name, reason) = line.split_once(": ").expect("a history and its reason");
                let (name, which) = name.split_once(' ').expect("a history and a behaviour");
                let key = (name.to_owned(), which.to_owned());
                known.insert(key.clone(), (reason.to_owned(), Vec::new()));
                at = Some(key);
            }
        }
    }
    known
}

fn differences(found: &BTreeMap<String, [Vec<String>; 2]>, known: &Differences) -> Differences {
    let mut all = Differences::new();
    for (name, [strict, default]) in found {
        let blocks = match strict == default {
            true => vec![("both", strict)],
            false => vec![("strict", strict), ("default", default)],
        };
        for (which, lines) in blocks.into_iter().filter(|(_, lines)| !lines.is_empty()) {
            let key = (name.clone(), which.to_owned());
            let reason = known.get(&key).map_or("unexplained".to_owned(), |(reason, _)| reason.clone());
            all.insert(key, (reason, lines.clone()));
        }
    }
    all
}

fn text(differences: &Differences) -> String {
    let mut text = "# Written by tests/histories.rs; `-` only the original, `+` only ours.\n".to_owned();
    for ((name, which), (reason, lines)) in differences {
        let _ = writeln!(text, "{name} {which}: {reason}");
        lines.iter().for_each(|line| writeln!(text, "  {line}").unwrap());
    }
    text
}

#[test]
fn the_original_and_ours_differ_only_where_it_is_said() {
    let (found, known) = (found(), known());
    assert_eq!(found.len(), 75);
    let now = differences(&found, &known);
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(directory().join("differences.txt"), text(&now)).unwrap();
    } else {
        assert!(now == known, "differences.txt says otherwise; now it is\n{}", text(&now));
    }
    let same = found.values().filter(|[strict, _]| strict.is_empty()).count();
    println!("{same} of {} histories are the same with --strict", found.len());
}

/// A deviation is a line of docs/deviations.md; with `--strict`, one that is not marked *strict*.
#[test]
fn every_difference_has_its_reason() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/deviations.md");
    let page = std::fs::read_to_string(page).unwrap();
    let known = known();
    assert!(!known.is_empty());
    for ((name, which), (reasons, lines)) in &known {
        if lines.iter().any(|line| line.starts_with("not played:")) {
            let is_absent = reasons.split("; ").all(|reason| reason.starts_with("absent: "));
            assert!(is_absent, "{name} {which}: not played, and nothing is absent: {reasons}");
        }
        for reason in reasons.split("; ") {
            let (kind, what) = reason.split_once(": ").unwrap_or((reason, ""));
            assert!(REASONS.contains(&kind), "{name} {which}: {reason}");
            assert!(!(["choice", "time"].contains(&kind) && what.is_empty()), "{name} {which}: {kind} of what?");
            if kind == "deviation" {
                let plain = page.contains(&format!("\n| {what} |"));
                let strict = page.contains(&format!("\n| {what} *(strict)* |"));
                assert!(plain || strict && which == "default", "{name} {which}: no line {what:?}");
            }
        }
    }
}

#[test]
fn a_step_that_is_not_known_is_an_error() {
    let keys = tempfile::tempdir().unwrap();
    for step in ["PUT /namespaces/NS/pods/p {}", "settel"] {
        let error = replay(step, Behaviour::Strict, keys.path()).unwrap_err();
        assert!(error.contains("no step is called"), "{error}");
    }
}
