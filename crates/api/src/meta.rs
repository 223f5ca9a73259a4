//! Typed object metadata: the part of every object that controllers decide by.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// `namespace/name`, or just `name` for cluster-scoped kinds. Orders by namespace, then name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Key {
    /// Empty for cluster-scoped objects.
    pub namespace: Arc<str>,
    pub name: Arc<str>,
}

impl Key {
    pub fn new(namespace: &str, name: &str) -> Self {
        Key { namespace: namespace.into(), name: name.into() }
    }

    /// The key of a cluster-scoped object.
    pub fn cluster(name: &str) -> Self {
        Key::new("", name)
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.namespace.as_ref() {
            "" => f.write_str(&self.name),
            namespace => write!(f, "{namespace}/{}", self.name),
        }
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// A small sorted map of strings: labels, annotations, selectors. Compact in memory (all text is in
/// one place), and cheap to share: the pods of one revision have the same labels, and what was
/// found out about one is known of all.
#[derive(Clone, Default)]
pub struct Labels(Option<Arc<Entries>>);

/// Not empty.
#[derive(PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Entries {
    /// Key, value, key, value …
    text: Box<str>,
    /// Where each piece of `text` ends.
    ends: Box<[u32]>,
}

impl Entries {
    fn len(&self) -> usize {
        self.ends.len() / 2
    }

    fn piece(&self, index: usize) -> &str {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.text[start as usize..self.ends[index] as usize]
    }

    fn get(&self, key: &str) -> Option<&str> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = (low + high) / 2;
            match self.piece(2 * middle).cmp(key) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return Some(self.piece(2 * middle + 1)),
            }
        }
        None
    }
}

impl Labels {
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.as_ref()?.get(key)
    }

    /// `entries` in key order, each key once.
    fn of_sorted(entries: &BTreeMap<impl AsRef<str>, impl AsRef<str>>) -> Self {
        if entries.is_empty() {
            return Labels::default();
        }
        let size = entries.iter().map(|(key, value)| key.as_ref().len() + value.as_ref().len()).sum();
        let (mut text, mut ends) = (String::with_capacity(size), Vec::with_capacity(2 * entries.len()));
        for (key, value) in entries {
            for piece in [key.as_ref(), value.as_ref()] {
                text.push_str(piece);
                // An object has at most a few MiB (DS-I46).
                ends.push(u32::try_from(text.len()).unwrap_or(u32::MAX));
            }
        }
        Labels(Some(Arc::new(Entries { text: text.into(), ends: ends.into() })))
    }

    /// Takes over the memory of `other` if it says the same.
    pub fn share(&mut self, other: &Labels) {
        if self == other {
            *self = other.clone();
        }
    }

    /// The same in memory: a cheap way to know that they are equal. The other way round it tells
    /// nothing.
    pub fn is_shared_with(&self, other: &Labels) -> bool {
        match (&self.0, &other.0) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        }
    }

    pub fn contains_key(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// In key order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> + '_ {
        let piece = |index| self.0.as_ref().map_or("", |entries| entries.piece(index));
        (0..self.len()).map(move |index| (piece(2 * index), piece(2 * index + 1)))
    }

    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |entries| entries.len())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// A copy with one entry set.
    #[must_use]
    pub fn with(&self, key: &str, value: &str) -> Self {
        self.iter().filter(|(k, _)| *k != key).chain([(key, value)]).collect()
    }
}

impl PartialEq for Labels {
    fn eq(&self, other: &Self) -> bool {
        self.is_shared_with(other) || self.0 == other.0
    }
}

impl Eq for Labels {}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

impl std::hash::Hash for Labels {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Labels {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(entries: I) -> Self {
        Labels::of_sorted(&entries.into_iter().collect::<BTreeMap<_, _>>())
    }
}

impl FromIterator<(String, String)> for Labels {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(entries: I) -> Self {
        Labels::of_sorted(&entries.into_iter().collect::<BTreeMap<_, _>>())
    }
}

impl std::fmt::Debug for Labels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Serialize for Labels {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LabelsVisitor;
        impl<'de> Visitor<'de> for LabelsVisitor {
            type Value = Labels;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a map of strings")
            }
            fn visit_unit<E>(self) -> Result<Labels, E> {
                Ok(Labels::default())
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Labels, A::Error> {
                let mut entries: Vec<(String, String)> = Vec::new();
                while let Some(entry) = map.next_entry::<String, Option<String>>()? {
                    entries.push((entry.0, entry.1.unwrap_or_default()));
                }
                Ok(entries.into_iter().collect())
            }
        }
        deserializer.deserialize_any(LabelsVisitor)
    }
}

/// `metadata.ownerReferences[]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OwnerReference {
    pub api_version: Box<str>,
    pub kind: Box<str>,
    pub name: Box<str>,
    pub uid: Box<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub controller: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_owner_deletion: Option<bool>,
}

/// `metadata` of any object. Fields that no decision needs are not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Meta {
    pub name: Arc<str>,
    pub namespace: Arc<str>,
    pub uid: Arc<str>,
    /// Comparable as an integer by the contract of Kubernetes 1.35 (DS-I45); 0 when absent.
    #[serde(deserialize_with = "revision")]
    pub resource_version: u64,
    pub generation: i64,
    pub creation_timestamp: Option<Timestamp>,
    pub deletion_timestamp: Option<Timestamp>,
    pub deletion_grace_period_seconds: Option<i64>,
    pub labels: Labels,
    pub annotations: Labels,
    #[serde(deserialize_with = "null_default")]
    pub owner_references: Arc<[OwnerReference]>,
    #[serde(deserialize_with = "null_default")]
    pub finalizers: Vec<Box<str>>,
    /// When another program than everynode and kubectl last wrote more of the status than
    /// conditions, which every program may write, as far as `managedFields` tells; `None` on
    /// servers that keep none.
    #[serde(rename = "managedFields", deserialize_with = "others_status_write")]
    pub others_status_write: Option<Timestamp>,
}

