//! From a patch request to the patched value, with Kubernetes' answers to what does not fit.

use everynode_api::field::{FieldError, Path};
use everynode_api::kinds::Kind;
use everynode_api::patch::strategic::BuiltIn;
use everynode_api::patch::{self, PatchError, go_print};
use everynode_api::ports::PatchType;
use everynode_api::status::Status;
use serde_json::{Number, Value};

use crate::catalogue::Row;
use crate::schema::types::types;

/// Applies a patch to an object in the form of the kind asked for.
pub(crate) fn apply(info: &Row, form: PatchType, mut body: Value, value: Value) -> Result<Value, Status> {
    let patched = match form {
        PatchType::Json => patch::json::apply(&value, &body),
        PatchType::Merge | PatchType::Strategic if !body.is_object() => {
            return Err(Status::bad_request(not_an_object(form, &body)));
        }
        PatchType::Merge => Ok(patch::merge::apply(value, body)),
        PatchType::Strategic => {
            whole_numbers(&mut body);
            patch::strategic::apply(value, body, BuiltIn::for_kind(&info.kind.group, &info.kind.kind))
        }
    };
    patched.map_err(|error| refused(&error))
}

fn not_an_object(form: PatchType, body: &Value) -> String {
    let what = match body {
        Value::Null if form == PatchType::Merge => return "Invalid JSON Patch".to_owned(),
        Value::Null => "null",
        Value::Array(_) => "array",
        Value::String(_) => "string",
        Value::Number(_) => "number",
        Value::Bool(_) | Value::Object(_) => "bool",
    };
    format!("error decoding patch: json: cannot unmarshal {what} into Go value of type map[string]interface {{}}")
}

