//! Medians beside what they are compared with.

use std::fmt::Write;

use everynode_hollow::Report;
use serde_json::{Value, json};

use crate::process::Process;

/// What was measured, in the order of its first measure.
#[derive(Debug, Default)]
pub(crate) struct Measures(Vec<Measure>);

#[derive(Debug)]
struct Measure {
    key: String,
    title: String,
    unit: String,
    values: Vec<f64>,
}

/// Which run the aims are looked up for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) nodes: usize,
    pub(crate) per_node: bool,
}

impl Measures {
    pub(crate) fn add(&mut self, key: &str, title: &str, unit: &str, value: f64) {
        eprintln!("{title}: {value:.3} {unit}");
        match self.0.iter_mut().find(|measure| measure.key == key) {
            Some(measure) => measure.values.push(value),
            None => {
                let (key, title, unit) = (key.to_owned(), title.to_owned(), unit.to_owned());
                self.0.push(Measure { key, title, unit, values: vec![value] });
            }
        }
    }

    /// Resident memory of all processes together, and the most that it was.
    pub(crate) fn add_memory(&mut self, title: &str, processes: &[Process]) {
        if processes.is_empty() {
            return;
        }
        self.add(title, title, "MiB", processes.iter().map(Process::resident_mib).sum());
        self.add(
            &format!("{title} peak"),
            &format!("{title}, peak so far"),
            "MiB",
            processes.iter().map(Process::peak_mib).sum(),
        );
        if processes.len() > 1 {
            for process in processes {
                let title = format!("{title}: {}", process.name);
                self.add(&title, &title, "MiB", process.resident_mib());
            }
        }
    }

    /// The table for people.
    pub(crate) fn text(&self, run: Run) -> String {
        let mut text = String::new();
        let head = ["measure", "median", "min", "max", "n", "aim", "Kubernetes", "ratio"];
        let _ = writeln!(
            text,
            "{:44} {:>10} {:>9} {:>9} {:>4} {:>9} {:>11} {:>7}",
            head[0], head[1], head[2], head[3], head[4], head[5], head[6], head[7]
        );
        for measure in &self.0 {
            let (aim, peer) = compared(&measure.key, run);
            let median = measure.quantile(0.5);
            let number = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value}"));
            let ratio = peer.filter(|_| median > 0.0).map_or("–".to_owned(), |peer| format!("{:.1}×", peer / median));
            let _ = writeln!(
                text,
                "{:44} {:>10.3} {:>9.3} {:>9.3} {:>4} {:>9} {:>11} {:>7}  {}",
                measure.title,
                median,
                measure.quantile(0.0),
                measure.quantile(1.0),
                measure.values.len(),
                number(aim),
                number(peer),
                ratio,
                measure.unit,
            );
        }
        text
    }

    pub(crate) fn json(&self, run: Run, report: &Report) -> Value {
        let measures = self.0.iter().map(|measure| {
            let (aim, peer) = compared(&measure.key, run);
            json!({
                "key": measure.key, "title": measure.title, "unit": measure.unit, "values": measure.values,
                "median": measure.quantile(0.5), "p90": measure.quantile(0.9), "p99": measure.quantile(0.99),
                "aim": aim, "kubernetes": peer,
            })
        });
        json!({
            "nodes": run.nodes, "watchPerNode": run.per_node,
            "measures": measures.collect::<Vec<_>>(),
            "hollow": report,
        })
    }
}

impl Measure {
    fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.values.clone();
        sorted.sort_by(f64::total_cmp);
        let index = ((sorted.len() as f64 * share).ceil() as usize).saturating_sub(1);
        sorted.get(index).copied().unwrap_or(0.0)
    }
}

/// The aim, and stock Kubernetes 1.36.2 with every client limit lifted on two cores, one watch over all
/// pods: apply, updates, delete with etcd 3.5.16 at 5,000 nodes.
fn compared(key: &str, run: Run) -> (Option<f64>, Option<f64>) {
    match (run.nodes, run.per_node, key) {
        (5000, false, "apply") => (Some(1.7), Some(16.8)),
        (5000, true, "apply") => (Some(5.0), None),
        (5000, _, "update 10") => (Some(3.1), Some(31.2)),
        (5000, _, "update 100") => (Some(3.0), Some(30.4)),
        (5000, _, "delete") => (Some(1.5), Some(18.3)),
        (5000, _, "join bound") => (Some(3.7), Some(38.0)),
        (5000, _, "join ready") => (None, Some(42.0)),
        (5000, _, "apply cpu") => (Some(3.0), Some(31.3)),
        (5000, _, "memory, nodes only") => (None, Some(1234.0)),
        (5000, _, "memory, after apply") => (Some(200.0), Some(2099.0)),
        (5000, _, "memory, after the updates") => (Some(220.0), Some(3899.0)),
        (5000, _, "idle cpu") => (Some(8.0), None),
        (5000, _, "idle disk") => (Some(1.0), None),
        (1000, false, "apply") => (None, Some(4.6)),
        (1000, false, "update 10") => (None, Some(6.8)),
        (1000, false, "update 100") => (None, Some(6.3)),
        (1000, false, "delete") => (None, Some(3.8)),
        (1000, _, "join bound") => (None, Some(19.0)),
        (1000, _, "idle cpu") => (None, Some(19.0)),
        (1000, _, "many update") => (Some(90.0), None),
        _ => (None, None),
    }
}
