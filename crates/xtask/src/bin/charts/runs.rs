//! The results of the benchmark, as its JSON files have them.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::Value;

/// All results of a directory, by the number of nodes.
pub(crate) struct Runs(Vec<Run>);

pub(crate) struct Run {
    path: PathBuf,
    pub(crate) nodes: f64,
    pub(crate) per_node: bool,
    /// Of another cluster.
    pub(crate) is_peer: bool,
    pub(crate) is_growth: bool,
    pub(crate) is_round: bool,
    measures: Vec<Measure>,
}

struct Measure {
    key: String,
    median: f64,
    values: Vec<f64>,
}

impl Runs {
    pub(crate) fn read(directory: &Path) -> anyhow::Result<Runs> {
        let mut runs = Vec::new();
        for entry in std::fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                let text = std::fs::read(&path)?;
                let json = serde_json::from_slice(&text).with_context(|| format!("{} is no JSON", path.display()))?;
                runs.push(Run::new(path, &json));
            }
        }
        runs.sort_by(|one, other| one.nodes.total_cmp(&other.nodes));
        Ok(Runs(runs))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Run> {
        self.0.iter()
    }

    /// The figures lie beside the pictures of them.
    pub(crate) fn copy_to(&self, directory: &Path) -> anyhow::Result<()> {
        for run in &self.0 {
            let name = run.path.file_name().unwrap_or_default();
            let copy = directory.join(name);
            if std::fs::canonicalize(&run.path)? != std::fs::canonicalize(directory)?.join(name) {
                std::fs::copy(&run.path, &copy).with_context(|| format!("cannot write {}", copy.display()))?;
            }
        }
        Ok(())
    }
}

impl Run {
    fn new(path: PathBuf, json: &Value) -> Run {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let (is_peer, name) = match name.strip_prefix("peer-") {
            Some(rest) => (true, rest),
            None => (false, name.as_str()),
        };
        let (is_growth, is_round) = (name.starts_with("growth-"), name.starts_with("fleet-"));
        let measures = json["measures"].as_array().into_iter().flatten().map(Measure::new).collect();
        let (nodes, per_node) = (json["nodes"].as_f64().unwrap_or(0.0), json["watchPerNode"] == true);
        Run { nodes, per_node, is_peer, is_growth, is_round, measures, path }
    }

    fn measure(&self, key: &str) -> Option<&Measure> {
        self.measures.iter().find(|measure| measure.key == key)
    }

    pub(crate) fn median(&self, key: &str) -> Option<f64> {
        self.measure(key).map(|measure| measure.median)
    }

    pub(crate) fn values(&self, key: &str) -> &[f64] {
        self.measure(key).map_or(&[], |measure| &measure.values)
    }
}

impl Measure {
    fn new(json: &Value) -> Measure {
        Measure {
            key: json["key"].as_str().unwrap_or_default().into(),
            median: json["median"].as_f64().unwrap_or(0.0),
            values: json["values"].as_array().into_iter().flatten().filter_map(Value::as_f64).collect(),
        }
    }
}
