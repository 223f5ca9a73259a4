//! Words for durations, distributions, rates and probabilities, as scenario files and flags have
//! them.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Visitor};

use crate::dice::Dice;

/// No delay is longer: about 31 years. Keeps every sum of times in range.
const SECONDS_MAX: f64 = 1e9;

/// How long something takes: `2s`, `1s..3s` (evenly between), `exp 2s` (exponential with this
/// mean), `normal 2s 500ms` (mean and deviation, never below zero).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Delay {
    Fixed(Duration),
    Uniform { min: Duration, max: Duration },
    Exponential { mean: Duration },
    Normal { mean: Duration, deviation: Duration },
}

impl Default for Delay {
    fn default() -> Self {
        Delay::Fixed(Duration::ZERO)
    }
}

impl Delay {
    pub(crate) fn draw(self, dice: &mut Dice) -> Duration {
        let seconds = match self {
            Delay::Fixed(fixed) => return fixed,
            Delay::Uniform { min, max } => min.as_secs_f64() + dice.unit() * max.saturating_sub(min).as_secs_f64(),
            Delay::Exponential { mean } => dice.exponential() * mean.as_secs_f64(),
            Delay::Normal { mean, deviation } => mean.as_secs_f64() + dice.normal() * deviation.as_secs_f64(),
        };
        Duration::from_secs_f64(seconds.clamp(0.0, SECONDS_MAX))
    }
}

impl FromStr for Delay {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Some((min, max)) = text.split_once("..") {
            let (min, max) = (duration(min)?, duration(max)?);
            return if min <= max {
                Ok(Delay::Uniform { min, max })
            } else {
                Err(format!("`{text}` begins after it ends"))
            };
        }
        match text.split_whitespace().collect::<Vec<_>>()[..] {
            [fixed] => duration(fixed).map(Delay::Fixed),
            ["exp", mean] => Ok(Delay::Exponential { mean: duration(mean)? }),
            ["normal", mean, deviation] => Ok(Delay::Normal { mean: duration(mean)?, deviation: duration(deviation)? }),
            _ => Err(format!("`{text}` is not a delay; write for example 2s, 1s..3s, `exp 2s` or `normal 2s 500ms`")),
        }
    }
}

/// Parses `0`, `500ms`, `1.5s`, `5m`, `24h`.
///
/// # Errors
/// What is wrong and what would be right.
pub fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let wrong = || format!("`{text}` is not a duration; write for example 500ms, 40s, 5m or 2h");
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "" if number == 0.0 => 0.0,
        _ => return Err(wrong()),
    };
    match number * seconds {
        sum if sum <= SECONDS_MAX => Ok(Duration::from_secs_f64(sum)),
        _ => Err(format!("`{text}` is too long")),
    }
}

/// How often something happens, on average, to each node: `0.5/h`, `3/m`, `0`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rate {
    pub per_hour: f64,
}

impl Rate {
    /// When it happens next; `None`: never.
    pub(crate) fn draw(self, dice: &mut Dice) -> Option<Duration> {
        let mean = 3600.0 / self.per_hour;
        (self.per_hour > 0.0).then(|| Duration::from_secs_f64((dice.exponential() * mean).clamp(0.0, SECONDS_MAX)))
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a rate; write for example 0.5/h or 3/m");
        let (number, per_hour) = match text.trim().split_once('/') {
            Some((number, "h")) => (number, 1.0),
            Some((number, "m")) => (number, 60.0),
            None if text.trim() == "0" => ("0", 1.0),
            _ => return Err(wrong()),
        };
        let number: f64 = number.parse().map_err(|_| wrong())?;
        let in_range = (0.0..=1e6).contains(&number);
        if in_range { Ok(Rate { per_hour: number * per_hour }) } else { Err(wrong()) }
    }
}

/// From 0 to 1: `0.01` or `1%`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Probability(pub f64);

impl FromStr for Probability {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a probability; write for example 0.01 or 1%");
        let (number, scale) = text.trim().strip_suffix('%').map_or((text.trim(), 1.0), |number| (number, 0.01));
        let value = number.parse::<f64>().map_err(|_| wrong())? * scale;
        if (0.0..=1.0).contains(&value) { Ok(Probability(value)) } else { Err(wrong()) }
    }
}

/// A duration in a scenario file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span(pub Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        duration(text).map(Span)
    }
}

/// Reads a word, or a bare number, with `FromStr`.
struct Word<T>(PhantomData<T>);

impl<T: FromStr<Err = String>> Visitor<'_> for Word<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a word or a number")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
}

macro_rules! words {
    ($($name:ty),*) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(Word(PhantomData))
            }
        }
    )*};
}

words!(Delay, Rate, Probability, Span);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_mean_what_they_say() {
        let seconds = Duration::from_secs_f64;
        assert_eq!("1.5s".parse(), Ok(Delay::Fixed(seconds(1.5))));
        assert_eq!("1s..3s".parse(), Ok(Delay::Uniform { min: seconds(1.0), max: seconds(3.0) }));
        assert_eq!("exp 2m".parse(), Ok(Delay::Exponential { mean: seconds(120.0) }));
        assert_eq!("normal 2s 500ms".parse(), Ok(Delay::Normal { mean: seconds(2.0), deviation: seconds(0.5) }));
        assert_eq!("3/m".parse(), Ok(Rate { per_hour: 180.0 }));
        assert_eq!("1%".parse(), Ok(Probability(0.01)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
    }

    #[test]
    fn nonsense_is_refused_with_an_example() {
        for wrong in ["", "5", "5 weeks", "-1s", "3s..1s", "exp", "1e400s", "99999999999h", "..", "NaNs"] {
            assert!(wrong.parse::<Delay>().is_err(), "{wrong}");
        }
        assert!("1.5".parse::<Probability>().is_err() && "inf/h".parse::<Rate>().is_err());
        assert!("fast".parse::<Delay>().unwrap_err().contains("for example"));
    }

    #[test]
    fn draws_stay_within_their_distribution() {
        let mut dice = Dice::new(3);
        let uniform: Delay = "1s..3s".parse().unwrap();
        assert!((0..1000).all(|_| (1.0..=3.0).contains(&uniform.draw(&mut dice).as_secs_f64())));
        let normal: Delay = "normal 10ms 1h".parse().unwrap();
        assert!((0..1000).any(|_| normal.draw(&mut dice).is_zero()));
        assert_eq!(Rate::default().draw(&mut dice), None);
    }
}
