//! One informer per kind: keeps the cache's view of that kind what the server has.
//!
//! A [`Follower`] lists and watches, [`decode`] reads bytes (pure), this file brings both to the
//! cache.

mod decode;

use std::sync::Arc;

use everynode_api::kinds::Kind;
use everynode_api::ports::Selection;

pub(crate) use self::decode::MetaOnly;
use self::decode::Reader;
use crate::cache::Cache;
use crate::follow::{Follower, Heard, Source};
use crate::metrics::{Counters, count};
use crate::shutdown::Shutdown;

/// What an informer needs.
#[derive(Clone)]
pub(crate) struct Informer {
    pub source: Source,
    pub cache: Arc<Cache>,
    pub counters: Arc<Counters>,
}

impl Informer {
    /// The same for another kind.
    pub fn of(&self, kind: Kind, selection: Selection) -> Informer {
        Informer { source: Source { kind, selection, ..self.source.clone() }, ..self.clone() }
    }

    /// Runs until shutdown.
    pub async fn run(self, shutdown: Shutdown) {
        let Informer { source, cache, counters } = self;
        let kind = source.kind.clone();
        let lists = cache.register(&kind);
        let reader = Reader { kind: kind.clone(), env: source.env.clone(), counters: counters.clone() };
        let mut follower = Follower::new(source, reader);
        // The number of the list that is being taken.
        let mut number = 0;
        loop {
            let known = !follower.is_listing();
            let heard = tokio::select! {
                biased;
                () = shutdown.wait() => return,
                () = lists.asked(), if known => None,
                heard = follower.next() => Some(heard),
            };
            match heard {
                None => follower.start_over(),
                Some(Heard::Begins) => number = lists.begin(),
                Some(Heard::Listed(listed)) => {
                    count(&counters.lists_total);
                    tracing::debug!(kind = %kind.kind, revision = listed.revision, objects = listed.objects.len(), "listed");
                    cache.replace(&kind, listed.objects, listed.revision, number);
                }
                Some(Heard::Opened) => count(&counters.watches_total),
                Some(Heard::Changed(deltas)) => cache.apply(&kind, deltas),
                Some(Heard::Ended) => {}
                Some(Heard::Failed(failure)) => failure.log(&kind.kind),
            }
        }
    }
}
