//! The network between one client and the server: late, lossy, cut; never against the API's promises.
//!
//! Requests may get no answer, carried out or not or later; they may be refused. Watches may lag, end, break or
//! expire, and events may come twice; within a watch nothing is lost or reordered.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use everynode_api::ports::{Api, ApiError, BoxFuture, EventStream, Request, WatchEvent, WatchRequest};
use everynode_api::status::Status;
use tokio::sync::Notify;

use crate::dice::Dice;
use crate::scenario::Ending;

/// Where the server is; it changes when the server starts again.
pub(crate) type Server = Mutex<Arc<dyn Api>>;

/// One client's way to the server.
pub(crate) struct Wire {
    server: Arc<Server>,
    dice: Dice,
    state: Mutex<State>,
    /// Open watches look again when it changes.
    changed: Notify,
    /// Fires when the client's process is to end.
    pub(crate) crash: Notify,
}

/// What is wrong now.
#[derive(Clone, Debug, Default)]
struct State {
    cut: bool,
    lagging: bool,
    trouble_percent: u64,
    twice_percent: u64,
    /// Watches of earlier generations have ended, the last of them so.
    generation: u64,
    ending: Option<Ending>,
    /// Requests until the process ends, and whether the last one is carried out.
    crash_in: Option<(u64, bool)>,
}

impl Wire {
    pub(crate) fn new(server: Arc<Server>, seed: u64) -> Arc<Wire> {
        let (changed, crash) = (Notify::new(), Notify::new());
        Arc::new(Wire { server, dice: Dice::new(seed), state: Mutex::default(), changed, crash })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
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

    pub(crate) fn end_watches(&self, ending: Ending) {
        self.change(|state| (state.generation, state.ending) = (state.generation + 1, Some(ending)));
    }

    pub(crate) fn crash_in(&self, calls: u64, carried_out: bool) {
        self.change(|state| state.crash_in = Some((calls, carried_out)));
    }

    /// Everything is well from now on.
    pub(crate) fn heal(&self) {
        self.change(|state| *state = State { generation: state.generation, ..State::default() });
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
        match self.dice.below(8) {
            0 => Err(ApiError::Unreachable("connection refused".into())),
            1 => Err(lost()),
            2 => {
                let _lost = self.server().call(request).await;
                Err(lost())
            }
            3 => {
                let (server, late) = (self.server(), Duration::from_millis(self.dice.between(1, 8_000)));
                tokio::spawn(async move {
                    tokio::time::sleep(late).await;
                    let _lost = server.call(request).await;
                });
                Err(lost())
            }
            4 if guarded => Err(Status::failure(409, "Conflict", "the object has been modified").into()),
            4 | 5 => Err(Status::failure(500, "InternalError", "etcdserver: request timed out").into()),
            6 => Err(Status::failure(429, "TooManyRequests", "too many requests").into()),
            _ => {
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
        Ok(Box::new(Events { inner, wire: self.clone(), generation: state.generation, again: None }))
    }
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
                return end(state.ending.unwrap_or(Ending::Broken));
            }
            if let Some(event) = self.again.take() {
                return Some(Ok(event));
            }
            tokio::select! {
                biased;
                () = changed => {}
                event = self.inner.next(), if !state.lagging => {
                    if let Some(Ok(event)) = &event
                        && state.twice_percent > 0
                        && wire.dice.chance(state.twice_percent)
                    {
                        self.again = Some(event.clone());
                    }
                    return event;
                }
            }
        }
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
