//! Taints and tolerations (docs/requirements.md, B).

use everynode_api::view::{Effect, Taint, Toleration, TolerationOperator};

/// The taint that cordoning puts on a node (DS-B25).
pub(crate) const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// Whether one toleration matches one taint (DS-B17).
pub fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let effect = toleration.effect == Effect::Any || toleration.effect == taint.effect;
    let key = toleration.key.is_empty() || toleration.key == taint.key;
    effect && key && (toleration.operator == TolerationOperator::Exists || toleration.value == taint.value)
}

/// The taints with one of `effects` that no toleration matches. `tolerationSeconds` plays no role
/// (DS-B07).
pub fn untolerated<'a>(
    taints: &'a [Taint],
    tolerations: &'a [Toleration],
    effects: &'a [Effect],
) -> impl Iterator<Item = &'a Taint> {
    let counts = |taint: &&Taint| effects.contains(&taint.effect);
    taints.iter().filter(counts).filter(|taint| !tolerations.iter().any(|toleration| tolerates(toleration, taint)))
}

/// What every daemon pod tolerates without asking, in the order in which it is written (DS-B20,
/// DS-B21).
pub fn automatic_tolerations(host_network: bool) -> Vec<Toleration> {
    let mut all = vec![
        exists("node.kubernetes.io/not-ready", Effect::NoExecute),
        exists("node.kubernetes.io/unreachable", Effect::NoExecute),
        exists("node.kubernetes.io/disk-pressure", Effect::NoSchedule),
        exists("node.kubernetes.io/memory-pressure", Effect::NoSchedule),
        exists("node.kubernetes.io/pid-pressure", Effect::NoSchedule),
        exists(UNSCHEDULABLE, Effect::NoSchedule),
    ];
    if host_network {
        all.push(exists("node.kubernetes.io/network-unavailable", Effect::NoSchedule));
    }
    all
}

/// The template's tolerations with the automatic ones: an equal one is replaced in place, the
/// others follow (DS-B22).
pub fn with_automatic_tolerations(template: &[Toleration], host_network: bool) -> Vec<Toleration> {
    let mut all = template.to_vec();
    for automatic in automatic_tolerations(host_network) {
        let mut replaced = false;
        for own in all.iter_mut().filter(|own| same_identity(own, &automatic)) {
            *own = automatic.clone();
            replaced = true;
        }
        if !replaced {
            all.push(automatic);
        }
    }
    all
}

/// Equal in key, operator, effect and value; `tolerationSeconds` is not part of a toleration's
/// identity.
fn same_identity(a: &Toleration, b: &Toleration) -> bool {
    a.key == b.key && a.operator == b.operator && a.effect == b.effect && a.value == b.value
}

fn exists(key: &str, effect: Effect) -> Toleration {
    Toleration { key: key.into(), operator: TolerationOperator::Exists, effect, ..Toleration::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toleration(key: &str, operator: TolerationOperator, value: &str, effect: Effect) -> Toleration {
        Toleration { key: key.into(), operator, value: value.into(), effect, toleration_seconds: None }
    }

    #[test]
    fn a_toleration_matches_by_effect_key_and_value() {
        // DS-B17
        use TolerationOperator::{Equal, Exists};
        let taint = Taint { key: "gpu".into(), value: "a".into(), effect: Effect::NoSchedule, time_added: None };
        let table = [
            ("", Exists, "", Effect::Any, true),
            ("gpu", Exists, "", Effect::Any, true),
            ("gpu", Exists, "", Effect::NoSchedule, true),
            ("gpu", Exists, "", Effect::NoExecute, false),
            ("cpu", Exists, "", Effect::Any, false),
            ("gpu", Equal, "a", Effect::NoSchedule, true),
            ("gpu", Equal, "b", Effect::NoSchedule, false),
            ("gpu", Equal, "", Effect::Any, false),
        ];
        for (key, operator, value, effect, expected) in table {
            let toleration = toleration(key, operator, value, effect);
            assert_eq!(tolerates(&toleration, &taint), expected, "{toleration:?}");
        }
    }

    #[test]
    fn automatic_tolerations_follow_or_replace_the_templates() {
        // DS-B20, DS-B21, DS-B22, DS-B23
        let mut limited = exists("node.kubernetes.io/not-ready", Effect::NoExecute);
        limited.toleration_seconds = Some(30);
        let mut equal = toleration("node.kubernetes.io/unreachable", TolerationOperator::Equal, "", Effect::NoExecute);
        equal.toleration_seconds = Some(60);
        let all = with_automatic_tolerations(&[limited, equal.clone()], true);
        assert_eq!(all[0], exists("node.kubernetes.io/not-ready", Effect::NoExecute));
        assert_eq!(all[1], equal);
        let keys: Vec<_> = all[2..].iter().map(|t| t.key.rsplit('/').next().unwrap_or_default()).collect();
        let expected =
            ["unreachable", "disk-pressure", "memory-pressure", "pid-pressure", "unschedulable", "network-unavailable"];
        assert_eq!(keys, expected);
    }
}
