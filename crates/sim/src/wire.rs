//! The network between one client and the server: late, lossy, cut; never against the API's
//! promises.
//!
//! Requests may get no answer, carried out or not or later; they may be refused. Watches may lag,
//! together or each by itself, end, break or expire, and events may come twice; within a watch
//! nothing is reordered. What the API does not allow but happens is that events are lost silently.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use everynode_api::ports::{Api, ApiError, BoxFuture, EventStream, Request, WatchEvent, WatchRequest};
use everynode_api::status::Status;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::dice::Dice;
use crate::ledger::Ledger;
use crate::scenario::Ending;

/// How late an event is at most, after the one before it in its watch, while watches are skewed.
const SKEW_MS: u64 = 900;

/// Where the server is; it changes when the server starts again.
pub(crate) type Server = Mutex<Arc<dyn Api>>;

/// One client's way to the server.
pub(crate) struct Wire {
    server: Arc<Server>,
    dice: Dice,
    ledger: Arc<Ledger>,
    state: Mutex<NetworkFaults>,
    /// Open watches look again when it changes.
    changed: Notify,
    /// Fires when the client's process is to end.
    pub(crate) crash: Notify,
}

/// What is wrong now.
#[derive(Clone, Debug, Default)]
struct NetworkFaults {
    cut: bool,
    lagging: bool,
    skewed: bool,
    trouble_percent: u64,
    twice_percent: u64,
    lose_percent: u64,
    /// Watches of earlier generations have ended, the last of them so.
    generation: u64,
    ending: Option<Ending>,
    /// Requests until the process ends, and whether the last one is carried out.
    crash_in: Option<(u64, bool)>,
}

impl Wire {
    pub(crate) fn new(server: Arc<Server>, seed: u64, ledger: Arc<Ledger>) -> Arc<Wire> {
        let (changed, crash) = (Notify::new(), Notify::new());
        Arc::new(Wire { server, dice: Dice::new(seed), ledger, state: Mutex::default(), changed, crash })
    }

    fn state(&self) -> MutexGuard<'_, NetworkFaults> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut NetworkFaults)) {
        change(&mut self.state());
        self.changed.notify_waiters();
    }

    pub(crate) fn cut(&self, on: bool) {
        self.change(|state| {
            state.cut = on;
            if on {
                (state.generation, state.ending) = (state.generation + 1, Some(Ending::Broken));
            }
        });
    }

    pub(crate) fn lag(&self, on: bool) {
        self.change(|state| state.lagging = on);
    }

    pub(crate) fn trouble(&self, percent: u64) {
        self.change(|state| state.trouble_percent = percent);
    }

    pub(crate) fn twice(&self, percent: u64) {
        self.change(|state| state.twice_percent = percent);
    }

    pub(crate) fn skew(&self, on: bool) {
        self.change(|state| state.skewed = on);
    }

    pub(crate) fn lose(&self, percent: u64) {
        self.change(|state| state.lose_percent = percent);
    }

    pub(crate) fn end_watches(&self, ending: Ending) {
        self.change(|state| (state.generation, state.ending) = (state.generation + 1, Some(ending)));
    }

    pub(crate) fn crash_in(&self, calls: u64, carried_out: bool) {
        self.change(|state| state.crash_in = Some((calls, carried_out)));
    }

    /// Everything is well from now on.
    pub(crate) fn heal(&self) {
        self.change(|state| *state = NetworkFaults { generation: state.generation, ..NetworkFaults::default() });
    }

    fn server(&self) -> Arc<dyn Api> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the process ends with this request, and whether it is carried out.
    fn counts_down(&self) -> Option<bool> {
        let mut state = self.state();
        match &mut state.crash_in {
            Some((0, carried_out)) => {
                let carried_out = *carried_out;
                state.crash_in = None;
                Some(carried_out)
            }
            Some((calls, _)) => {
                *calls -= 1;
                None
            }
            None => None,
        }
    }

    async fn travel(&self) {
        let micros = self.dice.between(50, 3_000);
        tokio::time::sleep(Duration::from_micros(micros)).await;
    }

    async fn perform(&self, request: Request) -> Result<Bytes, ApiError> {
        self.travel().await;
        if let Some(carried_out) = self.counts_down() {
            self.ledger.count(if carried_out { "crash after a request" } else { "crash before a request" });
            if carried_out {
                let _nobody_hears = self.server().call(request).await;
            }
            self.crash.notify_one();
            return std::future::pending().await;
        }
        let (cut, percent) = {
            let state = self.state();
            (state.cut, state.trouble_percent)
        };
        if cut {
            self.ledger.count("request while cut off");
            return Err(ApiError::Unreachable("no route to host".into()));
        }
        let answer = match percent > 0 && self.dice.chance(percent) {
            true => self.in_trouble(request).await,
            false => self.server().call(request).await,
        };
        self.travel().await;
        answer
    }

    async fn in_trouble(&self, request: Request) -> Result<Bytes, ApiError> {
        let lost = || ApiError::UnknownOutcome("the connection was reset".into());
        let guarded = matches!(request, Request::Update { .. } | Request::Patch { .. });
        let (wrong, fault) = match self.dice.below(8) {
            0 => (RequestFault::Refused, "request refused"),
            1 => (RequestFault::Lost, "request lost"),
            2 => (RequestFault::AnswerLost, "answer lost"),
            3 => (RequestFault::Late, "request carried out after its client gave up"),
            4 if guarded => (RequestFault::Conflict, "write conflict"),
            4 | 5 => (RequestFault::Failed, "server error"),
            6 => (RequestFault::TooMany, "too many requests"),
            _ => (RequestFault::Slow, "slow request"),
        };
        self.ledger.count(fault);
        match wrong {
            RequestFault::Refused => Err(ApiError::Unreachable("connection refused".into())),
            RequestFault::Lost => Err(lost()),
            RequestFault::AnswerLost => {
                let _lost = self.server().call(request).await;
                Err(lost())
            }
            RequestFault::Late => {
                let (server, late) = (self.server(), Duration::from_millis(self.dice.between(1, 8_000)));
                tokio::spawn(async move {
                    tokio::time::sleep(late).await;
                    let _lost = server.call(request).await;
                });
                Err(lost())
            }
            RequestFault::Conflict => Err(Status::failure(409, "Conflict", "the object has been modified").into()),
            RequestFault::Failed => Err(Status::failure(500, "InternalError", "etcdserver: request timed out").into()),
            RequestFault::TooMany => Err(Status::failure(429, "TooManyRequests", "too many requests").into()),
            RequestFault::Slow => {
                tokio::time::sleep(Duration::from_millis(self.dice.between(10, 5_000))).await;
                self.server().call(request).await
            }
        }
    }

    async fn open(self: Arc<Self>, request: WatchRequest) -> Result<Box<dyn EventStream>, ApiError> {
        self.travel().await;
        let state = self.state().clone();
        if state.cut || (state.trouble_percent > 0 && self.dice.chance(state.trouble_percent)) {
            return Err(ApiError::Unreachable("connection refused".into()));
        }
        let inner = self.server().watch(request).await?;
        Ok(Box::new(Events { inner, wire: self.clone(), generation: state.generation, again: None, held: None }))
    }
}

