//! The CRI v1 client: gRPC over a unix socket.

use std::future::Future;
use std::time::Duration;

use everynode_api::ports::BoxFuture;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};

use super::exits::Exits;
use super::v1::image_service_client::ImageServiceClient;
use super::v1::runtime_service_client::RuntimeServiceClient;
use super::{
    Answer, Condition, Container, ErrorKind, ExecOutput, Image, LabelSelector, Readiness, Runtime, RuntimeError,
    Sandbox, Version, v1,
};
use crate::ports::PullCredential;

/// Ordinary calls. Kubernetes' agents give them the same.
const CALL: Duration = Duration::from_secs(120);
/// Setting up a network may take long.
const SANDBOX: Duration = Duration::from_secs(240);
/// A pull of a large image over a slow line.
const PULL: Duration = Duration::from_secs(1800);
/// Looking at the runtime must not hang: the next look comes soon.
const LOOK: Duration = Duration::from_secs(30);
/// 1,000 containers with long labels are well below it.
const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A container runtime that speaks CRI v1.
#[derive(Clone)]
pub struct CriRuntime {
    runtime: RuntimeServiceClient<Channel>,
    images: ImageServiceClient<Channel>,
    exits: Exits,
}

impl CriRuntime {
    /// `endpoint` is `unix:///path` or a path. Connects at the first call, and again whenever the
    /// connection was lost.
    ///
    /// # Errors
    /// The endpoint is not a unix socket address.
    pub fn new(endpoint: &str) -> Result<Self, RuntimeError> {
        let path = endpoint.strip_prefix("unix://").unwrap_or(endpoint);
        let invalid = |message: String| RuntimeError {
            operation: "Connect",
            subject: endpoint.to_owned(),
            kind: ErrorKind::Other,
            message,
        };
        if !path.starts_with('/') {
            return Err(invalid("the runtime's endpoint must be unix:///PATH".into()));
        }
        let channel = Endpoint::from_shared(format!("unix://{path}"))
            .map_err(|error| invalid(error.to_string()))?
            .connect_timeout(Duration::from_secs(5))
            .connect_lazy();
        Ok(CriRuntime {
            runtime: RuntimeServiceClient::new(channel.clone())
                .max_decoding_message_size(MESSAGE_BYTES_MAX)
                .max_encoding_message_size(MESSAGE_BYTES_MAX),
            images: ImageServiceClient::new(channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX),
            exits: Exits::new(channel),
        })
    }
}

fn kind_of(code: Code) -> ErrorKind {
    match code {
        Code::NotFound => ErrorKind::NotFound,
        Code::Unavailable => ErrorKind::Unavailable,
        Code::DeadlineExceeded | Code::Cancelled => ErrorKind::Timeout,
        Code::Unimplemented => ErrorKind::Unimplemented,
        _ => ErrorKind::Other,
    }
}

/// Runs one call with its time limit and gives its failure a context.
async fn call<T>(
    operation: &'static str,
    subject: &str,
    limit: Duration,
    future: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, RuntimeError> {
    let failure = |kind, message| RuntimeError { operation, subject: subject.to_owned(), kind, message };
    match tokio::time::timeout(limit, future).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(failure(kind_of(status.code()), status.message().to_owned())),
        Err(_) => Err(failure(ErrorKind::Timeout, format!("no answer from the container runtime in {limit:?}"))),
    }
}

/// For calls whose goal is that something is not there.
fn gone_is_fine<T: Default>(result: Result<T, RuntimeError>) -> Result<T, RuntimeError> {
    match result {
        Err(error) if error.is_not_found() => Ok(T::default()),
        other => other,
    }
}

fn image_spec(image: &str) -> Option<v1::ImageSpec> {
    Some(v1::ImageSpec { image: image.to_owned(), ..Default::default() })
}

fn auth(credential: &PullCredential) -> v1::AuthConfig {
    v1::AuthConfig {
        username: credential.username.clone(),
        password: credential.password.clone(),
        server_address: credential.server_address.clone(),
        ..Default::default()
    }
}

fn readiness(response: v1::StatusResponse) -> Readiness {
    let conditions = response.status.unwrap_or_default().conditions;
    let find = |kind: &str| {
        conditions.iter().find(|condition| condition.r#type == kind).map(|condition| Condition {
            met: condition.status,
            reason: condition.reason.clone(),
            message: condition.message.clone(),
        })
    };
    Readiness { runtime: find("RuntimeReady"), network: find("NetworkReady") }
}

/// Makes one request on a clone of a client: tonic's clients need `&mut`, clones are cheap.
macro_rules! ask {
    ($client:expr, $method:ident, $name:literal, $subject:expr, $limit:expr, $request:expr) => {{
        let mut client = $client.clone();
        let request = Request::new($request);
        call($name, $subject, $limit, async move { client.$method(request).await }).await
    }};
}

