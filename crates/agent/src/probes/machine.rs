//! When a probe is due, and what its outcomes mean. Pure: time is the time since the probe was
//! made, so that a jump of the machine's clock changes nothing.

use std::time::Duration;

use k8s_openapi::api::core::v1::Probe;

use super::seconds;
use crate::ports::ProbeKind;

/// Defaults of DS-H15; the API server fills them in, and this is the same.
pub(super) const DEFAULT_PERIOD: u32 = 10;
const DEFAULT_FAILURE_THRESHOLD: u32 = 3;

/// How one probe is configured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub kind: ProbeKind,
    pub period: Duration,
    pub success_threshold: u32,
    pub failure_threshold: u32,
}

impl Settings {
    pub(super) fn of(kind: ProbeKind, probe: &Probe) -> Self {
        let at_least_one = |value: Option<i32>, default: u32| {
            value.and_then(|value| u32::try_from(value).ok()).filter(|value| *value > 0).unwrap_or(default)
        };
        Settings {
            kind,
            period: seconds(probe.period_seconds, DEFAULT_PERIOD).max(Duration::from_secs(1)),
            success_threshold: at_least_one(probe.success_threshold, 1),
            failure_threshold: at_least_one(probe.failure_threshold, DEFAULT_FAILURE_THRESHOLD),
        }
    }
}

/// What holds for all probes of a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Gate {
    /// The startup probe succeeded, or there is none (DS-H16).
    pub started: bool,
    /// The pod is being stopped (DS-H06).
    pub terminating: bool,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Probe,
    /// Nothing before this time.
    At(Duration),
    /// Nothing before the gate changes.
    Parked,
    /// Never again for this container.
    Over,
}

/// How one round of attempts ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Passed,
    /// Passed, with something to tell (DS-H18).
    Warned(String),
    Failed(String),
    /// It could not be tried: says nothing about the container.
    Errored(String),
}

/// What follows from an outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Observed {
    /// The result after thresholds, when it changed.
    pub report: Option<bool>,
    /// Reason and message.
    pub event: Option<(&'static str, String)>,
}

/// One probe of one container.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    settings: Settings,
    due: Duration,
    /// The last outcome, and how often in a row.
    run: Option<(bool, u32)>,
    reported: Option<bool>,
    over: bool,
}

impl Machine {
    pub(super) fn new(settings: Settings, first_delay: Duration) -> Self {
        Machine { settings, due: first_delay, run: None, reported: None, over: false }
    }

    pub(super) fn kind(&self) -> ProbeKind {
        self.settings.kind
    }

    pub(super) fn next(&self, now: Duration, gate: Gate) -> Next {
        let startup = self.settings.kind == ProbeKind::Startup;
        if self.over || self.ends_with(gate) {
            Next::Over
        } else if gate.started == startup {
            // A startup probe that somehow follows a success has nothing to do any more.
            if startup { Next::Over } else { Next::Parked }
        } else if now < self.due {
            Next::At(self.due)
        } else {
            Next::Probe
        }
    }

    /// Only readiness matters for a pod that is being stopped.
    fn ends_with(&self, gate: Gate) -> bool {
        gate.terminating && self.settings.kind != ProbeKind::Readiness
    }

    /// `began`: when the attempt began; the next one begins a period later.
    pub(super) fn observe(&mut self, began: Duration, outcome: &Outcome, gate: Gate) -> Observed {
        self.due = began + self.settings.period;
        if self.over || self.ends_with(gate) {
            return Observed::default();
        }
        let event = self.event(outcome);
        let passed = match outcome {
            Outcome::Passed | Outcome::Warned(_) => true,
            Outcome::Failed(_) => false,
            Outcome::Errored(_) => return Observed { report: None, event },
        };
        Observed { report: self.count(passed), event }
    }

    fn event(&self, outcome: &Outcome) -> Option<(&'static str, String)> {
        let name = match self.settings.kind {
            ProbeKind::Liveness => "Liveness",
            ProbeKind::Readiness => "Readiness",
            ProbeKind::Startup => "Startup",
        };
        match outcome {
            Outcome::Passed => None,
            Outcome::Warned(output) => Some(("ProbeWarning", format!("{name} probe warning: {output}"))),
            Outcome::Failed(output) => Some(("Unhealthy", format!("{name} probe failed: {output}"))),
            Outcome::Errored(why) => {
                Some(("Unhealthy", format!("{name} probe errored and resulted in unknown state: {why}")))
            }
        }
    }

