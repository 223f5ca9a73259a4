//! Seeded randomness: a run draws the same lots from the same seed in the same order.

use everynode_common::random::Random;

/// A seeded generator with the distributions that scenarios name.
#[derive(Clone, Debug)]
pub struct Dice(Random);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Dice(Random::new(seed))
    }

    /// From 0 up to, but never, 1.
    pub(crate) fn unit(&mut self) -> f64 {
        self.0.unit()
    }

    /// True with this probability.
    pub(crate) fn happens(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.unit() < probability
    }

    /// An exponentially distributed number with mean 1: the wait until something that happens at
    /// random moments.
    pub(crate) fn exponential(&mut self) -> f64 {
        -(1.0 - self.unit()).ln()
    }

    /// A normally distributed number with mean 0 and deviation 1 (Box and Muller).
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (2.0 * self.exponential()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// A number below `below`, which must not be 0.
    pub(crate) fn below(&mut self, below: usize) -> usize {
        ((self.unit() * below as f64) as usize).min(below.saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lots_follow_the_seed_and_their_distribution() {
        let mut dice = Dice::new(1);
        assert_eq!(dice.unit().to_bits(), Dice::new(1).unit().to_bits());
        let n = 20_000;
        let mean = |draw: fn(&mut Dice) -> f64, dice: &mut Dice| (0..n).map(|_| draw(dice)).sum::<f64>() / f64::from(n);
        assert!((mean(Dice::unit, &mut dice) - 0.5).abs() < 0.02);
        assert!((mean(Dice::exponential, &mut dice) - 1.0).abs() < 0.05);
        assert!(mean(Dice::normal, &mut dice).abs() < 0.05);
        assert!((0..n).all(|_| dice.below(3) < 3) && !dice.happens(0.0) && dice.happens(1.0));
    }
}
