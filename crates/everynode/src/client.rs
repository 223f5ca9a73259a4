//! The connection of command line verbs to an API server.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use everynode_api::kinds::{self, Kind};
use everynode_api::percent;
use everynode_api::ports::{Api, Request, Target};
use everynode_runtime::{Env, HttpApi};
use serde_json::Value;

use crate::args::ClientArgs;
use crate::data::DataDir;
use crate::exit::{Exit, coded};
use crate::manifest::Document;

/// A connected client and the namespace that it works in.
pub(crate) struct Client {
    api: Arc<dyn Api>,
    namespace: String,
}

impl Client {
    pub(crate) async fn connect(args: &ClientArgs) -> anyhow::Result<Client> {
        let api = Arc::new(open(args).await?.strict());
        Ok(Client { api, namespace: args.namespace.clone() })
    }

    pub(crate) fn api(&self) -> &Arc<dyn Api> {
        &self.api
    }

    /// Which object a manifest's document is, found in the table of kinds or by discovery.
    pub(crate) async fn address(&self, document: &Document) -> anyhow::Result<(Kind, Target)> {
        let (version, kind) = (document.text("apiVersion"), document.text("kind"));
        let kind = match kinds::find_by_kind(version, kind) {
            Some(info) => info.kind.clone(),
            None => self.discover(version, kind).await?,
        };
        let name = document.name();
        if name.is_empty() {
            bail!("metadata.name is missing in this {}", kind.kind);
        }
        let own = document.object["metadata"]["namespace"].as_str().unwrap_or(&self.namespace);
        let namespace = if kind.namespaced { own } else { "" };
        Ok((kind.clone(), Target::new(kind, namespace, name)))
    }

    async fn discover(&self, version: &str, kind: &str) -> anyhow::Result<Kind> {
        // It is the text of a manifest.
        let path = match version.split_once('/') {
            Some((group, version)) => format!("/apis/{}/{}", percent::encode(group), percent::encode(version)),
            None => format!("/api/{}", percent::encode(version)),
        };
        let none = || format!("no matches for kind \"{kind}\" in version \"{version}\"");
        let list = match self.api.call(Request::Raw { path }).await {
            Ok(json) => serde_json::from_slice::<Value>(&json).with_context(none)?,
            Err(error) if error.is_not_found() => bail!(none()),
            Err(error) => return Err(error.into()),
        };
        let resources = list["resources"].as_array().into_iter().flatten();
        let plain = |resource: &&Value| resource["name"].as_str().is_some_and(|name| !name.contains('/'));
        let found = resources.filter(plain).find(|resource| resource["kind"] == kind).with_context(none)?;
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        Ok(Kind {
            group: group.to_owned().into(),
            version: version.to_owned().into(),
            kind: kind.to_owned().into(),
            plural: found["name"].as_str().unwrap_or_default().to_owned().into(),
            namespaced: found["namespaced"].as_bool().unwrap_or(true),
        })
    }
}

/// `daemonset.apps/web`, as kubectl names objects.
pub(crate) fn qualified(target: &Target) -> String {
    let kind = target.kind.kind.to_lowercase();
    match target.kind.group.as_ref() {
        "" => format!("{kind}/{}", target.name),
        group => format!("{kind}.{group}/{}", target.name),
    }
}

/// Connects with the first credentials that there are: the flag, `$KUBECONFIG`, the data
/// directory's, the home directory's, the pod's own account.
pub(crate) async fn connect(args: &ClientArgs) -> anyhow::Result<Arc<dyn Api>> {
    Ok(Arc::new(open(args).await?))
}

async fn open(args: &ClientArgs) -> anyhow::Result<HttpApi> {
    let env = Env::real();
    let context = args.context.as_deref();
    if let Some(path) = kubeconfig_path(args) {
        let api = HttpApi::from_kubeconfig(Some(&path), context, env).await;
        return api.map_err(|error| {
            let error = anyhow::Error::new(error);
            coded(Exit::Connection, format!("{}: {error:#}", path.display()))
        });
    }
    match HttpApi::in_cluster(env) {
        Ok(api) => Ok(api),
        Err(_) => Err(coded(
            Exit::Connection,
            format!(
                "no credentials: there is neither --kubeconfig, $KUBECONFIG, {} nor ~/.kube/config; is `everynode up` running here?",
                DataDir::new(&args.data_dir).admin_kubeconfig().display()
            ),
        )),
    }
}

/// The kubeconfig that [`connect`] would use; `None`: only the pod's own account is left.
pub(crate) fn kubeconfig_path(args: &ClientArgs) -> Option<PathBuf> {
    if let Some(path) = &args.kubeconfig {
        return Some(path.clone());
    }
    let from_env = std::env::var_os("KUBECONFIG").map(PathBuf::from).filter(|path| !path.as_os_str().is_empty());
    let ours = DataDir::new(&args.data_dir).admin_kubeconfig();
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".kube/config"));
    let existing = [Some(ours), home].into_iter().flatten().find(|path| path.is_file());
    from_env.or(existing)
}
