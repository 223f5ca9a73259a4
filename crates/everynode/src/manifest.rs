//! Manifests: files, directories or standard input to objects.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use everynode_api::yaml;
use serde_json::Value;

/// A manifest of this size is a mistake (and more than the API server takes in one object).
const FILE_BYTES_MAX: u64 = 32 << 20;
/// Directories in directories: deeper ones are links in a circle.
const DIRECTORIES_DEPTH_MAX: usize = 32;

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

/// Reads every object of the given files and directories (`recursive`: and of the directories below
/// them), in order; `List`s are unfolded.
pub(crate) fn read_all(paths: &[PathBuf], recursive: bool) -> anyhow::Result<Vec<Document>> {
    let mut documents = Vec::new();
    for path in paths {
        for file in files(path, recursive, 0)? {
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
fn files(path: &Path, recursive: bool, depth: usize) -> anyhow::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    ensure!(depth < DIRECTORIES_DEPTH_MAX, "{} lies too deep; does a link lead in a circle?", path.display());
    let entries = std::fs::read_dir(path).with_context(|| format!("cannot read directory {}", path.display()))?;
    let mut entries: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    entries.sort();
    let mut found = Vec::new();
    for entry in entries {
        match entry.is_dir() {
            true if recursive => found.extend(files(&entry, recursive, depth + 1)?),
            false if is_manifest(&entry) => found.push(entry),
            _ => {}
        }
    }
    Ok(found)
}

fn is_manifest(file: &Path) -> bool {
    file.extension().is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|known| extension == *known))
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
    let mut documents = Vec::new();
    for (index, value) in values(text, name)?.into_iter().enumerate().filter(|(_, value)| !value.is_null()) {
        let place = format!("{name}, document {}", index + 1);
        unfold(value, &place, &mut documents)?;
    }
    Ok(documents)
}

/// JSON values one after the other, or YAML documents, as kubectl tells them apart.
fn values(text: &str, name: &str) -> anyhow::Result<Vec<Value>> {
    if !text.trim_start().starts_with('{') {
        let documents = yaml::decode_all(text).map_err(|error| anyhow::anyhow!("{name}: {error}"))?;
        return Ok(documents.into_iter().map(|document| document.value).collect());
    }
    let values: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(text).into_iter().collect();
    match values {
        Ok(mut values) => {
            values.iter_mut().for_each(yaml::shorten);
            Ok(values)
        }
        // A map of YAML may begin with a brace, too.
        Err(json) => match yaml::decode_all(text) {
            Ok(documents) => Ok(documents.into_iter().map(|document| document.value).collect()),
            Err(_) => bail!("{name}: {json}"),
        },
    }
}

fn unfold(mut value: Value, place: &str, documents: &mut Vec<Document>) -> anyhow::Result<()> {
    for field in ["apiVersion", "kind"] {
        if value[field].as_str().is_none_or(str::is_empty) {
            bail!("{place}: `{field}` is missing; every object needs apiVersion and kind");
        }
    }
    let item_kind = value["kind"].as_str().and_then(|kind| kind.strip_suffix("List")).unwrap_or_default().to_owned();
    let is_list = value["kind"].as_str().is_some_and(|kind| kind.ends_with("List")) && value["items"].is_array();
    if !is_list {
        documents.push(Document { object: value, place: place.to_owned() });
        return Ok(());
    }
    let items = value["items"].take();
    for mut item in items.as_array().into_iter().flatten().cloned() {
        // Items of a `ConfigMapList` need not say what they are; those of a plain `List` have to.
        for (field, inherited) in [("apiVersion", value["apiVersion"].clone()), ("kind", item_kind.clone().into())] {
            if !item_kind.is_empty() && item.is_object() && item[field].is_null() {
                item[field] = inherited;
            }
        }
        unfold(item, place, documents)?;
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
    fn items_of_a_typed_list_are_what_the_list_says() {
        let text = "apiVersion: v1\nkind: ConfigMapList\nitems:\n- {metadata: {name: a}}\n- {metadata: {name: b}, kind: Secret}\n";
        let documents = parse(text, "x.yaml").unwrap();
        let kinds: Vec<_> =
            documents.iter().map(|document| (document.text("apiVersion"), document.text("kind"))).collect();
        assert_eq!(kinds, [("v1", "ConfigMap"), ("v1", "Secret")]);
        let untyped = parse("apiVersion: v1\nkind: List\nitems: [{metadata: {name: a}}]\n", "x.yaml").unwrap_err();
        assert!(untyped.to_string().contains("`apiVersion` is missing"), "{untyped}");
    }

    #[test]
    fn numbers_and_keys_are_those_of_kubectl() {
        let text =
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\nmode: 0755\ngrace: 30.0\ndata: {yes: a, 010: b}\n";
        let object = parse(text, "x.yaml").unwrap().remove(0).object;
        assert_eq!((&object["mode"], object["grace"].to_string()), (&serde_json::json!(493), "30".to_owned()));
        assert_eq!(object["data"], serde_json::json!({ "true": "a", "8": "b" }));
    }

    #[test]
    fn json_objects_may_follow_each_other() {
        let one = |name: &str| {
            format!("{{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{{\"name\":\"{name}\"}},\"n\":1.0}}")
        };
        let documents = parse(&format!("{}\n{}", one("a"), one("b")), "x.json").unwrap();
        let names: Vec<_> = documents.iter().map(Document::name).collect();
        assert_eq!((names, documents[0].object["n"].to_string()), (vec!["a", "b"], "1".to_owned()));
        assert!(parse("{\"apiVersion\": \"v1\",", "x.json").unwrap_err().to_string().starts_with("x.json: "));
        assert_eq!(parse("{apiVersion: v1, kind: Pod, metadata: {name: c}}", "x").unwrap()[0].name(), "c");
    }

    #[test]
    fn a_file_with_hundreds_of_thousands_of_values_is_read() {
        let images = "1, ".repeat(300_000);
        let text = format!("apiVersion: v1\nkind: Node\nmetadata: {{name: n}}\nimages: [{images}]\n");
        assert_eq!(parse(&text, "x.yaml").unwrap().len(), 1);
    }

    #[test]
    fn directories_are_read_and_those_below_when_asked() {
        let folder = tempfile::tempdir().unwrap();
        let manifest = |name: &str| format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\n");
        std::fs::create_dir(folder.path().join("below")).unwrap();
        for (file, name) in [("b.yaml", "b"), ("a.json", "a"), ("README.md", "x"), ("below/c.yml", "c")] {
            std::fs::write(folder.path().join(file), manifest(name)).unwrap();
        }
        let names = |recursive| -> Vec<String> {
            let documents = read_all(&[folder.path().to_owned()], recursive).unwrap();
            documents.iter().map(|document| document.name().to_owned()).collect()
        };
        assert_eq!(names(false), ["a", "b"]);
        assert_eq!(names(true), ["a", "b", "c"]);
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
        let missing = read_all(&["/nonexistent/y.yaml".into()], false).unwrap_err();
        assert_eq!(missing.to_string(), "cannot open /nonexistent/y.yaml");
    }
}
