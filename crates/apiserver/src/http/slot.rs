//! How many requests are served at once. More wait their turn; too many waiting are told to come
//! back (429).
//!
//! A place is taken when all is there that the request needs: a client that sends no body holds
//! none. What may be held without a place (bodies that come, watches that run) is counted for each
//! class and client.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use everynode_api::status::Status;
use http::Method;
use tokio::sync::oneshot;

use super::class::{CLASSES, Class, Client, Clients};
use super::limits::Limits;
use super::metrics::head;
use super::queue::Queue;
use super::quota::{Quota, Refused};
use crate::auth::User;

/// The places, and what is held without one.
pub(crate) struct Slots {
    pub(crate) limits: Limits,
    pub(crate) clients: Clients,
    shares: [Share; CLASSES],
    reading: AtomicI64,
    writing: AtomicI64,
}

/// What a class has.
struct Share {
    queue: Mutex<Queue<oneshot::Sender<Place>>>,
    long_running: Mutex<Quota>,
    bodies: Mutex<Quota>,
    answers: Mutex<Quota>,
    connections: Mutex<Quota>,
    refused: [AtomicU64; REASONS],
}

/// Why a request was refused, as metrics name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    QueueFull,
    TimeOut,
    LongRunning,
    BodyBytes,
    SlowBody,
    AnswerBytes,
    Connections,
}

const REASONS: usize = 7;

impl Reason {
    const ALL: [Reason; REASONS] = [
        Reason::QueueFull,
        Reason::TimeOut,
        Reason::LongRunning,
        Reason::BodyBytes,
        Reason::SlowBody,
        Reason::AnswerBytes,
        Reason::Connections,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Reason::QueueFull => "queue-full",
            Reason::TimeOut => "time-out",
            Reason::LongRunning => "long-running",
            Reason::BodyBytes => "body-bytes",
            Reason::SlowBody => "slow-body",
            Reason::AnswerBytes => "answer-bytes",
            Reason::Connections => "connections",
        }
    }
}

/// The client that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asker {
    pub(crate) class: Class,
    pub(crate) client: Client,
}

/// One of the places; given back when dropped.
struct Place {
    slots: Option<Arc<Slots>>,
    class: Class,
}

/// What is held of a class's share of something; given back when dropped.
pub(crate) struct Held {
    slots: Arc<Slots>,
    asker: Asker,
    amount: usize,
    of: fn(&Share) -> &Mutex<Quota>,
}

/// A request that is served; ends when dropped.
pub(crate) struct Slot {
    slots: Arc<Slots>,
    kind: Kind,
    _held: (Option<Place>, Option<Held>),
}

