//! The few fields of a pod that every event is looked at for, without decoding the rest.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;

#[derive(Debug, Deserialize)]
pub(crate) struct Head<'a> {
    #[serde(borrow)]
    pub metadata: HeadMeta<'a>,
    #[serde(borrow, default)]
    pub spec: HeadSpec<'a>,
    #[serde(borrow, default)]
    pub status: HeadStatus<'a>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HeadMeta<'a> {
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    #[serde(borrow, default)]
    pub namespace: Cow<'a, str>,
    #[serde(borrow)]
    pub uid: Cow<'a, str>,
    #[serde(borrow, default)]
    pub creation_timestamp: Option<Cow<'a, str>>,
    #[serde(default)]
    pub generation: i64,
    #[serde(default)]
    pub deletion_timestamp: Option<IgnoredAny>,
    #[serde(default)]
    pub deletion_grace_period_seconds: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HeadSpec<'a> {
    #[serde(borrow, default)]
    pub node_name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub containers: Vec<HeadContainer<'a>>,
    #[serde(default)]
    pub host_network: Option<bool>,
    #[serde(default)]
    pub readiness_gates: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct HeadContainer<'a> {
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    #[serde(borrow, default)]
    pub image: Cow<'a, str>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct HeadStatus<'a> {
    #[serde(borrow, default)]
    pub phase: Option<Cow<'a, str>>,
}

impl<'a> Head<'a> {
    /// `None`: this is no pod that anything can be done about.
    pub(crate) fn parse(json: &'a [u8]) -> Option<Head<'a>> {
        serde_json::from_slice(json).inspect_err(|error| tracing::warn!(%error, "cannot decode a pod")).ok()
    }

    /// The node that it is bound to.
    pub(crate) fn node(&self) -> Option<&str> {
        self.spec.node_name.as_deref().filter(|name| !name.is_empty())
    }

    pub(crate) fn is_terminating(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    pub(crate) fn phase(&self) -> &str {
        self.status.phase.as_deref().unwrap_or_default()
    }

    /// Whether it has ended for good.
    pub(crate) fn is_terminal(&self) -> bool {
        matches!(self.phase(), "Failed" | "Succeeded")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_matters_and_skips_the_rest() {
        let json = br#"{"kind":"Pod","metadata":{"name":"a","namespace":"x","uid":"u","managedFields":[{"a":[1]}],
            "deletionTimestamp":"2026-01-01T00:00:00Z","deletionGracePeriodSeconds":30},
            "spec":{"nodeName":"n","containers":[{"name":"c","image":"i","env":[{"name":"E"}]}]},
            "status":{"phase":"Running","conditions":[]}}"#;
        let head = Head::parse(json).unwrap();
        assert_eq!((head.node(), head.phase(), head.is_terminating()), (Some("n"), "Running", true));
        assert_eq!(head.spec.containers[0].image, "i");
        let pending = Head::parse(br#"{"metadata":{"name":"a","uid":"u"},"spec":{"nodeName":""}}"#).unwrap();
        assert!(pending.node().is_none() && !pending.is_terminating());
        assert!(Head::parse(b"{}").is_none());
    }
}
