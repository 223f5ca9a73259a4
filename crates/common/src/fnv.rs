//! FNV-1a: a small hash without a seed, the same everywhere. Not meant against malice.

use std::hash::Hasher;

const START_32: u32 = 0x811c_9dc5;
const PRIME_32: u32 = 0x0100_0193;
const START_64: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME_64: u64 = 0x0100_0000_01b3;

/// The hash of 32 bits.
pub fn hash_32(bytes: impl IntoIterator<Item = u8>) -> u32 {
    let step = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(PRIME_32);
    bytes.into_iter().fold(START_32, step)
}

/// The hash of 64 bits.
#[must_use]
pub fn hash_64(bytes: &[u8]) -> u64 {
    let mut hasher = Fnv64::default();
    hasher.write(bytes);
    hasher.finish()
}

/// The hash of 64 bits, of bytes that come in parts.
#[derive(Clone, Debug)]
pub struct Fnv64(u64);

impl Default for Fnv64 {
    fn default() -> Self {
        Fnv64(START_64)
    }
}

impl Fnv64 {
    /// Begins elsewhere than usual, for a second hash of the same bytes.
    #[must_use]
    pub fn from_start(start: u64) -> Self {
        Fnv64(start)
    }
}

impl Hasher for Fnv64 {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(PRIME_64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_hashes() {
        for (text, narrow, wide) in [
            ("", 0x811c_9dc5, 0xcbf2_9ce4_8422_2325),
            ("a", 0xe40c_292c, 0xaf63_dc4c_8601_ec8c),
            ("foobar", 0xbf9c_f968, 0x8594_4171_f739_67e8),
        ] {
            assert_eq!(hash_32(text.bytes()), narrow, "{text:?}");
            assert_eq!(hash_64(text.as_bytes()), wide, "{text:?}");
        }
        let mut parts = Fnv64::default();
        parts.write(b"foo");
        parts.write(b"bar");
        assert_eq!(parts.finish(), hash_64(b"foobar"));
    }
}
