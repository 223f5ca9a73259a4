//! How much of something clients hold: bounded for all of them together, and for each. Pure.

use std::collections::HashMap;

use super::class::Client;

/// What may be held.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// By all clients together.
    pub(crate) all: usize,
    /// By one of them.
    pub(crate) each: usize,
}

/// Why more is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// All clients together hold too much.
    All,
    /// This client does.
    Client,
}

/// What is held.
#[derive(Debug)]
pub(crate) struct Quota {
    limits: Limits,
    held: usize,
    by_client: HashMap<Client, usize>,
}

impl Quota {
    pub(crate) fn new(limits: Limits) -> Quota {
        Quota { limits, held: 0, by_client: HashMap::new() }
    }

    /// Holds so much more, or nothing more.
    pub(crate) fn take(&mut self, client: Client, amount: usize) -> Result<(), Refused> {
        let by_client = self.by_client.get(&client).copied().unwrap_or(0);
        if self.limits.each.saturating_sub(by_client) < amount {
            return Err(Refused::Client);
        }
        if self.limits.all.saturating_sub(self.held) < amount {
            return Err(Refused::All);
        }
        if amount > 0 {
            self.by_client.insert(client, by_client + amount);
            self.held += amount;
        }
        Ok(())
    }

    /// Gives back what was taken.
    pub(crate) fn give_back(&mut self, client: Client, amount: usize) {
        self.held = self.held.saturating_sub(amount);
        if let Some(by_client) = self.by_client.get_mut(&client) {
            *by_client = by_client.saturating_sub(amount);
            if *by_client == 0 {
                self.by_client.remove(&client);
            }
        }
    }

    /// What all clients hold together.
    pub(crate) fn held(&self) -> usize {
        self.held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_client_holds_more_than_its_share_nor_all_more_than_there_is() {
        let (a, b, c) = (Client(1), Client(2), Client(3));
        let mut quota = Quota::new(Limits { all: 10, each: 6 });
        assert_eq!(quota.take(a, 6), Ok(()));
        assert_eq!(quota.take(a, 1), Err(Refused::Client));
        assert_eq!(quota.take(b, 5), Err(Refused::All));
        assert_eq!(quota.take(b, 4), Ok(()));
        assert_eq!(quota.take(c, 1), Err(Refused::All));
        quota.give_back(a, 2);
        assert_eq!((quota.take(a, 3), quota.take(c, 2)), (Err(Refused::Client), Ok(())));
        quota.give_back(a, 4);
        quota.give_back(b, 4);
        quota.give_back(c, 2);
        assert_eq!(quota.held(), 0);
        assert!(quota.by_client.is_empty(), "who holds nothing is forgotten");
        assert_eq!(quota.take(a, 7), Err(Refused::Client));
        assert!(quota.by_client.is_empty());
    }
}
