//! Writes the message table of `crates/protobuf` from the Go types of Kubernetes.
//!
//! The field tags of those types say everything that the table holds: the name in JSON, the number
//! on the wire, whether a zero is written. Run it from the workspace's root on a directory that
//! holds `api`, `apimachinery` and `apiextensions-apiserver` as Go modules (Debian has them in
//! `golang-k8s-api-dev` and two packages of such names, below `/usr/share/gocode/src/k8s.io`):
//! `cargo run -p xtask --bin messages -- DIRECTORY`. The table's notation is explained in
//! `crates/protobuf/src/table.rs`.

mod go;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, bail};

use go::{Member, Package};

const TABLE: &str = "crates/protobuf/src/messages.txt";

/// Packages whose kinds are in the table: short name, directory, group.
const PACKAGES: &[(&str, &str, &str)] = &[
    ("admissionregistration.v1", "api/admissionregistration/v1", "admissionregistration.k8s.io"),
    ("apiextensions.v1", "apiextensions-apiserver/pkg/apis/apiextensions/v1", "apiextensions.k8s.io"),
    ("apps.v1", "api/apps/v1", "apps"),
    ("authentication.v1", "api/authentication/v1", "authentication.k8s.io"),
    ("authorization.v1", "api/authorization/v1", "authorization.k8s.io"),
    ("autoscaling.v1", "api/autoscaling/v1", "autoscaling"),
    ("certificates.v1", "api/certificates/v1", "certificates.k8s.io"),
    ("coordination.v1", "api/coordination/v1", "coordination.k8s.io"),
    ("core.v1", "api/core/v1", ""),
    ("discovery.v1", "api/discovery/v1", "discovery.k8s.io"),
    ("events.v1", "api/events/v1", "events.k8s.io"),
    ("flowcontrol.v1", "api/flowcontrol/v1", "flowcontrol.apiserver.k8s.io"),
    ("meta.v1", "apimachinery/pkg/apis/meta/v1", "meta.k8s.io"),
    ("networking.v1", "api/networking/v1", "networking.k8s.io"),
    ("node.v1", "api/node/v1", "node.k8s.io"),
    ("policy.v1", "api/policy/v1", "policy"),
    ("rbac.v1", "api/rbac/v1", "rbac.authorization.k8s.io"),
    ("resource.v1", "api/resource/v1", "resource.k8s.io"),
    ("scheduling.v1", "api/scheduling/v1", "scheduling.k8s.io"),
    ("storage.v1", "api/storage/v1", "storage.k8s.io"),
];

/// The types of the aggregator, which is in none of the three modules. The numbers are those of its
/// published interface definition.
const AGGREGATOR: &str = "\
apiregistration.v1.APIService apiregistration.k8s.io/v1 metadata=1:@meta.v1.ObjectMeta spec=2:@apiregistration.v1.APIServiceSpec status=3:@apiregistration.v1.APIServiceStatus
apiregistration.v1.APIServiceCondition - type=1:s! status=2:s! lastTransitionTime=3:t reason=4:s message=5:s
apiregistration.v1.APIServiceList apiregistration.k8s.io/v1 metadata=1:@meta.v1.ListMeta items=2:[]@apiregistration.v1.APIService
apiregistration.v1.APIServiceSpec - service=1:@apiregistration.v1.ServiceReference group=2:s version=3:s insecureSkipTLSVerify=4:b caBundle=5:y groupPriorityMinimum=7:i! versionPriority=8:i!
apiregistration.v1.APIServiceStatus - conditions=1:[]@apiregistration.v1.APIServiceCondition
apiregistration.v1.ServiceReference - namespace=1:s name=2:s port=3:i!
";

/// A watch event has no apiVersion of its own, so nothing marks it as a kind.
const FURTHER_KINDS: &[&str] = &["meta.v1.WatchEvent", "meta.v1.Preconditions"];

fn main() -> Result<()> {
    let directory = std::env::args().nth(1).context("the directory of the Go modules is missing")?;
    let table = table(Path::new(&directory))?;
    std::fs::write(TABLE, table).with_context(|| format!("writing {TABLE}"))
}

fn table(directory: &Path) -> Result<String> {
    let read = |(short, path, group): &(&'static str, &str, &str)| {
        Ok((*short, Package::read(&directory.join(path), group).with_context(|| (*path).to_owned())?))
    };
    let packages: BTreeMap<&str, Package> = PACKAGES.iter().map(read).collect::<Result<_>>()?;
    let mut lines: BTreeMap<String, String> = BTreeMap::new();
    let mut left: BTreeSet<String> = FURTHER_KINDS.iter().map(|name| (*name).to_owned()).collect();
    for (short, package) in &packages {
        left.extend(package.kinds().map(|name| format!("{short}.{name}")));
    }
    while let Some(name) = left.pop_first() {
        let line = message(&packages, &name).with_context(|| name.clone())?;
        let found = line.split(['@', '?', ' ', '!']).filter(|word| is_message(&packages, word));
        left.extend(found.filter(|found| !lines.contains_key(*found) && *found != name).map(str::to_owned));
        lines.insert(name, line);
    }
    for line in AGGREGATOR.lines() {
        lines.insert(line.split(' ').next().unwrap_or_default().to_owned(), line.to_owned());
    }
    Ok(lines.into_values().map(|line| line + "\n").collect())
}

