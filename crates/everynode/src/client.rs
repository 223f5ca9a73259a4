//! The connection of command line verbs to an API server.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use everynode_api::kinds::{self, Kind};
use everynode_api::percent;
use everynode_api::ports::{Api, Request, Target};
use everynode_runtime::{Env, HttpApi};
use serde_json::Value;

use crate::args::{ClientArgs, NamedSet};
use crate::data::DataDir;
use crate::exit::{Exit, coded};
use crate::manifest::Document;

/// A connected client and the namespace that it works in.
pub(crate) struct Client {
    api: Arc<dyn Api>,
    /// Of `-n`, of the kubeconfig's context, or `default`.
    namespace: String,
    /// Whether it was given by `-n`, so that an object that names another one is a mistake.
    namespace_is_given: bool,
}

impl Client {
    pub(crate) async fn connect(args: &ClientArgs) -> anyhow::Result<Client> {
        Ok(Client::of(args, open(args).await?.strict()))
    }

    /// One whose writes the server answers and does not keep.
    pub(crate) async fn connect_dry_run(args: &ClientArgs, dry_run: bool) -> anyhow::Result<Client> {
        let api = open(args).await?.strict();
        Ok(Client::of(args, if dry_run { api.dry_run() } else { api }))
    }

    fn of(args: &ClientArgs, api: HttpApi) -> Client {
        let namespace = args.namespace.clone().unwrap_or_else(|| api.default_namespace().to_owned());
        Client { api: Arc::new(api), namespace, namespace_is_given: args.namespace.is_some() }
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The namespace of an object that is named as `NAME` or `NAMESPACE/NAME`.
    ///
    /// # Errors
    /// It is not the one that was given by `-n`.
    pub(crate) fn namespace_of<'a>(&'a self, named: &'a NamedSet) -> anyhow::Result<&'a str> {
        self.agreed(named.namespace.as_deref())
    }

    /// The object's own namespace, or ours.
    fn agreed<'a>(&'a self, own: Option<&'a str>) -> anyhow::Result<&'a str> {
        match own.filter(|own| !own.is_empty()) {
            Some(own) if self.namespace_is_given && own != self.namespace => Err(coded(
                Exit::Usage,
                format!(
                    "the namespace from the provided object \"{own}\" does not match the namespace \"{}\". \
                     You must pass '--namespace={own}' to perform this operation.",
                    self.namespace
                ),
            )),
            Some(own) => Ok(own),
            None => Ok(&self.namespace),
        }
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
        let namespace = match kind.namespaced {
            true => self.agreed(document.object["metadata"]["namespace"].as_str())?,
            false => "",
        };
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
    let paths = kubeconfig_paths(args);
    if !paths.is_empty() {
        let api = HttpApi::from_kubeconfig(&paths, context, env).await;
        return api.map_err(|error| {
            let shown: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
            let error = anyhow::Error::new(error);
            coded(Exit::Connection, format!("{}: {error:#}", shown.join(", ")))
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

/// The kubeconfigs that [`connect`] would use, the one that counts most first; none: only the pod's
/// own account is left.
pub(crate) fn kubeconfig_paths(args: &ClientArgs) -> Vec<PathBuf> {
    if let Some(path) = &args.kubeconfig {
        return vec![path.clone()];
    }
    if let Some(list) = std::env::var_os("KUBECONFIG").filter(|list| !list.is_empty()) {
        return listed(&list);
    }
    let ours = DataDir::new(&args.data_dir).admin_kubeconfig();
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".kube/config"));
    [Some(ours), home].into_iter().flatten().find(|path| path.is_file()).into_iter().collect()
}

/// The files of a list as `$KUBECONFIG` has it. One that is not there counts only if none is, so
/// that it is named.
fn listed(list: &std::ffi::OsStr) -> Vec<PathBuf> {
    let all: Vec<PathBuf> = std::env::split_paths(list).filter(|path| !path.as_os_str().is_empty()).collect();
    let there: Vec<PathBuf> = all.iter().filter(|path| path.is_file()).cloned().collect();
    if there.is_empty() { all } else { there }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_list_that_are_there_count() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("a"), folder.path().join("b"));
        let list = std::env::join_paths([&first, &second]).unwrap();
        assert_eq!(listed(&list), [first, second.clone()], "none is there: all are named");
        std::fs::write(&second, "").unwrap();
        assert_eq!(listed(&list), [second]);
    }
}
