//! From an HTTP answer, or the lack of one, to a result.

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use everynode_api::ports::ApiError;
use everynode_api::status::Status;
use http::StatusCode;
use http::header::RETRY_AFTER;
use http::response::Parts;

use super::request::Repeat;

/// How much of a failure that is not a Status is quoted.
const QUOTE_CHARS_MAX: usize = 200;

/// An answer that was read whole.
#[derive(Debug)]
pub(super) struct Answer {
    code: StatusCode,
    retry_after: Option<Duration>,
    body: Bytes,
}

/// What an answer means for the request.
#[derive(Debug)]
pub(super) enum Verdict {
    Final(Result<Bytes, ApiError>),
    /// The server did nothing and asks to come back after this long.
    Later(Duration),
}

impl Answer {
    pub fn new(parts: &Parts, body: Bytes) -> Answer {
        let header = parts.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = header.and_then(|text| text.parse().ok()).map(Duration::from_secs);
        Answer { code: parts.status, retry_after, body }
    }

    /// `Retry-After` with 429 or 503 is obeyed where repeating is harmless (client-go).
    pub fn judge(self, repeat: Repeat) -> Verdict {
        let harmless = match self.code {
            StatusCode::TOO_MANY_REQUESTS => repeat != Repeat::Never,
            StatusCode::SERVICE_UNAVAILABLE => repeat == Repeat::Always,
            _ => false,
        };
        match self.retry_after {
            Some(after) if harmless => Verdict::Later(after),
            _ => Verdict::Final(self.result()),
        }
    }

    pub fn result(self) -> Result<Bytes, ApiError> {
        match self.code.is_success() {
            true => Ok(self.body),
            false => Err(self.failure().into()),
        }
    }

    /// The pause that the server asks for is in the header; whoever repeats the request looks for
    /// it in the Status.
    fn failure(&self) -> Status {
        let mut status = failure(self.code.as_u16(), &self.body);
        if let Some(after) = self.retry_after {
            let details = status.details.get_or_insert_default();
            let seconds = u32::try_from(after.as_secs()).unwrap_or(u32::MAX);
            details.retry_after_seconds = details.retry_after_seconds.max(seconds);
        }
        status
    }
}

/// The failure that the server told, or one made from what a proxy on the way said.
fn failure(code: u16, body: &[u8]) -> Status {
    let told = serde_json::from_slice::<Status>(body).ok().filter(|status| status.kind == "Status");
    let mut status = told.unwrap_or_else(|| {
        let quote: String = String::from_utf8_lossy(body).trim().chars().take(QUOTE_CHARS_MAX).collect();
        Status::failure(code, "", format!("the server answered {code}: {quote}"))
    });
    status.code = code;
    if status.reason.is_empty() {
        status.reason = reason_of(code).into();
    }
    status
}

/// The reason that Kubernetes gives with a code (DS-I41).
fn reason_of(code: u16) -> &'static str {
    match code {
        400 => "BadRequest",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        405 => "MethodNotAllowed",
        406 => "NotAcceptable",
        409 => "Conflict",
        410 => "Expired",
        413 => "RequestEntityTooLarge",
        415 => "UnsupportedMediaType",
        422 => "Invalid",
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "Unknown",
    }
}

/// Tells requests that were surely not sent (no connection, no credentials) from those that may
/// have been carried out.
pub(super) fn transport_error(error: kube::Error, server: &str) -> ApiError {
    match &error {
        kube::Error::Auth(_) | kube::Error::BuildRequest(_) | kube::Error::HttpError(_) => {
            ApiError::Unreachable(explain(&error))
        }
        _ if chain(&error).any(is_unsent) => ApiError::Unreachable(format!("{server}: {}", root(&error))),
        _ => ApiError::UnknownOutcome(format!("{server}: {}", explain(&error))),
    }
}

/// The first cause alone: what stands above it are the names of the client library's layers.
fn root(error: &(dyn Error + 'static)) -> String {
    chain(error).last().map(ToString::to_string).unwrap_or_default()
}

fn is_unsent(error: &(dyn Error + 'static)) -> bool {
    let auth = error.downcast_ref::<kube::client::AuthError>().is_some();
    auth || error.downcast_ref::<hyper_util::client::legacy::Error>().is_some_and(|error| error.is_connect())
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| <dyn Error>::source(*error))
}

/// The error with its causes, each text once.
pub(super) fn explain(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    for cause in chain(error).map(ToString::to_string) {
        if !text.contains(&cause) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&cause);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(code: u16, retry_after: Option<&str>, body: &'static str) -> Answer {
        let mut builder = http::Response::builder().status(code);
        if let Some(value) = retry_after {
            builder = builder.header(RETRY_AFTER, value);
        }
        let (parts, ()) = builder.body(()).unwrap().into_parts();
        Answer::new(&parts, Bytes::from_static(body.as_bytes()))
    }

    #[test]
    fn failures_are_what_the_server_reported() {
        // DS-I41
        let told = r#"{"kind":"Status","status":"Failure","reason":"AlreadyExists","code":409,"message":"m"}"#;
        assert!(answer(409, None, told).result().unwrap_err().is_already_exists());
        let proxied = answer(404, None, "<html>no</html>").result().unwrap_err();
        assert!(proxied.is_not_found());
        assert_eq!(proxied.to_string(), "the server answered 404: <html>no</html>");
        assert!(answer(410, None, "").result().unwrap_err().is_expired());
        let busy = answer(429, Some("7"), "").result().unwrap_err();
        assert_eq!(busy.status().and_then(|status| status.details.as_ref()).unwrap().retry_after_seconds, 7);
    }

    #[test]
    fn waits_only_when_asked_to_and_harmless() {
        let later = |answer: Answer, repeat| matches!(answer.judge(repeat), Verdict::Later(_));
        assert!(later(answer(429, Some("2"), ""), Repeat::Always));
        assert!(later(answer(429, Some("2"), ""), Repeat::IfRejected));
        assert!(!later(answer(429, Some("2"), ""), Repeat::Never));
        assert!(later(answer(503, Some("2"), ""), Repeat::Always));
        assert!(!later(answer(503, Some("2"), ""), Repeat::IfRejected));
        assert!(!later(answer(503, None, ""), Repeat::Always));
        assert!(!later(answer(500, Some("2"), ""), Repeat::Always));
    }
}
