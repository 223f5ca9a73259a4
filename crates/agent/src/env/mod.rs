//! The environment of a container: values, references to fields, resources, config maps and
//! secrets, and `$(VAR)` (DS-H40 to DS-H42); logins for image pulls.
//!
//! [`fields`] and [`expand`] are pure; [`Resolver`] reads config maps and secrets through the API.

pub(crate) mod expand;
pub(crate) mod fields;
mod objects;
mod pull;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;

use everynode_api::names;
use k8s_openapi::api::core::v1::{Container, EnvFromSource, EnvVarSource, Pod};

use crate::config::AgentConfig;
use crate::ports::{
    BoxFuture, ConfigError, EnvVar, Environment, Event, EventSink, PodRef, PullCredential, PullSecrets, Regarding,
    Severity,
};

pub use fields::Allocatable;
pub use objects::Objects;

/// Resolves environments and image pull secrets.
pub struct Resolver {
    objects: Objects,
    config: Arc<AgentConfig>,
    allocatable: Allocatable,
    events: Arc<dyn EventSink>,
}

impl Resolver {
    pub fn new(
        objects: Objects,
        config: Arc<AgentConfig>,
        allocatable: Allocatable,
        events: Arc<dyn EventSink>,
    ) -> Self {
        Resolver { objects, config, allocatable, events }
    }

    async fn resolve_all(&self, pod: &Pod, container: &Container, ips: &[IpAddr]) -> Result<Vec<EnvVar>, ConfigError> {
        let mut list = Environ::default();
        for (name, value) in self.service_variables() {
            list.set(name, value);
        }
        for source in container.env_from.iter().flatten() {
            self.add_all(&mut list, pod, source).await?;
        }
        for var in container.env.iter().flatten() {
            let value = match &var.value_from {
                None => Some(list.expand(var.value.as_deref().unwrap_or_default())),
                Some(source) => self.value_from(pod, container, ips, source).await?,
            };
            if let Some(value) = value {
                list.set(var.name.clone(), value);
            }
        }
        Ok(list.0)
    }

    fn service_variables(&self) -> Vec<(String, String)> {
        let Some(address) = self.config.kubernetes_service else {
            return Vec::new();
        };
        let (host, port) = (address.ip().to_string(), address.port().to_string());
        let host_url = if address.is_ipv6() { format!("[{host}]") } else { host.clone() };
        let tcp = format!("tcp://{host_url}:{port}");
        let pairs = [
            ("KUBERNETES_SERVICE_HOST", host.clone()),
            ("KUBERNETES_SERVICE_PORT", port.clone()),
            ("KUBERNETES_SERVICE_PORT_HTTPS", port.clone()),
            ("KUBERNETES_PORT", tcp.clone()),
            ("KUBERNETES_PORT_443_TCP", tcp),
            ("KUBERNETES_PORT_443_TCP_PROTO", "tcp".to_owned()),
            ("KUBERNETES_PORT_443_TCP_PORT", port),
            ("KUBERNETES_PORT_443_TCP_ADDR", host),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value)).into()
    }

    async fn add_all(&self, list: &mut Environ, pod: &Pod, source: &EnvFromSource) -> Result<(), ConfigError> {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let (data, what) = if let Some(reference) = &source.config_map_ref {
            let found = self.objects.config_map_texts(namespace, &reference.name).await.map_err(ConfigError::new)?;
            let data = present(found, reference.optional, "configmap", &reference.name)?;
            (data, format!("configMap {namespace}/{}", reference.name))
        } else if let Some(reference) = &source.secret_ref {
            let found = self.objects.secret(namespace, &reference.name).await.map_err(ConfigError::new)?;
            let data = present(found, reference.optional, "secret", &reference.name)?;
            (data, format!("secret {namespace}/{}", reference.name))
        } else {
            return Ok(());
        };
        let mut skipped = Vec::new();
        for (key, value) in data.into_iter().flatten() {
            let name = format!("{}{key}", source.prefix.as_deref().unwrap_or_default());
            match names::env_var_name(&name).is_empty() {
                true => list.set(name, String::from_utf8_lossy(&value).into_owned()),
                false => skipped.push(name),
            }
        }
        if !skipped.is_empty() {
            let names = skipped.join(", ");
            let message = format!(
                "Keys [{names}] from the EnvFrom {what} were skipped since they are considered invalid \
                 environment variable names."
            );
            self.complain(pod, "InvalidEnvironmentVariableNames", message);
        }
        Ok(())
    }

    async fn value_from(
        &self,
        pod: &Pod,
        container: &Container,
        ips: &[IpAddr],
        source: &EnvVarSource,
    ) -> Result<Option<String>, ConfigError> {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        if let Some(field) = &source.field_ref {
            return fields::of_pod(pod, &field.field_path, ips, &self.config.node_ips)
                .map(Some)
                .map_err(ConfigError::new);
        }
        if let Some(resource) = &source.resource_field_ref {
            return fields::of_resources(pod, Some(container), resource, &self.allocatable)
                .map(Some)
                .map_err(ConfigError::new);
        }
        if let Some(reference) = &source.config_map_key_ref {
            let found = self.objects.config_map_texts(namespace, &reference.name).await.map_err(ConfigError::new)?;
            let data = present(found, reference.optional, "configmap", &reference.name)?;
            return one_key(data, &reference.key, reference.optional, "ConfigMap", namespace, &reference.name);
        }
        if let Some(reference) = &source.secret_key_ref {
            let found = self.objects.secret(namespace, &reference.name).await.map_err(ConfigError::new)?;
            let data = present(found, reference.optional, "secret", &reference.name)?;
            return one_key(data, &reference.key, reference.optional, "Secret", namespace, &reference.name);
        }
        Ok(None)
    }

    fn complain(&self, pod: &Pod, reason: &'static str, message: String) {
        let regarding = Regarding::Pod(PodRef::of(pod));
        self.events.emit(Event { regarding, severity: Severity::Warning, reason, message });
    }
}

