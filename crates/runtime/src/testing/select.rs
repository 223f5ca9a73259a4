//! What a selection selects.

use everynode_api::ports::{ApiError, Selection};
use everynode_api::selector::{FieldSelector, Selector};
use everynode_api::status::Status;
use serde_json::Value;

#[derive(Clone)]
pub(super) struct Filter {
    namespace: Option<String>,
    labels: Selector,
    fields: Option<FieldSelector>,
}

impl Filter {
    pub fn new(selection: &Selection) -> Result<Filter, ApiError> {
        let bad = |error: String| ApiError::from(Status::bad_request(error));
        let labels = selection.label_selector.as_deref().map(Selector::parse).transpose().map_err(bad)?;
        let fields = selection.field_selector.as_deref().map(FieldSelector::parse).transpose().map_err(bad)?;
        let namespace = selection.namespace.clone();
        Ok(Filter { namespace, labels: labels.unwrap_or_else(Selector::everything), fields })
    }

    pub fn matches(&self, object: &Value) -> bool {
        let metadata = &object["metadata"];
        let namespace = self.namespace.as_deref().is_none_or(|wanted| metadata["namespace"] == wanted);
        let labels = self.labels.matches(|key| metadata["labels"][key].as_str());
        let fields = self.fields.as_ref().is_none_or(|fields| fields.matches(|path| field(object, path)));
        namespace && labels && fields
    }
}

/// A field by its dotted path; absent ones read as empty.
fn field<'a>(object: &'a Value, path: &str) -> Option<&'a str> {
    let value = path.split('.').fold(object, |value, name| &value[name]);
    Some(value.as_str().unwrap_or_default())
}
