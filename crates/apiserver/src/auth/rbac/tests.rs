use proptest::prelude::*;

use super::*;

/// `verb resource[/subresource][ name]`, with `.group` behind the resource; or `verb /path`.
fn asks(text: &str) -> Attributes {
    let mut words = text.split(' ');
    let (verb, what, name) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap_or(""));
    let own = str::to_owned;
    if what.starts_with('/') {
        return Attributes { verb: own(verb), path: own(what), ..Attributes::default() };
    }
    let (resource, subresource) = what.split_once('/').unwrap_or((what, ""));
    let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
    Attributes {
        verb: own(verb),
        resource: own(resource),
        group: own(group),
        subresource: own(subresource),
        name: own(name),
        namespace: own("x"),
        ..Attributes::default()
    }
}

/// `VERBS GROUPS RESOURCES[ NAMES]`, each a list with commas; `-` is the empty text. Or `VERBS
/// /PATHS`.
fn rule(text: &str) -> Rule {
    let list = |words: Option<&str>| -> Vec<String> {
        let words = words.into_iter().flat_map(|words| words.split(','));
        words.map(|word| word.trim_matches('-').to_owned()).collect()
    };
    let mut words = text.split(' ');
    let verbs = list(words.next());
    match words.next() {
        Some(paths) if paths.starts_with(['/', '!']) => {
            let paths = list(Some(paths.trim_start_matches('!')));
            Rule { verbs, non_resource_urls: paths, ..Rule::default() }
        }
        groups => Rule {
            verbs,
            api_groups: list(groups),
            resources: list(words.next()),
            resource_names: list(words.next()),
            ..Rule::default()
        },
    }
}

/// The original's table: a rule, what it allows, what it does not.
const TABLE: &[(&str, &[&str], &[&str])] = &[
    (
        "get - pods",
        &["get pods", "get pods a"],
        &["get pods/log", "list pods", "get pods.apps", "get nodes", "get /pods"],
    ),
    ("get - *", &["get pods", "get pods/exec", "get nodes/proxy"], &["create pods/exec", "get daemonsets.apps"]),
    (
        "* * *",
        &["create pods/exec", "deletecollection x.y/z", "impersonate users a", "x y"],
        &["get /metrics", "get /"],
    ),
    ("get - pods/*", &["get pods/*"], &["get pods/log", "get pods/exec", "get pods", "create pods/exec"]),
    ("get - */log", &["get pods/log", "get nodes/log"], &["get pods", "get log", "get pods/xlog", "get pods/log/"]),
    ("get - */*", &["get pods/*"], &["get pods/log", "get pods"]),
    ("get - pods/log", &["get pods/log", "get pods/log a"], &["get pods", "get pods/lo", "get nodes/log"]),
    ("get - po*", &[], &["get pods", "get pods/log"]),
    ("ge* - pods", &[], &["get pods"]),
    ("get a* pods", &[], &["get pods.apps", "get pods"]),
    ("get apps daemonsets", &["get daemonsets.apps"], &["get daemonsets", "get daemonsets.apps/status"]),
    ("get * pods", &["get pods", "get pods.metrics.k8s.io"], &["get pods/log"]),
    (
        "* - pods a,b",
        &["get pods a", "delete pods b", "patch pods a"],
        &["get pods c", "create pods", "list pods", "watch pods", "deletecollection pods", "get pods/log a"],
    ),
    ("* - * a", &["get pods/log a", "create pods/exec a"], &["list pods", "create pods", "get pods b"]),
    ("get /healthz", &["get /healthz"], &["get /healthz/", "get /healthz/ping", "post /healthz", "get pods"]),
    ("get /healthz/*", &["get /healthz/", "get /healthz/ping"], &["get /healthz", "get /healthzz"]),
    ("get /a**", &["get /a", "get /ab/c"], &["get /b"]),
    ("* !*", &["get /", "post /x"], &["get pods"]),
    ("get /*/x", &["get /*/x"], &["get /a/x", "get /x"]),
];

