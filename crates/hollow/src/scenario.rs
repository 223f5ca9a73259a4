//! The scenario file: YAML that says which nodes there are, how they behave and what happens when.
//!
//! ```yaml
//! duration: 10m
//! groups:
//! - {name: core, count: 900, zones: [a, b, c]}
//! - {name: edge, count: 100, nodeName: "edge-{}", labels: {site: far}, taints: ["edge:NoSchedule"]}
//! pods: {pull: 1s..3s, start: 200ms, ready: exp 2s}
//! failures:
//!   crash: {probability: 1%, after: 5s..60s}
//!   flap: {rate: 0.1/h, for: 30s..2m}
//! steps:
//! - {at: 1m, join: 50, group: edge, over: 30s}
//! - {at: 3m, cutOff: 20, for: 1m}
//! ```

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_saphyr::Spanned;

use crate::delay::{Delay, Probability, Rate, Span};
use crate::options::{Failures, Group, Mode, Options, OptionsError, PodTimes, Profile, Step, StepEvent, Taint};

/// A scenario file is text that a person wrote; this is far more than that.
const BYTES_MAX: usize = 1 << 20;

/// What is wrong with a scenario file, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}{}: {message}", named(.field))]
pub struct ScenarioError {
    /// From 1.
    pub line: u64,
    /// `steps[1].at`; empty where the text is no YAML.
    pub field: String,
    pub message: String,
}

fn named(field: &str) -> String {
    if field.is_empty() { String::new() } else { format!(", field {field}") }
}

impl Options {
    /// Reads a scenario file.
    ///
    /// # Errors
    /// The first thing that is wrong, with its line and field.
    pub fn from_scenario(text: &str) -> Result<Options, ScenarioError> {
        if text.len() > BYTES_MAX {
            let message = format!("the file has more than {BYTES_MAX} bytes");
            return Err(ScenarioError { line: 1, field: String::new(), message });
        }
        let file: File = serde_saphyr::from_str(text).map_err(|error| locate(text, &error))?;
        let lines: Vec<u64> = file.steps.iter().map(|step| step.referenced.line()).collect();
        let groups: Vec<u64> = file.groups.iter().map(|group| group.referenced.line()).collect();
        let options = file.options().and_then(|options| options.validate().map(|()| options));
        options.map_err(|error| {
            let from = match error.field.split(['[', ']']).collect::<Vec<_>>()[..] {
                ["steps", index, ..] => index.parse().ok().and_then(|index: usize| lines.get(index)),
                ["groups", index, ..] => index.parse().ok().and_then(|index: usize| groups.get(index)),
                _ => None,
            };
            let last = error.field.rsplit('.').next().unwrap_or_default();
            let line = line_of(text, last, from.copied().unwrap_or(1));
            ScenarioError { line, field: error.field, message: error.message }
        })
    }
}

/// The first line from `from` on that has this key; `from` if there is none.
fn line_of(text: &str, key: &str, from: u64) -> u64 {
    let start = usize::try_from(from).unwrap_or(1).max(1);
    let has_key = |line: &str| line.match_indices(key).any(|(at, _)| line[at + key.len()..].starts_with([':', '"']));
    let found = text.lines().enumerate().skip(start - 1).find(|(_, line)| has_key(line));
    found.map_or(from, |(index, _)| index as u64 + 1)
}

/// Where a reader's error is: its line, and the path of keys that leads to that line.
fn locate(text: &str, error: &serde_saphyr::Error) -> ScenarioError {
    let line = error.location().map_or(1, |location| location.line());
    let column = error.location().map_or(1, |location| location.column());
    let whole = error.without_snippet().to_string();
    let message = whole.lines().next().unwrap_or_default().to_owned();
    ScenarioError { line, field: path_at(text, line, column), message }
}

/// The keys above a place, by indentation: `failures.crash`. Inside braces the key before the
/// place.
fn path_at(text: &str, line: u64, column: u64) -> String {
    let number = usize::try_from(line).unwrap_or(1).max(1);
    let lines: Vec<&str> = text.lines().take(number).collect();
    let mut parts: Vec<String> = Vec::new();
    let mut indent = usize::MAX;
    for (index, line) in lines.iter().enumerate().rev() {
        let dashes = line.len() - line.trim_start_matches([' ', '-']).len();
        let body = &line[dashes..];
        if body.is_empty() || body.starts_with('#') {
            continue;
        }
        let is_here = index + 1 == number;
        if dashes < indent || is_here {
            indent = dashes;
            if let Some((key, _)) = body.split_once(':').filter(|_| !body.starts_with('{')) {
                parts.push(key.trim_matches(['"', '\'', ' ']).to_owned());
            }
            if is_here && let Some(key) = flow_key(line, column) {
                parts.insert(0, key);
            }
        }
        // A list item stands as deep as its key: step over the dash to the list's own key.
        if line.trim_start().starts_with('-') && dashes <= indent {
            indent = line.len() - line.trim_start().len() + 1;
        }
    }
    parts.dedup();
    parts.reverse();
    parts.join(".")
}

