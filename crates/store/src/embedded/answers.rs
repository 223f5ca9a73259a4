//! How waiting callers are answered.
//!
//! The writer is a thread of its own. Whom it tells by itself it wakes one by one: a sleeping
//! thread of the runtime wakes for one answer, has nothing more to do and sleeps again before the
//! next one is told. Answers to a whole batch are therefore handed to a task, which costs one
//! wake-up, and told from within the runtime.

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::writer::Reply;
use crate::Outcome;

/// Answers that are told when this is dropped, wherever that happens: none can get lost.
#[derive(Debug, Default)]
pub(super) struct Answers(pub(super) Vec<(Reply<Outcome>, Outcome)>);

impl Drop for Answers {
    fn drop(&mut self) {
        for (reply, outcome) in self.0.drain(..) {
            // A caller that has gone away is no error.
            drop(reply.send(Ok(outcome)));
        }
    }
}

/// The task that answers one batch.
#[derive(Debug)]
pub(super) struct ReplyTask(oneshot::Sender<Answers>);

impl ReplyTask {
    /// Starts it; `None`: there is no runtime here.
    pub(super) fn start() -> Option<ReplyTask> {
        let runtime = Handle::try_current().ok()?;
        let (reply_task, answers) = oneshot::channel();
        runtime.spawn(async { drop(answers.await) });
        Some(ReplyTask(reply_task))
    }

    pub(super) fn tell(self, answers: Answers) {
        // Where the runtime has ended they come back, and are told here.
        drop(self.0.send(answers));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Revision;

    fn answers() -> (Answers, Vec<oneshot::Receiver<Result<Outcome, crate::StoreError>>>) {
        let (replies, waiting): (Vec<_>, Vec<_>) = (0..3).map(|_| oneshot::channel()).unzip();
        let outcomes = (1..).map(|revision| Outcome::Committed(Revision(revision)));
        (Answers(replies.into_iter().zip(outcomes).collect()), waiting)
    }

    #[test]
    fn all_replies_arrive_with_a_runtime_without_one_and_after_its_end() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let reply_task = runtime.block_on(async { ReplyTask::start() }).expect("a runtime");
        let late = runtime.block_on(async { ReplyTask::start() }).expect("a runtime");
        assert!(ReplyTask::start().is_none());
        let (told, mut waiting) = answers();
        drop(waiting.remove(1));
        reply_task.tell(told);
        assert!(waiting[0].try_recv().is_err(), "the task tells them");
        for (one, revision) in waiting.into_iter().zip([1, 3]) {
            assert!(matches!(runtime.block_on(one), Ok(Ok(Outcome::Committed(Revision(at)))) if at == revision));
        }
        drop(runtime);
        let (told, waiting) = answers();
        late.tell(told);
        assert!(waiting.into_iter().all(|mut one| one.try_recv().is_ok()));
    }
}
