use super::*;
use crate::testkit::{TestBed, at};
use everynode_api::kinds;
use everynode_api::view::{Item, Served};

fn bed() -> TestBed<Garbage> {
    let mut bed = TestBed::new(Garbage);
    bed.serve(&[kinds::POD, kinds::DAEMON_SET, kinds::NODE], 6);
    bed
}

fn set(extra: &str) -> String {
    format!(r#"{{"metadata":{{"name":"web","namespace":"x","uid":"s1","resourceVersion":"5"{extra}}}}}"#)
}

fn pod(extra_owner: &str) -> String {
    format!(
        r#"{{"metadata":{{"name":"p","namespace":"x","uid":"p1","resourceVersion":"6","ownerReferences":[
        {{"apiVersion":"apps/v1","kind":"DaemonSet","name":"web","uid":"s1","controller":true,"blockOwnerDeletion":true}}{extra_owner}]}}}}"#
    )
}

#[test]
fn dependents_of_a_gone_owner_are_deleted() {
    // DS-C80
    let mut bed = bed();
    bed.put(&kinds::DAEMON_SET, &set(""));
    bed.put(&kinds::POD, &pod(""));
    assert!(bed.run("s1", at(0)).is_empty());
    bed.remove(&kinds::DAEMON_SET, "x/web");
    assert_eq!(bed.run("s1", at(0)), ["delete pods/x/p"]);
    bed.remove(&kinds::POD, "x/p");
    assert_eq!(bed.run("s1", at(0)), ["forget"]);
}