#[test]
fn rules_match_as_in_kubernetes() {
    for (text, allowed, refused) in TABLE {
        let (rule, prepared) = (rule(text), Prepared::new(vec![rule(text)]));
        for (expected, question) in allowed.iter().map(|q| (true, q)).chain(refused.iter().map(|q| (false, q))) {
            let asked = asks(question);
            assert_eq!(rule.allows(&asked), expected, "{text}: {question}");
            assert_eq!(prepared.allows(&index::Asked::new(&asked)), expected, "{text}, prepared: {question}");
        }
    }
}

#[test]
fn a_list_of_one_name_has_that_name() {
    let rule = rule("* - pods a");
    let narrowed = |verb: &str, name: &str| Attributes { selected_name: name.into(), ..asks(&format!("{verb} pods")) };
    assert!(rule.allows(&narrowed("list", "a")) && rule.allows(&narrowed("watch", "a")));
    assert!(!rule.allows(&narrowed("list", "b")) && !rule.allows(&narrowed("list", "")));
    assert!(!rule.allows(&narrowed("deletecollection", "a")) && !rule.allows(&narrowed("create", "a")));
}

fn subject(kind: &str, api_group: &str, namespace: &str, name: &str) -> BoundSubject {
    BoundSubject { api_group: api_group.into(), kind: kind.into(), name: name.into(), namespace: namespace.into() }
}

fn binding(subject: BoundSubject, role_kind: &str, role: &str) -> Binding {
    let role_ref = RoleRef { api_group: API_GROUP.into(), kind: role_kind.into(), name: role.into() };
    Binding { subjects: Some(vec![subject]), role_ref }
}

/// Roles `r` of namespaces x and y and cluster role `c`, each allowing to get what is named after
/// it.
fn state(bindings: Vec<(&str, Binding)>) -> State {
    let prepared = |resource: &str| (1, Arc::new(Prepared::new(vec![rule(&format!("get - {resource}"))])));
    let mut state = State::default();
    state.roles.0.insert(("x".into(), "r".into()), prepared("of-x"));
    state.roles.0.insert(("y".into(), "r".into()), prepared("of-y"));
    let mut everywhere = prepared("of-c");
    everywhere.1 = Arc::new(Prepared::new(vec![rule("get - of-c"), rule("get /metrics")]));
    state.cluster_roles.0.insert(("".into(), "c".into()), everywhere);
    for (index, (namespace, binding)) in bindings.into_iter().enumerate() {
        let objects = if namespace.is_empty() { &mut state.cluster_bindings } else { &mut state.bindings };
        objects.0.insert((namespace.into(), index.to_string().into()), (1, Arc::new(binding)));
    }
    state
}

/// What of `of-x`, `of-y`, `of-c` in namespaces x and y and everywhere, and of `/metrics`, a user
/// may get.
fn may(user: &User, bindings: Vec<(&str, Binding)>) -> Vec<String> {
    let policy = state(bindings).prepare();
    let mut found = Vec::new();
    for namespace in ["", "x", "y"] {
        for resource in ["of-x", "of-y", "of-c"] {
            let asked = Attributes { namespace: namespace.into(), ..asks(&format!("get {resource}")) };
            found.extend(policy.allows(user, &asked).then(|| format!("{namespace}:{resource}")));
        }
    }
    let path = Attributes { namespace: "x".into(), ..asks("get /metrics") };
    found.extend(policy.allows(user, &path).then(|| "/metrics".to_owned()));
    found
}

