//! What a small cluster costs, in memory allocations: wall time depends on the machine and its
//! mood, these do not.
//!
//! Two dozen machines, one DaemonSet: applied, updated, deleted; API server, controllers and agents
//! of one simulated run are counted together. The figures are compared with the last recorded ones,
//! `allocations.txt` beside this file. This is a test binary of its own, since the allocator counts
//! for the whole process.
#![cfg(debug_assertions)] // What was recorded is the unoptimised build, with its audits.

use std::alloc::System;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use everynode_api::ports::Propagation;
use everynode_sim::scenario::{Amount, Scenario, ScenarioEvent, Step, Strategy};
use everynode_sim::{Report, run};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// How much more than recorded is an error: runs on one machine do not differ at all (ten, under
/// load); one clone of a pod too many in a controller is more.
const MORE_PERCENT: f64 = 1.0;
/// How much less has to be recorded, lest it is lost again unnoticed.
const LESS_PERCENT: f64 = 5.0;

const MACHINES: usize = 24;

/// What was counted, by name.
type Counts = Vec<(&'static str, u64)>;

#[test]
fn a_small_cluster_allocates_no_more_than_was_recorded() {
    check_differences();
    let keys = tempfile::tempdir().unwrap();
    // The first run makes keys and everything that is made once.
    let first = run(&scenario(), keys.path());
    let (report, counts) = counted(keys.path());
    assert_eq!((&report.failure, report.trace), (&None, first.trace), "{}", report.story.join("\n"));
    let updated = report.story.iter().filter(|line| line.contains("template set=")).count();
    assert_eq!(updated, 1, "{}", report.story.join("\n"));
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        return std::fs::write(file(), text(&counts)).unwrap();
    }
    let wrong = differences(&recorded(), &counts);
    assert!(
        wrong.is_empty(),
        "{}\nIf that is meant, record it: UPDATE_EXPECT=1 cargo test -p everynode-sim --test allocations",
        wrong.join("\n")
    );
}

fn scenario() -> Scenario {
    let at = |seconds: u64, scenario_event| Step { at_ms: seconds * 1000, scenario_event };
    let template = ScenarioEvent::Template { set: 0, image: 1, bad: false, select: false, tolerate: false };
    let delete = ScenarioEvent::DeleteSet { set: 0, propagation: Propagation::Background };
    Scenario {
        seed: 4,
        machines: MACHINES,
        strategies: vec![Strategy::Unavailable(Amount::Percent(25))],
        min_ready_seconds: 0,
        binds: true,
        strict: false,
        foreign: false,
        crash_percent: 0,
        tight: false,
        steps: vec![at(40, template), at(140, delete)],
        calm_at_ms: 160_000,
    }
}

fn counted(keys: &Path) -> (Report, Counts) {
    let scenario = scenario();
    let region = Region::new(ALLOCATOR);
    let report = run(&scenario, keys);
    let change = region.change();
    let number = |count: usize| u64::try_from(count).unwrap();
    let counts = vec![
        ("writes", report.writes),
        ("allocations", number(change.allocations)),
        ("reallocations", number(change.reallocations)),
        ("kilobytes", number(change.bytes_allocated) / 1000),
    ];
    (report, counts)
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/allocations.txt")
}

fn text(counts: &Counts) -> String {
    counts.iter().fold(String::new(), |mut text, (name, count)| {
        let _ = writeln!(text, "{name} {count}");
        text
    })
}

fn recorded() -> Vec<(String, u64)> {
    let text = std::fs::read_to_string(file()).unwrap_or_default();
    let line = |line: &str| line.split_once(' ').and_then(|(name, count)| Some((name.into(), count.parse().ok()?)));
    text.lines().filter_map(line).collect()
}

/// One sentence per figure that is not what was recorded.
fn differences(recorded: &[(String, u64)], counts: &Counts) -> Vec<String> {
    let sentence = |(name, now): &(&str, u64)| {
        let Some((_, then)) = recorded.iter().find(|(known, _)| known == name) else {
            return Some(format!("{name}: {now}, nothing recorded"));
        };
        let percent = (*now as f64 / *then as f64 - 1.0) * 100.0;
        let is_fine = (-LESS_PERCENT..=MORE_PERCENT).contains(&percent);
        (!is_fine).then(|| format!("{name}: {now}, recorded {then} ({percent:+.1} %)"))
    };
    counts.iter().filter_map(sentence).collect()
}

/// Not a test of its own: tests run beside each other, and this one allocates.
fn check_differences() {
    let recorded = [("allocations".to_owned(), 1000)];
    assert!(differences(&recorded, &vec![("allocations", 1009)]).is_empty());
    assert_eq!(
        differences(&recorded, &vec![("allocations", 1100), ("kilobytes", 5)]),
        ["allocations: 1100, recorded 1000 (+10.0 %)", "kilobytes: 5, nothing recorded"]
    );
    assert_eq!(differences(&recorded, &vec![("allocations", 900)]).len(), 1);
}
