//! A map that forgets what was not used for longest.

use std::collections::BTreeMap;

#[derive(Debug)]
pub(super) struct Lru<V> {
    limit: usize,
    clock: u64,
    entries: BTreeMap<String, (u64, V)>,
    by_use: BTreeMap<u64, String>,
}

impl<V> Lru<V> {
    pub fn new(limit: usize) -> Self {
        Lru { limit, clock: 0, entries: BTreeMap::new(), by_use: BTreeMap::new() }
    }

    /// The value of `key`, made if it is not there; now the most recently used.
    pub fn entry(&mut self, key: &str, make: impl FnOnce() -> V) -> &mut V {
        self.clock += 1;
        let clock = self.clock;
        match self.entries.get(key) {
            Some((used, _)) => drop(self.by_use.remove(used)),
            None => self.make_room(),
        }
        self.by_use.insert(clock, key.to_owned());
        let (used, value) = self.entries.entry(key.to_owned()).or_insert_with(|| (clock, make()));
        *used = clock;
        value
    }

    fn make_room(&mut self) {
        if self.entries.len() >= self.limit
            && let Some((_, oldest)) = self.by_use.pop_first()
        {
            self.entries.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_the_least_recently_used() {
        let mut lru = Lru::new(2);
        *lru.entry("a", || 1) += 10;
        lru.entry("b", || 2);
        lru.entry("a", || 0);
        lru.entry("c", || 3);
        assert_eq!(*lru.entry("a", || 0), 11);
        assert_eq!(*lru.entry("b", || 9), 9);
    }
}
