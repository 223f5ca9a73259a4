//! What is at paths that are of no object, and what every kind's answers have in common.

use http::Method;
use serde_json::{Value, json};

use crate::support::*;

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

#[tokio::test]
async fn documents_that_a_client_has_are_not_sent_again() {
    let server = Server::start().await;
    for (path, accept) in [("/apis", AGGREGATED), ("/openapi/v3/apis/apps/v1", JSON)] {
        let headers = [("accept", accept)];
        let first = server.send(&Who::Admin, Method::GET, path, &headers, "").await;
        let etag = first.headers["etag"].to_str().unwrap().to_owned();
        assert!(first.code == 200 && etag.starts_with('"') && first.headers["vary"] == "Accept");
        let headers = [("accept", accept), ("if-none-match", etag.as_str())];
        let again = server.send(&Who::Admin, Method::GET, path, &headers, "").await;
        assert_eq!((again.code, again.body.len()), (304, 0), "{path}");
        let headers = [("accept", accept), ("if-none-match", "\"other\"")];
        assert_eq!(server.send(&Who::Admin, Method::GET, path, &headers, "").await.code, 200);
    }
    let index = server.get("/openapi/v3").await;
    assert!(!index.headers.contains_key("etag"), "its URLs have hashes");
    let url = index.json()["paths"]["version"]["serverRelativeURL"].as_str().unwrap().to_owned();
    assert_eq!(server.get(&url).await.expect(200)["paths"]["/version/"]["get"]["operationId"], "getCodeVersion");
}

#[tokio::test]
async fn methods_that_a_path_does_not_have_are_refused() {
    let server = Server::start().await;
    server.post(CONFIG_MAPS, &config_map("a")).await.expect(201);
    for path in [CONFIG_MAPS, &format!("{CONFIG_MAPS}/a")] {
        let head = server.send(&Who::Admin, Method::HEAD, path, &[], "").await;
        assert_eq!((head.code, head.body.len()), (405, 0), "{path}");
    }
    let probe = async |who: &Who, method: Method| server.send(who, method, "/healthz", &[], "").await.code;
    assert_eq!(probe(&Who::Nobody, Method::HEAD).await, 200);
    assert_eq!(probe(&Who::Admin, Method::POST).await, 200);
    assert!(matches!(probe(&Who::Nobody, Method::POST).await, 401 | 403), "only reading is for everyone");
    assert_eq!(server.send(&Who::Admin, Method::POST, "/version", &[], "").await.code, 405);
}

#[tokio::test]
async fn where_nothing_is_it_depends_on_the_group_what_is_said() {
    let server = Server::start().await;
    for path in ["/apis/none.test/v1/things", "/apis/none.test", "/nothing", "/healthz/nothing"] {
        let answer = server.get(path).await;
        assert_eq!((answer.code, &answer.body[..]), (404, &b"404 page not found\n"[..]), "{path}");
    }
    for path in ["/apis/apps/v2/daemonsets", "/apis/apps/v1/nothing", "/api/v2", "/apis/authorization.k8s.io/v9"] {
        assert_eq!(server.get(path).await.expect(404)["reason"], "NotFound", "{path}");
    }
}

/// Short lists are one text, long ones are sent in pieces, and events are shown in two forms.
#[tokio::test]
async fn items_of_a_list_do_not_say_what_they_are() {
    let server = Server::start().await;
    let event = json!({"metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "namespace": "default", "name": "a"},
                       "reason": "R", "message": "m", "source": {"component": "x"}});
    server.post("/api/v1/namespaces/default/events", &event).await.expect(201);
    for index in 0..120 {
        server.post(CONFIG_MAPS, &config_map(&format!("m{index}"))).await.expect(201);
    }
    let events = "/apis/events.k8s.io/v1/namespaces/default/events";
    for path in ["/api/v1/namespaces/default/events", events, CONFIG_MAPS, &format!("{CONFIG_MAPS}?limit=3")] {
        let list = server.get(path).await.expect(200);
        assert!(list["kind"].as_str().unwrap().ends_with("List"));
        let items = list["items"].as_array().unwrap();
        assert!(!items.is_empty());
        for item in items {
            assert_eq!((&item["kind"], &item["apiVersion"]), (&Value::Null, &Value::Null), "{path}: {item}");
            assert!(item["metadata"]["name"].is_string() && item["metadata"]["resourceVersion"].is_string());
        }
    }
}

#[tokio::test]
async fn a_dry_run_that_the_query_asks_for_deletes_nothing() {
    let server = Server::start().await;
    server.post(CONFIG_MAPS, &config_map("a")).await.expect(201);
    let path = format!("{CONFIG_MAPS}/a");
    let options = json!({"apiVersion": "v1", "kind": "DeleteOptions"});
    server.delete(&format!("{path}?dryRun=All"), &options).await.expect(200);
    server.get(&path).await.expect(200);
}