fn is_message(packages: &BTreeMap<&str, Package>, word: &str) -> bool {
    let Some((short, name)) = word.rsplit_once('.') else { return false };
    packages.get(short).is_some_and(|package| package.structs.contains_key(name))
}

/// The line of a message.
fn message(packages: &BTreeMap<&str, Package>, name: &str) -> Result<String> {
    let (short, own) = name.rsplit_once('.').context("a name without its package")?;
    let package = packages.get(short).context("an unknown package")?;
    let version = match package.structs.get(own).is_some_and(|found| found.is_kind) {
        true if package.group.is_empty() => "v1".to_owned(),
        true => format!("{}/v1", package.group),
        false => "-".to_owned(),
    };
    let mut line = format!("{name} {version}");
    members(packages, short, own, "", &mut line)?;
    Ok(line)
}

/// Appends the members of a struct, those of structs that are inlined with the number of the field
/// that holds them before their own.
fn members(packages: &BTreeMap<&str, Package>, short: &str, own: &str, outer: &str, line: &mut String) -> Result<()> {
    let package = packages.get(short).with_context(|| format!("an unknown package: {short}"))?;
    let found = package.structs.get(own).with_context(|| format!("no struct {own} in {short}"))?;
    for member in &found.members {
        if member.is_inline {
            members(packages, short, &member.kind, &format!("{outer}{}.", member.number), line)?;
            continue;
        }
        let kind = kind(packages, short, &member.kind).with_context(|| member.json_name.clone())?;
        let kept = if is_kept(member, &kind) { "!" } else { "" };
        write!(line, " {}={outer}{}:{kind}{kept}", member.json_name, member.number)?;
    }
    Ok(())
}

/// Whether a zero that was written says something: pointers, and what Go always writes.
fn is_kept(member: &Member, kind: &str) -> bool {
    let scalar = matches!(kind, "s" | "i" | "b" | "d" | "y" | "n" | "B");
    scalar && (member.is_pointer || (!member.omits_empty && kind != "n"))
}

/// The notation of a Go type as it is seen from a package.
fn kind(packages: &BTreeMap<&str, Package>, short: &str, go: &str) -> Result<String> {
    let go = go.trim_start_matches('*');
    if go == "[]byte" {
        return Ok("y".into());
    }
    if let Some(item) = go.strip_prefix("[]") {
        return Ok(format!("[]{}", kind(packages, short, item)?));
    }
    if let Some((_, value)) = go.strip_prefix("map[").and_then(|rest| rest.split_once(']')) {
        return Ok(format!("{{}}{}", kind(packages, short, value)?));
    }
    let package = &packages[short];
    let (short, name) = match go.split_once('.') {
        None => (short, go),
        Some((alias, name)) => match package.imported(alias)? {
            "k8s.io/apimachinery/pkg/apis/meta/v1" => ("meta.v1", name),
            "k8s.io/api/core/v1" => ("core.v1", name),
            "k8s.io/apimachinery/pkg/types" => return Ok("s".into()),
            path => return special(path.rsplit('/').next().unwrap_or_default(), name),
        },
    };
    if let Ok(found) = scalar(name).map_or_else(|| special(short, name), |found| Ok(found.to_owned())) {
        return Ok(found);
    }
    match packages[short].aliases.get(name) {
        Some(alias) => kind(packages, short, alias),
        None => Ok(format!("@{short}.{name}")),
    }
}

fn scalar(go: &str) -> Option<&'static str> {
    Some(match go {
        "string" => "s",
        "int" | "int32" | "int64" => "i",
        "bool" => "b",
        "float64" => "d",
        _ => return None,
    })
}

/// Types with a form of their own in JSON.
fn special(package: &str, name: &str) -> Result<String> {
    let found = match (package, name) {
        ("meta.v1", "Time") => "t",
        ("meta.v1", "MicroTime") => "u",
        ("meta.v1", "FieldsV1") | ("runtime", "RawExtension") | ("apiextensions.v1", "JSON") => "a",
        ("resource", "Quantity") => "q",
        ("intstr", "IntOrString") => "n",
        ("meta.v1", "Verbs") | (_, "ExtraValue") => "w",
        ("apiextensions.v1", "JSONSchemaPropsOrArray") => "A@apiextensions.v1.JSONSchemaProps",
        ("apiextensions.v1", "JSONSchemaPropsOrBool") => "B@apiextensions.v1.JSONSchemaProps",
        ("apiextensions.v1", "JSONSchemaPropsOrStringArray") => "S@apiextensions.v1.JSONSchemaProps",
        _ => bail!("no form for {package}.{name}"),
    };
    Ok(found.to_owned())
}