impl Runtime for CriRuntime {
    fn version(&self) -> Answer<'_, Version> {
        Box::pin(async move {
            let request = v1::VersionRequest { version: "v1".into() };
            let answer = ask!(self.runtime, version, "Version", "", LOOK, request)?;
            Ok(Version { name: answer.runtime_name, version: answer.runtime_version })
        })
    }

    fn status(&self) -> Answer<'_, Readiness> {
        Box::pin(async move {
            let request = v1::StatusRequest::default();
            Ok(readiness(ask!(self.runtime, status, "Status", "", LOOK, request)?))
        })
    }

    fn container_ended(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.exits.next())
    }

    fn list_images(&self) -> Answer<'_, Vec<Image>> {
        Box::pin(async move {
            let request = v1::ListImagesRequest::default();
            let answer = ask!(self.images, list_images, "ListImages", "", LOOK, request)?;
            Ok(answer.images.into_iter().map(Image::from).collect())
        })
    }

    fn image_status<'a>(&'a self, image: &'a str) -> Answer<'a, Option<Image>> {
        Box::pin(async move {
            let request = v1::ImageStatusRequest { image: image_spec(image), verbose: false };
            let answer = ask!(self.images, image_status, "ImageStatus", image, LOOK, request);
            Ok(gone_is_fine(answer)?.image.map(Image::from))
        })
    }

    fn pull_image<'a>(&'a self, image: &'a str, credential: Option<&'a PullCredential>) -> Answer<'a, String> {
        Box::pin(async move {
            let request =
                v1::PullImageRequest { image: image_spec(image), auth: credential.map(auth), sandbox_config: None };
            Ok(ask!(self.images, pull_image, "PullImage", image, PULL, request)?.image_ref)
        })
    }

    fn remove_image<'a>(&'a self, image: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            let request = v1::RemoveImageRequest { image: image_spec(image) };
            gone_is_fine(ask!(self.images, remove_image, "RemoveImage", image, CALL, request)).map(drop)
        })
    }

    fn image_fs(&self) -> Answer<'_, Vec<v1::FilesystemUsage>> {
        Box::pin(async move {
            let request = v1::ImageFsInfoRequest {};
            Ok(ask!(self.images, image_fs_info, "ImageFsInfo", "", LOOK, request)?.image_filesystems)
        })
    }

    fn run_sandbox<'a>(&'a self, config: &'a v1::PodSandboxConfig) -> Answer<'a, String> {
        Box::pin(async move {
            let subject = config.metadata.as_ref().map_or("", |metadata| metadata.name.as_str());
            let request = v1::RunPodSandboxRequest { config: Some(config.clone()), ..Default::default() };
            Ok(ask!(self.runtime, run_pod_sandbox, "RunPodSandbox", subject, SANDBOX, request)?.pod_sandbox_id)
        })
    }

    fn stop_sandbox<'a>(&'a self, id: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            let request = v1::StopPodSandboxRequest { pod_sandbox_id: id.to_owned() };
            gone_is_fine(ask!(self.runtime, stop_pod_sandbox, "StopPodSandbox", id, CALL, request)).map(drop)
        })
    }

    fn remove_sandbox<'a>(&'a self, id: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            let request = v1::RemovePodSandboxRequest { pod_sandbox_id: id.to_owned() };
            gone_is_fine(ask!(self.runtime, remove_pod_sandbox, "RemovePodSandbox", id, CALL, request)).map(drop)
        })
    }

    fn sandbox_status<'a>(&'a self, id: &'a str) -> Answer<'a, Sandbox> {
        Box::pin(async move {
            let request = v1::PodSandboxStatusRequest { pod_sandbox_id: id.to_owned(), verbose: false };
            let answer = ask!(self.runtime, pod_sandbox_status, "PodSandboxStatus", id, LOOK, request)?;
            Ok(answer.status.unwrap_or_default().into())
        })
    }

    fn list_sandboxes<'a>(&'a self, selector: &'a LabelSelector) -> Answer<'a, Vec<Sandbox>> {
        Box::pin(async move {
            let filter = v1::PodSandboxFilter { label_selector: selector.clone(), ..Default::default() };
            let request = v1::ListPodSandboxRequest { filter: Some(filter) };
            let answer = ask!(self.runtime, list_pod_sandbox, "ListPodSandbox", "", LOOK, request)?;
            Ok(answer.items.into_iter().map(Sandbox::from).collect())
        })
    }

    fn create_container<'a>(
        &'a self,
        sandbox_id: &'a str,
        config: &'a v1::ContainerConfig,
        sandbox: &'a v1::PodSandboxConfig,
    ) -> Answer<'a, String> {
        Box::pin(async move {
            let subject = config.metadata.as_ref().map_or("", |metadata| metadata.name.as_str());
            let request = v1::CreateContainerRequest {
                pod_sandbox_id: sandbox_id.to_owned(),
                config: Some(config.clone()),
                sandbox_config: Some(sandbox.clone()),
            };
            Ok(ask!(self.runtime, create_container, "CreateContainer", subject, CALL, request)?.container_id)
        })
    }

    fn start_container<'a>(&'a self, id: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            let request = v1::StartContainerRequest { container_id: id.to_owned() };
            ask!(self.runtime, start_container, "StartContainer", id, CALL, request).map(drop)
        })
    }

    fn stop_container<'a>(&'a self, id: &'a str, grace: Duration) -> Answer<'a, ()> {
        Box::pin(async move {
            let timeout = i64::try_from(grace.as_secs()).unwrap_or(i64::MAX);
            let request = v1::StopContainerRequest { container_id: id.to_owned(), timeout };
            let limit = grace.saturating_add(CALL);
            gone_is_fine(ask!(self.runtime, stop_container, "StopContainer", id, limit, request)).map(drop)
        })
    }

    fn remove_container<'a>(&'a self, id: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            let request = v1::RemoveContainerRequest { container_id: id.to_owned() };
            gone_is_fine(ask!(self.runtime, remove_container, "RemoveContainer", id, CALL, request)).map(drop)
        })
    }

    fn list_containers<'a>(&'a self, selector: &'a LabelSelector) -> Answer<'a, Vec<Container>> {
        Box::pin(async move {
            let filter = v1::ContainerFilter { label_selector: selector.clone(), ..Default::default() };
            let request = v1::ListContainersRequest { filter: Some(filter) };
            let answer = ask!(self.runtime, list_containers, "ListContainers", "", LOOK, request)?;
            Ok(answer.containers.into_iter().map(Container::from).collect())
        })
    }

    fn container_status<'a>(&'a self, id: &'a str) -> Answer<'a, Container> {
        Box::pin(async move {
            let request = v1::ContainerStatusRequest { container_id: id.to_owned(), verbose: false };
            let answer = ask!(self.runtime, container_status, "ContainerStatus", id, LOOK, request)?;
            Ok(answer.status.unwrap_or_default().into())
        })
    }

    fn update_resources<'a>(&'a self, id: &'a str, resources: &'a v1::LinuxContainerResources) -> Answer<'a, ()> {
        Box::pin(async move {
            let request = v1::UpdateContainerResourcesRequest {
                container_id: id.to_owned(),
                linux: Some(resources.clone()),
                ..Default::default()
            };
            ask!(self.runtime, update_container_resources, "UpdateContainerResources", id, CALL, request).map(drop)
        })
    }

    fn container_stats<'a>(&'a self, selector: &'a LabelSelector) -> Answer<'a, Vec<v1::ContainerStats>> {
        Box::pin(async move {
            let filter = v1::ContainerStatsFilter { label_selector: selector.clone(), ..Default::default() };
            let request = v1::ListContainerStatsRequest { filter: Some(filter) };
            Ok(ask!(self.runtime, list_container_stats, "ListContainerStats", "", LOOK, request)?.stats)
        })
    }

    fn reopen_log<'a>(&'a self, id: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            let request = v1::ReopenContainerLogRequest { container_id: id.to_owned() };
            ask!(self.runtime, reopen_container_log, "ReopenContainerLog", id, CALL, request).map(drop)
        })
    }

    fn exec_sync<'a>(&'a self, id: &'a str, command: &'a [String], timeout: Duration) -> Answer<'a, ExecOutput> {
        Box::pin(async move {
            let request = v1::ExecSyncRequest {
                container_id: id.to_owned(),
                cmd: command.to_vec(),
                // Whole seconds, rounded up: 0 would mean no limit.
                timeout: i64::try_from(timeout.as_millis().div_ceil(1000)).unwrap_or(i64::MAX),
            };
            let limit = if timeout.is_zero() { PULL } else { timeout.saturating_add(Duration::from_secs(2)) };
            let answer = ask!(self.runtime, exec_sync, "ExecSync", id, limit, request)?;
            Ok(ExecOutput { stdout: answer.stdout, stderr: answer.stderr, exit_code: answer.exit_code })
        })
    }

    fn exec_url(&self, request: v1::ExecRequest) -> Answer<'_, String> {
        Box::pin(async move {
            let subject = request.container_id.clone();
            Ok(ask!(self.runtime, exec, "Exec", &subject, CALL, request)?.url)
        })
    }

    fn attach_url(&self, request: v1::AttachRequest) -> Answer<'_, String> {
        Box::pin(async move {
            let subject = request.container_id.clone();
            Ok(ask!(self.runtime, attach, "Attach", &subject, CALL, request)?.url)
        })
    }

    fn port_forward_url(&self, request: v1::PortForwardRequest) -> Answer<'_, String> {
        Box::pin(async move {
            let subject = request.pod_sandbox_id.clone();
            Ok(ask!(self.runtime, port_forward, "PortForward", &subject, CALL, request)?.url)
        })
    }
}
