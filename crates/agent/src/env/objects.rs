//! Config maps and secrets, read through the API.

use std::sync::Arc;

use everynode_api::kinds::{self, Kind};
use everynode_api::ports::{Api, Request, Target};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use serde::de::DeserializeOwned;

use super::Data;

/// Reads the objects that pods refer to.
#[derive(Clone)]
pub struct Objects {
    api: Arc<dyn Api>,
}

impl Objects {
    pub fn new(api: Arc<dyn Api>) -> Self {
        Objects { api }
    }

    /// The texts of a config map, which are what an environment takes from it; `None` when it does
    /// not exist.
    ///
    /// # Errors
    /// The API server cannot be asked, or refuses.
    pub(crate) async fn config_map_texts(&self, namespace: &str, name: &str) -> Result<Option<Data>, String> {
        let found: Option<ConfigMap> = self.get(kinds::CONFIG_MAP, namespace, name).await?;
        Ok(found
            .map(|object| object.data.into_iter().flatten().map(|(key, value)| (key, value.into_bytes())).collect()))
    }

    /// Texts and binaries alike, which are what a volume shows, and whether they can never change.
    ///
    /// # Errors
    /// As [`Objects::config_map_texts`].
    pub(crate) async fn config_map_and_immutable(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<(Data, bool)>, String> {
        let found: Option<ConfigMap> = self.get(kinds::CONFIG_MAP, namespace, name).await?;
        Ok(found.map(|object| {
            let immutable = object.immutable == Some(true);
            let texts = object.data.into_iter().flatten().map(|(key, value)| (key, value.into_bytes()));
            let binaries = object.binary_data.into_iter().flatten().map(|(key, value)| (key, value.0));
            (texts.chain(binaries).collect(), immutable)
        }))
    }

    /// The data of a secret; `None` when it does not exist.
    ///
    /// # Errors
    /// As [`Objects::config_map_texts`].
    pub(crate) async fn secret(&self, namespace: &str, name: &str) -> Result<Option<Data>, String> {
        Ok(self.secret_and_immutable(namespace, name).await?.map(|(data, _)| data))
    }

    /// As [`Objects::secret`], and whether it can never change.
    ///
    /// # Errors
    /// As [`Objects::config_map_texts`].
    pub(crate) async fn secret_and_immutable(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<(Data, bool)>, String> {
        Ok(self.whole_secret(namespace, name).await?.map(|object| {
            let data = object.data.into_iter().flatten().map(|(key, value)| (key, value.0));
            (data.collect(), object.immutable == Some(true))
        }))
    }

    pub(crate) async fn whole_secret(&self, namespace: &str, name: &str) -> Result<Option<Secret>, String> {
        self.get(kinds::SECRET, namespace, name).await
    }

    pub(crate) fn api(&self) -> &Arc<dyn Api> {
        &self.api
    }

    async fn get<T: DeserializeOwned>(&self, kind: Kind, namespace: &str, name: &str) -> Result<Option<T>, String> {
        let what = kind.kind.clone();
        match self.api.call(Request::Get(Target::new(kind, namespace, name))).await {
            Ok(json) => {
                serde_json::from_slice(&json).map(Some).map_err(|error| format!("{what} {namespace}/{name}: {error}"))
            }
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }
}
