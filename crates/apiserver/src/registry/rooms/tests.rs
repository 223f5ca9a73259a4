//! The index by itself.

use super::*;

fn occupant(uid: &str, cpu: &str) -> Occupant {
    let pod = format!(
        r#"{{"metadata":{{"uid":"{uid}"}},"spec":{{"containers":[{{"resources":{{"requests":{{"cpu":"{cpu}"}}}}}}]}}}}"#
    );
    let key: Key = format!("/registry/pods/x/{uid}").into();
    StoredPod::read(pod.as_bytes()).unwrap().occupant("n", &key)
}

fn node(revision: u64, cpu: &str) -> KeyValue {
    let json = format!(r#"{{"status":{{"allocatable":{{"cpu":"{cpu}","pods":"9"}}}}}}"#);
    let (created, modified) = (Revision(1), Revision(revision));
    KeyValue { key: "/registry/minions/n".into(), value: json.into(), created, modified }
}

fn take<'r>(rooms: &'r Rooms, uid: &str, cpu: &str, node: &KeyValue) -> Result<Hold<'r>, Vec<Reason>> {
    rooms.take(&occupant(uid, cpu), Some(node), Claim::Checked)
}

#[test]
fn a_part_is_given_back_unless_its_transaction_happened_or_may_have() {
    let (rooms, node) = (Rooms::default(), node(5, "2"));
    let mut hold = take(&rooms, "a", "2", &node).unwrap();
    assert!(take(&rooms, "b", "1", &node).is_err(), "taken before it is committed");
    hold.committing();
    hold.decided(false);
    drop(take(&rooms, "b", "2", &node).unwrap());
    let mut doubtful = take(&rooms, "c", "2", &node).unwrap();
    doubtful.committing();
    drop(doubtful);
    assert!(take(&rooms, "b", "1", &node).is_err(), "kept until the next recount");
    let settled = rooms.settled("n");
    assert_eq!(settled.len(), 1);
    rooms.forget("n", &settled);
    take(&rooms, "b", "2", &node).unwrap().decided(true);
    assert!(take(&rooms, "d", "1", &node).is_err());
}

/// Two bind one pod to one node at the same moment: one of them is refused by the store, whoever
/// ends first.
#[test]
fn a_part_that_one_of_two_has_kept_stays() {
    for refused_first in [false, true] {
        let (rooms, node) = (Rooms::default(), node(5, "2"));
        let first = take(&rooms, "a", "2", &node).unwrap();
        let second = take(&rooms, "a", "2", &node).unwrap();
        let (one, other) = if refused_first { (first, second) } else { (second, first) };
        one.decided(!refused_first);
        assert!(take(&rooms, "b", "1", &node).is_err());
        other.decided(refused_first);
        assert!(take(&rooms, "b", "1", &node).is_err(), "refused first: {refused_first}");
        rooms.lock().free("n", "a");
        assert!(rooms.lock().nodes.is_empty(), "nothing is left of nodes without pods");
    }
}

#[test]
fn what_was_claimed_again_is_not_forgotten() {
    let (rooms, node) = (Rooms::default(), node(5, "2"));
    take(&rooms, "a", "2", &node).unwrap().decided(true);
    let settled = rooms.settled("n");
    let again = take(&rooms, "a", "2", &node).unwrap();
    rooms.forget("n", &settled);
    assert!(take(&rooms, "b", "1", &node).is_err());
    again.decided(true);
    rooms.forget("n", &settled);
    assert!(take(&rooms, "b", "1", &node).is_err(), "it was found absent before it was claimed again");
}

#[test]
fn a_node_is_read_again_when_it_has_changed() {
    let rooms = Rooms::default();
    take(&rooms, "a", "2", &node(5, "2")).unwrap().decided(true);
    assert!(take(&rooms, "b", "2", &node(5, "4")).is_err(), "of a revision that is known");
    take(&rooms, "b", "2", &node(6, "4")).unwrap().decided(true);
    let wanted = take(&rooms, "c", "1", &node(7, "4")).unwrap_err();
    assert_eq!(wanted[0].scheduler_text(), "Insufficient cpu");
}
