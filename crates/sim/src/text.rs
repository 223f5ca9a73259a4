//! Scenarios as text, for people to read and for case files: one line for the cluster, one for its
//! sets, then a line per event with its time.
//!
//! ```text
//! # What it shows.
//! cluster seed=7 machines=3 min_ready_seconds=0 binds=yes strict=no foreign=no crash_percent=0 tight=no
//! sets unavailable:1 surge:50%
//!     0.250s template set=0 image=1 bad=no select=no tolerate=no
//!    12.000s power-off node=2 for_ms=60000
//!    60.000s calm
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use everynode_api::ports::Propagation;

use crate::scenario::{Amount, BudgetScope, Effect, Ending, Participant, Scenario, Step, Strategy};
use crate::scenario_event::ScenarioEvent;

/// A value that is one word of a scenario's text.
pub(crate) trait Word: Sized {
    fn write(&self) -> String;
    fn read(word: &str) -> Option<Self>;
}

macro_rules! numbers {
    ($($type:ty)*) => {
        $(impl Word for $type {
            fn write(&self) -> String {
                self.to_string()
            }

            fn read(word: &str) -> Option<Self> {
                word.parse().ok()
            }
        })*
    };
}

numbers!(u32 u64 i64 usize);

/// Types whose values are known words.
macro_rules! words {
    ($($type:ident { $($value:ident = $word:literal)* })*) => {
        $(impl Word for $type {
            fn write(&self) -> String {
                match self {
                    $($type::$value => $word.to_owned(),)*
                }
            }

            fn read(word: &str) -> Option<Self> {
                match word {
                    $($word => Some($type::$value),)*
                    _ => None,
                }
            }
        })*
    };
}

words! {
    Propagation { Background = "background" Foreground = "foreground" Orphan = "orphan" }
    Ending { Closed = "closed" Broken = "broken" Compacted = "compacted" }
    Effect { NoSchedule = "NoSchedule" NoExecute = "NoExecute" None = "none" }
    BudgetScope { Set = "set" Plain = "plain" }
}

impl Word for bool {
    fn write(&self) -> String {
        if *self { "yes" } else { "no" }.to_owned()
    }

    fn read(word: &str) -> Option<Self> {
        ["no", "yes"].iter().position(|known| *known == word).map(|place| place == 1)
    }
}

impl Word for Amount {
    fn write(&self) -> String {
        match self {
            Amount::Number(number) => number.to_string(),
            Amount::Percent(number) => format!("{number}%"),
        }
    }

    fn read(word: &str) -> Option<Self> {
        match word.strip_suffix('%') {
            Some(number) => number.parse().ok().map(Amount::Percent),
            None => word.parse().ok().map(Amount::Number),
        }
    }
}

impl Word for Strategy {
    fn write(&self) -> String {
        match self {
            Strategy::Unavailable(amount) => format!("unavailable:{}", amount.write()),
            Strategy::Surge(amount) => format!("surge:{}", amount.write()),
            Strategy::OnDelete => "on-delete".into(),
        }
    }

    fn read(word: &str) -> Option<Self> {
        match word.split_once(':') {
            Some(("unavailable", amount)) => Amount::read(amount).map(Strategy::Unavailable),
            Some(("surge", amount)) => Amount::read(amount).map(Strategy::Surge),
            _ => (word == "on-delete").then_some(Strategy::OnDelete),
        }
    }
}

impl Word for Participant {
    fn write(&self) -> String {
        match self {
            Participant::First => "first".into(),
            Participant::Second => "second".into(),
            Participant::Machine(number) => format!("n{number}"),
        }
    }

    fn read(word: &str) -> Option<Self> {
        match word {
            "first" => Some(Participant::First),
            "second" => Some(Participant::Second),
            _ => word.strip_prefix('n')?.parse().ok().map(Participant::Machine),
        }
    }
}

