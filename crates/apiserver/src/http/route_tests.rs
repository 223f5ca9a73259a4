use super::*;
use crate::operation::connect::PodIdentity;

fn route(method: Method, path: &str) -> Result<Route, Status> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    read(&Rows::built_in(), Asked { method: &method, path, query: &Query::parse(query).unwrap(), upgrades: false })
}

fn check(method: Method, path: &str) -> String {
    match route(method, path) {
        Ok(Route::Operation(operation)) => {
            let Operation { verb, target, .. } = *operation;
            let Target { info, namespace, name, subresource } = target;
            format!("{} {} ns={namespace} name={name} sub={subresource}", verb.as_str(), info.kind.plural)
        }
        Ok(Route::Review { kind, .. }) => format!("review {}", kind.plural),
        Ok(Route::Refused(asked, status)) => {
            format!("{} after {} {}/{}", status.code, asked.verb, asked.resource, asked.subresource)
        }
        Ok(Route::Path) => "path".into(),
        Err(status) => format!("{}", status.code),
    }
}

#[test]
fn paths_are_read_as_in_kubernetes() {
    assert_eq!(check(Method::GET, "/api/v1/namespaces/x"), "get namespaces ns= name=x sub=");
    assert_eq!(check(Method::PUT, "/api/v1/namespaces/x/finalize"), "update namespaces ns= name=x sub=finalize");
    assert_eq!(check(Method::GET, "/api/v1/namespaces/x/pods?watch=true"), "watch pods ns=x name= sub=");
    assert_eq!(check(Method::GET, "/api/v1/namespaces/x/pods/"), "list pods ns=x name= sub=");
    assert_eq!(check(Method::POST, "/api/v1/namespaces/x/pods/a/binding"), "create pods ns=x name=a sub=binding");
    assert_eq!(check(Method::GET, "/apis/apps/v1/daemonsets"), "list daemonsets ns= name= sub=");
    let all = "/apis/apps/v1/namespaces/x/daemonsets";
    assert_eq!(check(Method::DELETE, all), "deletecollection daemonsets ns=x name= sub=");
    let coded = "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode";
    assert_eq!(check(Method::GET, coded), "get clusterroles ns= name=system:node sub=");
    assert_eq!(
        check(Method::POST, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"),
        "review selfsubjectaccessreviews"
    );
    assert_eq!(check(Method::GET, "/apis/apps/v1"), "path");
    assert_eq!(check(Method::GET, "/API/v1/pods"), "path");
}

#[test]
fn what_is_not_served_is_asked_about_as_the_resource_that_it_names() {
    for (path, expected) in [
        ("/apis/apps/v1/namespaces/x/deployments", "404 after list deployments/"),
        ("/api/v1/pods/a", "404 after get pods/"),
        ("/api/v1/namespaces/x/nodes/n", "404 after get nodes/"),
        ("/api/v1/namespaces/x/pods/a/nope", "404 after get pods/nope"),
        ("/api/v1/namespaces/x/pods/a/log/b", "404 after get pods/log"),
        ("/api/v1/namespaces/x/pods/a/exec/y/b/c", "404 after create pods/exec"),
        ("/api/v1/namespaces/x/pods/a/status/", "get pods ns=x name=a sub=status"),
        ("/apis/apps/v2/daemonsets", "404 after list daemonsets/"),
        ("/apis/authentication.k8s.io/v1/tokenreviews", "405 after list tokenreviews/"),
        ("/apis/authentication.k8s.io/v1beta1/tokenreviews", "404 after list tokenreviews/"),
        (
            "/apis/authorization.k8s.io/v1/namespaces/x/selfsubjectaccessreviews",
            "404 after list selfsubjectaccessreviews/",
        ),
    ] {
        assert_eq!(check(Method::GET, path), expected, "{path}");
    }
    assert_eq!(check(Method::TRACE, "/api/v1/namespaces/x/pods"), "405 after  pods/");
    for method in [Method::PUT, Method::PATCH, Method::DELETE] {
        let refused = check(method, "/api/v1/namespaces/x/pods/a/exec");
        assert!(refused.starts_with("405"), "{refused}");
    }
    assert!(check(Method::POST, "/api/v1/namespaces/x/pods/a/log").starts_with("405"));
}

#[test]
fn coded_separators_make_no_other_path() {
    for (path, expected) in [
        ("/api/v1/namespaces/team-a/pods/pa/exec%2Fteam-b%2Fpb1%2Fc%3Fcommand%3Did", "404 after create pods/exec"),
        ("/api/v1/namespaces/x/pods/a%2Flog", "404 after get pods/log"),
        ("/api/v1/namespaces/x/pods/a%2fb", "404 after get pods/b"),
        ("/api/v1/namespaces/x%2Fpods/a", "404 after get pods/"),
        ("/api/v1/namespaces/x/pods%2Fa/log", "404 after get pods/log"),
        ("/api%2Fv1/namespaces/x/pods", "404 after list pods/"),
        ("/api/v1//namespaces/x/pods", "404 after get /x"),
        ("/api/v1/namespaces//pods", "404 after list pods/"),
        ("/api/v1/nodes/n/proxy//exec", "404 after get nodes/proxy"),
        ("/api/v1/nodes/n/proxy/a%2F..%2Fb", "404 after get nodes/proxy"),
        ("/api/v1/namespaces/x/pods/..", "400 after get pods/"),
        ("/api/v1/namespaces/x/pods/%2e%2E/log", "400 after get pods/log"),
        ("/api/v1/namespaces/../pods/a", "400 after get pods/"),
        ("/api/v1/namespaces/x/pods/a%2525", "400 after get pods/"),
        ("/api/v1/nodes/n/proxy/../exec", "400 after get nodes/proxy"),
        ("/api/v1/namespaces/x/pods/a%00", "400"),
        ("/api/v1/namespaces/x/pods/a%0D%0Ab", "400"),
        ("/api/v1/namespaces/x/pods/a%ff", "400"),
        ("/api/v1/namespaces/x/pods/a%zz", "400"),
        ("/api/v1/namespaces/x/pods/a%3Fb", "get pods ns=x name=a?b sub="),
    ] {
        assert_eq!(check(Method::GET, path), expected, "{path}");
    }
}

#[test]
fn what_a_proxied_request_asks_for_is_what_is_authorised() {
    let Ok(Route::Operation(read)) = route(Method::GET, "/api/v1/nodes/n1:10250/proxy/metrics/cadvisor/?x=1%262")
    else {
        panic!("an operation");
    };
    let asked = read.attributes();
    assert_eq!((asked.name.as_str(), read.target.name.as_str()), ("n1:10250", "n1"));
    let identity = PodIdentity { namespace: "", name: "", uid: "" };
    assert_eq!(read.connect().unwrap().agent_path(identity, ""), "/metrics/cadvisor/?x=1%262");
    let method = Method::GET;
    let (path, query) = ("/api/v1/nodes/n1/proxy/exec/x/a/c", Query::parse("command=id").unwrap());
    let Ok(Route::Operation(streams)) = read_upgrade(&method, path, &query) else { panic!("an operation") };
    assert_eq!(streams.attributes().verb, "create");
}

fn read_upgrade(method: &Method, path: &str, query: &Query) -> Result<Route, Status> {
    read(&Rows::built_in(), Asked { method, path, query, upgrades: true })
}

#[test]
fn a_query_that_is_not_understood_is_refused_after_the_question_who_may() {
    for query in ["dryRun=&dryRun=All", "dryRun=all", "fieldManager=a%01", "fieldValidation=x", "propagationPolicy=x"] {
        let Ok(Route::Operation(read)) = route(Method::DELETE, &format!("/api/v1/namespaces/x/pods/a?{query}")) else {
            panic!("an operation");
        };
        assert_eq!(read.options.unwrap_err().code, 422, "{query}");
    }
    let Ok(Route::Operation(list)) = route(Method::GET, "/api/v1/pods?fieldSelector=metadata.name%3Da") else {
        panic!("an operation");
    };
    assert_eq!(list.attributes().selected_name, "a");
}
