//! One call of `grpc.health.v1.Health/Check`, in plain text as probes are.

use std::time::Duration;

use everynode_common::go_duration;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use super::check::USER_AGENT;
use super::http::authority;
use super::machine::Outcome;

const SERVING: i32 = 1;

/// `grpc.health.v1.HealthCheckRequest`
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    pub service: String,
}

/// `grpc.health.v1.HealthCheckResponse`
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    pub status: i32,
}

/// Fails, never errors: as Kubernetes has it, whatever goes wrong here is the server's fault.
pub(super) async fn probe(host: &str, port: u16, service: &str, timeout: Duration) -> Outcome {
    let address = authority(host, port);
    let limit = tokio::time::Instant::now() + timeout;
    let channel = match tokio::time::timeout_at(limit, connect(&address)).await {
        Err(_) => return no_connection(&address, timeout),
        Ok(Err(why)) => {
            return Outcome::Failed(format!("error: failed to connect service at \"{address}\": {why}"));
        }
        Ok(Ok(channel)) => channel,
    };
    match tokio::time::timeout_at(limit, check(channel, service)).await {
        Err(_) => {
            let timeout = go_duration::whole_seconds(timeout);
            Outcome::Failed(format!("timeout: health rpc did not complete within {timeout}"))
        }
        Ok(Ok(SERVING)) => Outcome::Passed,
        Ok(Ok(status)) => Outcome::Failed(format!("service unhealthy (responded with \"{}\")", status_name(status))),
        Ok(Err(status)) => Outcome::Failed(failed_call(&status)),
    }
}

fn no_connection(address: &str, timeout: Duration) -> Outcome {
    let timeout = go_duration::whole_seconds(timeout);
    Outcome::Failed(format!(
        "timeout: failed to connect service \"{address}\" within {timeout}: context deadline exceeded"
    ))
}

async fn connect(address: &str) -> Result<Channel, String> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|error| error.to_string())?;
    let endpoint = endpoint.user_agent(USER_AGENT).map_err(|error| error.to_string())?;
    endpoint.connect().await.map_err(|error| innermost(&error))
}

/// The reason itself, without the layers around it.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

async fn check(channel: Channel, service: &str) -> Result<i32, Status> {
    let mut client = Grpc::new(channel);
    client.ready().await.map_err(|error| Status::unavailable(innermost(&error)))?;
    let path = http::uri::PathAndQuery::from_static("/grpc.health.v1.Health/Check");
    let codec = ProstCodec::<HealthCheckRequest, HealthCheckResponse>::default();
    let request = Request::new(HealthCheckRequest { service: service.to_owned() });
    Ok(client.unary(request, path, codec).await?.into_inner().status)
}

fn status_name(status: i32) -> String {
    match status {
        0 => "UNKNOWN".into(),
        2 => "NOT_SERVING".into(),
        3 => "SERVICE_UNKNOWN".into(),
        other => other.to_string(),
    }
}

fn failed_call(status: &Status) -> String {
    match status.code() {
        Code::Unimplemented => format!(
            "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {}",
            status.message()
        ),
        code => {
            let (code, message) = (format!("{code:?}"), status.message());
            format!("error: health rpc probe failed: rpc error: code = {code} desc = {message}")
        }
    }
}
