//! The files of a volume, read from the API.

use k8s_openapi::api::core::v1::{
    DownwardAPIVolumeFile, KeyToPath, Pod, ProjectedVolumeSource, ServiceAccountTokenProjection, VolumeProjection,
};

use super::owner;
use super::payload::{self, File, Payload};
use super::source::Files;
use super::token::Tokens;
use crate::env::{Allocatable, Objects, fields};

/// Collects what volumes are made of.
pub(super) struct Gatherer {
    pub objects: Objects,
    pub tokens: Tokens,
    pub allocatable: Allocatable,
}

/// The files of a volume as they are now.
pub(super) struct Gathered {
    pub payload: Payload,
    /// They will never change: everything they come from is immutable (DS-H34).
    pub settled: bool,
}

/// A reference to a config map or secret.
struct Reference<'a> {
    name: &'a str,
    items: Option<&'a [KeyToPath]>,
    default_mode: Option<i32>,
    optional: bool,
}

impl Gatherer {
    /// # Errors
    /// What is missing or cannot be read, as the end of a `FailedMount` message (DS-L06).
    pub(super) async fn gather(&self, pod: &Pod, files: &Files<'_>) -> Result<Gathered, String> {
        match files {
            Files::ConfigMap(source) => {
                let reference = Reference {
                    name: &source.name,
                    items: source.items.as_deref(),
                    default_mode: source.default_mode,
                    optional: source.optional == Some(true),
                };
                self.config_map(pod, reference).await
            }
            Files::Secret(source) => {
                let reference = Reference {
                    name: source.secret_name.as_deref().unwrap_or_default(),
                    items: source.items.as_deref(),
                    default_mode: source.default_mode,
                    optional: source.optional == Some(true),
                };
                self.secret(pod, reference).await
            }
            Files::DownwardApi(source) => {
                self.downward(pod, source.items.as_deref().unwrap_or_default(), source.default_mode)
            }
            Files::Projected(source) => self.projected(pod, source).await,
        }
    }

    async fn config_map(&self, pod: &Pod, reference: Reference<'_>) -> Result<Gathered, String> {
        let found = self.objects.config_map_and_immutable(namespace(pod), reference.name).await?;
        let texts = ("configmap", "configmap references non-existent config");
        select(found, reference, texts)
    }

    async fn secret(&self, pod: &Pod, reference: Reference<'_>) -> Result<Gathered, String> {
        let found = self.objects.secret_and_immutable(namespace(pod), reference.name).await?;
        let texts = ("secret", "references non-existent secret");
        select(found, reference, texts)
    }

    fn downward(
        &self,
        pod: &Pod,
        files: &[DownwardAPIVolumeFile],
        default_mode: Option<i32>,
    ) -> Result<Gathered, String> {
        let mut payload = Payload::new();
        for file in files {
            let text = if let Some(field) = &file.field_ref {
                // Volumes have no fields that depend on addresses (DS-H40).
                fields::of_pod(pod, &field.field_path, &[], &[])?
            } else if let Some(resource) = &file.resource_field_ref {
                fields::of_resources(pod, None, resource, &self.allocatable)?
            } else {
                String::new()
            };
            let mode = payload::mode(file.mode, default_mode);
            payload::add(&mut payload, &file.path, File::new(text.into_bytes(), mode))?;
        }
        Ok(Gathered { payload, settled: false })
    }

    /// Every source; the errors of all of them together, so that one look shows what is missing.
    async fn projected(&self, pod: &Pod, source: &ProjectedVolumeSource) -> Result<Gathered, String> {
        let (mut payload, mut settled, mut errors) = (Payload::new(), true, Vec::new());
        for projection in source.sources.iter().flatten() {
            match self.projection(pod, projection, source.default_mode).await {
                Ok(part) => {
                    settled &= part.settled;
                    payload.extend(part.payload);
                }
                Err(error) => errors.push(error),
            }
        }
        match errors.len() {
            0 => Ok(Gathered { payload, settled }),
            1 => Err(errors.remove(0)),
            _ => Err(format!("[{}]", errors.join(", "))),
        }
    }

    async fn projection(
        &self,
        pod: &Pod,
        projection: &VolumeProjection,
        default_mode: Option<i32>,
    ) -> Result<Gathered, String> {
        if let Some(source) = &projection.config_map {
            let (items, optional) = (source.items.as_deref(), source.optional == Some(true));
            return self.config_map(pod, Reference { name: &source.name, items, default_mode, optional }).await;
        }
        if let Some(source) = &projection.secret {
            let (items, optional) = (source.items.as_deref(), source.optional == Some(true));
            return self.secret(pod, Reference { name: &source.name, items, default_mode, optional }).await;
        }
        if let Some(source) = &projection.downward_api {
            return self.downward(pod, source.items.as_deref().unwrap_or_default(), default_mode);
        }
        if let Some(source) = &projection.service_account_token {
            return self.token(pod, source, default_mode).await;
        }
        Err(unsupported(projection).unwrap_or_else(|| "a projected source says nothing".into()))
    }

    async fn token(
        &self,
        pod: &Pod,
        source: &ServiceAccountTokenProjection,
        default_mode: Option<i32>,
    ) -> Result<Gathered, String> {
        let token = self.tokens.get(pod, source.audience.as_deref(), source.expiration_seconds).await;
        let token = token.map_err(|error| format!("failed to fetch token: {error}"))?;
        let user = owner::common_user(pod);
        // A token is readable for the user alone that the pod runs as, where that is known.
        let narrow = user.is_some() || owner::fs_group(pod).is_some();
        let mode = if narrow { 0o600 } else { payload::mode(None, default_mode) };
        let mut payload = Payload::new();
        payload::add(&mut payload, &source.path, File { data: token.into_bytes(), mode, owner: user })?;
        Ok(Gathered { payload, settled: false })
    }
}

/// Why a source of a projected volume cannot be had. A kind that is newer than this agent has no
/// name here.
pub(super) fn unsupported(projection: &VolumeProjection) -> Option<String> {
    let kind = match projection {
        VolumeProjection { cluster_trust_bundle: Some(_), .. } => "clusterTrustBundle",
        VolumeProjection { pod_certificate: Some(_), .. } => "podCertificate",
        empty if *empty == VolumeProjection::default() => "unknown",
        _ => return None,
    };
    Some(format!("projected {kind} sources are not supported by this agent"))
}

fn namespace(pod: &Pod) -> &str {
    pod.metadata.namespace.as_deref().unwrap_or_default()
}

/// `texts`: what the object is called, and how a missing key's message begins.
fn select(
    found: Option<(crate::env::Data, bool)>,
    reference: Reference<'_>,
    texts: (&str, &str),
) -> Result<Gathered, String> {
    match found {
        Some((data, settled)) => {
            let Reference { items, default_mode, optional, .. } = reference;
            let payload = payload::select(data, items, default_mode, optional, texts.1)?;
            Ok(Gathered { payload, settled })
        }
        None if reference.optional => Ok(Gathered { payload: Payload::new(), settled: false }),
        None => Err(format!("{} \"{}\" not found", texts.0, reference.name)),
    }
}
