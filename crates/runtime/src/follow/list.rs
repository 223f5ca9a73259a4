//! The shape of a list, for all that read one page by page.

use serde::Deserialize;
use serde_json::value::RawValue;

/// One page of a list; its objects are not decoded.
#[derive(Debug)]
pub struct ListPage<'a> {
    pub items: Vec<&'a RawValue>,
    /// 0 where the server gives none.
    pub revision: u64,
    /// `None`: the last page.
    pub continue_token: Option<String>,
}

#[derive(Deserialize)]
struct RawList<'a> {
    #[serde(default)]
    metadata: ListMeta,
    /// Go writes an empty list as null.
    #[serde(borrow, default)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ListMeta {
    resource_version: String,
    #[serde(rename = "continue")]
    continue_token: String,
}

impl<'a> ListPage<'a> {
    /// # Errors
    /// The body is no list.
    pub fn parse(body: &'a [u8]) -> Result<ListPage<'a>, serde_json::Error> {
        let RawList { metadata, items } = serde_json::from_slice(body)?;
        Ok(ListPage {
            items: items.unwrap_or_default(),
            revision: metadata.resource_version.parse().unwrap_or(0),
            continue_token: Some(metadata.continue_token).filter(|token| !token.is_empty()),
        })
    }
}

#[derive(Deserialize)]
struct Revisioned<'a> {
    #[serde(borrow)]
    metadata: Revision<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Revision<'a> {
    #[serde(borrow)]
    resource_version: std::borrow::Cow<'a, str>,
}

/// The revision that an object carries; `None`: it has none that can be read.
pub fn revision_of(json: &[u8]) -> Option<u64> {
    let object: Revisioned<'_> = serde_json::from_slice(json).ok()?;
    object.metadata.resource_version.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_list_may_be_null() {
        let page = ListPage::parse(br#"{"metadata":{"resourceVersion":"9","continue":""},"items":null}"#).unwrap();
        assert_eq!((page.items.len(), page.revision, page.continue_token), (0, 9, None));
        assert!(ListPage::parse(b"<html>").is_err());
    }

    #[test]
    fn objects_carry_their_revision() {
        assert_eq!(revision_of(br#"{"metadata":{"name":"a","resourceVersion":"12"}}"#), Some(12));
        assert_eq!(revision_of(br#"{"metadata":{"resourceVersion":"opaque"}}"#), None);
    }
}
