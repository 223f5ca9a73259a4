//! The scale of a custom object: how many replicas are wanted and there, in one form for all kinds.

use everynode_api::field::{FieldError, Path};
use everynode_api::kinds::Kind;
use everynode_api::patch::go_print;
use everynode_managed::Element;
use serde_json::{Value, json};

use crate::object;

/// The kind of its bodies.
pub(crate) static SCALE: Kind = Kind::built_in("autoscaling", "v1", "Scale", "scales", true);

/// What the replicas of a scale are while the object has none: a patch of it must set them.
pub(super) const NOT_SET: i64 = i32::MIN as i64;
const REPLICAS_MAX: i64 = i32::MAX as i64;

/// Where a kind has what a scale shows.
#[derive(Clone, Debug)]
pub(crate) struct Scale {
    wanted: Place,
    present: Place,
    selector: Option<Place>,
}

/// A path of names, and how it is written.
#[derive(Clone, Debug)]
struct Place {
    written: String,
    names: Vec<String>,
}

impl Place {
    fn parse(written: &str) -> Option<Place> {
        // As in the original, a dot divides wherever it stands.
        let names = written.strip_prefix('.')?.split('.').map(str::to_owned).collect();
        Some(Place { written: written.to_owned(), names })
    }

    /// What is there; `None`: nothing is.
    ///
    /// # Errors
    /// Something on the way is no object; the text is the original's.
    fn find<'v>(&self, object: &'v Value) -> Result<Option<&'v Value>, String> {
        let mut found = object;
        for (depth, name) in self.names.iter().enumerate() {
            found = match found {
                Value::Null => return Ok(None),
                Value::Object(members) => match members.get(name) {
                    Some(member) => member,
                    None => return Ok(None),
                },
                other => return Err(wrong_type(&self.names[..=depth], other, "map[string]interface {}")),
            };
        }
        Ok(Some(found))
    }

    fn number(&self, object: &Value) -> Result<Option<i64>, String> {
        let number = |found: &Value| found.as_i64().ok_or_else(|| wrong_type(&self.names, found, "int64"));
        self.find(object)?.map(number).transpose()
    }

    fn text<'v>(&self, object: &'v Value) -> Result<Option<&'v str>, String> {
        let text = |found: &'v Value| found.as_str().ok_or_else(|| wrong_type(&self.names, found, "string"));
        self.find(object)?.map(text).transpose()
    }

    fn path(&self) -> Path {
        Path::new(self.written.clone())
    }

    /// The mistakes of a number of replicas.
    fn check_replicas(&self, object: &Value) -> Option<FieldError> {
        let (number, detail) = match self.number(object) {
            Err(why) => (0, why),
            Ok(Some(number)) if number < 0 => (number, "should be a non-negative integer".to_owned()),
            Ok(Some(number)) if number > REPLICAS_MAX => {
                (number, format!("should be less than or equal to {REPLICAS_MAX}"))
            }
            Ok(_) => return None,
        };
        Some(FieldError::invalid(&self.path(), number, detail))
    }
}

fn wrong_type(names: &[String], found: &Value, wanted: &str) -> String {
    let go_type = match found {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    };
    let wanted = wanted.replace("interface {}", "interface{}");
    format!(".{} accessor error: {} is of the type {go_type}, expected {wanted}", names.join("."), go_print(found))
}

impl Scale {
    /// Reads the scale of a version's subresources.
    pub(crate) fn parse(scale: &Value) -> Option<Scale> {
        let place = |name: &str| scale[name].as_str().and_then(Place::parse);
        Some(Scale {
            wanted: place("specReplicasPath")?,
            present: place("statusReplicasPath")?,
            selector: place("labelSelectorPath"),
        })
    }

    /// Where the wanted replicas are, as the path of a field.
    pub(crate) fn wanted_field(&self) -> Vec<Element> {
        self.wanted.names.iter().map(|name| Element::field(name)).collect()
    }

    /// The wanted replicas, as the definition names their place.
    pub(super) fn wanted_path(&self) -> &str {
        &self.wanted.written
    }

