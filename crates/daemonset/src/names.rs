//! Names of pods and revisions.
//!
//! A pod's name is a function of (set uid, node, revision, predecessor): two controllers that
//! decide the same try the same name, and one of them is refused. It ends in ten characters of a
//! hash, about 47 bits.

use std::hash::Hasher;

use everynode_common::fnv::{self, Fnv64};
use everynode_common::random::mixed;

/// Kubernetes' own alphabet for generated names: no vowels, no characters that look alike.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
const SUFFIX_CHARS: usize = 10;
/// A pod's name is its host name: a DNS label.
const NAME_CHARS: usize = 63;

/// What all pod names of a set begin with; never empty, and a valid name when the suffix follows
/// (DS-C60).
pub(crate) fn prefix(set: &str) -> String {
    let base: String = set.chars().take(NAME_CHARS - SUFFIX_CHARS - 1).collect();
    format!("{}-", base.trim_end_matches(['-', '.']))
}

/// The name of a set's pod.
pub(crate) fn pod_name(prefix: &str, set_uid: &str, node: &str, revision: &str, predecessor: &str) -> String {
    let mut hasher = Fnv64::default();
    for part in [set_uid, node, revision, predecessor] {
        hasher.write(part.as_bytes());
        hasher.write(&[0]);
    }
    let mut rest = mixed(hasher.finish());
    let mut name = prefix.to_owned();
    for _ in 0..SUFFIX_CHARS {
        name.push(char::from(ALPHABET[(rest % 27) as usize]));
        rest /= 27;
    }
    name
}

/// The hash of a template: FNV-1a over its bytes and the collision count, as text of the safe
/// alphabet (DS-D43).
pub(crate) fn template_hash(bytes: &[u8], collisions: Option<i32>) -> String {
    let count = collisions.map(|count| count.to_le_bytes().into_iter().chain([0; 4]));
    let hash = fnv::hash_32(bytes.iter().copied().chain(count.into_iter().flatten()));
    hash.to_string().bytes().map(|digit| char::from(ALPHABET[usize::from(digit) % 27])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_valid_and_depend_on_every_part() {
        // DS-C60
        let name = |node, revision, predecessor| pod_name(&prefix("web"), "u1", node, revision, predecessor);
        let names =
            [name("a", "r", ""), name("b", "r", ""), name("a", "s", ""), name("a", "r", "p"), name("ar", "", "")];
        let distinct: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len());
        assert_eq!(names[0], name("a", "r", ""));
        for set in ["web", "a.b-c", &"x".repeat(253), &format!("{}.y", "x".repeat(51))] {
            let name = pod_name(&prefix(set), "u", "n", "r", "");
            assert!(name.len() <= 63 && everynode_api::names::dns1123_subdomain(&name).is_empty(), "{name}");
        }
    }

    #[test]
    fn template_hash_depends_on_bytes_and_collisions() {
        // DS-D43, DS-D44
        let hashes = [template_hash(b"a", None), template_hash(b"b", None), template_hash(b"a", Some(1))];
        assert!(hashes.iter().all(|hash| hash.bytes().all(|c| ALPHABET.contains(&c))));
        assert!(hashes[0] != hashes[1] && hashes[0] != hashes[2]);
        assert_eq!(hashes[0], template_hash(b"a", None));
    }
}
