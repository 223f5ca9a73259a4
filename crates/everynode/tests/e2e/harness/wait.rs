//! Waiting: for a condition, with a limit, and with the last reason when it is not met.

use std::time::{Duration, Instant};

/// What a condition that is not met yet says; `Err` of the closures of [`poll`].
pub(crate) type Waiting<T> = Result<T, String>;

/// Between two looks. Each look costs a few milliseconds of the two cores that the containers need
/// too.
const PAUSE: Duration = Duration::from_millis(60);

/// Looks until the condition is met and gives its value; after the limit, what it said last.
pub(crate) fn poll<T>(limit: Duration, mut look: impl FnMut() -> Waiting<T>) -> Result<T, String> {
    let began = Instant::now();
    loop {
        match look() {
            Ok(value) => return Ok(value),
            Err(reason) if began.elapsed() > limit => return Err(reason),
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}