#[derive(Clone, Copy)]
enum Kind {
    Reading,
    Writing,
    LongRunning,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Slots {
    pub(crate) fn new(limits: Limits) -> Arc<Slots> {
        let share = |class: Class| {
            let limits = limits.of(class);
            Share {
                queue: Mutex::new(Queue::new(limits.places, limits.waiting)),
                long_running: Mutex::new(Quota::new(limits.long_running)),
                bodies: Mutex::new(Quota::new(limits.body_bytes)),
                answers: Mutex::new(Quota::new(limits.answer_bytes)),
                connections: Mutex::new(Quota::new(limits.connections)),
                refused: Default::default(),
            }
        };
        Arc::new(Slots {
            shares: Class::ALL.map(share),
            limits,
            clients: Clients::default(),
            reading: AtomicI64::default(),
            writing: AtomicI64::default(),
        })
    }

    fn share(&self, class: Class) -> &Share {
        &self.shares[class as usize]
    }

    /// Waits for a place for an ordinary request, all of which is there.
    pub(crate) async fn take(self: &Arc<Self>, asker: Asker, method: &Method) -> Result<Slot, Status> {
        let place = self.place(asker).await?;
        let kind = if matches!(*method, Method::GET | Method::HEAD) { Kind::Reading } else { Kind::Writing };
        Ok(Slot::new(self, kind, (Some(place), None)))
    }

    /// Counts a watch, log or stream as long as it runs.
    pub(crate) fn take_long_running(self: &Arc<Self>, asker: Asker) -> Result<Slot, Status> {
        let mut held = Held { slots: self.clone(), asker, amount: 0, of: |share| &share.long_running };
        held.grow(1).map_err(|refused| self.refuse(asker, Reason::LongRunning, refused))?;
        Ok(Slot::new(self, Kind::LongRunning, (None, Some(held))))
    }

    /// A body of which nothing has been read.
    pub(crate) fn body(self: &Arc<Self>, asker: Asker) -> Held {
        Held { slots: self.clone(), asker, amount: 0, of: |share| &share.bodies }
    }

    /// An answer of which nothing has been sent.
    pub(crate) fn answer(self: &Arc<Self>, asker: Asker) -> Held {
        Held { slots: self.clone(), asker, amount: 0, of: |share| &share.answers }
    }

    /// Counts a connection of a user as long as it lives.
    pub(crate) fn connection(self: &Arc<Self>, user: &User) -> Result<Held, Status> {
        let asker = Asker { class: Class::of_user(user), client: self.clients.of(user) };
        let mut held = Held { slots: self.clone(), asker, amount: 0, of: |share| &share.connections };
        held.grow(1).map_err(|refused| self.refuse(asker, Reason::Connections, refused))?;
        Ok(held)
    }

    async fn place(self: &Arc<Self>, asker: Asker) -> Result<Place, Status> {
        let Asker { class, client } = asker;
        let receiver = {
            let mut queue = lock(&self.share(class).queue);
            if queue.take() {
                return Ok(Place { slots: Some(self.clone()), class });
            }
            let (sender, receiver) = oneshot::channel();
            let waits = queue.wait(client, sender, oneshot::Sender::is_closed);
            waits.map_err(|refused| self.refuse(asker, Reason::QueueFull, refused))?;
            receiver
        };
        match tokio::time::timeout(self.limits.wait, receiver).await {
            Ok(Ok(place)) => Ok(place),
            _ => Err(self.refuse(asker, Reason::TimeOut, Refused::All)),
        }
    }

    /// Counts a refusal and says what to do.
    pub(crate) fn refuse(&self, asker: Asker, reason: Reason, refused: Refused) -> Status {
        self.count(asker.class, reason);
        let text = match (refused, reason) {
            (Refused::All, _) => "too many requests, please try again later",
            (_, Reason::LongRunning) => "too many watches and streams of this client, end some of them first",
            (_, Reason::Connections) => "too many connections of this client, close some of them first",
            (_, Reason::AnswerBytes) => {
                "too many bytes for this client at once, read the answers before asking for more"
            }
            (_, Reason::BodyBytes) => "too many bytes of this client at once, wait for answers before sending more",
            _ => "too many requests of this client at once, wait for answers before sending more",
        };
        Status::too_many_requests(text, 1)
    }

    pub(crate) fn count(&self, class: Class, reason: Reason) {
        self.share(class).refused[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// What is held now and what was refused, in Prometheus' text form; names as in Kubernetes
    /// where it has them.
    pub(crate) fn write(&self, out: &mut String) {
        use std::fmt::Write;
        head(out, "apiserver_current_inflight_requests", "gauge", "Requests being served now.");
        for (kind, gauge) in [("readOnly", &self.reading), ("mutating", &self.writing)] {
            let value = gauge.load(Ordering::Relaxed);
            let _ = writeln!(out, "apiserver_current_inflight_requests{{request_kind=\"{kind}\"}} {value}");
        }
        let mut gauge = |name: &str, help: &str, value: &dyn Fn(&Share) -> usize| {
            head(out, name, "gauge", help);
            for class in Class::ALL {
                let _ = writeln!(out, "{name}{{priority_level=\"{}\"}} {}", class.as_str(), value(self.share(class)));
            }
        };
        gauge("apiserver_longrunning_requests", "Watches, logs and streams being served now.", &|share| {
            lock(&share.long_running).held()
        });
        gauge("apiserver_flowcontrol_current_inqueue_requests", "Requests that wait for a place now.", &|share| {
            lock(&share.queue).waiting()
        });
        gauge("everynode_apiserver_client_connections", "Connections whose clients are known now.", &|share| {
            lock(&share.connections).held()
        });
        gauge("everynode_apiserver_answer_bytes", "Bytes of answers that clients have not taken yet.", &|share| {
            lock(&share.answers).held()
        });
        gauge("everynode_apiserver_body_bytes", "Bytes of requests' bodies held now.", &|share| {
            lock(&share.bodies).held()
        });
        let name = "apiserver_flowcontrol_rejected_requests_total";
        head(out, name, "counter", "Requests that were refused because of too many, too large or too slow ones.");
        for class in Class::ALL {
            for reason in Reason::ALL {
                let count = self.share(class).refused[reason as usize].load(Ordering::Relaxed);
                let (class, reason) = (class.as_str(), reason.as_str());
                let _ = writeln!(out, "{name}{{priority_level=\"{class}\",reason=\"{reason}\"}} {count}");
            }
        }
    }
}

impl Held {
    /// Holds so much in all.
    pub(crate) fn grow(&mut self, amount: usize) -> Result<(), Refused> {
        let more = amount.saturating_sub(self.amount);
        lock((self.of)(self.slots.share(self.asker.class))).take(self.asker.client, more)?;
        self.amount += more;
        Ok(())
    }

    /// Holds so much in all, or as much as one client may: what is larger is sent when nothing else
    /// is.
    pub(crate) fn grow_to_share(&mut self, amount: usize) -> Result<(), Status> {
        let each = self.limits().of(self.asker.class).answer_bytes.each;
        let refuse = |refused| self.slots.refuse(self.asker, Reason::AnswerBytes, refused);
        let grown = lock((self.of)(self.slots.share(self.asker.class))).take(self.asker.client, amount.min(each));
        grown.map_err(refuse)?;
        self.amount += amount.min(each);
        Ok(())
    }

    /// Holds no more than that.
    pub(crate) fn shrink(&mut self, amount: usize) {
        let less = self.amount.saturating_sub(amount);
        lock((self.of)(self.slots.share(self.asker.class))).give_back(self.asker.client, less);
        self.amount -= less;
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.slots.limits
    }

    /// Counts a refusal and says what to do.
    pub(crate) fn refuse(&self, refused: Refused) -> Status {
        self.slots.refuse(self.asker, Reason::BodyBytes, refused)
    }

    /// A body that came too slowly.
    pub(crate) fn timed_out(&self) -> Status {
        self.slots.count(self.asker.class, Reason::SlowBody);
        Status::failure(408, "Timeout", "Timeout: the body of the request did not come in time, please send it again")
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.shrink(0);
    }
}

impl Slot {
    fn new(slots: &Arc<Slots>, kind: Kind, held: (Option<Place>, Option<Held>)) -> Slot {
        let slot = Slot { slots: slots.clone(), kind, _held: held };
        slot.gauge().map(|gauge| gauge.fetch_add(1, Ordering::Relaxed));
        slot
    }

    fn gauge(&self) -> Option<&AtomicI64> {
        match self.kind {
            Kind::Reading => Some(&self.slots.reading),
            Kind::Writing => Some(&self.slots.writing),
            Kind::LongRunning => None,
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.gauge().map(|gauge| gauge.fetch_sub(1, Ordering::Relaxed));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(slots) = self.slots.take() else { return };
        let mut queue = lock(&slots.share(self.class).queue);
        let mut place = Place { slots: Some(slots.clone()), class: self.class };
        while let Some(next) = queue.give_back() {
            match next.send(place) {
                Ok(()) => return,
                // That one has given up waiting.
                Err(back) => place = back,
            }
        }
        place.slots = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::quota;

    fn slots() -> Arc<Slots> {
        let mut limits = Limits::default();
        let few = quota::Limits { all: 2, each: 1 };
        for class in &mut limits.classes {
            (class.places, class.waiting, class.long_running) = (1, few, few);
        }
        Slots::new(limits)
    }

    fn asker(class: Class, client: u64) -> Asker {
        Asker { class, client: Client(client) }
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_class_lets_others_pass_and_its_own_wait() {
        let slots = slots();
        let first = slots.take(asker(Class::Everybody, 1), &Method::POST).await.unwrap();
        for class in [Class::Leaders, Class::Heartbeats, Class::Nodes, Class::Controllers] {
            drop(slots.take(asker(class, 1), &Method::PUT).await.unwrap());
        }
        let mut second = std::pin::pin!(slots.take(asker(Class::Everybody, 1), &Method::POST));
        tokio::select! {
            biased;
            _ = &mut second => panic!("there is no place"),
            refused = slots.take(asker(Class::Everybody, 1), &Method::POST) => {
                let status = refused.err().unwrap();
                assert_eq!((status.code, status.details.unwrap().retry_after_seconds), (429, 1));
                assert!(status.message.contains("of this client"), "{}", status.message);
            }
        }
        drop(first);
        second.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn no_request_waits_for_ever_and_one_that_gave_up_holds_no_slot() {
        let slots = slots();
        let held = slots.take(asker(Class::Nodes, 1), &Method::GET).await.unwrap();
        let began = tokio::time::Instant::now();
        assert_eq!(slots.take(asker(Class::Nodes, 2), &Method::GET).await.err().unwrap().code, 429);
        assert_eq!(began.elapsed(), slots.limits.wait);
        drop(held);
        drop(slots.take(asker(Class::Nodes, 3), &Method::GET).await.unwrap());
        assert_eq!(lock(&slots.share(Class::Nodes).queue).waiting(), 0);
    }

    #[tokio::test]
    async fn streams_are_counted_by_client() {
        let slots = slots();
        let (a, b, c) = (asker(Class::Nodes, 1), asker(Class::Nodes, 2), asker(Class::Nodes, 3));
        let held = (slots.take_long_running(a).unwrap(), slots.take_long_running(b).unwrap());
        let words = |asker| slots.take_long_running(asker).err().unwrap().message;
        assert!(words(a).contains("of this client"));
        assert_eq!(words(c), "too many requests, please try again later");
        drop(held);
        slots.take_long_running(c).unwrap();
    }
}
