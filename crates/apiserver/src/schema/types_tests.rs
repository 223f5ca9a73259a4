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

/// Members that protobuf has no number for, or as another type: the status of a definition's
/// subresources is an empty message there, and any JSON here.
const NOT_IN_PROTOBUF: [&str; 1] = ["CustomResourceDefinition.spec.versions.subresources.status: @ and a"];

/// What the protobuf encoding says of a type, in its notation.
fn notation(kind: &Type) -> String {
    match kind {
        Type::String => "s".into(),
        Type::Bool => "b".into(),
        Type::Int32 | Type::Int64 => "i".into(),
        Type::Double => "d".into(),
        Type::Bytes => "y".into(),
        Type::Time => "t".into(),
        Type::MicroTime => "u".into(),
        Type::Quantity => "q".into(),
        Type::IntOrString => "n".into(),
        Type::Any => "a".into(),
        Type::Object(_) => "@".into(),
        Type::ObjectOr(_) => "A".into(),
        Type::List(item) => format!("[]{}", notation(item)),
        Type::Map(value) => format!("{{}}{}", notation(value)),
    }
}

/// Members of a definition that protobuf has no number for, or has as another type.
fn unknown_to_protobuf(
    definition: &Definition,
    members: Vec<(&'static str, everynode_protobuf::MemberType)>,
    path: &str,
    found: &mut Vec<String>,
) {
    let own =
        definition.fields.iter().filter(|field| path.contains('.') || !["apiVersion", "kind"].contains(&&*field.name));
    for field in own {
        let path = format!("{path}.{}", field.name);
        let Some((_, member)) = members.iter().find(|(name, _)| *name == field.name) else {
            found.push(path);
            continue;
        };
        // A schema in place of which something else may stand has three forms, a list of texts in a
        // message of its own is a list.
        let theirs = member.notation().replace('w', "[]s").replace(['B', 'S'], "A");
        if theirs != notation(&field.kind) {
            found.push(format!("{path}: {theirs} and {}", notation(&field.kind)));
        }
        let mut inner = &field.kind;
        while let Type::List(item) | Type::Map(item) = inner {
            inner = item;
        }
        // A schema is in itself: one level shows all.
        if let (Type::Object(index), Some(members)) = (inner, member.members())
            && path.matches('.').count() < 12
        {
            unknown_to_protobuf(types().get(*index), members.collect(), &path, found);
        }
    }
}

#[test]
fn every_member_of_every_kind_has_a_number_in_protobuf() {
    let mut found = Vec::new();
    for info in KINDS {
        let (version, name) = (info.kind.api_version(), &info.kind.kind);
        let kind = everynode_protobuf::kind(&version, name).unwrap_or_else(|| panic!("{version} {name}"));
        unknown_to_protobuf(types().of(&info.kind).unwrap(), kind.members().collect(), name, &mut found);
    }
    found.sort();
    found.dedup();
    assert_eq!(found, NOT_IN_PROTOBUF);
}