/// `1.0` in a strategic merge patch is a whole number: Kubernetes converts its members one by one.
fn whole_numbers(value: &mut Value) {
    match value {
        Value::Number(number) if number.is_f64() => {
            let whole = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < WHOLE_MAX);
            if let Some(whole) = whole {
                *number = Number::from(whole as i64);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Object(members) => members.values_mut().for_each(whole_numbers),
        _ => {}
    }
}

/// Up to here floats hold every whole number.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

fn refused(error: &PatchError) -> Status {
    match error {
        PatchError::Malformed(text) => Status::bad_request(text.clone()),
        PatchError::TooLarge(text) => Status::failure(413, "RequestEntityTooLarge", text.clone()),
        PatchError::Unprocessable(_) => {
            let text = "the server rejected our request due to an error in our request";
            let mut status = Status::failure(422, "Invalid", text);
            status.details = Some(everynode_api::status::Details::default());
            status
        }
        PatchError::NotUnderstood(text) => Status::failure(500, "", text.clone()),
    }
}

/// Why a PUT of the patched object would be refused, if it is because it cannot be read.
pub(crate) fn reason(refusal: &Status) -> Option<&str> {
    let (_, reason) = refusal.message.split_once(" cannot be handled as a ")?;
    reason.split_once(": ").map(|(_, reason)| reason)
}

/// What a patch made of the object cannot be read as one of its kind.
pub(crate) fn unreadable(form: PatchType, body: &Value, patched: &str, reason: &str) -> Status {
    let (shown, reason) = match form {
        PatchType::Strategic => (go_print(body), converter_words(reason).unwrap_or_else(|| reason.to_owned())),
        PatchType::Json | PatchType::Merge => (patched.to_owned(), reason.to_owned()),
    };
    let nothing = Kind::built_in("", "", "", "", false);
    Status::invalid(&nothing, "", &[FieldError::invalid(&Path::new("patch"), shown, reason)])
}

/// What Kubernetes' converter says where its decoder of JSON says `reason`: what a strategic merge
/// patch makes is no text, but maps that are converted to the kind.
fn converter_words(reason: &str) -> Option<String> {
    let (given, rest) = reason.strip_prefix("json: cannot unmarshal ")?.split_once(" into Go struct field ")?;
    let (_, wanted) = rest.split_once(" of type ")?;
    let (given, number) = given.split_once(' ').unwrap_or((given, ""));
    let kind = match given {
        "object" => "map",
        "array" => "slice",
        "number" if number.contains(['.', 'e', 'E']) => "float64",
        "number" => "int64",
        given => given,
    };
    let name = wanted.trim_start_matches('*');
    let is_struct = name.rsplit_once('.').is_some_and(|(_, short)| types().is_struct(short));
    Some(match name {
        _ if name.starts_with("map[") => format!("cannot restore map from {kind}"),
        _ if name.starts_with("[]") => format!("cannot restore slice from {kind}"),
        _ if is_struct => format!("cannot restore struct from: {kind}"),
        "int32" | "int64" if kind == "int64" => return None,
        "int32" | "int64" if kind == "float64" => format!("cannot convert {kind} to {name}"),
        "bool" | "int32" | "int64" | "float64" => format!("unrecognized type: {name}"),
        _ if given == "number" => format!("cannot convert {kind} to {name}"),
        _ => "unrecognized type: string".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use crate::catalogue::built_in;
    use serde_json::json;

    use super::*;

    #[test]
    fn refusals() {
        let info = built_in::find("apps", "daemonsets").unwrap();
        let set = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"template": {"spec": {"containers": [{"name": "c"}]}}}});
        let inner = |containers: Value| json!({"spec": {"template": {"spec": {"containers": containers}}}});
        let cases = [
            (
                PatchType::Json,
                json!([{"op": "test", "path": "/x", "value": 1}]),
                422,
                "the server rejected our request due to an error in our request",
            ),
            (
                PatchType::Json,
                json!([{"op": "remove", "path": "/x"}]),
                422,
                "the server rejected our request due to an error in our request",
            ),
            (
                PatchType::Strategic,
                inner(json!([{"image": "x"}])),
                500,
                "map: map[image:x] does not contain declared merge key: name",
            ),
            (
                PatchType::Strategic,
                inner(json!([{"name": "c", "$patch": "foo"}])),
                500,
                "unknown patch type: foo in map: map[$patch:foo name:c]",
            ),
            (
                PatchType::Strategic,
                json!({"metadata": {"labels": {"$patch": 5}}}),
                500,
                "unknown patch type: %!s(int64=5) in map: map[$patch:5]",
            ),
            (
                PatchType::Merge,
                json!([]),
                400,
                "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}",
            ),
            (PatchType::Merge, Value::Null, 400, "Invalid JSON Patch"),
        ];
        for (form, body, code, text) in cases {
            let status = apply(info, form, body, set.clone()).unwrap_err();
            assert_eq!((status.code, status.message.as_str()), (code, text));
        }
        let whole = apply(info, PatchType::Strategic, json!({"spec": {"minReadySeconds": 1.0}}), set).unwrap();
        assert_eq!(whole["spec"]["minReadySeconds"].to_string(), "1");
    }

    #[test]
    fn what_cannot_be_read_is_reported_as_a_patch() {
        let refusal = Status::bad_request("DaemonSet in version \"v1\" cannot be handled as a DaemonSet: odd: text");
        let told = unreadable(PatchType::Strategic, &json!({"spec": []}), "", reason(&refusal).unwrap());
        assert_eq!(told.message, " \"\" is invalid: patch: Invalid value: \"map[spec:[]]\": odd: text");
        assert_eq!(told.code, 422);
    }

    #[test]
    fn a_strategic_merge_patch_is_refused_in_the_words_of_the_converter() {
        let cases = [
            (
                "string into Go struct field ObjectMeta.metadata.labels of type map[string]string",
                "cannot restore map from string",
            ),
            (
                "object into Go struct field ObjectMeta.metadata.finalizers of type []string",
                "cannot restore slice from map",
            ),
            ("array into Go struct field DaemonSet.spec of type v1.DaemonSetSpec", "cannot restore struct from: slice"),
            ("number into Go struct field EnvVar.spec.value of type string", "cannot convert int64 to string"),
            (
                "number into Go struct field Container.imagePullPolicy of type v1.PullPolicy",
                "cannot convert int64 to v1.PullPolicy",
            ),
            (
                "number 1.5 into Go struct field DaemonSetSpec.spec.minReadySeconds of type int32",
                "cannot convert float64 to int32",
            ),
            (
                "string into Go struct field DaemonSetSpec.spec.minReadySeconds of type int32",
                "unrecognized type: int32",
            ),
            (
                "object into Go struct field Container.imagePullPolicy of type v1.PullPolicy",
                "unrecognized type: string",
            ),
        ];
        for (reason, words) in cases {
            assert_eq!(converter_words(&format!("json: cannot unmarshal {reason}")).as_deref(), Some(words));
        }
        assert_eq!(converter_words("illegal base64 data at input byte 5"), None);
    }
}
