//! The documents of discovery: `APIVersions`, `APIGroupList`, `APIResourceList`, and
//! `APIGroupDiscoveryList`.

use everynode_common::{base64, fnv};
use serde_json::{Map, Value, json};

use super::resources::{Body, GroupVersion, Resource, Subresource};

/// The two aggregated documents.
pub(super) struct Aggregated {
    /// `/api`
    pub(super) core: Value,
    /// `/apis`
    pub(super) groups: Value,
}

/// Every path of the old form and its document.
pub(super) fn plain(versions: &[GroupVersion]) -> Vec<(String, Value)> {
    let addresses = json!([{ "clientCIDR": "0.0.0.0/0", "serverAddress": "" }]);
    let core = json!({ "kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": addresses });
    let groups: Vec<Value> = named(versions).map(group).collect();
    let list = json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups });
    let mut documents = vec![("/api".to_owned(), core), ("/apis".to_owned(), list)];
    for versions in named(versions) {
        let mut document = group(versions);
        document["kind"] = "APIGroup".into();
        document["apiVersion"] = "v1".into();
        documents.push((format!("/apis/{}", versions[0].group), document));
    }
    documents.extend(versions.iter().map(|version| (version.path(), resource_list(version))));
    documents
}

/// The versions of each group but the core one; the preferred version is the first.
fn named(versions: &[GroupVersion]) -> impl Iterator<Item = &[GroupVersion]> {
    versions.chunk_by(|a, b| a.group == b.group).filter(|versions| !versions[0].group.is_empty())
}

fn group(versions: &[GroupVersion]) -> Value {
    let entry = |version: &GroupVersion| json!({ "groupVersion": version.name(), "version": version.version });
    let all: Vec<Value> = versions.iter().map(entry).collect();
    json!({ "name": versions[0].group, "versions": all, "preferredVersion": all[0] })
}

fn resource_list(version: &GroupVersion) -> Value {
    let mut resources = Vec::new();
    for resource in &version.resources {
        resources.push(entry(resource));
        resources.extend(resource.subresources.iter().map(|sub| sub_entry(version, resource, sub)));
    }
    resources.sort_by(|a, b| a["name"].as_str().cmp(&b["name"].as_str()));
    let mut list = json!({ "kind": "APIResourceList", "groupVersion": version.name(), "resources": resources });
    // As in Kubernetes, that of the core group does not say it.
    if !version.group.is_empty() {
        list["apiVersion"] = "v1".into();
    }
    list
}

fn entry(resource: &Resource) -> Value {
    let mut entry = json!({
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.body.kind,
        "verbs": resource.verbs,
    });
    names(&mut entry, resource);
    if resource.stored {
        entry["storageVersionHash"] = storage_hash(&resource.body).into();
    }
    entry
}

fn sub_entry(version: &GroupVersion, resource: &Resource, sub: &Subresource) -> Value {
    let mut entry = json!({
        "name": format!("{}/{}", resource.plural, sub.name),
        "singularName": "",
        "namespaced": resource.namespaced,
        "kind": sub.body.kind,
        "verbs": sub.verbs,
    });
    if (&sub.body.group, &sub.body.version) != (&version.group, &version.version) {
        entry["group"] = json!(sub.body.group);
        entry["version"] = json!(sub.body.version);
    }
    entry
}

fn names(entry: &mut Value, resource: &Resource) {
    for (name, list) in [("shortNames", &resource.short_names), ("categories", &resource.categories)] {
        if !list.is_empty() {
            entry[name] = json!(list);
        }
    }
}

/// Opaque to clients: it only has to differ between kinds.
fn storage_hash(body: &Body) -> String {
    let text = format!("{}/{}/{}", body.group, body.version, body.kind);
    base64::encode(&fnv::hash_64(text.as_bytes()).to_be_bytes())
}

/// The aggregated documents in one version of their own API.
pub(super) fn aggregated(versions: &[GroupVersion], version: &str) -> Aggregated {
    let document = |of_core: bool| {
        let groups = versions.chunk_by(|a, b| a.group == b.group);
        let items: Vec<Value> =
            groups.filter(|group| group[0].group.is_empty() == of_core).map(discovered_group).collect();
        json!({
            "kind": "APIGroupDiscoveryList",
            "apiVersion": format!("apidiscovery.k8s.io/{version}"),
            "metadata": {},
            "items": items,
        })
    };
    Aggregated { core: document(true), groups: document(false) }
}

fn discovered_group(versions: &[GroupVersion]) -> Value {
    let mut metadata = Map::new();
    if !versions[0].group.is_empty() {
        metadata.insert("name".into(), json!(versions[0].group));
    }
    let entry = |version: &GroupVersion| {
        let resources: Vec<Value> = version.resources.iter().map(discovered).collect();
        json!({ "version": version.version, "resources": resources, "freshness": "Current" })
    };
    let versions: Vec<Value> = versions.iter().map(entry).collect();
    json!({ "metadata": metadata, "versions": versions })
}

fn discovered(resource: &Resource) -> Value {
    let mut entry = json!({
        "resource": resource.plural,
        "responseKind": response_kind(&resource.body),
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": resource.singular,
        "verbs": resource.verbs,
    });
    names(&mut entry, resource);
    let subresources: Vec<Value> = resource.subresources.iter().map(discovered_sub).collect();
    if !subresources.is_empty() {
        entry["subresources"] = subresources.into();
    }
    entry
}

fn discovered_sub(sub: &Subresource) -> Value {
    json!({ "subresource": sub.name, "responseKind": response_kind(&sub.body), "verbs": sub.verbs })
}

fn response_kind(body: &Body) -> Value {
    json!({ "group": body.group, "version": body.version, "kind": body.kind })
}
