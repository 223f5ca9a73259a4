//! Compares the encoding with objects that Kubernetes keeps as JSON and as protobuf: for each file
//! `GROUP.VERSION.KIND.json` of a directory with a `.pb` of the same name (`api/testdata/HEAD` of
//! the module `k8s.io/api`). `cargo run -p everynode-protobuf --example recorded -- DIRECTORY`

#![allow(clippy::disallowed_methods, reason = "it reads files that it is given")]

use std::path::Path;

use everynode_protobuf::{Limits, from_json, kind, to_json};
use serde_json::Value;

const LIMITS: Limits = Limits { size_max: 16 << 20, depth_max: 100 };

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::args().nth(1).ok_or("the directory is missing")?;
    let (mut same, mut others) = (0, 0);
    let mut paths: Vec<_> = std::fs::read_dir(directory)?.collect::<Result<Vec<_>, _>>()?;
    paths.sort_by_key(std::fs::DirEntry::path);
    for path in paths.into_iter().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "pb")) {
        match compare(&path) {
            Ok(true) => same += 1,
            Ok(false) => others += 1,
            Err(error) => println!("{}: {error}", path.display()),
        }
    }
    println!("{same} kinds are the same in both directions; {others} are not in the table");
    Ok(())
}

/// Whether the kind is in the table; then all is as recorded.
fn compare(path: &Path) -> Result<bool, Box<dyn std::error::Error>> {
    let recorded: Value = serde_json::from_slice(&std::fs::read(path.with_extension("json"))?)?;
    let (version, name) = (recorded["apiVersion"].as_str().unwrap_or(""), recorded["kind"].as_str().unwrap_or(""));
    let Some(kind) = kind(version, name) else { return Ok(false) };
    let read = |bytes: &[u8]| -> Result<Value, Box<dyn std::error::Error>> {
        Ok(serde_json::from_slice(&to_json(bytes, LIMITS)?.json)?)
    };
    difference("", &recorded, &read(&std::fs::read(path)?)?)?;
    difference("", &recorded, &read(&from_json(version, name, kind, recorded.to_string().as_bytes())?)?)?;
    Ok(true)
}

/// The first difference between two values.
fn difference(path: &str, one: &Value, other: &Value) -> Result<(), String> {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let names: std::collections::BTreeSet<&String> = one.keys().chain(other.keys()).collect();
            let of = |members: &serde_json::Map<String, Value>, name: &String| {
                members.get(name).cloned().unwrap_or(Value::Null)
            };
            names
                .into_iter()
                .try_for_each(|name| difference(&format!("{path}.{name}"), &of(one, name), &of(other, name)))
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            one.iter().zip(other).try_for_each(|(one, other)| difference(&format!("{path}[]"), one, other))
        }
        _ if one == other => Ok(()),
        _ => Err(format!("{path}: {one} and {other}")),
    }
}
