//! Where connections to the API server come from.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use everynode_api::ports::{Api, BoxFuture};
use everynode_runtime::{Env, HttpApi};

/// Makes connections. Every answer is a client with connections of its own.
pub trait Apis: Send + Sync + 'static {
    /// # Errors
    /// Why there can be no client at all (no file, no credentials). A server that is away is no
    /// error here: calls to it will fail.
    fn connect(&self) -> BoxFuture<'_, Result<Arc<dyn Api>, String>>;

    /// The client of one node, if each node speaks with an identity of its own; `None`: all nodes
    /// use what [`Apis::connect`] answers.
    ///
    /// # Errors
    /// As [`Apis::connect`].
    fn connect_node<'a>(&'a self, _node: &'a str) -> BoxFuture<'a, Result<Option<Arc<dyn Api>>, String>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// How often the server asked these clients to come back later and was obeyed inside the
    /// client.
    fn throttled_total(&self) -> u64 {
        0
    }
}

/// What [`crate::run`] takes.
pub type ApiFactory = Arc<dyn Apis>;

/// The same client for all nodes: an API server in this process.
pub struct OneApi(pub Arc<dyn Api>);

impl Apis for OneApi {
    fn connect(&self) -> BoxFuture<'_, Result<Arc<dyn Api>, String>> {
        Box::pin(std::future::ready(Ok(self.0.clone())))
    }
}

/// Clients from a kubeconfig.
pub struct KubeconfigApis {
    paths: Vec<PathBuf>,
    context: Option<String>,
    env: Env,
    made: Mutex<Vec<Weak<HttpApi>>>,
}

impl KubeconfigApis {
    /// Without a path, where kubectl looks for one.
    pub fn new(paths: Vec<PathBuf>, context: Option<String>) -> Self {
        KubeconfigApis { paths, context, env: Env::real(), made: Mutex::default() }
    }
}

impl Apis for KubeconfigApis {
    fn connect(&self) -> BoxFuture<'_, Result<Arc<dyn Api>, String>> {
        Box::pin(async {
            let made = HttpApi::from_kubeconfig(&self.paths, self.context.as_deref(), self.env.clone()).await;
            let api = Arc::new(made.map_err(|error| explain(&error))?);
            let mut all = self.made.lock().unwrap_or_else(PoisonError::into_inner);
            all.retain(|api| api.strong_count() > 0);
            all.push(Arc::downgrade(&api));
            Ok(api as Arc<dyn Api>)
        })
    }

    fn throttled_total(&self) -> u64 {
        let all = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter_map(Weak::upgrade).map(|api| api.throttled_total()).sum()
    }
}

fn explain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
