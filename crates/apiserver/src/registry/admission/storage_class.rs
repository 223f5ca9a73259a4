//! The class that claims without one get.

use everynode_api::status::Status;
use serde_json::Value;

use crate::catalogue::built_in;
use crate::object;
use crate::registry::Registry;
use crate::stored;

const IS_DEFAULT: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
/// The class of a claim before it had a field for it.
const ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";

impl Registry {
    /// Of several default classes the newest, of equally old ones the first by name. An empty name
    /// is a wish for no class.
    pub(crate) fn admit_storage_class(&self, claim: &mut Value) -> Result<(), Status> {
        let is_named = !claim["spec"]["storageClassName"].is_null();
        if is_named || !claim["metadata"]["annotations"][ANNOTATION].is_null() {
            return Ok(());
        }
        let mut best: Option<Value> = None;
        for item in self.topic(&built_in::STORAGE_CLASS)?.all() {
            let class = stored::decode(&item.kv.value, item.kv.modified)?;
            if !IS_DEFAULT.iter().any(|key| class["metadata"]["annotations"][key] == "true") {
                continue;
            }
            let since = |class: &Value| object::meta(class, "creationTimestamp").to_owned();
            if best.as_ref().is_none_or(|held| since(&class) > since(held)) {
                best = Some(class);
            }
        }
        if let Some(class) = best {
            let name = object::meta(&class, "name");
            object::object_mut(claim, "spec").insert("storageClassName".into(), name.into());
        }
        Ok(())
    }
}