/// In `{at: 30s, join: x}` the key whose value, or which itself, is at the column (from 1).
fn flow_key(line: &str, column: u64) -> Option<String> {
    let at = usize::try_from(column).ok()?.min(line.len()).max(1);
    let open = line.find('{').filter(|open| *open < at)?;
    let end = line[at - 1..].find([',', '}', ':']).map_or(line.len(), |end| at - 1 + end);
    let piece = line.get(open + 1..end)?.rsplit([',', '{']).next()?;
    let key = piece.split(':').next()?.trim().trim_matches(['"', '\'']);
    (!key.is_empty()).then(|| key.to_owned())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct File {
    duration: Option<Span>,
    seed: u64,
    mode: FileMode,
    profile: FileProfile,
    leases: Option<bool>,
    in_flight: usize,
    clean_up: bool,
    groups: Vec<Spanned<FileGroup>>,
    pods: FilePods,
    failures: FileFailures,
    steps: Vec<Spanned<FileStep>>,
}

impl Default for File {
    fn default() -> Self {
        let Options { seed, in_flight_max, clean_up, .. } = Options::default();
        File {
            duration: None,
            seed,
            mode: FileMode::default(),
            profile: FileProfile::default(),
            leases: None,
            in_flight: in_flight_max,
            clean_up,
            groups: Vec::new(),
            pods: FilePods::default(),
            failures: FileFailures::default(),
            steps: Vec::new(),
        }
    }
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
enum FileMode {
    #[default]
    Shared,
    PerNode,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
enum FileProfile {
    #[default]
    Real,
    Fast,
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct FileGroup {
    name: Option<String>,
    count: usize,
    node_name: Option<String>,
    labels: BTreeMap<String, String>,
    zones: Vec<String>,
    taints: Vec<FileTaint>,
    capacity: BTreeMap<String, String>,
}

#[derive(Clone, Deserialize)]
#[serde(try_from = "String")]
struct FileTaint(Taint);

impl TryFrom<String> for FileTaint {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map(FileTaint)
    }
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FilePods {
    sandbox: Delay,
    pull: Delay,
    start: Delay,
    ready: Delay,
    stop: Delay,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct FileFailures {
    crash: FileCrash,
    never_ready: Probability,
    death: Rate,
    flap: FileOutage,
    cut_off: FileOutage,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileCrash {
    probability: Probability,
    after: Delay,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileOutage {
    rate: Rate,
    r#for: Delay,
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct FileStep {
    at: Span,
    over: Span,
    group: Option<String>,
    r#for: Option<Delay>,
    join: Option<usize>,
    leave: Option<usize>,
    die: Option<usize>,
    flap: Option<usize>,
    cut_off: Option<usize>,
}

impl File {
    fn options(self) -> Result<Options, OptionsError> {
        let File { duration, seed, mode, profile, leases, in_flight, clean_up, groups, pods, failures, steps } = self;
        let profile = match profile {
            FileProfile::Real => Profile::Real,
            FileProfile::Fast => Profile::Fast,
        };
        let steps =
            steps.into_iter().enumerate().map(|(index, step)| step.value.step(index)).collect::<Result<_, _>>()?;
        let FilePods { sandbox, pull, start, ready, stop } = pods;
        Ok(Options {
            groups: groups.into_iter().map(|group| group.value.group()).collect(),
            mode: match mode {
                FileMode::Shared => Mode::SharedWatch,
                FileMode::PerNode => Mode::WatchPerNode,
            },
            profile,
            pods: PodTimes { sandbox, pull, start, ready, stop },
            failures: failures.failures(),
            leases: leases.unwrap_or(profile == Profile::Real),
            steps,
            duration: duration.map(|span| span.0),
            in_flight_max: in_flight,
            seed,
            clean_up,
        })
    }
}

impl FileGroup {
    fn group(self) -> Group {
        let FileGroup { name, count, node_name, labels, zones, taints, capacity } = self;
        let default = Group::default();
        Group {
            node_name: node_name.unwrap_or_else(|| match &name {
                Some(name) => format!("{name}-{{}}"),
                None => default.node_name,
            }),
            name: name.unwrap_or(default.name),
            count,
            labels,
            zones,
            taints: taints.into_iter().map(|taint| taint.0).collect(),
            capacity: default.capacity.into_iter().chain(capacity).collect(),
        }
    }
}

impl FileFailures {
    fn failures(self) -> Failures {
        let FileFailures { crash, never_ready, death, flap, cut_off } = self;
        Failures {
            crash: crash.probability,
            crash_after: crash.after,
            never_ready,
            death,
            flap: flap.rate,
            flap_for: flap.r#for,
            cut_off: cut_off.rate,
            cut_off_for: cut_off.r#for,
        }
    }
}

impl FileStep {
    fn step(self, index: usize) -> Result<Step, OptionsError> {
        let FileStep { at, over, group, r#for, join, leave, die, flap, cut_off } = self;
        let time = r#for.unwrap_or_default();
        let all = [
            (join, StepEvent::Join),
            (leave, StepEvent::Leave),
            (die, StepEvent::Die),
            (flap, StepEvent::Flap { down_for: time }),
            (cut_off, StepEvent::CutOff { cut_off_for: time }),
        ];
        let asked: Vec<_> = all.into_iter().filter_map(|(count, event)| Some((count?, event))).collect();
        let fail = |field: &str, message: &str| Err(OptionsError::new(format!("steps[{index}]{field}"), message));
        match asked[..] {
            [(count, event)] => {
                let lasts = matches!(event, StepEvent::Flap { .. } | StepEvent::CutOff { .. });
                if lasts != r#for.is_some() {
                    return fail(".for", "goes with flap and cutOff, and they need it");
                }
                Ok(Step { at: at.0, over: over.0, count, group, event })
            }
            _ => fail("", "a step has exactly one of join, leave, die, flap, cutOff"),
        }
    }
}

#[cfg(test)]
mod tests;
