//! The one way in: every operation on stored objects, of HTTP and of this process, is authorised
//! and carried out here.
//!
//! Authorising and carrying out are two steps, because HTTP reads a body in between, and only of a
//! client that may send it. What is carried out is [`Authorized`], which only the first step makes.

use std::time::Duration;

use everynode_api::fence::Fence;
use everynode_api::status::Status;
use serde_json::Value;

use super::budget::Share;
use super::options::{Options, WriteOptions};
use super::{Operation, Verb};
use crate::auth::{MASTERS, User};
use crate::hub::Watcher;
use crate::registry::{Body, Caller, Change, DeleteOptions, ListOptions, ListPage, Registry, Reply, Target, Warnings};
use crate::server::ApiServer;

/// Clients that are sent away because of too many large lists come back after a second, and up to
/// so many more, so that they do not all come at once.
const SPREAD_SECONDS: u64 = 5;

/// An operation that its sender may carry out.
#[derive(Debug)]
pub(crate) struct Authorized(Operation);

impl Authorized {
    pub(crate) fn target(&self) -> &Target {
        &self.0.target
    }

    pub(crate) fn verb(&self) -> Verb {
        self.0.verb
    }

    /// A watch that does not say how long it shall last ends after this time.
    pub(crate) fn end_watch_after(&mut self, timeout: Duration) {
        if let Ok(Options::Watch(parameters)) = &mut self.0.options {
            parameters.timeout.get_or_insert(timeout);
        }
    }

    /// What its query says, or why it is refused.
    pub(crate) fn options(&self) -> Result<&Options, Status> {
        self.0.options.as_ref().map_err(|status| Status::clone(status))
    }
}

/// The user that sends an operation, and what it depends on.
#[derive(Clone, Copy)]
pub(crate) struct Sender<'a> {
    pub(crate) user: &'a User,
    /// A write counts only while this holds.
    pub(crate) fence: Option<&'a Fence>,
    /// The name under which the fields are owned that are written; `None`: a part of this process.
    pub(crate) manager: Option<&'a str>,
    /// Where the sender is warned; parts of this process are not.
    pub(crate) warnings: Option<&'a Warnings>,
}

impl<'a> Sender<'a> {
    pub(crate) fn caller(&self, options: WriteOptions) -> Caller<'a> {
        let WriteOptions { dry_run, validation, .. } = options;
        let Sender { user, fence, manager, warnings } = *self;
        Caller { user, dry_run, validation, fence, manager, warnings }
    }
}

/// What an operation carries: it is read once it is known what it has to be.
pub(crate) trait Content: Send {
    /// The object for a create or an update of this target.
    fn object(self, target: &Target) -> Result<Body, Status>;
    fn patch(self, options: WriteOptions) -> Result<Change, Status>;
    /// What is said of a deletion besides its options.
    fn delete_options(self) -> Result<Option<Value>, Status>;
}

/// What an operation that ends is answered with.
pub(crate) enum Outcome {
    One(Reply),
    /// A page, and the share of the budget of lists that is held until it has been sent.
    Page(ListPage, Share),
}

impl ApiServer {
    /// Whether the user may do this; 403 if not.
    pub(crate) fn allow(&self, user: &User, operation: Operation) -> Result<Authorized, Status> {
        // Before anything is copied for the authorisers: that is most of what controllers send.
        if !user.is_in(MASTERS) {
            self.authorize(user, &operation.attributes())?;
        }
        Ok(Authorized(operation))
    }

    /// Carries out an operation that ends. What is large and rare is in boxes: the future of every
    /// request is moved around.
    pub(crate) async fn execute(
        &self,
        sender: Sender<'_>,
        operation: Authorized,
        content: impl Content,
    ) -> Result<Outcome, Status> {
        let registry = &self.registry;
        let Operation { verb, target, options, .. } = operation.0;
        match (verb, options.map_err(|status| *status)?) {
            (Verb::List, Options::List(options)) => self.page(&target, &options).await,
            (Verb::Get, _) if !target.is_readable() => Err(Status::method_not_allowed()),
            (Verb::Get, Options::Get { not_older_than }) => {
                if let Some(revision) = not_older_than {
                    registry.check_reached(revision).await?;
                }
                registry.get(&target).map(Outcome::One)
            }
            (verb, Options::Write(options)) => {
                let reply = write(registry, &sender.caller(options), (verb, options), &target, content).await;
                reply.map(Outcome::One)
            }
            (_, Options::Delete { .. }) if !target.subresource.is_empty() => Err(Status::method_not_allowed()),
            (Verb::Delete, Options::Delete { write, delete, .. }) => {
                let options = delete_options(delete, content)?;
                registry.delete(&sender.caller(write), &target, &options).await.map(Outcome::One)
            }
            (_, Options::Delete { write, delete, filter }) => {
                let options = delete_options(delete, content)?;
                let caller = &sender.caller(write);
                Box::pin(registry.delete_collection(caller, &target, filter, &options)).await.map(Outcome::One)
            }
            _ => Err(Status::method_not_allowed()),
        }
    }

    async fn page(&self, target: &Target, options: &ListOptions) -> Result<Outcome, Status> {
        let size = self.registry.list_size(&target.info, options)?;
        let retry_after_seconds = || 1 + u32::try_from(self.registry.env.below(SPREAD_SECONDS)).unwrap_or(0);
        let share = self.lists.share(size, retry_after_seconds).await?;
        Ok(Outcome::Page(self.registry.list(&target.info, options).await?, share))
    }

    /// Opens a watch.
    pub(crate) async fn open_watch(&self, operation: Authorized) -> Result<Watcher, Status> {
        let Operation { target, options, .. } = operation.0;
        match options.map_err(|status| *status)? {
            Options::Watch(parameters) => self.registry.watch(&target.info, parameters).await,
            _ => Err(Status::method_not_allowed()),
        }
    }
}

/// Create, update and patch, of objects and of their subresources.
async fn write(
    registry: &Registry,
    caller: &Caller<'_>,
    (verb, options): (Verb, WriteOptions),
    target: &Target,
    content: impl Content,
) -> Result<Reply, Status> {
    // Objects are created in a collection, and namespaced ones in a namespace.
    let placed = !target.info.kind.namespaced || !target.namespace.is_empty();
    match verb {
        Verb::Create if target.subresource.is_empty() => match placed && target.name.is_empty() {
            true => registry.create(caller, target, content.object(target)?).await,
            false => Err(Status::method_not_allowed()),
        },
        _ if target.name.is_empty() => Err(Status::method_not_allowed()),
        Verb::Create => Box::pin(registry.create_subresource(caller, target, content.object(target)?)).await,
        Verb::Update => registry.update(caller, target, content.object(target)?).await,
        _ => match content.patch(options)? {
            Change::Patch(body) => registry.patch(caller, target, body).await,
            Change::Apply(body) => Box::pin(registry.apply(caller, target, body)).await,
        },
    }
}

/// What the content says over the options.
fn delete_options(asked: DeleteOptions, content: impl Content) -> Result<DeleteOptions, Status> {
    match content.delete_options()? {
        Some(said) => asked.read(&said),
        None => Ok(asked),
    }
}