impl Meta {
    pub fn key(&self) -> Key {
        Key { namespace: self.namespace.clone(), name: self.name.clone() }
    }

    /// The one owner reference with `controller: true` (DS-C10).
    pub fn controller(&self) -> Option<&OwnerReference> {
        self.owner_references.iter().find(|owner| owner.controller == Some(true))
    }

    /// Whether both are one object's, with the same owners.
    pub fn relates_like(&self, other: &Meta) -> bool {
        self.uid == other.uid && self.owner_references == other.owner_references
    }

    pub fn is_terminating(&self) -> bool {
        self.deletion_timestamp.is_some()
    }

    /// Takes over the memory of `other` for what says the same in both.
    pub fn share(&mut self, other: &Meta) {
        share(&mut self.namespace, &other.namespace);
        self.labels.share(&other.labels);
        self.annotations.share(&other.annotations);
        share(&mut self.owner_references, &other.owner_references);
    }
}

/// Takes over the memory of `other` if it is the same.
pub(crate) fn share<T: PartialEq + ?Sized>(own: &mut Arc<T>, other: &Arc<T>) {
    if !Arc::ptr_eq(own, other) && **own == **other {
        *own = other.clone();
    }
}

/// Reads `null` as the type's default, as Go's decoder does.
pub fn null_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// The latest time in `managedFields` at which a stranger wrote subresource `status`, conditions
/// left aside.
fn others_status_write<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Entry {
        manager: Box<str>,
        subresource: Box<str>,
        time: Option<Timestamp>,
        #[serde(rename = "fieldsV1", deserialize_with = "null_default")]
        fields: Fields,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Fields {
        #[serde(rename = "f:status", deserialize_with = "null_default")]
        status: BTreeMap<Box<str>, IgnoredAny>,
    }
    let entries = Option::<Vec<Entry>>::deserialize(deserializer)?.unwrap_or_default();
    let ours = |entry: &Entry| ["everynode", "kubectl"].iter().any(|name| entry.manager.starts_with(name));
    let only_conditions = |entry: &Entry| {
        let fields = &entry.fields.status;
        !fields.is_empty() && fields.keys().all(|field| matches!(field.as_ref(), "f:conditions" | "."))
    };
    let strange = entries.iter().filter(|entry| entry.subresource.as_ref() == "status" && !ours(entry));
    let strange = strange.filter(|entry| !only_conditions(entry));
    Ok(strange.filter_map(|entry| entry.time).max())
}

fn revision<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = Option::<std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
    Ok(text.and_then(|text| text.parse().ok()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_metadata_with_nulls() {
        let meta: Meta = serde_json::from_str(
            r#"{"name":"a","resourceVersion":"12","labels":{"b":"2","a":"1"},"ownerReferences":null,
                "creationTimestamp":"2026-01-02T03:04:05Z","unknown":[1]}"#,
        )
        .unwrap();
        assert_eq!((meta.resource_version, meta.labels.get("a"), meta.labels.get("c")), (12, Some("1"), None));
        assert_eq!(meta.labels.iter().map(|(k, _)| k).collect::<Vec<_>>(), ["a", "b"]);
        assert!(meta.controller().is_none() && !meta.is_terminating());
    }

    #[test]
    fn labels_are_a_sorted_map() {
        let labels: Labels = [("b", "2"), ("", ""), ("a\0", "é"), ("b", "3")].into_iter().collect();
        assert_eq!(labels.iter().collect::<Vec<_>>(), [("", ""), ("a\0", "é"), ("b", "3")]);
        assert_eq!((labels.get("b"), labels.get(""), labels.get("c"), labels.len()), (Some("3"), Some(""), None, 3));
        assert_eq!(labels.with("a", "1").get("a"), Some("1"));
        assert_ne!([("ab", "c")].into_iter().collect::<Labels>(), [("a", "bc")].into_iter().collect());
        assert!(Labels::default().is_empty() && Labels::default().get("a").is_none());
    }

    #[test]
    fn reads_who_else_wrote_the_status() {
        let meta: Meta = serde_json::from_str(
            r#"{"managedFields":[
                {"manager":"everynode","subresource":"status","time":"2026-01-03T00:00:00Z","fieldsV1":{"f:status":{}}},
                {"manager":"kubectl-edit","subresource":"status","time":"2026-01-03T00:00:00Z"},
                {"manager":"python","subresource":"status","time":"2026-01-05T00:00:00Z",
                    "fieldsV1":{"f:status":{"f:conditions":{".":{},"k:{\"type\":\"X\"}":{}}}}},
                {"manager":"kube-controller-manager","subresource":"status","time":"2026-01-02T00:00:00Z"},
                {"manager":"kube-controller-manager","time":"2026-01-04T00:00:00Z"}]}"#,
        )
        .unwrap();
        assert_eq!(meta.others_status_write, Some("2026-01-02T00:00:00Z".parse().unwrap()));
    }
}
