//! Names of pods and revisions.
//!
//! A pod's name is a function of (set uid, node, revision, predecessor): two controllers that decide the same try the
//! same name, and one of them is refused. It ends in ten characters of a hash, about 47 bits.

use std::hash::Hasher;

/// Kubernetes' own alphabet for generated names: no vowels, no characters that look alike.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
const SUFFIX_CHARS: usize = 10;
/// A pod's name is its host name: a DNS label.
const NAME_CHARS: usize = 63;

/// What all pod names of a set begin with; never empty, and a valid name when the suffix follows (DS-C60).
pub(crate) fn prefix(set: &str) -> String {
    let base: String = set.chars().take(NAME_CHARS - SUFFIX_CHARS - 1).collect();
    format!("{}-", base.trim_end_matches(['-', '.']))
}

/// The name of a set's pod.
pub(crate) fn pod_name(prefix: &str, set_uid: &str, node: &str, revision: &str, predecessor: &str) -> String {
    let mut hasher = FnvHasher::default();
    for part in [set_uid, node, revision, predecessor] {
        hasher.write(part.as_bytes());
        hasher.write(&[0]);
    }
    let mut rest = mix(hasher.finish());
    let mut name = prefix.to_owned();
    for _ in 0..SUFFIX_CHARS {
        name.push(char::from(ALPHABET[(rest % 27) as usize]));
        rest /= 27;
    }
    name
}

/// Spreads FNV's weak high bits (the finaliser of splitmix64).
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The hash of a template: FNV-1a over its bytes and the collision count, as text of the safe alphabet (DS-D43).
pub(crate) fn template_hash(bytes: &[u8], collisions: Option<i32>) -> String {
    let mut hash: u32 = 0x811c_9dc5;
    let mut feed = |byte: u8| hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    bytes.iter().copied().for_each(&mut feed);
    if let Some(collisions) = collisions {
        collisions.to_le_bytes().into_iter().chain([0; 4]).for_each(&mut feed);
    }
    hash.to_string().bytes().map(|digit| char::from(ALPHABET[usize::from(digit) % 27])).collect()
}

/// FNV-1a of 64 bits: no seed, the same everywhere.
struct FnvHasher(u64);

impl Default for FnvHasher {
    fn default() -> Self {
        FnvHasher(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for FnvHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
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
