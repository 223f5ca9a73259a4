//! Medians beside what they are compared with.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Value, json};

use crate::aims::{Run, aim, peer};
use crate::process::Process;
use crate::stats::quantile;

/// From so many values on, the tail has lines of its own.
const TAIL_VALUES_MIN: usize = 10;

/// What was measured, in the order of its first measure.
#[derive(Debug, Default)]
pub(crate) struct Measures {
    all: Vec<Measure>,
    /// What another cluster needed for the same, by key; it stands in for stock Kubernetes' known
    /// figures.
    beside: Option<BTreeMap<String, f64>>,
}

#[derive(Debug)]
struct Measure {
    key: String,
    title: String,
    unit: String,
    values: Vec<f64>,
}

impl Measures {
    /// Compares with the results of the same scenario, as [`Measures::json`] wrote them.
    pub(crate) fn compare_with(&mut self, results: &Value) {
        let mut beside = BTreeMap::new();
        for measure in results["measures"].as_array().into_iter().flatten() {
            let key = measure["key"].as_str().unwrap_or_default();
            for (figure, suffix) in [("median", ""), ("p90", " p90"), ("p99", " p99")] {
                if let Some(value) = measure[figure].as_f64() {
                    beside.insert(format!("{key}{suffix}"), value);
                }
            }
        }
        self.beside = Some(beside);
    }

    fn peer(&self, key: &str, run: Run) -> Option<f64> {
        match &self.beside {
            Some(beside) => beside.get(key).copied(),
            None => peer(key, run),
        }
    }

    pub(crate) fn add(&mut self, key: &str, title: &str, unit: &str, value: f64) {
        eprintln!("{title}: {value:.3} {unit}");
        match self.all.iter_mut().find(|measure| measure.key == key) {
            Some(measure) => measure.values.push(value),
            None => {
                let (key, title, unit) = (key.to_owned(), title.to_owned(), unit.to_owned());
                self.all.push(Measure { key, title, unit, values: vec![value] });
            }
        }
    }

    /// CPU seconds; nothing where it is not known whose.
    pub(crate) fn add_cpu(&mut self, key: &str, title: &str, seconds: f64, processes: &[Process]) {
        if !processes.is_empty() {
            self.add(key, title, "s", seconds);
        }
    }

    /// Resident memory of all processes together, and the most that it was.
    pub(crate) fn add_memory(&mut self, title: &str, processes: &[Process]) {
        if processes.is_empty() {
            return;
        }
        let peak = processes.iter().map(Process::peak_mib).sum();
        self.add(title, title, "MiB", processes.iter().map(Process::resident_mib).sum());
        self.add(&format!("{title} peak"), &format!("{title}, peak so far"), "MiB", peak);
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
        let _ = writeln!(
            text,
            "{:50} {:>10} {:>9} {:>9} {:>4} {:>12} {:>11} {:>7}",
            "measure",
            "median",
            "min",
            "max",
            "n",
            "aim",
            if self.beside.is_some() { "the other" } else { "Kubernetes" },
            "ratio"
        );
        for measure in &self.all {
            let line = measure.line(&measure.title, 0.5, aim(&measure.key, run), self.peer(&measure.key, run));
            let _ = writeln!(text, "{line}");
            if measure.values.len() >= TAIL_VALUES_MIN {
                for (word, share) in [("p90", 0.9), ("p99", 0.99)] {
                    let (key, title) = (format!("{} {word}", measure.key), format!("  {word}"));
                    let line = measure.line(&title, share, aim(&key, run), self.peer(&key, run));
                    let _ = writeln!(text, "{line}");
                }
            }
        }
        text
    }

    pub(crate) fn json(&self, run: Run, report: &Value) -> Value {
        let measures = self.all.iter().map(|measure| {
            let (key, at) = (&measure.key, |share| quantile(&measure.values, share));
            json!({
                "key": key, "title": measure.title, "unit": measure.unit, "values": measure.values,
                "median": at(0.5), "p90": at(0.9), "p99": at(0.99), "min": at(0.0), "max": at(1.0),
                "aim": aim(key, run), "kubernetes": self.peer(key, run),
            })
        });
        json!({
            "scenario": format!("{:?}", run.scenario).to_lowercase(),
            "nodes": run.nodes, "watchPerNode": run.per_node,
            "measures": measures.collect::<Vec<_>>(),
            "hollow": report,
        })
    }
}

impl Measure {
    fn line(&self, title: &str, share: f64, aim: Option<f64>, peer: Option<f64>) -> String {
        let value = quantile(&self.values, share);
        let none = || "–".to_owned();
        let aim = aim.map_or_else(none, |aim| {
            let word = if value <= aim { "met" } else { "missed" };
            format!("{aim} {word}")
        });
        let ratio = peer.filter(|_| value > 0.0).map_or_else(none, |peer| format!("{:.1}×", peer / value));
        format!(
            "{title:50} {value:>10.3} {:>9.3} {:>9.3} {:>4} {aim:>12} {:>11} {ratio:>7}  {}",
            quantile(&self.values, 0.0),
            quantile(&self.values, 1.0),
            self.values.len(),
            peer.map_or_else(none, |peer| format!("{}", (peer * 1000.0).round() / 1000.0)),
            self.unit,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scenario;

    #[test]
    fn a_measure_is_shown_with_its_aim_and_its_peer() {
        let run = Run { nodes: 5000, per_node: false, scenario: Scenario::Round };
        let mut measures = Measures::default();
        [1.0, 1.6, 4.0].iter().for_each(|value| measures.add("apply", "apply → all ready", "s", *value));
        (0..100).for_each(|ms| measures.add("join bound", "one more node", "ms", f64::from(ms)));
        let text = measures.text(run);
        let words = |start: &str| -> Vec<String> {
            let line = text.lines().find(|line| line.starts_with(start)).unwrap();
            line[start.len()..].split_whitespace().map(str::to_owned).collect()
        };
        assert_eq!(words("apply → all ready"), ["1.600", "1.000", "4.000", "3", "1.7", "met", "16.8", "10.5×", "s"]);
        assert_eq!(words("  p99")[..6], ["98.000", "0.000", "99.000", "100", "15", "missed"]);
        let json = measures.json(run, &Value::Null);
        assert_eq!(json["measures"][0]["median"], 1.6);
        // Beside another cluster's results its figures are the peer's.
        let mut ours = Measures::default();
        ours.add("apply", "apply → all ready", "s", 0.4);
        ours.compare_with(&json);
        assert!(
            ours.text(run).lines().any(|line| line.contains(" 1.6 ") && line.contains(" 4.0× ")),
            "{}",
            ours.text(run)
        );
    }
}
