//! Topics and watchers without a store.

use std::sync::Arc;
use std::time::Duration;

use everynode_api::kinds::{LEASE, POD};
use everynode_store::{Change, KeyValue, Revision};
use tokio::sync::watch;

use super::{Delivery, EventKind, Filter, Start, Topic, WatchOptions, Watcher};
use crate::catalogue::built_in;

const OPTIONS: WatchOptions = WatchOptions { bookmarks: false, timeout: None, bookmark_every: Duration::from_secs(60) };

fn kv(key: &str, value: &str, at: u64) -> KeyValue {
    KeyValue { key: key.into(), value: value.to_owned().into(), created: Revision(1), modified: Revision(at) }
}

/// Applies a change of `key` at `revision`.
fn change(topic: &Topic, key: &str, revision: u64, before: Option<(&str, u64)>, now: Option<&str>) {
    topic.apply(&Change {
        key: key.into(),
        revision: Revision(revision),
        value: now.map(|value| kv(key, value, revision)),
        previous: before.map(|(value, at)| kv(key, value, at)),
    });
}

fn filter(kind: &everynode_api::kinds::Kind, labels: &str, fields: &str) -> Filter {
    Filter::parse(built_in::find(&kind.group, &kind.plural).unwrap(), None, labels, fields).unwrap()
}

fn open(topic: &Arc<Topic>, filter: Filter, after: u64) -> (Watcher, watch::Sender<u64>) {
    let hub = watch::Sender::new(after);
    let Ok(watcher) = Watcher::open(topic, hub.subscribe(), filter, Start::After(after), OPTIONS) else {
        panic!("the watch was refused")
    };
    (watcher, hub)
}

/// Everything that is there to deliver, as text.
fn drain(watcher: &mut Watcher) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(delivery) = watcher.poll() {
        all.push(match delivery {
            Delivery::Event(kind, event) => format!("{} {}", kind.as_str(), event.revision),
            Delivery::Initial(item) => format!("initial {}", item.kv.key),
            Delivery::InitialEnd(revision) => format!("end {revision}"),
            Delivery::Bookmark(revision) => format!("bookmark {revision}"),
            Delivery::Expired(status) => format!("expired {}", status.code),
        });
    }
    all
}

fn bound(node: &str) -> String {
    format!("{{\"metadata\":{{}},\"spec\":{{\"nodeName\":\"{node}\"}}}}")
}

#[tokio::test]
async fn watchers_of_a_node_hear_of_its_pods_only() {
    let topic = Topic::new((&built_in::POD).into());
    let (mut first, _hub) = open(&topic, filter(&POD, "", "spec.nodeName=n1"), 0);
    let (mut second, _hub2) = open(&topic, filter(&POD, "", "spec.nodeName=n2"), 0);
    change(&topic, "/registry/pods/x/a", 1, None, Some(&bound("")));
    change(&topic, "/registry/pods/x/a", 2, Some((&bound(""), 1)), Some(&bound("n1")));
    change(&topic, "/registry/pods/x/a", 3, Some((&bound("n1"), 2)), None);
    assert_eq!(drain(&mut first), ["ADDED 2", "DELETED 3"]); // DS-I33
    assert!(drain(&mut second).is_empty());
}

#[tokio::test]
async fn labels_enter_and_leave() {
    let topic = Topic::new((&built_in::POD).into());
    let (mut watcher, _hub) = open(&topic, filter(&POD, "a=1", ""), 0);
    let labelled = |value: &str| format!("{{\"metadata\":{{\"labels\":{{\"a\":\"{value}\"}}}}}}");
    let key = "/registry/pods/x/a";
    change(&topic, key, 1, None, Some(&labelled("0")));
    change(&topic, key, 2, Some((&labelled("0"), 1)), Some(&labelled("1")));
    change(&topic, key, 3, Some((&labelled("1"), 2)), Some(&labelled("1")));
    change(&topic, key, 4, Some((&labelled("1"), 3)), Some(&labelled("2")));
    assert_eq!(drain(&mut watcher), ["ADDED 2", "MODIFIED 3", "DELETED 4"]); // DS-I33
}

#[tokio::test]
async fn falling_behind_the_buffer_is_reported() {
    let topic = Topic::new((&built_in::LEASE).into());
    let (mut slow, _hub) = open(&topic, filter(&LEASE, "", ""), 0);
    let (mut slower, _hub2) = open(&topic, filter(&LEASE, "", ""), 0);
    let key = "/registry/leases/x/a";
    for revision in 1..=1500 {
        change(&topic, key, revision, Some(("{}", revision - 1)), Some("{}"));
    }
    // More than the queue holds, less than the ring: nothing is lost.
    let all = drain(&mut slow);
    assert_eq!((all.len(), all[0].as_str(), all[1499].as_str()), (1500, "MODIFIED 1", "MODIFIED 1500"));
    for revision in 1501..=5000 {
        change(&topic, key, revision, Some(("{}", revision - 1)), Some("{}"));
    }
    let all = drain(&mut slower);
    assert_eq!(all.last().unwrap(), "expired 410");
    assert!(slower.next().await.is_none());
}

#[tokio::test]
async fn a_frame_is_encoded_once() {
    let topic = Topic::new((&built_in::POD).into());
    let (mut first, _hub) = open(&topic, filter(&POD, "", ""), 0);
    let (mut second, _hub2) = open(&topic, filter(&POD, "", ""), 0);
    change(&topic, "/registry/pods/x/a", 7, None, Some("{\"metadata\":{\"name\":\"a\"}}"));
    let frame = |watcher: &mut Watcher| match watcher.poll() {
        Some(Delivery::Event(EventKind::Added, event)) => event.port(EventKind::Added).unwrap(),
        _ => panic!("no event"),
    };
    let (one, other) = (frame(&mut first), frame(&mut second));
    let bytes = |event: &everynode_api::ports::WatchEvent| match event {
        everynode_api::ports::WatchEvent::Added(bytes) => (bytes.as_ptr(), bytes.clone()),
        _ => panic!("no object"),
    };
    assert_eq!(bytes(&one).0, bytes(&other).0);
    assert_eq!(bytes(&one).1, "{\"metadata\":{\"resourceVersion\":\"7\",\"name\":\"a\"}}");
}

#[tokio::test(start_paused = true)]
async fn bookmarks_come_and_the_watch_ends() {
    let topic = Topic::new((&built_in::POD).into());
    let hub = watch::Sender::new(5);
    let options = WatchOptions {
        bookmarks: true,
        timeout: Some(Duration::from_secs(90)),
        bookmark_every: Duration::from_secs(60),
    };
    let filter = filter(&POD, "", "");
    let Ok(mut watcher) = Watcher::open(&topic, hub.subscribe(), filter, Start::After(5), options) else {
        panic!("the watch was refused")
    };
    hub.send_replace(9);
    assert!(matches!(watcher.next().await, Some(Delivery::Bookmark(9)))); // DS-I34: after a minute
    assert!(matches!(watcher.next().await, Some(Delivery::Bookmark(9)))); // shortly before the end
    assert!(watcher.next().await.is_none()); // DS-I32
}
