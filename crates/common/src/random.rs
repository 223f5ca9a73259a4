//! Seeded pseudo-random numbers, so that a run can be repeated. Not for secrets.

/// The generator splitmix64 (public domain algorithm by Sebastiano Vigna): small, and any seed
/// will do.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    #[must_use]
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.0)
    }

    /// From 0 up to, but never, 1.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A number below `bound`; 0 if that is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.bits() % bound.max(1)
    }

    /// An index of a list of this length; 0 if it is empty.
    pub fn index(&mut self, length: usize) -> usize {
        // What was below a usize is one.
        self.below(length as u64) as usize
    }

    /// One of a list; `None`, without a draw, if it is empty.
    pub fn pick<'t, T>(&mut self, items: &'t [T]) -> Option<&'t T> {
        if items.is_empty() { None } else { items.get(self.index(items.len())) }
    }

    /// True this many times of a hundred.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// Spreads the bits of a number over all of them (the last step of splitmix64).
#[must_use]
pub fn mixed(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_the_seed_and_stay_in_range() {
        let mut random = Random::new(1_234_567);
        // The reference sequence of splitmix64 for this seed.
        let first = [random.bits(), random.bits(), random.bits()];
        assert_eq!(first, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
        assert!((0..1000).all(|_| random.below(3) < 3 && random.index(2) < 2));
        assert!((0..1000).all(|_| (0.0..1.0).contains(&random.unit())));
        assert_eq!((random.below(0), random.index(0)), (0, 0));
        assert!(random.pick(&[7]) == Some(&7) && random.pick::<u8>(&[]).is_none());
        assert!(random.percent(100) && !random.percent(0));
    }
}
