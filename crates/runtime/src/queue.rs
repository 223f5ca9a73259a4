//! The keyed work queue, as a value: what is due, what runs, what waits for its time.
//!
//! A key is *dirty* from the moment that something may concern it until it is taken; a burst of
//! reasons is one plan. A key that runs is never handed out a second time; if it becomes dirty
//! meanwhile, it is handed out again when it is done. (DS-F01)

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use everynode_api::meta::Key;
use everynode_common::backoff;
use jiff::Timestamp;

use crate::clock::{later, until};
use crate::metrics::{Histogram, QueueNumbers};

/// First delay after a failure; doubles with each further one (DS-F02).
const RETRY_FIRST: Duration = Duration::from_millis(5);

#[derive(Debug)]
pub(crate) struct Queue {
    ready: VecDeque<Key>,
    /// Since when.
    dirty: BTreeMap<Key, Timestamp>,
    /// Since when.
    running: BTreeMap<Key, Timestamp>,
    timers: BTreeSet<(Timestamp, Key)>,
    timer_of: BTreeMap<Key, Timestamp>,
    failures: BTreeMap<Key, u32>,
    retry_max: Duration,
    adds_total: u64,
    retries_total: u64,
    queue_duration: Histogram,
    work_duration: Histogram,
}

impl Queue {
    pub fn new(retry_max: Duration) -> Queue {
        Queue {
            ready: VecDeque::new(),
            dirty: BTreeMap::new(),
            running: BTreeMap::new(),
            timers: BTreeSet::new(),
            timer_of: BTreeMap::new(),
            failures: BTreeMap::new(),
            retry_max,
            adds_total: 0,
            retries_total: 0,
            queue_duration: Histogram::default(),
            work_duration: Histogram::default(),
        }
    }

    /// Something may concern `key`.
    pub fn add(&mut self, key: Key, now: Timestamp) {
        if self.dirty.contains_key(&key) {
            return;
        }
        self.adds_total += 1;
        self.dirty.insert(key.clone(), now);
        if !self.running.contains_key(&key) {
            self.ready.push_back(key);
        }
    }

    /// The next key to plan; the caller says `done` later. Its timer is cleared: the plan sets a
    /// new one.
    pub fn take(&mut self, now: Timestamp) -> Option<Key> {
        self.promote(now);
        let key = self.ready.pop_front()?;
        let since = self.dirty.remove(&key).unwrap_or(now);
        self.queue_duration.observe(until(since, now));
        self.clear_timer(&key);
        self.running.insert(key.clone(), now);
        Some(key)
    }

    fn promote(&mut self, now: Timestamp) {
        while let Some((at, key)) = self.timers.first().cloned() {
            if at > now {
                return;
            }
            self.clear_timer(&key);
            self.add(key, now);
        }
    }

    /// The plan of `key` is over.
    pub fn done(&mut self, key: &Key, now: Timestamp) {
        if let Some(since) = self.running.remove(key) {
            self.work_duration.observe(until(since, now));
        }
        if self.dirty.contains_key(key) {
            self.ready.push_back(key.clone());
        }
    }

    /// Adds `key` at `at`, or earlier if it already has an earlier time.
    pub fn add_at(&mut self, key: &Key, at: Timestamp) {
        if self.timer_of.get(key).is_some_and(|known| *known <= at) {
            return;
        }
        self.clear_timer(key);
        self.timer_of.insert(key.clone(), at);
        self.timers.insert((at, key.clone()));
    }

    fn clear_timer(&mut self, key: &Key) {
        if let Some(at) = self.timer_of.remove(key) {
            self.timers.remove(&(at, key.clone()));
        }
    }

    /// Adds `key` again after a delay that doubles with every failure: 5 ms·2^n (DS-F02).
    pub fn retry(&mut self, key: &Key, now: Timestamp) {
        let failures = self.failures.entry(key.clone()).or_default();
        let delay = backoff::doubled(RETRY_FIRST, *failures, self.retry_max);
        *failures += 1;
        self.retries_total += 1;
        self.add_at(key, later(now, delay));
    }

    /// `key` went well: its next failure starts from the first delay.
    pub fn succeed(&mut self, key: &Key) {
        self.failures.remove(key);
    }

    /// When the next timer is due.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// For metrics.
    pub fn numbers(&self, now: Timestamp) -> QueueNumbers {
        let running = || self.running.values().map(|since| until(*since, now).as_secs_f64());
        QueueNumbers {
            adds_total: self.adds_total,
            retries_total: self.retries_total,
            depth: self.ready.len(),
            queue_duration: self.queue_duration.clone(),
            work_duration: self.work_duration.clone(),
            unfinished_work_seconds: running().fold(0.0, std::ops::Add::add),
            longest_running_processor_seconds: running().fold(0.0, f64::max),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).unwrap()
    }

    fn queue() -> Queue {
        Queue::new(Duration::from_secs(1000))
    }

    fn key(name: &str) -> Key {
        Key::new("x", name)
    }

    #[test]
    fn a_burst_is_one_plan_and_a_running_key_is_not_handed_out() {
        // DS-F01
        let mut queue = queue();
        (0..10).for_each(|_| queue.add(key("a"), at(0)));
        assert_eq!(queue.take(at(1)), Some(key("a")));
        queue.add(key("a"), at(2));
        queue.add(key("b"), at(2));
        assert_eq!(queue.take(at(3)), Some(key("b")));
        assert_eq!(queue.take(at(3)), None);
        queue.done(&key("a"), at(4));
        assert_eq!(queue.take(at(4)), Some(key("a")));
        queue.done(&key("a"), at(5));
        assert_eq!(queue.take(at(5)), None);
        let numbers = queue.numbers(at(13));
        assert_eq!((numbers.adds_total, numbers.depth, numbers.queue_duration.count()), (3, 0, 3));
        assert_eq!(numbers.longest_running_processor_seconds, 0.010);
    }

    #[test]
    fn timers_keep_the_earliest_time_and_yield_to_a_plan() {
        let mut queue = queue();
        queue.add_at(&key("a"), at(50));
        queue.add_at(&key("a"), at(90));
        queue.add_at(&key("a"), at(20));
        assert_eq!(queue.next_due(), Some(at(20)));
        assert_eq!(queue.take(at(19)), None);
        queue.add(key("a"), at(10));
        assert_eq!(queue.take(at(19)), Some(key("a")));
        assert_eq!(queue.next_due(), None);
        queue.add_at(&key("a"), at(30));
        queue.done(&key("a"), at(20));
        assert_eq!(queue.take(at(30)), Some(key("a")));
    }

    #[test]
    fn failures_double_the_delay_up_to_the_limit_and_success_forgets() {
        // DS-F02
        let mut queue = Queue::new(Duration::from_millis(30));
        let delays: Vec<i64> = (0..4)
            .map(|_| {
                queue.retry(&key("a"), at(0));
                let due = queue.next_due().unwrap();
                queue.take(due);
                queue.done(&key("a"), due);
                due.as_millisecond()
            })
            .collect();
        assert_eq!(delays, [5, 10, 20, 30]);
        queue.succeed(&key("a"));
        queue.retry(&key("a"), at(0));
        assert_eq!(queue.next_due(), Some(at(5)));
        (0..100).for_each(|_| queue.retry(&key("b"), at(0)));
        assert_eq!(queue.numbers(at(0)).retries_total, 105);
    }
}
