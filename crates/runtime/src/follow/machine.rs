//! The protocol of list and watch as a state machine without I/O: list in pages, then watch from
//! there, resume from the last revision, and list again only when the server no longer has that
//! history.

use std::time::Duration;

use everynode_api::ports::ApiError;
use everynode_common::backoff;

/// First pause after a failure; doubles with each further one in a row.
const PAUSE_FIRST: Duration = Duration::from_millis(200);
/// Longest pause between attempts, but for what the server asks for.
const PAUSE_MAX: Duration = Duration::from_secs(20);
/// The longest pause that a server can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

/// One page of a list, its objects read as `T`.
#[derive(Debug)]
pub struct Page<T> {
    pub objects: Vec<T>,
    /// 0 where the server gives none.
    pub revision: u64,
    /// `None`: the last page.
    pub continue_token: Option<String>,
}

/// Where it stands. Every variant says how it ends.
#[derive(Debug)]
enum State<T> {
    /// A list is wanted. Ends in `Listing` when it is begun.
    Unlisted,
    /// Pages are being collected. A failure drops them and ends in `Unlisted`.
    Listing { objects: Vec<T>, continue_token: Option<String> },
    /// Everything up to `revision` is known and no watch is open. Ends in `Watching`, or in
    /// `Unlisted` if the server says that the revision has expired or lies ahead of it.
    Listed { revision: u64 },
    /// A watch is open. Ends in `Listed` when it closes or fails, in `Unlisted` when its revision
    /// has expired or it said something that cannot be understood.
    Watching { revision: u64, heard: bool },
}

/// What is to be done next.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// Begin a list: what is asked for from now on, it answers.
    Begin,
    /// Get a page; the first one when there is no token. `paged` is false after a token expired.
    List { continue_token: Option<String>, paged: bool },
    /// Open a watch for what came after this revision.
    Watch { revision: u64 },
    /// Read from the open watch.
    Read,
}

/// How long to wait before the next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// To be spread, so that many clients do not come back at once.
    pub about: Duration,
    /// What the server asked for; zero if it did not.
    pub at_least: Duration,
}

/// A complete list.
#[derive(Debug)]
pub struct Listed<T> {
    pub objects: Vec<T>,
    pub revision: u64,
}

/// Decides what a follower does next.
#[derive(Debug)]
pub struct Machine<T> {
    state: State<T>,
    /// Whether lists are asked for in pages.
    paged: bool,
    /// Whether a watch said anything since the last complete list.
    heard_since_list: bool,
    failures: u32,
    pause: Option<Pause>,
}

impl<T> Default for Machine<T> {
    fn default() -> Self {
        Machine { state: State::Unlisted, paged: true, heard_since_list: false, failures: 0, pause: None }
    }
}

impl<T> Machine<T> {
    pub fn step(&self) -> Step {
        match &self.state {
            State::Unlisted => Step::Begin,
            State::Listing { continue_token, .. } => {
                Step::List { continue_token: continue_token.clone(), paged: self.paged }
            }
            State::Listed { revision } => Step::Watch { revision: *revision },
            State::Watching { .. } => Step::Read,
        }
    }

    /// Whether a list is wanted or being taken.
    pub fn is_listing(&self) -> bool {
        matches!(self.state, State::Unlisted | State::Listing { .. })
    }

    /// How long to wait before the next step; each pause is returned once.
    pub fn take_pause(&mut self) -> Option<Pause> {
        self.pause.take()
    }

    /// The list that was wanted begins.
    pub fn on_begun(&mut self) {
        if matches!(self.state, State::Unlisted) {
            self.state = State::Listing { objects: Vec::new(), continue_token: None };
        }
    }

    /// A page arrived, or did not. Returns the list when it is complete.
    pub fn on_page(&mut self, page: Result<Page<T>, &ApiError>) -> Option<Listed<T>> {
        let page = match page {
            Ok(page) => page,
            Err(error) => {
                self.paged = !error.is_expired();
                self.start_over();
                self.fail(Some(error));
                return None;
            }
        };
        self.failures = 0;
        let State::Listing { objects, continue_token } = &mut self.state else {
            return None;
        };
        objects.extend(page.objects);
        *continue_token = page.continue_token;
        if continue_token.is_some() {
            return None;
        }
        let objects = std::mem::take(objects);
        (self.paged, self.heard_since_list) = (true, false);
        self.state = State::Listed { revision: page.revision };
        Some(Listed { objects, revision: page.revision })
    }

