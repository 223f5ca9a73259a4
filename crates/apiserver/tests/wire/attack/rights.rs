//! The table of rights in `rights.txt`, read.

use std::collections::HashMap;

const TABLE: &str = include_str!("rights.txt");

const READ: &[&str] = &["get", "list", "watch"];
const WRITE: &[&str] = &["create", "update", "patch", "delete", "deletecollection"];
const METHODS: &[&str] = &["get", "head", "post", "put", "patch", "delete", "options"];
const TEAM: &[&str] = &["own", "near", "here"];
const SCOPES: &[&str] = &["own", "near", "far", "here", "there", "everywhere", "selected", "unselected"];
pub(crate) const ROLES: &[&str] =
    &["anonymous", "account", "reader", "editor", "owner", "controller", "node", "former", "join", "server", "gone"];

/// What the table says of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    Allowed,
    Refused,
    /// `may`: not looked at.
    Either,
}

/// A role's right: role, verb, scope (empty for paths).
type Key = (&'static str, &'static str, &'static str);

/// The table: rights by resource (`pods/log`, `daemonsets.apps`) or path.
pub(crate) struct Table(HashMap<&'static str, HashMap<Key, Right>>);

impl Table {
    pub(crate) fn read() -> Table {
        let mut blocks = HashMap::new();
        let mut open: Vec<&str> = Vec::new();
        for line in TABLE.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            match line.strip_prefix("    ") {
                None => {
                    let names = line.strip_prefix("path ").unwrap_or(line);
                    open = names.split_whitespace().collect();
                    for name in &open {
                        assert!(blocks.insert(*name, HashMap::new()).is_none(), "{name} has two blocks");
                    }
                }
                Some("nobody") => {}
                Some(row) => {
                    for (key, right) in rights(row, open[0].starts_with('/')) {
                        for name in &open {
                            blocks.get_mut(name).unwrap().insert(key, right);
                        }
                    }
                }
            }
        }
        Table(blocks)
    }

    /// `None`: the resource has no block.
    pub(crate) fn right(&self, resource: &str, role: &str, verb: &str, scope: &str) -> Option<Right> {
        let block = self.0.get(resource)?;
        let found = block.iter().find(|((r, v, s), _)| (*r, *v, *s) == (role, verb, scope));
        Some(found.map_or(Right::Refused, |(_, right)| *right))
    }

    pub(crate) fn paths(&self) -> Vec<&'static str> {
        let mut paths: Vec<_> = self.0.keys().copied().filter(|name| name.starts_with('/')).collect();
        paths.sort_unstable();
        paths
    }

    pub(crate) fn resources(&self) -> Vec<&'static str> {
        self.0.keys().copied().filter(|name| !name.starts_with('/')).collect()
    }
}

/// One line: everything that it lets in.
fn rights(row: &'static str, path: bool) -> Vec<(Key, Right)> {
    let (right, row) = row.strip_prefix("may ").map_or((Right::Allowed, row), |row| (Right::Either, row));
    let parts: Vec<&str> = row.split(" : ").collect();
    assert_eq!(parts.len(), if path { 2 } else { 3 }, "{row}");
    let roles = words(parts[0], ROLES, &[("everybody", &ROLES[1..10])]);
    let verbs = match path {
        true => words(parts[1], METHODS, &[]),
        false => words(parts[1], &[READ, WRITE].concat(), &[("read", READ), ("write", WRITE)]),
    };
    let scopes = match path {
        true => vec![""],
        false => words(parts[2], SCOPES, &[("team", TEAM), ("anywhere", SCOPES)]),
    };
    let mut all = Vec::new();
    for role in &roles {
        for verb in &verbs {
            all.extend(scopes.iter().map(|scope| ((*role, *verb, *scope), right)));
        }
    }
    all
}

/// Known words and short forms; anything else is a slip of the pen.
fn words(text: &'static str, known: &[&str], short: &[(&str, &[&'static str])]) -> Vec<&'static str> {
    let expand = |word: &'static str| match short.iter().find(|(name, _)| *name == word) {
        Some((_, words)) => words.to_vec(),
        None => {
            assert!(known.contains(&word), "{word:?} is no word of the table");
            vec![word]
        }
    };
    text.split_whitespace().flat_map(expand).collect()
}
