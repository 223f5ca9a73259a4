//! Manifests: files, directories or standard input to objects.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

/// A manifest of this size is a mistake (and more than the API server takes in one object).
const FILE_BYTES_MAX: u64 = 32 << 20;

/// One object of a manifest, and where it stands, for error messages.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Document {
    pub(crate) object: Value,
    /// `FILE, document N`
    pub(crate) place: String,
}

impl Document {
    pub(crate) fn text(&self, field: &str) -> &str {
        self.object[field].as_str().unwrap_or_default()
    }

    pub(crate) fn name(&self) -> &str {
        self.object["metadata"]["name"].as_str().unwrap_or_default()
    }
}

/// Reads every object of the given files and directories, in order; `List`s are unfolded.
pub(crate) fn read_all(paths: &[PathBuf]) -> anyhow::Result<Vec<Document>> {
    let mut documents = Vec::new();
    for path in paths {
        for file in files(path)? {
            documents.extend(read_file(&file)?);
        }
    }
    ensure!(
        !documents.is_empty(),
        "no objects in {}",
        paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
    );
    Ok(documents)
}

/// A file itself; of a directory its manifests, sorted by name.
fn files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path).with_context(|| format!("cannot read directory {}", path.display()))?;
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|file| {
        file.extension().is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|known| extension == *known))
    });
    files.sort();
    Ok(files)
}

fn read_file(path: &Path) -> anyhow::Result<Vec<Document>> {
    let mut text = String::new();
    if path == Path::new("-") {
        std::io::stdin().take(FILE_BYTES_MAX).read_to_string(&mut text).context("cannot read standard input")?;
        return parse(&text, "standard input");
    }
    let name = path.display().to_string();
    let file = std::fs::File::open(path).with_context(|| format!("cannot open {name}"))?;
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).with_context(|| format!("cannot read {name}"))?;
    parse(&text, &name)
}

fn parse(text: &str, name: &str) -> anyhow::Result<Vec<Document>> {
    let values: Vec<Value> = match serde_json::from_str(text) {
        Ok(value) => vec![value],
        Err(_) => serde_saphyr::from_multiple(text).map_err(|error| anyhow::anyhow!("{name}: {error}"))?,
    };
    let mut documents = Vec::new();
    for (index, value) in values.into_iter().enumerate().filter(|(_, value)| !value.is_null()) {
        let place = format!("{name}, document {}", index + 1);
        unfold(value, &place, &mut documents)?;
    }
    Ok(documents)
}

fn unfold(mut value: Value, place: &str, documents: &mut Vec<Document>) -> anyhow::Result<()> {
    for field in ["apiVersion", "kind"] {
        if value[field].as_str().is_none_or(str::is_empty) {
            bail!("{place}: `{field}` is missing; every object needs apiVersion and kind");
        }
    }
    let is_list = value["kind"].as_str().is_some_and(|kind| kind.ends_with("List")) && value["items"].is_array();
    if !is_list {
        documents.push(Document { object: value, place: place.to_owned() });
        return Ok(());
    }
    let items = value["items"].take();
    for item in items.as_array().into_iter().flatten() {
        unfold(item.clone(), place, documents)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_lists_and_blanks() {
        let text = "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\n---\napiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: b}}\n";
        let documents = parse(text, "x.yaml").unwrap();
        let names: Vec<_> = documents.iter().map(|document| (document.text("kind"), document.name())).collect();
        assert_eq!(names, [("Namespace", "a"), ("Pod", "b")]);
    }

    #[test]
    fn errors_name_the_place() {
        assert!(
            parse("kind: Pod\n", "x.yaml")
                .unwrap_err()
                .to_string()
                .starts_with("x.yaml, document 1: `apiVersion` is missing")
        );
        assert!(parse("a: [", "x.yaml").unwrap_err().to_string().starts_with("x.yaml: "));
        let missing = read_all(&["/nonexistent/y.yaml".into()]).unwrap_err();
        assert_eq!(missing.to_string(), "cannot open /nonexistent/y.yaml");
    }
}