    /// A watch was opened, or could not be.
    pub fn on_opened(&mut self, opened: Result<(), &ApiError>) {
        let State::Listed { revision } = self.state else { return };
        match opened {
            Ok(()) => self.state = State::Watching { revision, heard: false },
            Err(error) => self.on_error(error),
        }
    }

    /// The watch delivered everything up to `revision`.
    pub fn on_events(&mut self, up_to: u64) {
        (self.failures, self.heard_since_list) = (0, true);
        if let State::Watching { revision, heard } = &mut self.state {
            *revision = (*revision).max(up_to);
            *heard = true;
        }
    }

    /// The watch ended; one that ended without a word is followed by a pause. Returns whether it
    /// had said something.
    pub fn on_closed(&mut self) -> bool {
        let State::Watching { revision, heard } = self.state else { return true };
        self.state = State::Listed { revision };
        if !heard {
            self.fail(None);
        }
        heard
    }

    /// The watch was silent for too long: open it again from where it stands.
    pub fn on_idle(&mut self) {
        if let State::Watching { revision, .. } = self.state {
            self.state = State::Listed { revision };
        }
    }

    /// The watch, or opening it, failed.
    pub fn on_error(&mut self, error: &ApiError) {
        match knows_revision(error) {
            true => self.on_idle(),
            false => self.start_over(),
        }
        // History that ends while it is followed is nothing to wait for; a list whose revision has
        // expired already is.
        if !(error.is_expired() && self.heard_since_list) {
            self.fail(Some(error));
        }
    }

    /// Lists again, whatever the state.
    pub fn start_over(&mut self) {
        self.state = State::Unlisted;
    }

    fn fail(&mut self, error: Option<&ApiError>) {
        let about = backoff::doubled(PAUSE_FIRST, self.failures, PAUSE_MAX);
        let at_least = error.map_or(Duration::ZERO, retry_after);
        self.pause = Some(Pause { about, at_least });
        self.failures = self.failures.saturating_add(1);
    }
}

/// The pause that the server asks for, at most 30 seconds; zero if it asks for none.
pub fn retry_after(error: &ApiError) -> Duration {
    let asked = error.status().and_then(|status| status.details.as_ref()).map(|details| details.retry_after_seconds);
    Duration::from_secs(asked.unwrap_or(0).into()).min(RETRY_AFTER_MAX)
}

/// Whether the watch may be resumed after this error. What could not be understood would come
/// again from the same revision, and a revision that the server does not have yet (a history
/// that was put back, DS-I33) would be waited for without end.
fn knows_revision(error: &ApiError) -> bool {
    match error {
        ApiError::Unreachable(_) | ApiError::UnknownOutcome(_) => true,
        ApiError::Garbled(_) => false,
        ApiError::Status(status) => !status.is_expired() && !status.has_cause("ResourceVersionTooLarge"),
    }
}

#[cfg(test)]
mod tests {
    use everynode_api::status::{Details, Status};

    use super::*;

    type Page = super::Page<()>;
    type Machine = super::Machine<()>;

