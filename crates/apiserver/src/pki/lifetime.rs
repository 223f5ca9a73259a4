//! How long a certificate lasts, and when it is time for another one. Pure: time and dice are
//! given.

use jiff::{SignedDuration, Timestamp};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{PkiError, certificates};

/// The part of its life that is left when a certificate is renewed: time for many attempts, and for
/// an administrator to look.
const LEFT: f64 = 1.0 / 3.0;
/// What was issued at the same moment (a fleet that joined together) is renewed spread over this
/// part of its life.
const SPREAD: f64 = 1.0 / 10.0;
/// The first attempt after one that failed, and the longest pause between attempts; short lives
/// have shorter ones.
const FIRST_RETRY: SignedDuration = SignedDuration::from_secs(30);
const LAST_RETRY: SignedDuration = SignedDuration::from_hours(1);

/// From when until when a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    pub from: Timestamp,
    pub until: Timestamp,
}

impl Lifetime {
    /// Of the first certificate of a PEM text.
    ///
    /// # Errors
    /// There is none.
    pub fn of(pem: &str) -> Result<Lifetime, PkiError> {
        let all = certificates(pem)?;
        let first = all.first().ok_or_else(|| PkiError::Make("there is no certificate".to_owned()))?;
        let (_, parsed) = X509Certificate::from_der(first).map_err(|error| PkiError::Make(error.to_string()))?;
        Lifetime::of_parsed(&parsed).ok_or_else(|| PkiError::Make("the certificate's times are no times".to_owned()))
    }

    pub(super) fn of_parsed(certificate: &X509Certificate<'_>) -> Option<Lifetime> {
        let validity = certificate.validity();
        Some(Lifetime {
            from: Timestamp::from_second(validity.not_before.timestamp()).ok()?,
            until: Timestamp::from_second(validity.not_after.timestamp()).ok()?,
        })
    }

    /// Whether it has ended.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.until <= now
    }

    /// Whether a third of its life, or less, is left.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.renew_at(0.0) <= now
    }

    /// When to renew it: with a third of its life left or a little less, by `dice` (0 to 1).
    pub fn renew_at(&self, dice: f64) -> Timestamp {
        let left = self.part(LEFT - SPREAD * dice.clamp(0.0, 1.0));
        self.until.checked_sub(left).unwrap_or(Timestamp::MIN)
    }

    /// How long to wait after so many attempts that failed: doubling, with a random part of up to a
    /// half.
    pub fn retry_after(&self, failures: u32, dice: f64) -> SignedDuration {
        let first = self.part(1.0 / 100.0).min(FIRST_RETRY);
        let last = self.part(1.0 / 20.0).min(LAST_RETRY);
        let doubled = 1_i32.checked_shl(failures.saturating_sub(1).min(20)).and_then(|times| first.checked_mul(times));
        doubled.map_or(last, |wait| wait.min(last)).mul_f64(1.0 - dice.clamp(0.0, 1.0) / 2.0)
    }

    fn part(&self, part: f64) -> SignedDuration {
        self.until.duration_since(self.from).max(SignedDuration::ZERO).mul_f64(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: SignedDuration = SignedDuration::from_hours(24);

    fn lasting(whole: SignedDuration) -> Lifetime {
        let from: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        Lifetime { from, until: from + whole }
    }

    #[test]
    fn it_is_due_with_a_third_left() {
        for whole in [DAY * 366, DAY, SignedDuration::from_secs(9)] {
            let life = lasting(whole);
            let after = |parts: f64| life.from + whole.mul_f64(parts);
            assert!(!life.is_due(life.from) && !life.is_due(after(0.66)), "{whole}");
            assert!(life.is_due(after(0.67)) && life.is_due(life.until) && life.is_due(life.until + DAY), "{whole}");
            assert!(!life.is_over(after(0.99)) && life.is_over(life.until), "{whole}");
            // The spread: never before it is due, never so late that attempts could not be
            // repeated.
            assert!(life.is_due(life.renew_at(0.0)) && life.renew_at(1.0) < after(0.77), "{whole}");
            assert!(life.renew_at(0.3) < life.renew_at(0.7), "{whole}");
        }
    }

    #[test]
    fn attempts_are_repeated_ever_more_slowly_and_often_enough() {
        let year = lasting(DAY * 366);
        assert_eq!(year.retry_after(1, 0.0), FIRST_RETRY);
        assert_eq!(year.retry_after(1, 1.0), FIRST_RETRY / 2);
        assert_eq!(year.retry_after(2, 0.0), FIRST_RETRY * 2);
        assert!([8, 32, u32::MAX].iter().all(|failures| year.retry_after(*failures, 0.0) == LAST_RETRY));
        // However short the life is, several attempts fit into what is left of it.
        let short = lasting(SignedDuration::from_secs(10));
        let total: SignedDuration =
            (1..6).map(|failures| short.retry_after(failures, 0.0)).fold(SignedDuration::ZERO, |a, b| a + b);
        assert!(total < short.until.duration_since(short.renew_at(1.0)), "{total}");
        assert!(short.retry_after(1, 1.0) > SignedDuration::ZERO);
    }

    #[test]
    fn nonsense_lasts_no_time() {
        let life = Lifetime { from: Timestamp::MAX, until: Timestamp::MIN };
        assert!(life.is_due(Timestamp::MIN) && life.is_over(Timestamp::MIN));
        assert_eq!(life.retry_after(3, 0.5), SignedDuration::ZERO);
        assert!(Lifetime::of("").is_err() && Lifetime::of("junk").is_err());
    }
}
