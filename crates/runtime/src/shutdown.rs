//! Shutdown as a structure: one [`Trigger`], many [`Shutdown`]s that wait for it.
//!
//! Whoever holds a `Shutdown` stops taking in work when it fires, finishes or refuses what it has,
//! and returns; the parent waits for its children by joining them.

use tokio::sync::watch;

/// Fires the shutdown; dropping it fires as well, so that nothing outlives its parent.
#[derive(Debug)]
pub struct Trigger(watch::Sender<bool>);

/// Tells when to stop. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

impl Shutdown {
    /// A new pair.
    #[allow(clippy::new_ret_no_self)]
    pub fn new() -> (Trigger, Shutdown) {
        let (sender, receiver) = watch::channel(false);
        (Trigger(sender), Shutdown(receiver))
    }

    /// Returns when the shutdown has fired. Cancel-safe.
    pub async fn wait(&self) {
        // An error means that the trigger was dropped, which fires too.
        let _ = self.0.clone().wait_for(|fired| *fired).await;
    }

    /// Whether it has fired.
    pub fn is_fired(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}

impl Trigger {
    pub fn fire(&self) {
        self.0.send_replace(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn firing_and_dropping_both_stop() {
        let (trigger, shutdown) = Shutdown::new();
        assert!(!shutdown.is_fired());
        trigger.fire();
        shutdown.wait().await;
        assert!(shutdown.is_fired());

        let (trigger, shutdown) = Shutdown::new();
        drop(trigger);
        shutdown.wait().await;
        assert!(shutdown.is_fired());
    }
}