/// `name=word` pairs of a line that is being read.
pub(crate) struct Fields<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Fields<'a> {
    fn read(words: impl Iterator<Item = &'a str>) -> Result<Fields<'a>, String> {
        let pair = |word: &'a str| word.split_once('=').ok_or_else(|| format!("{word:?} is not NAME=VALUE"));
        words.map(pair).collect::<Result<_, _>>().map(Fields)
    }

    pub(crate) fn take<T: Word>(&mut self, name: &str) -> Result<T, String> {
        let word = self.0.remove(name).ok_or_else(|| format!("{name} is missing"))?;
        T::read(word).ok_or_else(|| format!("{name}={word} cannot be read"))
    }

    fn end(self) -> Result<(), String> {
        match self.0.into_keys().next() {
            Some(name) => Err(format!("{name} is not known here")),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Scenario { seed, machines, strategies, min_ready_seconds, crash_percent, .. } = self;
        let [binds, strict, foreign, tight] =
            [self.binds, self.strict, self.foreign, self.tight].map(|flag| flag.write());
        write!(f, "cluster seed={seed} machines={machines} min_ready_seconds={min_ready_seconds} ")?;
        writeln!(f, "binds={binds} strict={strict} foreign={foreign} crash_percent={crash_percent} tight={tight}")?;
        writeln!(f, "sets {}", strategies.iter().map(Word::write).collect::<Vec<_>>().join(" "))?;
        for step in &self.steps {
            writeln!(f, "{:>10}s {}", seconds(step.at_ms), step.scenario_event)?;
        }
        write!(f, "{:>10}s calm", seconds(self.calm_at_ms))
    }
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

fn milliseconds(word: &str) -> Option<u64> {
    let (whole, part) = word.strip_suffix('s')?.split_once('.')?;
    let part = part.parse::<u64>().ok().filter(|_| part.len() == 3)?;
    whole.parse::<u64>().ok()?.checked_mul(1000)?.checked_add(part)
}

impl FromStr for Scenario {
    type Err = String;

    /// Empty lines and lines that begin with `#` mean nothing.
    fn from_str(text: &str) -> Result<Scenario, String> {
        let lines = text.lines().zip(1..).map(|(line, number)| (line.trim(), number));
        let mut lines = lines.filter(|(line, _)| !line.is_empty() && !line.starts_with('#'));
        let mut next = |what: &str| lines.next().ok_or_else(|| format!("the line {what:?} is missing"));
        let (cluster, number) = next("cluster")?;
        let mut scenario = cluster_line(cluster).map_err(|error| format!("line {number}: {error}"))?;
        let (sets, number) = next("sets")?;
        scenario.strategies = sets_line(sets).ok_or_else(|| format!("line {number}: no sets"))?;
        loop {
            let (line, number) = next("calm")?;
            let (at_ms, rest) = timed(line).ok_or_else(|| format!("line {number}: no time"))?;
            if rest == "calm" {
                scenario.calm_at_ms = at_ms;
                return Ok(scenario);
            }
            let scenario_event = scenario_event(rest).map_err(|error| format!("line {number}: {error}"))?;
            scenario.steps.push(Step { at_ms, scenario_event });
        }
    }
}

fn cluster_line(line: &str) -> Result<Scenario, String> {
    let line = line.strip_prefix("cluster ").ok_or("it has to begin with \"cluster\"")?;
    let mut fields = Fields::read(line.split_whitespace())?;
    let scenario = Scenario {
        seed: fields.take("seed")?,
        machines: fields.take("machines")?,
        min_ready_seconds: fields.take("min_ready_seconds")?,
        binds: fields.take("binds")?,
        strict: fields.take("strict")?,
        foreign: fields.take("foreign")?,
        crash_percent: fields.take("crash_percent")?,
        tight: fields.take("tight")?,
        strategies: Vec::new(),
        steps: Vec::new(),
        calm_at_ms: 0,
    };
    fields.end()?;
    Ok(scenario).and_then(|scenario| match scenario.machines {
        0 => Err("no machines".into()),
        _ => Ok(scenario),
    })
}

fn sets_line(line: &str) -> Option<Vec<Strategy>> {
    let words = line.strip_prefix("sets ")?.split_whitespace();
    words.map(Strategy::read).collect::<Option<Vec<_>>>().filter(|sets| !sets.is_empty())
}

fn timed(line: &str) -> Option<(u64, &str)> {
    let (time, rest) = line.split_once(' ')?;
    Some((milliseconds(time)?, rest.trim()))
}

fn scenario_event(line: &str) -> Result<ScenarioEvent, String> {
    let mut words = line.split_whitespace();
    let word = words.next().unwrap_or_default();
    let mut fields = Fields::read(words)?;
    let scenario_event = ScenarioEvent::read(word, &mut fields)?;
    fields.end()?;
    Ok(scenario_event)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn what_is_printed_reads_back_the_same() {
        let mut words = BTreeSet::new();
        for seed in 0..2_000 {
            let scenario = Scenario::new(seed);
            words.extend(scenario.steps.iter().map(|step| step.scenario_event.word()));
            assert_eq!(scenario.to_string().parse(), Ok(scenario), "seed {seed}");
        }
        let missing: Vec<_> = ScenarioEvent::WORDS.iter().filter(|word| !words.contains(**word)).collect();
        assert_eq!(missing, [&""; 0], "never drawn");
    }

    #[test]
    fn a_mistake_is_reported_with_its_line() {
        let cluster =
            "cluster seed=1 machines=2 min_ready_seconds=0 binds=yes strict=no foreign=no crash_percent=0 tight=no";
        let read = |steps: &str| format!("# a comment\n\n{cluster}\nsets on-delete\n{steps}").parse::<Scenario>();
        assert!(read("1.000s calm").is_ok());
        let told = |steps| read(steps).unwrap_err();
        assert_eq!(told("1.000s kill second=maybe down_ms=1"), "line 5: second=maybe cannot be read");
        assert_eq!(told("1.000s kill second=no"), "line 5: down_ms is missing");
        assert_eq!(told("1.000s crash-server now=yes"), "line 5: now is not known here");
        assert_eq!(told("1.000s dance"), "line 5: no event is called \"dance\"");
        assert_eq!(told("1s calm"), "line 5: no time");
        assert_eq!(told("1.000s crash-server"), "the line \"calm\" is missing");
    }
}
