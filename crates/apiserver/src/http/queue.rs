//! Which request is served next. Pure.
//!
//! As long as there are places, each request is given one. When there are none, requests wait; a
//! place that becomes free goes to the clients in turn, whatever number of requests each of them
//! has waiting, and to the oldest one of that client.

use std::collections::{HashMap, VecDeque};

use super::class::Client;
use super::quota::{Limits, Refused};

/// Places, and the requests that wait for one: `W` is how they are notified.
pub(crate) struct Queue<W> {
    free: usize,
    limits: Limits,
    waiting: usize,
    /// Clients with waiting requests, in the order of their turns.
    clients: VecDeque<Client>,
    by_client: HashMap<Client, VecDeque<W>>,
}

impl<W> Queue<W> {
    /// `limits` are of waiting requests.
    pub(crate) fn new(places: usize, limits: Limits) -> Queue<W> {
        Queue { free: places, limits, waiting: 0, clients: VecDeque::new(), by_client: HashMap::new() }
    }

    /// Takes a place, if one is free.
    pub(crate) fn take(&mut self) -> bool {
        let free = self.free > 0;
        self.free -= usize::from(free);
        free
    }

    /// Waits for a place. `gone` tells the requests that were given up: they count no more once
    /// others need their room.
    pub(crate) fn wait(&mut self, client: Client, waiter: W, gone: impl Fn(&W) -> bool) -> Result<(), Refused> {
        let full = |queue: &Queue<W>| queue.waiting >= queue.limits.all;
        let own = |queue: &Queue<W>| queue.by_client.get(&client).map_or(0, VecDeque::len) >= queue.limits.each;
        if full(self) || own(self) {
            self.forget(client, gone);
        }
        match (full(self), own(self)) {
            (true, _) => return Err(Refused::All),
            (_, true) => return Err(Refused::Client),
            _ => {}
        }
        let waiters = self.by_client.entry(client).or_default();
        if waiters.is_empty() {
            self.clients.push_back(client);
        }
        waiters.push_back(waiter);
        self.waiting += 1;
        Ok(())
    }

    /// The request whose turn it is to take a place that was given back; `None`: none waits, it is
    /// free.
    pub(crate) fn give_back(&mut self) -> Option<W> {
        let Some(next) = self.next() else {
            self.free += 1;
            return None;
        };
        Some(next)
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    fn next(&mut self) -> Option<W> {
        let client = self.clients.pop_front()?;
        let waiters = self.by_client.get_mut(&client)?;
        let next = waiters.pop_front();
        match waiters.is_empty() {
            true => drop(self.by_client.remove(&client)),
            false => self.clients.push_back(client),
        }
        self.waiting -= usize::from(next.is_some());
        next
    }

    /// Forgets a client's requests that have been given up.
    fn forget(&mut self, client: Client, gone: impl Fn(&W) -> bool) {
        let Some(waiters) = self.by_client.get_mut(&client) else { return };
        let before = waiters.len();
        waiters.retain(|waiter| !gone(waiter));
        self.waiting -= before - waiters.len();
        if waiters.is_empty() {
            self.by_client.remove(&client);
            self.clients.retain(|held| *held != client);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { all: 6, each: 4 };

    /// A queue without a free place in which each letter waits for a client of its own.
    fn queue(letters: &str) -> Queue<String> {
        let mut queue = Queue::new(0, LIMITS);
        for (number, letter) in letters.chars().enumerate() {
            let client = Client(u64::from(letter));
            queue.wait(client, format!("{letter}{number}"), |_| false).unwrap();
        }
        queue
    }

    fn order(mut queue: Queue<String>) -> Vec<String> {
        std::iter::from_fn(|| queue.give_back()).collect()
    }

    #[test]
    fn clients_are_served_in_rotation_however_much_each_of_them_asks() {
        assert_eq!(order(queue("aaaab")), ["a0", "b4", "a1", "a2", "a3"]);
        assert_eq!(order(queue("abbacb")), ["a0", "b1", "c4", "a3", "b2", "b5"]);
    }

    #[test]
    fn a_slot_that_is_returned_while_no_request_waits_is_free() {
        let mut queue = Queue::<String>::new(1, LIMITS);
        assert!(queue.take());
        assert!(!queue.take());
        assert_eq!(queue.give_back(), None);
        assert!(queue.take());
    }

    #[test]
    fn the_queue_is_bounded_for_all_and_for_each() {
        let mut full = queue("aaaab");
        assert_eq!(full.wait(Client(u64::from('a')), "a5".into(), |_| false), Err(Refused::Client));
        assert_eq!(full.wait(Client(u64::from('c')), "c5".into(), |_| false), Ok(()));
        assert_eq!(full.wait(Client(u64::from('d')), "d6".into(), |_| false), Err(Refused::All));
        assert_eq!(full.waiting(), 6);
    }

    #[test]
    fn who_has_given_up_makes_room() {
        let mut full = queue("aaaab");
        let gone = |waiter: &String| ["a0", "a2"].contains(&waiter.as_str());
        assert_eq!(full.wait(Client(u64::from('a')), "a5".into(), gone), Ok(()));
        assert_eq!(full.waiting(), 4);
        assert_eq!(order(full), ["a1", "b4", "a3", "a5"]);
        let mut all_gone = queue("aaaa");
        assert_eq!(all_gone.wait(Client(u64::from('a')), "new".into(), |_| true), Ok(()));
        assert_eq!(order(all_gone), ["new"]);
    }
}