#[test]
fn bindings_reach_whom_and_where_they_say() {
    let jane = || User::new("jane", &["devs"]);
    let of = |kind: &str, name: &str| subject(kind, API_GROUP, "", name);
    let everything = ["/metrics", ":of-c", "x:of-c", "y:of-c"];
    let sorted = |mut list: Vec<String>| {
        list.sort();
        list
    };
    assert_eq!(sorted(may(&jane(), vec![("", binding(of("User", "jane"), "ClusterRole", "c"))])), everything);
    assert_eq!(sorted(may(&jane(), vec![("", binding(of("Group", "devs"), "ClusterRole", "c"))])), everything);
    assert_eq!(may(&jane(), vec![("x", binding(of("User", "jane"), "ClusterRole", "c"))]), ["x:of-c"]);
    assert_eq!(may(&jane(), vec![("x", binding(of("User", "jane"), "Role", "r"))]), ["x:of-x"]);
    let nobody: Vec<(&str, Binding)> = vec![
        ("", binding(of("User", "jane"), "Role", "r")),
        ("x", binding(of("User", "jane"), "Foo", "r")),
        ("x", binding(of("User", "jane"), "Role", "c")),
        ("x", binding(of("User", "jane "), "Role", "r")),
        ("x", binding(of("User", "devs"), "Role", "r")),
        ("x", binding(of("Group", "jane"), "Role", "r")),
        ("x", binding(subject("User", "other", "", "jane"), "Role", "r")),
        ("x", binding(of("Foo", "jane"), "Role", "r")),
        ("x", binding(subject("ServiceAccount", "", "x", "jane"), "Role", "r")),
    ];
    assert_eq!(may(&jane(), nobody), Vec::<String>::new());
    let mut wrong_group = binding(of("User", "jane"), "Role", "r");
    wrong_group.role_ref.api_group = "other".into();
    assert_eq!(may(&jane(), vec![("x", wrong_group)]), Vec::<String>::new());
}

#[test]
fn service_accounts_are_of_their_namespace() {
    let account = |namespace: &str| User::service_account(namespace, "web", "");
    let bound = |namespace: &str| binding(subject("ServiceAccount", "", namespace, "web"), "Role", "r");
    assert_eq!(may(&account("x"), vec![("x", bound("x"))]), ["x:of-x"]);
    assert_eq!(may(&account("x"), vec![("y", bound("x"))]), ["y:of-y"]);
    // Without a namespace it is the binding's.
    assert_eq!(may(&account("x"), vec![("x", bound(""))]), ["x:of-x"]);
    assert_eq!(may(&account("y"), vec![("x", bound("x")), ("x", bound(""))]), Vec::<String>::new());
    assert_eq!(
        may(&account("x"), vec![("", binding(subject("ServiceAccount", "", "", "web"), "ClusterRole", "c"))]),
        [""; 0]
    );
}

fn word(of: &'static [&'static str]) -> impl Strategy<Value = String> {
    proptest::sample::select(of).prop_map(str::to_owned)
}

fn words(of: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
    proptest::collection::vec(word(of), 0..3)
}

const VERBS: &[&str] = &["get", "list", "create", "*"];
const GROUPS: &[&str] = &["", "apps", "*"];
const RESOURCES: &[&str] = &["pods", "nodes", "pods/log", "pods/*", "*/log", "*/*", "*", "", "/log"];
const NAMES: &[&str] = &["", "a", "b"];
const PATHS: &[&str] = &["/", "/a", "/a/*", "/a*", "*", ""];

fn any_rule() -> impl Strategy<Value = Rule> {
    (words(VERBS), words(GROUPS), words(RESOURCES), words(NAMES), words(PATHS)).prop_map(
        |(verbs, api_groups, resources, resource_names, non_resource_urls)| Rule {
            verbs,
            api_groups,
            resources,
            resource_names,
            non_resource_urls,
        },
    )
}

fn any_question() -> impl Strategy<Value = Attributes> {
    let resource = word(&["pods", "nodes", "pods/log", "*", ""]);
    let subresource = word(&["", "log", "*"]);
    (word(VERBS), word(GROUPS), resource, subresource, word(NAMES), word(PATHS), word(NAMES)).prop_map(
        |(verb, group, resource, subresource, name, path, selected_name)| {
            let path = if resource.is_empty() { path } else { String::new() };
            Attributes { verb, group, resource, subresource, name, path, selected_name, ..Attributes::default() }
        },
    )
}

proptest! {
    /// The prepared form answers as each rule taken alone would.
    #[test]
    fn the_prepared_form_equals_the_plain_rules(
        rules in proptest::collection::vec(any_rule(), 0..5),
        questions in proptest::collection::vec(any_question(), 1..20),
    ) {
        let prepared = Prepared::new(rules.clone());
        for question in questions {
            let plain = rules.iter().any(|rule| rule.allows(&question));
            prop_assert_eq!(prepared.allows(&index::Asked::new(&question)), plain, "{:?}", question);
        }
    }
}