/// What goes wrong with a request.
enum RequestFault {
    Refused,
    Lost,
    AnswerLost,
    Late,
    Conflict,
    Failed,
    TooMany,
    Slow,
}

/// What clients hold: the port over a wire.
#[derive(Clone)]
pub(crate) struct Client(pub Arc<Wire>);

impl Api for Client {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Bytes, ApiError>> {
        Box::pin(self.0.perform(request))
    }

    fn watch(&self, request: WatchRequest) -> BoxFuture<'_, Result<Box<dyn EventStream>, ApiError>> {
        Box::pin(self.0.clone().open(request))
    }
}

/// A watch over a wire.
struct Events {
    inner: Box<dyn EventStream>,
    wire: Arc<Wire>,
    generation: u64,
    again: Option<WatchEvent>,
    /// An event that is on its way until then.
    held: Option<(WatchEvent, Instant)>,
}

impl Events {
    async fn read(&mut self) -> Option<Result<WatchEvent, ApiError>> {
        let wire = self.wire.clone();
        loop {
            // Not a watch channel: that wakes its waiters in an order of its own.
            let mut changed = std::pin::pin!(wire.changed.notified());
            changed.as_mut().enable();
            let state = wire.state().clone();
            if state.generation > self.generation {
                wire.ledger.count("watch ended");
                return end(state.ending.unwrap_or(Ending::Broken));
            }
            let held_until = self.held.as_ref().map(|(_, until)| *until);
            if held_until.is_some_and(|until| !state.skewed || until <= Instant::now()) {
                return self.held.take().map(|(event, _)| Ok(event));
            }
            if let Some(event) = self.again.take_if(|_| held_until.is_none()) {
                return Some(Ok(event));
            }
            tokio::select! {
                biased;
                () = changed => {}
                () = tokio::time::sleep_until(held_until.unwrap_or_else(Instant::now)), if held_until.is_some() => {}
                event = self.inner.next(), if !state.lagging && held_until.is_none() => {
                    if let Some(event) = self.arrive(event, &state) {
                        return event;
                    }
                }
            }
        }
    }

    /// What the client hears of it now, if anything.
    fn arrive(
        &mut self,
        event: Option<Result<WatchEvent, ApiError>>,
        state: &NetworkFaults,
    ) -> Option<Option<Result<WatchEvent, ApiError>>> {
        let (dice, ledger) = (&self.wire.dice, &self.wire.ledger);
        let Some(Ok(event)) = event else { return Some(event) };
        let is_bookmark = matches!(event, WatchEvent::Bookmark { .. });
        if state.lose_percent > 0 && !is_bookmark && dice.chance(state.lose_percent) {
            ledger.count("watch event lost");
            return None;
        }
        if state.twice_percent > 0 && dice.chance(state.twice_percent) {
            ledger.count("watch event twice");
            self.again = Some(event.clone());
        }
        if state.skewed {
            ledger.count("watch event held back");
            let late = Duration::from_millis(dice.below(SKEW_MS));
            self.held = Some((event, Instant::now() + late));
            return None;
        }
        Some(Some(Ok(event)))
    }
}

fn end(ending: Ending) -> Option<Result<WatchEvent, ApiError>> {
    match ending {
        Ending::Closed => None,
        Ending::Broken => Some(Err(ApiError::UnknownOutcome("the connection was reset".into()))),
        Ending::Compacted => Some(Err(Status::expired("too old resource version").into())),
    }
}

impl EventStream for Events {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<WatchEvent, ApiError>>> {
        Box::pin(self.read())
    }
}
