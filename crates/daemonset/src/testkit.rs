//! Cluster text to [`DaemonSetInput`](crate::DaemonSetInput), plans to text: the language of
//! `tests/cases/*.txt`.
//!
//! A case is a title line `## …`, statements, `---`, and what the plan says. Further steps follow
//! after a line `+++ 5s` (the time that passes): statements that change the cluster, `---`, the
//! next plan; memory is carried over.
//!
//! ```text
//! ## one outdated pod at a time (DS-D14)
//! ds web rev=2 maxUnavailable=1
//! node a; node b
//! pod web-a on=a rev=1 ready; pod web-b on=b rev=1 ready
//! ---
//! delete web-a      outdated, budget 1 of 1
//! hold   web-b      outdated; waiting for the budget: 1 unavailable, 1 allowed
//! ```
//! The statements are described in [`cluster`].

pub mod cluster;
mod objects;
mod print;

use everynode_api::reconcile::Reconciler;

use crate::{DaemonSetController, DaemonSetMemory};
use cluster::Cluster;

/// One case of a file: its title and its steps.
#[derive(Clone, Debug)]
pub struct Case {
    pub title: String,
    pub steps: Vec<Step>,
}

/// Statements, and the text expected of the plan that is made then.
#[derive(Clone, Debug, Default)]
pub struct Step {
    /// The line that introduces the step, `+++ 5s`; empty for the first.
    pub opening: String,
    pub statements: String,
    pub expected: String,
}

/// Splits a file into its preamble and its cases.
pub fn parse_file(text: &str) -> (String, Vec<Case>) {
    let mut preamble = String::new();
    let mut cases: Vec<Case> = Vec::new();
    let mut expecting = false;
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            cases.push(Case { title: title.into(), steps: vec![Step::default()] });
            expecting = false;
            continue;
        }
        let Some(case) = cases.last_mut() else {
            push_line(&mut preamble, line);
            continue;
        };
        if line.starts_with("+++") {
            case.steps.push(Step { opening: line.into(), ..Step::default() });
            expecting = false;
        } else if line == "---" {
            expecting = true;
        } else if let Some(step) = case.steps.last_mut().filter(|_| !line.trim().is_empty()) {
            push_line(if expecting { &mut step.expected } else { &mut step.statements }, line);
        }
    }
    (preamble, cases)
}

/// The text of a file with these cases.
pub fn write_file(preamble: &str, cases: &[Case]) -> String {
    let mut text = preamble.to_owned();
    for (number, case) in cases.iter().enumerate() {
        if number > 0 {
            text.push('\n');
        }
        push_line(&mut text, &format!("## {}", case.title));
        for step in &case.steps {
            if !step.opening.is_empty() {
                push_line(&mut text, &step.opening);
            }
            text += &step.statements;
            push_line(&mut text, "---");
            text += &step.expected;
        }
    }
    text
}

fn push_line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

/// Runs a case; returns it with what the plans really said. The error names the statement that
/// cannot be read.
pub fn run(case: &Case) -> Result<Case, String> {
    let mut cluster = Cluster::default();
    let mut memory = DaemonSetMemory::default();
    let mut steps = Vec::new();
    for step in &case.steps {
        cluster.pass_time(step.opening.trim_start_matches('+').trim())?;
        for statement in step.statements.lines().flat_map(|line| line.split(';')) {
            cluster.apply(statement).map_err(|error| format!("{}: `{}`: {error}", case.title, statement.trim()))?;
        }
        let expected = plan(&cluster, &mut memory);
        steps.push(Step { expected, ..step.clone() });
    }
    Ok(Case { title: case.title.clone(), steps })
}

fn plan(cluster: &Cluster, memory: &mut DaemonSetMemory) -> String {
    let controller = DaemonSetController::new(cluster.options.clone());
    let view = cluster.view();
    let mut text = String::new();
    for key in controller.all(&view) {
        let Some(seen) = controller.gather(&view, &key) else { continue };
        let plan = controller.plan(&seen, memory, cluster.now);
        let violations = controller.audit(&seen, &plan);
        text += &print::plan(cluster, &plan, &controller.at_rest(&seen, &plan), &violations);
        *memory = plan.memory;
    }
    if text.is_empty() {
        push_line(&mut text, "nothing");
    }
    text
}
