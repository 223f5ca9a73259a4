//! The informer's protocol as a state machine without I/O: list in pages, then watch from there,
//! resume from the last revision, and list again only when the server no longer has that history.

use std::time::Duration;

use everynode_api::ports::ApiError;
use everynode_api::view::Item;
use everynode_common::backoff;

/// First pause after a failure; doubles with each further one in a row.
const PAUSE_FIRST: Duration = Duration::from_millis(200);
/// Longest pause between attempts.
const PAUSE_MAX: Duration = Duration::from_secs(20);

/// One page of a list, decoded.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub items: Vec<Item>,
    pub revision: u64,
    pub continue_token: Option<String>,
}

/// Where the informer stands. Every variant says how it ends.
#[derive(Debug)]
pub(crate) enum InformerState {
    /// Pages are being collected. A failure drops them and starts over.
    Listing { items: Vec<Item>, continue_token: Option<String> },
    /// Everything up to `revision` is known and no watch is open. Ends in `Watching`, or in
    /// `Listing` if the server says that the revision has expired.
    Listed { revision: u64 },
    /// A watch is open. Ends in `Listed` when it closes or fails, in `Listing` when its revision
    /// has expired or it said something that can not be understood.
    Watching { revision: u64, heard: bool },
}

/// What is to be done next.
#[derive(Debug, PartialEq)]
pub(crate) enum Step {
    /// Get a page; the first one when there is no token. `paged` is false after a token expired.
    List { continue_token: Option<String>, paged: bool },
    /// Open a watch for what came after this revision.
    Watch { revision: u64 },
    /// Read from the open watch.
    Read,
}

/// A complete list.
#[derive(Debug)]
pub(crate) struct Listed {
    pub items: Vec<Item>,
    pub revision: u64,
}

#[derive(Debug)]
pub(crate) struct Machine {
    state: InformerState,
    /// Whether lists are asked for in pages.
    paged: bool,
    failures: u32,
    pause: Option<Duration>,
}

impl Machine {
    pub fn new() -> Machine {
        Machine { state: EMPTY, paged: true, failures: 0, pause: None }
    }

    pub fn step(&self) -> Step {
        match &self.state {
            InformerState::Listing { continue_token, .. } => {
                Step::List { continue_token: continue_token.clone(), paged: self.paged }
            }
            InformerState::Listed { revision } => Step::Watch { revision: *revision },
            InformerState::Watching { .. } => Step::Read,
        }
    }

    /// Whether a list is wanted or being taken.
    pub fn is_listing(&self) -> bool {
        matches!(self.state, InformerState::Listing { .. })
    }

    /// How long to wait before the next step, without jitter.
    pub fn take_pause(&mut self) -> Option<Duration> {
        self.pause.take()
    }

    /// A page arrived, or did not. Returns the list when it is complete.
    pub fn on_page(&mut self, page: Result<Page, ApiError>) -> Option<Listed> {
        let page = match page {
            Ok(page) => page,
            Err(error) => {
                self.paged = !error.is_expired();
                self.start_over();
                self.fail();
                return None;
            }
        };
        self.failures = 0;
        let InformerState::Listing { items, continue_token } = &mut self.state else {
            return None;
        };
        items.extend(page.items);
        *continue_token = page.continue_token.filter(|token| !token.is_empty());
        if continue_token.is_some() {
            return None;
        }
        let items = std::mem::take(items);
        self.paged = true;
        self.state = InformerState::Listed { revision: page.revision };
        Some(Listed { items, revision: page.revision })
    }

    /// A watch was opened, or could not be.
    pub fn on_opened(&mut self, opened: Result<(), &ApiError>) {
        let InformerState::Listed { revision } = self.state else { return };
        match opened {
            Ok(()) => self.state = InformerState::Watching { revision, heard: false },
            Err(error) => self.on_error(error),
        }
    }

    /// The watch delivered everything up to `revision`.
    pub fn on_events(&mut self, up_to: u64) {
        self.failures = 0;
        if let InformerState::Watching { revision, heard } = &mut self.state {
            *revision = (*revision).max(up_to);
            *heard = true;
        }
    }

    /// The watch ended; one that ended without a word is followed by a pause.
    pub fn on_closed(&mut self) {
        if let InformerState::Watching { revision, heard } = self.state {
            self.state = InformerState::Listed { revision };
            if !heard {
                self.fail();
            }
        }
    }

    /// The watch was silent for too long: open it again from where it stands.
    pub fn on_idle(&mut self) {
        if let InformerState::Watching { revision, .. } = self.state {
            self.state = InformerState::Listed { revision };
        }
    }

    /// The watch, or opening it, failed.
    pub fn on_error(&mut self, error: &ApiError) {
        match self.state {
            _ if error.is_expired() => return self.start_over(),
            _ if knows_revision(error) => {
                if let InformerState::Watching { revision, .. } = self.state {
                    self.state = InformerState::Listed { revision };
                }
            }
            _ => self.start_over(),
        }
        self.fail();
    }