#[test]
fn only_a_change_of_owners_or_of_life_wakes() {
    let mut bed = bed();
    // Its owner is absent.
    assert_eq!(bed.woken(&kinds::POD, &pod("")), ["s1"]);
    assert!(bed.woken(&kinds::POD, &pod("").replace("6", "7")).is_empty(), "written again");
    let another = r#",{"apiVersion":"v1","kind":"Node","name":"n","uid":"n1"}"#;
    assert_eq!(bed.woken(&kinds::POD, &pod(another)), ["n1", "s1"]);
    let ends = |version: &str| {
        let marked = format!(r#""resourceVersion":"{version}","deletionTimestamp":"2026-01-01T00:00:00Z""#);
        pod(another).replace(r#""resourceVersion":"6""#, &marked)
    };
    assert_eq!(bed.woken(&kinds::POD, &ends("8")), ["n1", "p1", "s1"]);
    assert_eq!(bed.woken(&kinds::POD, &ends("9")), ["n1", "p1", "s1"], "what holds it may have changed");
}

#[test]
fn an_owner_that_the_view_may_not_know_yet_is_not_absent() {
    // DS-C84
    let mut bed = TestBed::new(Garbage);
    bed.serve(&[kinds::POD, kinds::DAEMON_SET], 5);
    bed.put(&kinds::POD, &pod(""));
    assert!(bed.run("s1", at(0)).is_empty());
    assert_eq!(bed.wake_at(), Some(at(1)));
    bed.view.observe_revision(&kinds::DAEMON_SET, 6);
    assert_eq!(bed.run("s1", at(1)), ["delete pods/x/p"]);
}

#[test]
fn foreground_waits_for_blocking_dependents() {
    // DS-C81
    let mut bed = bed();
    let ending = r#","deletionTimestamp":"2026-01-01T00:00:00Z","finalizers":["foregroundDeletion"]"#;
    bed.put(&kinds::DAEMON_SET, &set(ending));
    bed.put(&kinds::POD, &pod(""));
    assert_eq!(bed.run("s1", at(0)), ["delete pods/x/p"]);
    assert_eq!(bed.notes(), ["x/web waits for 1 dependents to end"]);
    bed.remove(&kinds::POD, "x/p");
    assert_eq!(bed.run("s1", at(0)), ["patch daemonsets/x/web"]);
    assert_eq!(bed.last_body(0), r#"{"metadata":{"finalizers":[]}}"#);
}

/// Found by simulated seed 1162: the collector died after the last dependent had gone.
#[test]
fn an_owner_that_ends_is_let_go_by_the_next_collector_too() {
    // DS-C81
    let mut bed = bed();
    bed.put(&kinds::DAEMON_SET, &set(FOREGROUND));
    assert_eq!(bed.all(), ["s1"]);
    assert_eq!(bed.run("s1", at(0)), ["patch daemonsets/x/web"]);
}

#[test]
fn orphan_takes_the_reference_off_first() {
    // DS-C82
    let mut bed = bed();
    bed.put(&kinds::DAEMON_SET, &set(r#","deletionTimestamp":"2026-01-01T00:00:00Z","finalizers":["orphan"]"#));
    bed.put(&kinds::POD, &pod(""));
    assert_eq!(bed.run("s1", at(0)), ["patch pods/x/p"]);
    assert_eq!(bed.last_body(0), r#"{"metadata":{"ownerReferences":null}}"#);
    bed.put(&kinds::POD, r#"{"metadata":{"name":"p","namespace":"x","uid":"p1","resourceVersion":"9"}}"#);
    assert_eq!(bed.run("s1", at(0)), ["patch daemonsets/x/web"]);
}

#[test]
fn a_second_owner_keeps_the_dependent() {
    let mut bed = bed();
    bed.put(&kinds::DAEMON_SET, r#"{"metadata":{"name":"two","namespace":"x","uid":"s2"}}"#);
    bed.put(&kinds::DAEMON_SET, &set(""));
    bed.put(&kinds::POD, &pod(r#",{"apiVersion":"apps/v1","kind":"DaemonSet","name":"two","uid":"s2"}"#));
    bed.remove(&kinds::DAEMON_SET, "x/web");
    assert_eq!(bed.run("s1", at(0)), ["patch pods/x/p"]);
    assert!(bed.last_body(0).contains("s2") && !bed.last_body(0).contains("s1"));
}

#[test]
fn an_unserved_owner_kind_is_never_absent() {
    let mut bed = bed();
    bed.put(
        &kinds::POD,
        r#"{"metadata":{"name":"p","namespace":"x","uid":"p1","ownerReferences":[{"apiVersion":"batch/v1","kind":"Job","uid":"j"}]}}"#,
    );
    assert!(bed.run("j", at(0)).is_empty());
    assert_eq!(bed.notes(), ["owner j is of a kind that is not served; nothing is collected"]);
    assert_eq!(bed.wake_at(), None, "it is not asked for again and again");
}

/// A kind that is found while the collector runs.
fn widget() -> Kind {
    let text = |text: &'static str| text.into();
    Kind {
        group: text("example.com"),
        version: text("v1"),
        kind: text("Widget"),
        plural: text("widgets"),
        namespaced: true,
    }
}

const WIDGET: &str = r#"{"metadata":{"name":"w","namespace":"x","uid":"w1","resourceVersion":"5"}}"#;
const WIDGETS_POD: &str = r#"{"metadata":{"name":"p","namespace":"x","uid":"p1","resourceVersion":"6","ownerReferences":[
    {"apiVersion":"example.com/v1","kind":"Widget","name":"w","uid":"w1"}]}}"#;

#[test]
fn owners_of_a_kind_that_is_dropped_are_not_gone() {
    let mut bed = bed();
    bed.serve(&[kinds::POD, widget()], 6);
    bed.put(&widget(), WIDGET);
    bed.put(&kinds::POD, WIDGETS_POD);
    bed.serve(&[kinds::POD], 7);
    bed.view.forget_kind(&widget());
    assert!(bed.run("w1", at(0)).is_empty());
    assert_eq!(bed.notes(), ["owner w1 is of a kind that is not served; nothing is collected"]);
    // It comes back: nothing follows before it has been listed.
    bed.view.set_served(Served::always([kinds::POD, widget()]));
    assert!(bed.run("w1", at(1)).is_empty());
    assert_eq!(bed.notes(), ["owner w1 is not known yet; nothing is collected"]);
    bed.view.replace(&widget(), vec![Item::parse(&widget(), WIDGET.as_bytes()).unwrap()], 9);
    assert!(bed.run("w1", at(2)).is_empty());
    bed.remove(&widget(), "x/w");
    assert_eq!(bed.run("w1", at(3)), ["delete pods/x/p"]);
}

#[test]
fn owners_that_went_while_their_kind_was_away_are_absent_when_it_is_back() {
    let mut bed = bed();
    bed.serve(&[kinds::POD, widget()], 6);
    bed.put(&widget(), WIDGET);
    bed.put(&kinds::POD, WIDGETS_POD);
    bed.serve(&[kinds::POD], 7);
    bed.view.forget_kind(&widget());
    bed.view.set_served(Served::always([kinds::POD, widget()]));
    bed.view.replace(&widget(), Vec::new(), 9);
    assert_eq!(bed.run("w1", at(0)), ["delete pods/x/p"]);
}

#[test]
fn an_owner_of_a_kind_that_is_gone_does_not_count_for_or_against() {
    let mut bed = bed();
    bed.put(&kinds::DAEMON_SET, &set(""));
    bed.put(&kinds::POD, &pod(r#",{"apiVersion":"example.com/v1","kind":"Widget","name":"w","uid":"w1"}"#));
    bed.remove(&kinds::DAEMON_SET, "x/web");
    assert!(bed.run("s1", at(0)).is_empty(), "the other owner may be alive");
}

#[test]
fn an_owner_waits_until_every_kind_is_known_up_to_its_deletion() {
    // DS-C81, DS-C82: a dependent that was not heard of yet is neither forgotten nor collected
    let orphan = r#","deletionTimestamp":"2026-01-01T00:00:00Z","finalizers":["orphan"]"#;
    for (ending, late) in [(orphan, "patch pods/x/p"), (FOREGROUND, "delete pods/x/p")] {
        let mut bed = TestBed::new(Garbage);
        bed.serve(&[kinds::POD, kinds::DAEMON_SET], 4);
        bed.put(&kinds::DAEMON_SET, &set(ending));
        assert!(bed.run("s1", at(0)).is_empty());
        assert_eq!(bed.notes(), ["x/web waits until every kind is known up to its deletion"]);
        bed.put(&kinds::POD, &pod("").replace(r#""resourceVersion":"6""#, r#""resourceVersion":"4""#));
        assert_eq!(bed.run("s1", at(1)), [late]);
        bed.remove(&kinds::POD, "x/p");
        assert!(bed.run("s1", at(2)).is_empty());
        bed.view.observe_revision(&kinds::POD, 5);
        // Kinds that discovery has not found yet count, too.
        let served = Served { as_of: 4, ..bed.view.served().clone() };
        bed.view.set_served(served);
        assert!(bed.run("s1", at(3)).is_empty());
        bed.serve(&[kinds::POD, kinds::DAEMON_SET], 5);
        assert_eq!(bed.run("s1", at(4)), ["patch daemonsets/x/web"]);
    }
}

#[test]
fn a_kind_that_cannot_be_listed_holds_foreground_deletion_up_for_a_while_only() {
    let orphan = r#","deletionTimestamp":"2026-01-01T00:00:00Z","finalizers":["orphan"]"#;
    for (ending, after) in [(FOREGROUND, &["patch daemonsets/x/web"][..]), (orphan, &[])] {
        let mut bed = bed();
        bed.view.set_served(Served::always([kinds::DAEMON_SET, widget()]));
        bed.put(&kinds::DAEMON_SET, &set(ending));
        assert!(bed.run("s1", at(0)).is_empty() && bed.run("s1", at(29)).is_empty());
        assert_eq!(bed.run("s1", at(30)), after, "what orphaning missed would be collected");
    }
}

const FOREGROUND: &str = r#","deletionTimestamp":"2026-01-01T00:00:00Z","finalizers":["foregroundDeletion"]"#;

/// An object whose owners block: `[(uid, blocks)]`, all sets.
fn owned(name: &str, namespace: &str, owners: &[(&str, bool)], extra: &str) -> String {
    let owner = |(uid, blocks): &(&str, bool)| {
        format!(
            r#"{{"apiVersion":"apps/v1","kind":"DaemonSet","name":"web","uid":"{uid}","blockOwnerDeletion":{blocks}}}"#
        )
    };
    let owners: Vec<_> = owners.iter().map(owner).collect();
    format!(
        r#"{{"metadata":{{"name":"{name}","namespace":"{namespace}","uid":"u-{name}","resourceVersion":"6","ownerReferences":[{}]{extra}}}}}"#,
        owners.join(",")
    )
}

#[test]
fn a_dependent_that_does_not_block_is_deleted_but_not_waited_for() {
    // DS-C81
    let mut bed = bed();
    bed.put(&kinds::DAEMON_SET, &set(FOREGROUND));
    bed.put(&kinds::POD, &owned("p", "x", &[("s1", false)], ""));
    assert_eq!(bed.run("s1", at(0)), ["delete pods/x/p", "patch daemonsets/x/web"]);
}

#[test]
fn an_owner_in_another_namespace_is_absent() {
    // DS-C84: the dependent goes although the owner lives
    let mut bed = bed();
    bed.put(&kinds::DAEMON_SET, &set(""));
    assert_eq!(bed.woken(&kinds::POD, &owned("p", "y", &[("s1", true)], "")), ["s1"]);
    assert_eq!(bed.run("s1", at(0)), ["emit OwnerRefInvalidNamespace", "delete pods/y/p"]);
    let told = r#"ownerRef [apps/v1/DaemonSet, namespace: y, name: web, uid: s1] does not exist in namespace "y""#;
    assert_eq!(bed.last_body(0), told);
    assert_eq!(bed.run("s1", at(1)), ["delete pods/y/p"], "it is told once");
}

#[test]
fn an_owner_in_another_namespace_waits_for_no_dependent_and_keeps_none() {
    let mut bed = bed();
    bed.put(&kinds::DAEMON_SET, &set(FOREGROUND));
    bed.put(&kinds::DAEMON_SET, r#"{"metadata":{"name":"here","namespace":"y","uid":"s2","resourceVersion":"5"}}"#);
    bed.put(&kinds::POD, &owned("p", "y", &[("s1", true), ("s2", true)], ""));
    let said = bed.run("s1", at(0));
    assert_eq!(said, ["patch daemonsets/x/web", "emit OwnerRefInvalidNamespace", "patch pods/y/p"]);
    bed.remove(&kinds::DAEMON_SET, "y/here");
    assert_eq!(bed.run("s2", at(0)), ["delete pods/y/p"]);
}

#[test]
fn a_cluster_scoped_dependent_of_a_namespaced_owner_is_never_collected() {
    let mut bed = bed();
    bed.put(&kinds::DAEMON_SET, &set(""));
    bed.put(&kinds::NODE, &owned("n", "", &[("s1", true)], ""));
    bed.put(&kinds::POD, &pod(""));
    assert_eq!(bed.run("s1", at(0)), ["emit OwnerRefInvalidNamespace"]);
    bed.remove(&kinds::DAEMON_SET, "x/web");
    assert_eq!(bed.run("s1", at(1)), ["delete pods/x/p"]);
}

#[test]
fn a_namespaced_dependent_may_have_a_cluster_scoped_owner() {
    let mut bed = bed();
    bed.put(&kinds::NODE, r#"{"metadata":{"name":"n","uid":"s1","resourceVersion":"5"}}"#);
    assert!(bed.woken(&kinds::POD, &owned("p", "x", &[("s1", true)], "")).is_empty());
    bed.remove(&kinds::NODE, "n");
    assert_eq!(bed.run("s1", at(0)), ["delete pods/x/p"]);
}

#[test]
fn two_that_own_each_other_end() {
    // DS-C81: each would wait for the other for ever
    let mut bed = bed();
    let owners = |owner| [(owner, true)];
    bed.put(&kinds::DAEMON_SET, &owned("a", "x", &owners("u-b"), FOREGROUND));
    bed.put(&kinds::DAEMON_SET, &owned("b", "x", &owners("u-a"), ""));
    assert_eq!(bed.run("u-a", at(0)), ["patch daemonsets/x/b", "delete daemonsets/x/b"]);
    assert!(bed.last_body(0).contains(r#""blockOwnerDeletion":false"#));
    bed.put(&kinds::DAEMON_SET, &owned("b", "x", &[("u-a", false)], FOREGROUND));
    assert_eq!(bed.run("u-a", at(1)), ["patch daemonsets/x/a"]);
    assert_eq!(bed.last_body(0), r#"{"metadata":{"finalizers":[]}}"#);
    bed.remove(&kinds::DAEMON_SET, "x/a");
    assert_eq!(bed.run("u-b", at(2)), ["patch daemonsets/x/b"]);
}

#[test]
fn one_that_owns_itself_ends() {
    let mut bed = bed();
    bed.put(&kinds::DAEMON_SET, &owned("a", "x", &[("u-a", true)], FOREGROUND));
    assert_eq!(bed.run("u-a", at(0)), ["patch daemonsets/x/a"]);
    assert!(bed.last_body(0).contains(r#""blockOwnerDeletion":false"#));
    bed.put(&kinds::DAEMON_SET, &owned("a", "x", &[("u-a", false)], FOREGROUND));
    assert_eq!(bed.run("u-a", at(1)), ["patch daemonsets/x/a"]);
    assert_eq!(bed.last_body(0), r#"{"metadata":{"finalizers":[]}}"#);
}

#[test]
fn a_chain_is_not_a_circle() {
    let mut bed = bed();
    bed.put(&kinds::DAEMON_SET, &owned("a", "x", &[], FOREGROUND));
    bed.put(&kinds::DAEMON_SET, &owned("b", "x", &[("u-a", true)], FOREGROUND));
    bed.put(&kinds::POD, &owned("c", "x", &[("u-b", true)], FOREGROUND));
    assert!(bed.run("u-a", at(0)).is_empty());
    assert_eq!(bed.notes(), ["x/a waits for 1 dependents to end"]);
}
