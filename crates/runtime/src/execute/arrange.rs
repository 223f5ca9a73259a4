//! The order in which the actions of a plan are carried out.

use everynode_api::kinds::{self, Kind};
use everynode_api::reconcile::{Action, Event};

/// Actions, grouped by what may go on at the same time.
#[derive(Debug, Default)]
pub(super) struct Arranged {
    /// Patches and creates of other things than pods: groups in order, members together.
    pub groups: Vec<Vec<Action>>,
    pub pods: Vec<Action>,
    pub deletes: Vec<Action>,
    pub events: Vec<Event>,
}

pub(super) fn arrange(actions: Vec<Action>) -> Arranged {
    let mut arranged = Arranged::default();
    for action in actions {
        match action {
            Action::Emit(event) => arranged.events.push(event),
            Action::Delete { .. } => arranged.deletes.push(action),
            Action::Create { .. } if is_pod(&action) => arranged.pods.push(action),
            Action::Create { .. } | Action::Patch { .. } => push(&mut arranged.groups, action),
        }
    }
    arranged
}

fn is_pod(action: &Action) -> bool {
    sort(action).is_some_and(|(_, kind, subresource)| *kind == kinds::POD && subresource.is_none())
}

fn push(groups: &mut Vec<Vec<Action>>, action: Action) {
    match groups.last_mut() {
        Some(group) if group.first().map(sort) == Some(sort(&action)) => group.push(action),
        _ => groups.push(vec![action]),
    }
}

/// What makes two actions of one sort: verb, kind and subresource.
fn sort(action: &Action) -> Option<(std::mem::Discriminant<Action>, &Kind, Option<&'static str>)> {
    let target = match action {
        Action::Create { target, .. } | Action::Patch { target, .. } | Action::Delete { target, .. } => target,
        Action::Emit(_) => return None,
    };
    Some((std::mem::discriminant(action), &target.kind, target.subresource))
}

#[cfg(test)]
mod tests {
    use everynode_api::ports::{PatchType, Preconditions, Target};
    use serde_json::Value;

    use super::*;

    fn create(kind: &Kind, subresource: Option<&'static str>) -> Action {
        let target = Target { kind: kind.clone(), namespace: "x".into(), name: "a".into(), subresource };
        Action::Create { target, body: Value::Null, report: None }
    }

    fn patch(kind: &Kind) -> Action {
        Action::Patch {
            target: Target::new(kind.clone(), "x", "a"),
            patch: PatchType::Merge,
            body: Value::Null,
            preconditions: Preconditions::default(),
            report: None,
        }
    }

    #[test]
    fn neighbours_of_one_sort_go_together_and_pods_go_last() {
        let revision = &kinds::CONTROLLER_REVISION;
        let arranged = arrange(vec![
            create(&kinds::POD, None),
            patch(revision),
            patch(revision),
            create(revision, None),
            patch(&kinds::POD),
            create(&kinds::POD, Some("binding")),
        ]);
        assert_eq!(arranged.groups.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1, 1, 1]);
        assert_eq!((arranged.pods.len(), arranged.deletes.len()), (1, 0));
    }
}
