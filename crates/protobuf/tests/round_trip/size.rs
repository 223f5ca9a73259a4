//! What protobuf is for: fewer bytes.

use everynode_protobuf::{kind, list_head, list_metadata, push_item, to_json};
use serde_json::{Value, json};

use crate::LIMITS;
use crate::daemon_pod::daemon_pod;

const PODS: u32 = 5_000;

/// A list in pieces is the same as a whole one, and half as large as JSON at most.
#[test]
fn a_list_of_pods_is_half_as_large() {
    let list = kind("v1", "PodList").unwrap();
    let metadata = json!({"resourceVersion": "7"});
    let (mut items, mut json_bytes) = (Vec::new(), 0);
    for number in 0..PODS {
        let json = daemon_pod(number).to_string();
        json_bytes += json.len();
        push_item(&mut items, list.item().unwrap(), json.as_bytes()).unwrap();
    }
    println!("{PODS} pods: {json_bytes} bytes of JSON, {} of protobuf", items.len());
    assert!(items.len() * 2 <= json_bytes);

    let first = (0..3).map(daemon_pod).collect::<Vec<_>>();
    let mut items = Vec::new();
    for pod in &first {
        push_item(&mut items, list.item().unwrap(), pod.to_string().as_bytes()).unwrap();
    }
    let mut whole =
        list_head("v1", "PodList", &list_metadata(list, metadata.to_string().as_bytes()).unwrap(), items.len());
    whole.extend_from_slice(&items);
    let read: Value = serde_json::from_slice(&to_json(&whole, LIMITS).unwrap().json).unwrap();
    let names = |pods: &[Value]| pods.iter().map(|pod| pod["metadata"]["name"].clone()).collect::<Vec<_>>();
    assert_eq!((&read["kind"], &read["metadata"]), (&json!("PodList"), &metadata));
    assert_eq!(names(read["items"].as_array().unwrap()), names(&first));
}