impl Environment for Resolver {
    fn resolve<'a>(
        &'a self,
        pod: &'a Pod,
        container: &'a Container,
        ips: &'a [IpAddr],
    ) -> BoxFuture<'a, Result<Vec<EnvVar>, ConfigError>> {
        Box::pin(self.resolve_all(pod, container, ips))
    }
}

impl PullSecrets for Resolver {
    fn credentials<'a>(&'a self, pod: &'a Pod, image: &'a str) -> BoxFuture<'a, Vec<PullCredential>> {
        Box::pin(async move {
            let (found, missing) = pull::credentials(&self.objects, pod, image).await;
            if !missing.is_empty() {
                self.complain(pod, "FailedToRetrieveImagePullSecret", format!(
                    "Unable to retrieve some image pull secrets ({}); attempting to pull the image may not succeed.",
                    missing.join(", ")
                ));
            }
            found
        })
    }
}

/// The data of a config map or secret, by key in order.
pub(crate) type Data = std::collections::BTreeMap<String, Vec<u8>>;

/// A missing object is an error unless the reference is optional.
fn present(found: Option<Data>, optional: Option<bool>, what: &str, name: &str) -> Result<Option<Data>, ConfigError> {
    match found {
        None if optional != Some(true) => Err(ConfigError::new(format!("{what} \"{name}\" not found"))),
        found => Ok(found),
    }
}

fn one_key(
    data: Option<Data>,
    key: &str,
    optional: Option<bool>,
    kind: &str,
    namespace: &str,
    name: &str,
) -> Result<Option<String>, ConfigError> {
    match data.and_then(|mut data| data.remove(key)) {
        Some(value) => Ok(Some(String::from_utf8_lossy(&value).into_owned())),
        None if optional == Some(true) => Ok(None),
        None => Err(ConfigError::new(format!("couldn't find key {key} in {kind} {namespace}/{name}"))),
    }
}

/// Variables in order; a later one of the same name replaces the earlier one in place.
#[derive(Default)]
struct Environ(Vec<EnvVar>);

impl Environ {
    fn set(&mut self, name: String, value: String) {
        match self.0.iter_mut().find(|var| var.name == name) {
            Some(var) => var.value = value,
            None => self.0.push(EnvVar { name, value }),
        }
    }

    fn expand(&self, text: &str) -> String {
        expand::expand(text, |name| self.0.iter().find(|var| var.name == name).map(|var| var.value.as_str()))
    }
}
