//! A checksum per row. SQLite's pages have none, and a flipped bit in a value would otherwise
//! come back as a user's configuration.

/// A 64-bit checksum of a row: words multiplied and rotated into one state.
///
/// Every step is a bijection of the state and of the word, so a row that differs in a single word
/// never passes; it is no defence against people. Runs at several bytes per cycle.
#[derive(Debug)]
pub(super) struct Checksum(u64);

impl Checksum {
    pub(super) fn new() -> Checksum {
        Checksum(0x243f_6a88_85a3_08d3)
    }

    pub(super) fn number(mut self, word: u64) -> Checksum {
        self.0 = (self.0 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        self
    }

    pub(super) fn bytes(self, bytes: &[u8]) -> Checksum {
        // The length first, so that no byte can move between two fields.
        let mut sum = self.number(bytes.len() as u64);
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            sum = sum.number(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        sum.number(u64::from_le_bytes(last))
    }

    pub(super) fn finish(self) -> u64 {
        self.0 ^ self.0 >> 32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(key: &[u8], value: &[u8]) -> u64 {
        Checksum::new().bytes(key).bytes(value).finish()
    }

    #[test]
    fn every_single_bit_counts() {
        let value: Vec<u8> = (0..=66).collect();
        let good = sum(b"/registry/a", &value);
        for bit in 0..value.len() * 8 {
            let mut bad = value.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(sum(b"/registry/a", &bad), good, "bit {bit}");
        }
        assert_ne!(sum(b"/registry/", b"a"), sum(b"/registry/a", b""));
    }
}
