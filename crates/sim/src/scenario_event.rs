//! The things that can happen, each with its word in a scenario's text.

use std::fmt;

use everynode_api::ports::Propagation;

use crate::scenario::{Amount, BudgetScope, Effect, Ending, Participant, Strategy};
use crate::text::{Fields, Word};

macro_rules! scenario_events {
    ($($(#[$doc:meta])* $scenario_event:ident = $word:literal { $($field:ident: $type:ty),* })*) => {
        /// One thing that a user, a machine, the network or bad luck does. Pods and revisions are
        /// meant by their place in the order of names at that moment.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum ScenarioEvent {
            $($(#[$doc])* $scenario_event { $($field: $type),* },)*
        }

        impl ScenarioEvent {
            /// The word of every event.
            pub const WORDS: &[&str] = &[$($word),*];

            pub fn word(&self) -> &'static str {
                match self {
                    $(ScenarioEvent::$scenario_event { .. } => $word,)*
                }
            }

            pub(crate) fn read(word: &str, fields: &mut Fields<'_>) -> Result<ScenarioEvent, String> {
                let _ = &fields;
                match word {
                    $($word => Ok(ScenarioEvent::$scenario_event { $($field: fields.take(stringify!($field))?),* }),)*
                    _ => Err(format!("no event is called {word:?}")),
                }
            }
        }

        impl fmt::Display for ScenarioEvent {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.word())?;
                match self {
                    $(ScenarioEvent::$scenario_event { $($field),* } => {
                        $(write!(f, " {}={}", stringify!($field), Word::write($field))?;)*
                    })*
                }
                Ok(())
            }
        }
    };
}

scenario_events! {
    // Users and their sets.
    Template = "template" { set: usize, image: u64, bad: bool, select: bool, tolerate: bool }
    Update = "update" { set: usize, strategy: Strategy }
    /// Another `minReadySeconds` and history limit.
    Settings = "settings" { set: usize, min_ready_seconds: u64, history: u64 }
    RespectCordon = "respect-cordon" { set: usize, on: bool }
    DeleteSet = "delete-set" { set: usize, propagation: Propagation }
    CreateSet = "create-set" { set: usize }
    /// The namespace of all sets and pods; it is made again as soon as it is gone, if `again`.
    DeleteNamespace = "delete-namespace" { again: bool }

    // Users and revisions.
    DeleteRevision = "delete-revision" { revision: usize }
    /// Takes the revision out of every selector.
    RelabelRevision = "relabel-revision" { revision: usize }
    /// Writes another hash on it.
    RehashRevision = "rehash-revision" { revision: usize }
    /// Takes its owner away.
    OrphanRevision = "orphan-revision" { revision: usize }
    RenumberRevision = "renumber-revision" { revision: usize, number: u64 }

    // Users and pods.
    DeletePod = "delete-pod" { pod: usize, force: bool }
    /// Takes the pod out of every selector.
    Relabel = "relabel" { pod: usize }
    /// Writes a revision on it that does not exist.
    Rehash = "rehash" { pod: usize }
    /// Takes its owner away.
    Orphan = "orphan" { pod: usize }
    /// Its machine gives up on it.
    Fail = "fail" { pod: usize, succeeded: bool }
    /// Through the eviction API, once.
    Evict = "evict" { pod: usize }
    /// A pod of no controller.
    Plain = "plain" { number: u64 }
    /// A disruption budget over the pods of a set, or over those of no controller.
    Budget = "budget" { over: BudgetScope, set: usize, min_available: bool, amount: Amount }
    DropBudget = "drop-budget" { over: BudgetScope, set: usize }

    // Users and nodes.
    Taint = "taint" { node: usize, effect: Effect }
    Label = "label" { node: usize, ssd: bool }
    Cordon = "cordon" { node: usize, on: bool }
    DeleteNode = "delete-node" { node: usize }
    /// `kubectl drain --ignore-daemonsets --force`, then uncordon; whoever drains gives up at that
    /// time.
    Drain = "drain" { node: usize, for_ms: u64 }

    // Machines.
    PowerOff = "power-off" { node: usize, for_ms: u64 }
    Slow = "slow" { node: usize, factor: u32, for_ms: u64 }

    // Controllers.
    /// A controller process ends after so many more requests, the last one carried out or not, and
    /// starts again.
    Crash = "crash" { second: bool, calls: u64, carried_out: bool, down_ms: u64 }
    /// It ends now, wherever each of its tasks waits.
    Kill = "kill" { second: bool, down_ms: u64 }
    /// A second controller process runs beside the first: two leaders.
    TwoLeaders = "two-leaders" { for_ms: u64 }
    Jump = "jump" { who: Participant, by_ms: i64 }

    // The network and the server.
    Cut = "cut" { who: Participant, for_ms: u64 }
    /// This percentage of the requests goes wrong in some way.
    Trouble = "trouble" { who: Participant, percent: u64, for_ms: u64 }
    /// No watch event is delivered, until all are.
    Lag = "lag" { who: Participant, for_ms: u64 }
    /// Each watch is late by itself, so that events of different kinds arrive in another order than
    /// they happened in.
    Skew = "skew" { who: Participant, for_ms: u64 }
    /// This percentage of the watch events comes twice.
    Twice = "twice" { who: Participant, percent: u64, for_ms: u64 }
    /// This percentage of the watch events never comes, though their watch continues and later ones
    /// do.
    Lose = "lose" { who: Participant, percent: u64, for_ms: u64 }
    EndWatches = "end-watches" { who: Participant, ending: Ending }
    /// The server's process dies, with everything that was not fsynced, and starts again.
    CrashServer = "crash-server" {}
    BackUp = "back-up" {}
    /// The server ends and starts with the last backup. If that is announced, as `everynode store
    /// restored` does, revisions go on beyond all that were issued; if not, from the backup's on.
    Restore = "restore" { announced: bool }
}