    /// Lists again, whatever the state.
    pub fn start_over(&mut self) {
        self.state = EMPTY;
    }

    fn fail(&mut self) {
        self.pause = Some(backoff::doubled(PAUSE_FIRST, self.failures, PAUSE_MAX));
        self.failures = self.failures.saturating_add(1);
    }
}

const EMPTY: InformerState = InformerState::Listing { items: Vec::new(), continue_token: None };

/// Whether the watch may be resumed after this error. What could not be understood would come
/// again from the same revision, and a revision that the server does not have yet (a history
/// that was put back, DS-I33) would be waited for without end.
fn knows_revision(error: &ApiError) -> bool {
    match error {
        ApiError::Unreachable(_) | ApiError::UnknownOutcome(_) => true,
        ApiError::Garbled(_) => false,
        ApiError::Status(status) => !status.has_cause("ResourceVersionTooLarge"),
    }
}

#[cfg(test)]
mod tests {
    use everynode_api::status::Status;

    use super::*;

    fn page(revision: u64, token: Option<&str>) -> Result<Page, ApiError> {
        Ok(Page { items: vec![], revision, continue_token: token.map(str::to_owned) })
    }

    fn expired() -> ApiError {
        Status::expired("too old resource version").into()
    }

    fn first_page() -> Step {
        Step::List { continue_token: None, paged: true }
    }

    fn watching(revision: u64) -> Machine {
        let mut machine = Machine::new();
        machine.on_page(page(revision, None)).unwrap();
        machine.on_opened(Ok(()));
        machine
    }

    #[test]
    fn lists_in_pages_and_watches_from_there() {
        let mut machine = Machine::new();
        assert_eq!(machine.step(), first_page());
        assert!(machine.on_page(page(5, Some("t"))).is_none());
        assert_eq!(machine.step(), Step::List { continue_token: Some("t".into()), paged: true });
        assert_eq!(machine.on_page(page(5, Some(""))).unwrap().revision, 5);
        assert_eq!(machine.step(), Step::Watch { revision: 5 });
        machine.on_opened(Ok(()));
        assert_eq!(machine.step(), Step::Read);
    }

    #[test]
    fn resumes_from_the_last_revision() {
        let mut machine = watching(5);
        machine.on_events(8);
        machine.on_closed();
        assert_eq!((machine.take_pause(), machine.step()), (None, Step::Watch { revision: 8 }));
        machine.on_opened(Ok(()));
        machine.on_error(&ApiError::UnknownOutcome("reset".into()));
        assert!(machine.take_pause().is_some());
        assert_eq!(machine.step(), Step::Watch { revision: 8 });
    }

    #[test]
    fn a_watch_without_a_word_is_followed_by_a_pause() {
        let mut machine = watching(5);
        machine.on_closed();
        assert_eq!(machine.take_pause(), Some(PAUSE_FIRST));
    }

    #[test]
    fn lists_again_when_history_is_gone() {
        // DS-I33
        let mut machine = watching(5);
        machine.on_error(&expired());
        assert_eq!((machine.take_pause(), machine.step()), (None, first_page()));
        let mut machine = watching(5);
        machine.on_closed();
        machine.on_opened(Err(&expired()));
        assert_eq!(machine.step(), first_page());
        let mut machine = watching(5);
        machine.on_error(
            &Status::failure(504, "Timeout", "Too large").with_cause("ResourceVersionTooLarge", "", "").into(),
        );
        assert_eq!(machine.step(), first_page());
        let mut machine = watching(5);
        machine.on_error(&ApiError::Garbled("x".into()));
        assert_eq!(machine.step(), first_page());
    }

    #[test]
    fn an_expired_page_is_followed_by_one_list_without_pages() {
        // DS-I31
        let mut machine = Machine::new();
        machine.on_page(page(5, Some("t")));
        machine.on_page(Err(expired()));
        assert_eq!(machine.step(), Step::List { continue_token: None, paged: false });
        machine.on_page(page(9, None)).unwrap();
        machine.start_over();
        assert_eq!(machine.step(), first_page());
    }

    #[test]
    fn pauses_double_up_to_a_limit_and_success_resets_them() {
        let mut machine = Machine::new();
        let mut pauses: Vec<_> = (0..40)
            .map(|_| {
                machine.on_page(Err(ApiError::Unreachable("refused".into())));
                machine.take_pause().unwrap().as_millis()
            })
            .collect();
        assert_eq!(pauses[..3], [200, 400, 800]);
        assert_eq!(pauses.pop(), Some(PAUSE_MAX.as_millis()));
        machine.on_page(page(1, None));
        machine.on_opened(Err(&ApiError::Unreachable("refused".into())));
        assert_eq!(machine.take_pause(), Some(PAUSE_FIRST));
    }
}