    fn count(&mut self, passed: bool) -> Option<bool> {
        let times = match self.run {
            Some((last, times)) if last == passed => times.saturating_add(1),
            _ => 1,
        };
        self.run = Some((passed, times));
        let threshold = if passed { self.settings.success_threshold } else { self.settings.failure_threshold };
        if times < threshold || self.reported == Some(passed) {
            return None;
        }
        self.reported = Some(passed);
        // The container is going to be restarted, or has started: another one has other probes.
        self.over = match self.settings.kind {
            ProbeKind::Liveness => !passed,
            ProbeKind::Startup => true,
            ProbeKind::Readiness => false,
        };
        Some(passed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STARTED: Gate = Gate { started: true, terminating: false };
    const STARTING: Gate = Gate { started: false, terminating: false };
    const TERMINATING: Gate = Gate { started: true, terminating: true };

    fn settings(kind: ProbeKind, success: i32, failure: i32) -> Settings {
        let probe = Probe { success_threshold: Some(success), failure_threshold: Some(failure), ..Probe::default() };
        Settings::of(kind, &probe)
    }

    /// `+` passed, `!` warned, `-` failed, `?` errored; answers `+` and `-` for reports, `.` else.
    fn reports(kind: ProbeKind, success: i32, failure: i32, outcomes: &str) -> String {
        let mut machine = Machine::new(settings(kind, success, failure), Duration::ZERO);
        let gate = if kind == ProbeKind::Startup { STARTING } else { STARTED };
        let outcome = |sign| match sign {
            '+' => Outcome::Passed,
            '!' => Outcome::Warned("w".into()),
            '-' => Outcome::Failed("f".into()),
            _ => Outcome::Errored("e".into()),
        };
        outcomes
            .chars()
            .map(|sign| match machine.observe(Duration::ZERO, &outcome(sign), gate).report {
                Some(true) => '+',
                Some(false) => '-',
                None => '.',
            })
            .collect()
    }

    #[test]
    fn thresholds() {
        use ProbeKind::{Liveness, Readiness, Startup};
        // DS-H15, DS-H17, DS-H18
        for (kind, success, failure, outcomes, expected) in [
            (Readiness, 1, 3, "+--+---+", "+.....-+"),
            (Readiness, 2, 1, "++-+++-", ".+-.+.-"),
            (Readiness, 1, 3, "---+", "..-+"),
            // An error is no outcome: it neither counts nor interrupts.
            (Readiness, 1, 2, "+-?-", "+..-"),
            (Readiness, 1, 1, "!-", "+-"),
            // Once reported, the container is restarted: nothing more about this one.
            (Liveness, 1, 3, "+--+---+--", "+.....-..."),
            (Startup, 1, 3, "--+++", "..+.."),
            (Startup, 1, 3, "---+", "..-."),
        ] {
            let found = reports(kind, success, failure, outcomes);
            assert_eq!(found, expected, "{kind:?} {success}/{failure} {outcomes}");
        }
    }

    #[test]
    fn what_events_say() {
        // DS-H17
        let mut machine = Machine::new(settings(ProbeKind::Liveness, 1, 3), Duration::ZERO);
        let mut event = |outcome: Outcome| machine.observe(Duration::ZERO, &outcome, STARTED).event;
        assert_eq!(event(Outcome::Passed), None);
        for (outcome, reason, message) in [
            (Outcome::Failed("boom".into()), "Unhealthy", "Liveness probe failed: boom"),
            (Outcome::Warned("r".into()), "ProbeWarning", "Liveness probe warning: r"),
            (Outcome::Errored("e".into()), "Unhealthy", "Liveness probe errored and resulted in unknown state: e"),
        ] {
            assert_eq!(event(outcome), Some((reason, message.to_owned())));
        }
    }

    #[test]
    fn delay_and_period() {
        // DS-H15
        let s = Duration::from_secs;
        let mut machine = Machine::new(settings(ProbeKind::Liveness, 1, 3), s(5));
        assert_eq!(machine.next(s(0), STARTED), Next::At(s(5)));
        assert_eq!(machine.next(s(5), STARTED), Next::Probe);
        machine.observe(s(6), &Outcome::Passed, STARTED);
        assert_eq!(machine.next(s(7), STARTED), Next::At(s(16)));
        // An attempt that took longer than the period is followed at once, and only once.
        machine.observe(s(16), &Outcome::Passed, STARTED);
        assert_eq!(machine.next(s(40), STARTED), Next::Probe);
        machine.observe(s(40), &Outcome::Passed, STARTED);
        assert_eq!(machine.next(s(40), STARTED), Next::At(s(50)));
    }

    #[test]
    fn startup_holds_the_others_back() {
        // DS-H16
        let s = Duration::from_secs;
        let startup = Machine::new(settings(ProbeKind::Startup, 1, 3), s(0));
        assert_eq!((startup.next(s(0), STARTING), startup.next(s(0), STARTED)), (Next::Probe, Next::Over));
        for kind in [ProbeKind::Liveness, ProbeKind::Readiness] {
            let machine = Machine::new(settings(kind, 1, 3), s(0));
            assert_eq!((machine.next(s(60), STARTING), machine.next(s(60), STARTED)), (Next::Parked, Next::Probe));
        }
    }

    #[test]
    fn only_readiness_is_probed_while_terminating() {
        // DS-H06
        let next = |kind| Machine::new(settings(kind, 1, 1), Duration::ZERO).next(Duration::ZERO, TERMINATING);
        assert_eq!(next(ProbeKind::Readiness), Next::Probe);
        assert_eq!(next(ProbeKind::Liveness), Next::Over);
        assert_eq!(next(ProbeKind::Startup), Next::Over);
        // An attempt that was under way when it began tells nothing.
        let mut machine = Machine::new(settings(ProbeKind::Liveness, 1, 1), Duration::ZERO);
        let failed = Outcome::Failed("gone".into());
        assert_eq!(machine.observe(Duration::ZERO, &failed, TERMINATING), Observed::default());
    }
}
