//! As much of Go as the files with Kubernetes' types need: imports, types, field tags.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};

/// The types of a package.
pub struct Package {
    pub group: String,
    pub structs: BTreeMap<String, Struct>,
    /// What types that are no structs stand for.
    pub aliases: BTreeMap<String, String>,
    /// Paths by the name under which a file imports them.
    imports: BTreeMap<String, String>,
}

#[derive(Default)]
pub struct Struct {
    /// It has an apiVersion and a kind.
    pub is_kind: bool,
    pub members: Vec<Member>,
}

pub struct Member {
    pub json_name: String,
    pub number: u32,
    /// The Go type, without the star of a pointer.
    pub kind: String,
    pub is_pointer: bool,
    pub is_inline: bool,
    pub omits_empty: bool,
}

impl Package {
    /// Reads the Go files of a directory that are not generated.
    pub fn read(directory: &Path, group: &str) -> Result<Package> {
        let mut package = Package {
            group: group.to_owned(),
            structs: BTreeMap::new(),
            aliases: BTreeMap::new(),
            imports: BTreeMap::new(),
        };
        for entry in std::fs::read_dir(directory)? {
            let path = entry?.path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if name.ends_with(".go") && !name.ends_with("_test.go") && !name.contains("generated") {
                package.file(&std::fs::read_to_string(&path)?).with_context(|| name)?;
            }
        }
        Ok(package)
    }

    /// The names of the kinds. Those without numbers, as tables, have no form in protobuf.
    pub fn kinds(&self) -> impl Iterator<Item = &String> {
        let kinds = self.structs.iter().filter(|(_, found)| found.is_kind && !found.members.is_empty());
        kinds.map(|(name, _)| name)
    }

    /// The path of the package that goes by this name here.
    pub fn imported(&self, alias: &str) -> Result<&str> {
        self.imports.get(alias).map(String::as_str).with_context(|| format!("no import {alias}"))
    }

    fn file(&mut self, text: &str) -> Result<()> {
        let mut open: Option<(String, Struct)> = None;
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match (&mut open, words.as_slice()) {
                (Some((_, found)), _) if !line.starts_with('}') => found.line(line, &words)?,
                (Some(_), _) => {
                    if let Some((name, found)) = open.take() {
                        self.structs.insert(name, found);
                    }
                }
                (None, ["type", name, "struct", "{"]) => open = Some(((*name).to_owned(), Struct::default())),
                (None, ["type", name, "struct{}"]) => {
                    self.structs.insert((*name).to_owned(), Struct::default());
                }
                (None, ["type", name, kind]) => {
                    self.aliases.insert((*name).to_owned(), (*kind).to_owned());
                }
                (None, [.., path]) if path.starts_with('"') && path.ends_with('"') => self.import(&words, path),
                (None, _) => {}
            }
        }
        Ok(())
    }

    fn import(&mut self, words: &[&str], path: &str) {
        let path = path.trim_matches('"');
        let name = match words {
            [name, _] if *name != "import" => name,
            _ => path.rsplit('/').next().unwrap_or(path),
        };
        self.imports.insert(name.to_owned(), path.to_owned());
    }
}

impl Struct {
    fn line(&mut self, line: &str, words: &[&str]) -> Result<()> {
        if words.first().is_some_and(|word| word.ends_with("TypeMeta")) {
            self.is_kind = true;
        }
        let (Some(json), Some(tag)) = (tag(line, "json"), tag(line, "protobuf")) else { return Ok(()) };
        if line.trim_start().starts_with("//") {
            return Ok(());
        }
        let Some(number) = tag.split(',').find_map(|part| part.parse().ok()) else { return Ok(()) };
        let kind = if words[1].starts_with('`') { words[0] } else { words[1] };
        self.members.push(Member {
            json_name: json.split(',').next().unwrap_or_default().to_owned(),
            number,
            kind: kind.trim_start_matches('*').to_owned(),
            is_pointer: kind.starts_with('*'),
            is_inline: json.starts_with(",inline"),
            omits_empty: json.contains("omitempty"),
        });
        Ok(())
    }
}

fn tag<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let start = line.find(&format!("{name}:\""))? + name.len() + 2;
    line[start..].split('"').next()
}
