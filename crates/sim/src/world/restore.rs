//! The server's store is put back to what it was at an earlier moment.

use std::sync::Arc;

use everynode_store::{Revision, Store};

use super::Cluster;

/// By how much numbering leaps where clients are to notice, as `everynode store restored` has it.
const LEAP: u64 = 1_000_000;

impl Cluster {
    /// Keeps the store as it is now.
    pub(super) fn back_up(&mut self) {
        self.backup = Some(Arc::new(self.store.copied(Revision(0))));
    }

    /// Starts the server with the last backup; whether there is one. Where that is not
    /// `announced`, revisions go on from the backup's, and are issued a second time.
    pub(super) async fn restore(&mut self, announced: bool) -> bool {
        let Some(backup) = &self.backup else { return false };
        let newest = self.store.current_revision().await.unwrap_or(Revision(0));
        let at_least = if announced { Revision(newest.0 + LEAP) } else { Revision(0) };
        let restored = Arc::new(backup.copied(at_least));
        // The old server ends: it writes nothing more, and its watches break off.
        if let Err(error) = self.store.shutdown().await {
            self.ledger.fail(format!("the store does not end: {error}"));
        }
        self.ledger.restored(&restored);
        self.store = restored;
        self.start_server().await;
        true
    }
}