    fn page(revision: u64, token: Option<&str>) -> Result<Page, &'static ApiError> {
        Ok(Page { objects: vec![], revision, continue_token: token.map(str::to_owned) })
    }

    /// A machine that begins a list.
    fn listing() -> Machine {
        let mut machine = Machine::default();
        assert_eq!(machine.step(), Step::Begin);
        machine.on_begun();
        machine
    }

    fn about(pause: Option<Pause>) -> Option<Duration> {
        pause.map(|pause| pause.about)
    }

    fn expired() -> ApiError {
        Status::expired("too old resource version").into()
    }

    fn first_page() -> Step {
        Step::List { continue_token: None, paged: true }
    }

    fn watching(revision: u64) -> Machine {
        let mut machine = listing();
        machine.on_page(page(revision, None)).unwrap();
        machine.on_opened(Ok(()));
        machine
    }

    #[test]
    fn lists_in_pages_and_watches_from_there() {
        let mut machine = listing();
        assert_eq!(machine.step(), first_page());
        assert!(machine.on_page(page(5, Some("t"))).is_none());
        assert_eq!(machine.step(), Step::List { continue_token: Some("t".into()), paged: true });
        assert_eq!(machine.on_page(page(5, None)).unwrap().revision, 5);
        assert_eq!(machine.step(), Step::Watch { revision: 5 });
        machine.on_opened(Ok(()));
        assert_eq!(machine.step(), Step::Read);
    }

    #[test]
    fn resumes_from_the_last_revision() {
        let mut machine = watching(5);
        machine.on_events(8);
        assert!(machine.on_closed());
        assert_eq!((machine.take_pause(), machine.step()), (None, Step::Watch { revision: 8 }));
        machine.on_opened(Ok(()));
        machine.on_error(&ApiError::UnknownOutcome("reset".into()));
        assert!(machine.take_pause().is_some());
        assert_eq!(machine.step(), Step::Watch { revision: 8 });
    }

    #[test]
    fn a_watch_without_a_word_is_followed_by_a_pause() {
        let mut machine = watching(5);
        assert!(!machine.on_closed());
        assert_eq!(about(machine.take_pause()), Some(PAUSE_FIRST));
    }

    #[test]
    fn lists_again_when_history_is_gone() {
        // DS-I33
        let mut machine = watching(5);
        machine.on_events(6);
        machine.on_error(&expired());
        assert_eq!((machine.take_pause(), machine.step()), (None, Step::Begin));
        let mut machine = watching(5);
        machine.on_closed();
        machine.on_opened(Err(&expired()));
        assert_eq!(machine.step(), Step::Begin);
        let mut machine = watching(5);
        machine.on_error(&ApiError::Garbled("x".into()));
        assert_eq!(machine.step(), Step::Begin);
    }

    #[test]
    fn lists_again_when_the_history_was_put_back() {
        let too_large = Status::failure(504, "Timeout", "Too large resource version: 300, current: 140");
        let error = too_large.with_cause("ResourceVersionTooLarge", "Too large resource version", "").into();
        let mut machine = watching(300);
        machine.on_events(301);
        machine.on_error(&error);
        assert_eq!((about(machine.take_pause()), machine.step()), (Some(PAUSE_FIRST), Step::Begin));
        machine.on_begun();
        assert_eq!(machine.on_page(page(140, None)).unwrap().revision, 140);
        assert_eq!(machine.step(), Step::Watch { revision: 140 });
    }

    #[test]
    fn a_list_that_has_expired_before_it_was_watched_is_followed_by_a_pause() {
        let mut machine = watching(5);
        machine.on_error(&expired());
        assert_eq!((about(machine.take_pause()), machine.step()), (Some(PAUSE_FIRST), Step::Begin));
    }

    #[test]
    fn the_pause_is_as_long_as_the_server_asks_for() {
        let mut machine = listing();
        let asked = |seconds| -> ApiError {
            let details = Details { retry_after_seconds: seconds, ..Details::default() };
            let busy = Status::failure(429, "TooManyRequests", "busy");
            Status { details: Some(details), ..busy }.into()
        };
        machine.on_page(Err(&asked(7)));
        assert_eq!(machine.take_pause().unwrap().at_least, Duration::from_secs(7));
        machine.on_page(Err(&asked(3_600)));
        assert_eq!(machine.take_pause().unwrap().at_least, RETRY_AFTER_MAX);
    }

    #[test]
    fn an_expired_page_is_followed_by_one_list_without_pages() {
        // DS-I31
        let mut machine = listing();
        machine.on_page(page(5, Some("t")));
        machine.on_page(Err(&expired()));
        assert_eq!(machine.step(), Step::Begin);
        machine.on_begun();
        assert_eq!(machine.step(), Step::List { continue_token: None, paged: false });
        machine.on_page(page(9, None)).unwrap();
        machine.start_over();
        machine.on_begun();
        assert_eq!(machine.step(), first_page());
    }

    #[test]
    fn pauses_double_up_to_a_limit_and_success_resets_them() {
        let mut machine = listing();
        let mut pauses: Vec<_> = (0..40)
            .map(|_| {
                machine.on_page(Err(&ApiError::Unreachable("refused".into())));
                machine.take_pause().unwrap().about.as_millis()
            })
            .collect();
        assert_eq!(pauses[..3], [200, 400, 800]);
        assert_eq!(pauses.pop(), Some(PAUSE_MAX.as_millis()));
        machine.on_begun();
        machine.on_page(page(1, None));
        machine.on_opened(Err(&ApiError::Unreachable("refused".into())));
        assert_eq!(about(machine.take_pause()), Some(PAUSE_FIRST));
    }
}
