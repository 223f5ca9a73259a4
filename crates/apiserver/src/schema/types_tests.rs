use super::*;
use everynode_api::kinds::KINDS;
use everynode_api::patch::strategic::{BuiltIn, MergeSchema, Strategy};

/// Every field where the patch module's table and the generated file say different things.
fn differences(definition: &Definition, patches: BuiltIn, path: &str, found: &mut Vec<String>) {
    for field in &definition.fields {
        let path = format!("{path}.{}", field.name);
        let rule = patches.lookup(&field.name);
        let key = field.merge_key.as_deref().filter(|key| !key.is_empty());
        let merges = rule.strategy == Strategy::Merge;
        if (merges, rule.merge_key, rule.retain_keys) != (field.merge_key.is_some(), key, field.retain_keys) {
            found.push(path.clone());
        }
        let of = match &field.kind {
            // A list that is replaced as a whole hides what is inside.
            Type::List(item) if merges => item,
            kind => kind,
        };
        if let Type::Object(index) = of {
            differences(types().get(*index), rule.schema, &path, found);
        }
    }
}

#[test]
fn patches_and_schema_agree() {
    // DS-I15, DS-I17
    for info in KINDS {
        let mut found = Vec::new();
        let patches = BuiltIn::for_kind(&info.kind.group, &info.kind.kind);
        differences(types().of(&info.kind).unwrap(), patches, &info.kind.kind, &mut found);
        assert_eq!(found, Vec::<String>::new());
    }
}

#[test]
fn every_served_kind_has_a_type_and_a_list() {
    for info in KINDS {
        assert!(types().of(&info.kind).is_some(), "{:?}", info.kind);
        let list = format!("{}List", info.kind.kind);
        assert!(types().of_kind(&info.kind.api_version(), &list).is_some(), "{list}");
    }
}

#[test]
fn fields_carry_what_the_file_says() {
    // DS-I15, DS-I16, DS-I17
    let spec = types().find("io.k8s.api.core.v1.PodSpec").unwrap();
    let volumes = spec.field("volumes").unwrap();
    assert_eq!((volumes.merge_key.as_deref(), volumes.retain_keys), (Some("name"), true));
    let container = types().find("io.k8s.api.core.v1.Container").unwrap();
    let ports = container.field("ports").unwrap();
    assert_eq!(ports.merge_key.as_deref(), Some("containerPort"));
    assert_eq!(ports.list, ListType::Map(vec!["containerPort".into(), "protocol".into()]));
    assert_eq!(spec.field("tolerations").unwrap().list, ListType::Atomic);
    assert_eq!(container.field("resources").unwrap().emission, Emission::Always);
    assert_eq!(container.field("args").unwrap().go_type(types()), "[]string");
}