    /// The scale of an object, and whether the object says how many replicas are wanted.
    ///
    /// # Errors
    /// The object has something else where the replicas or the selector should be.
    pub(super) fn of(&self, object: &Value) -> Result<(Value, bool), String> {
        let wanted = self.wanted.number(object)?;
        let present = self.present.number(object)?.unwrap_or(0);
        let mut metadata = json!({});
        for name in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
            if let Some(member) = object["metadata"].get(name) {
                metadata[name] = member.clone();
            }
        }
        let mut scale = json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata,
            "spec": {"replicas": wanted.unwrap_or(0)}, "status": {"replicas": present}});
        if let Some(place) = &self.selector
            && let Some(selector) = place.text(object)?
        {
            scale["status"]["selector"] = selector.into();
        }
        Ok((scale, wanted.is_some()))
    }

    /// Sets how many are wanted.
    ///
    /// # Errors
    /// Something on the way is no object; it stays.
    pub(super) fn set(&self, object: &mut Value, replicas: i64) -> Result<(), String> {
        self.wanted.find(object)?;
        let Some((last, before)) = self.wanted.names.split_last() else { return Ok(()) };
        let mut place = object;
        for name in before {
            object::object_mut(place, name);
            place = &mut place[name.as_str()];
        }
        place[last.as_str()] = replicas.into();
        Ok(())
    }

    /// The mistakes of a whole object, in what a scale shows of it.
    pub(crate) fn check(&self, object: &Value) -> Vec<FieldError> {
        let mut errors: Vec<FieldError> =
            [&self.wanted, &self.present].into_iter().filter_map(|place| place.check_replicas(object)).collect();
        if let Some(place) = &self.selector
            && let Err(why) = place.text(object)
        {
            errors.push(FieldError::invalid(&place.path(), "", why));
        }
        errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale() -> Scale {
        let paths = json!({"specReplicasPath": ".spec.x.replicas", "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector"});
        Scale::parse(&paths).unwrap()
    }

    #[test]
    fn what_stands_where_replicas_should_be_is_named() {
        let wrong = |object: Value| -> Vec<String> {
            scale().check(&object).iter().map(|error| format!("{}: {}", error.field, error.body())).collect()
        };
        let cases = [
            (
                json!({"spec": {"x": "text"}}),
                ".spec.x.replicas: Invalid value: 0: .spec.x.replicas accessor error: text is of the type string, \
                 expected map[string]interface{}",
            ),
            (
                json!({"spec": {"x": {"replicas": 1.5}}}),
                ".spec.x.replicas: Invalid value: 0: .spec.x.replicas accessor error: 1.5 is of the type float64, \
                 expected int64",
            ),
            (
                json!({"spec": {"x": {"replicas": -1}}}),
                ".spec.x.replicas: Invalid value: -1: should be a non-negative integer",
            ),
            (
                json!({"status": {"replicas": 2_147_483_648_i64}}),
                ".status.replicas: Invalid value: 2147483648: should be less than or equal to 2147483647",
            ),
            (
                json!({"status": {"selector": [1]}}),
                ".status.selector: Invalid value: \"\": .status.selector accessor error: [1] is of the type \
                 []interface {}, expected string",
            ),
        ];
        for (object, text) in cases {
            assert_eq!(wrong(object), [text]);
        }
        assert!(wrong(json!({"spec": {"x": {"replicas": 3}}, "status": {"selector": "a=b"}})).is_empty());
        assert!(wrong(json!({"spec": null})).is_empty(), "what is absent has no mistake");
    }

    #[test]
    fn a_number_is_set_where_nothing_else_is_in_the_way() {
        let mut object = json!({"spec": {"y": 1}});
        scale().set(&mut object, 4).unwrap();
        assert_eq!(object["spec"], json!({"x": {"replicas": 4}, "y": 1}));
        let mut object = json!({"spec": {"x": "text"}});
        assert!(scale().set(&mut object, 4).is_err());
        assert_eq!(object["spec"], json!({"x": "text"}));
    }
}
