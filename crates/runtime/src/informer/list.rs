//! The shape of a list: what everybody needs who reads one page by page.

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
