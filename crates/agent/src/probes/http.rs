//! One HTTP GET of a probe (DS-H18).
//!
//! Redirects on the same host are followed; one that leads elsewhere ends the probe with a
//! warning: the agent must not become a way to reach other machines. Certificates are not
//! verified: pods serve with whatever certificate they have, and the probe asks whether they serve.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use super::check::{HttpGet, target};
use super::machine::Outcome;

/// More of a body is not read (DS-H18).
const BODY_BYTES_MAX: usize = 10 * 1024;
const REDIRECTS_MAX: usize = 10;

/// Sends the GETs of probes.
pub(super) struct HttpClient {
    /// `Err`: the TLS library cannot be used, and why.
    tls: Result<TlsConnector, String>,
}

struct Answer {
    status: StatusCode,
    location: Option<String>,
    body: String,
}

impl HttpClient {
    pub(super) fn new() -> Self {
        HttpClient { tls: client_config().map(|config| TlsConnector::from(Arc::new(config))) }
    }

    /// Without a time limit of its own.
    pub(super) async fn probe(&self, get: &HttpGet) -> Outcome {
        let mut current = get.clone();
        for _ in 0..=REDIRECTS_MAX {
            let answer = match self.get(&current).await {
                Ok(answer) => answer,
                Err(why) => return Outcome::Failed(failed_get(&current, &why)),
            };
            match next_place(&current, &answer).filter(|next| next.host == get.host) {
                Some(next) => current = next,
                None => return judge(&answer),
            }
        }
        Outcome::Failed(failed_get(&current, &format!("stopped after {REDIRECTS_MAX} redirects")))
    }

    /// Whether anything answers, whatever it says. Without a time limit of its own.
    ///
    /// # Errors
    /// Nothing answers, in Go's words.
    pub(super) async fn reach(&self, get: &HttpGet) -> Result<(), String> {
        self.get(get).await.map(drop).map_err(|why| failed_get(get, &why))
    }

    async fn get(&self, get: &HttpGet) -> Result<Answer, String> {
        let stream = connect(&get.host, get.port).await?;
        if !get.tls {
            return exchange(stream, get).await;
        }
        let name = ServerName::try_from(get.host.clone()).map_err(|error| error.to_string())?;
        let tls = self.tls.as_ref().map_err(|why| format!("tls: {why}"))?;
        let stream = tls.connect(name, stream).await.map_err(|error| format!("tls: {error}"))?;
        exchange(stream, get).await
    }
}

fn client_config() -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let verifier = Arc::new(Unverified(provider));
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

/// `Get "URL": WHY`, as Go's client says it.
pub(super) fn failed_get(get: &HttpGet, why: &str) -> String {
    let scheme = if get.tls { "https" } else { "http" };
    format!("Get \"{scheme}://{}{}\": {why}", authority(&get.host, get.port), get.target)
}

pub(super) fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Connects, with failures in Go's words.
///
/// # Errors
/// `dial tcp ADDRESS: WHY`
pub(super) async fn connect(host: &str, port: u16) -> Result<TcpStream, String> {
    let connected = TcpStream::connect((host, port)).await;
    connected.map_err(|error| format!("dial tcp {}: {}", authority(host, port), dial_error(&error)))
}

fn dial_error(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connect: connection refused".into(),
        io::ErrorKind::ConnectionReset => "connect: connection reset by peer".into(),
        io::ErrorKind::HostUnreachable => "connect: no route to host".into(),
        io::ErrorKind::NetworkUnreachable => "connect: network is unreachable".into(),
        io::ErrorKind::TimedOut => "connect: connection timed out".into(),
        _ => error.to_string(),
    }
}

async fn exchange<S>(stream: S, get: &HttpGet) -> Result<Answer, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    // Ends with this function: nothing is left behind when the time is over.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let response = sender.send_request(request(get)?).await.map_err(|error| error.to_string())?;
    let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
    Ok(Answer { status: response.status(), location, body: read_body(response).await? })
}

fn request(get: &HttpGet) -> Result<Request<Empty<Bytes>>, String> {
    let default = match (get.tls, get.port) {
        (false, 80) | (true, 443) => authority(&get.host, 0).trim_end_matches(":0").to_owned(),
        _ => authority(&get.host, get.port),
    };
    let mut request = Request::builder()
        .method(Method::GET)
        .uri(&get.target)
        .header(header::HOST, get.host_header.as_ref().unwrap_or(&default))
        .header(header::CONNECTION, "close");
    for (name, value) in &get.headers {
        request = request.header(name, value);
    }
    request.body(Empty::new()).map_err(|error| error.to_string())
}

/// The beginning of the body.
async fn read_body(response: Response<hyper::body::Incoming>) -> Result<String, String> {
    let (mut body, mut data) = (response.into_body(), Vec::new());
    while data.len() < BODY_BYTES_MAX
        && let Some(frame) = body.frame().await
    {
        let frame = frame.map_err(|error| error.to_string())?;
        data.extend_from_slice(frame.data_ref().map_or(&[][..], |bytes| bytes));
    }
    data.truncate(BODY_BYTES_MAX);
    Ok(String::from_utf8_lossy(&data).into_owned())
}

/// 200 to 399 is success, a redirect that was not followed with a warning.
fn judge(answer: &Answer) -> Outcome {
    match answer.status.as_u16() {
        200..300 => Outcome::Passed,
        300..400 => Outcome::Warned(format!("Probe terminated redirects, Response body: {}", answer.body)),
        code => Outcome::Failed(format!("HTTP probe failed with statuscode: {code}")),
    }
}

/// Where a redirect leads; `None`: it is none.
fn next_place(current: &HttpGet, answer: &Answer) -> Option<HttpGet> {
    if !matches!(answer.status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = answer.location.as_deref().filter(|location| !location.is_empty())?;
    let mut next = current.clone();
    let scheme_given = location.starts_with("http://") || location.starts_with("https://");
    if scheme_given || location.starts_with("//") {
        let scheme = if current.tls { "https:" } else { "http:" };
        let whole = if scheme_given { location.to_owned() } else { format!("{scheme}{location}") };
        let uri: Uri = whole.parse().ok()?;
        next.tls = uri.scheme_str() == Some("https");
        next.host = uri.host()?.trim_matches(['[', ']']).to_owned();
        next.port = uri.port_u16().unwrap_or(if next.tls { 443 } else { 80 });
        next.target = target(uri.path_and_query().map_or("/", |path| path.as_str()));
        next.host_header = None;
    } else if location.starts_with('/') {
        next.target = target(location);
    } else {
        let path = current.target.split('?').next().unwrap_or("/");
        let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
        next.target = target(&format!("{directory}/{location}"));
    }
    Some(next)
}

/// Accepts every certificate.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(host: &str, target: &str) -> HttpGet {
        let target = target.to_owned();
        HttpGet { tls: false, host: host.into(), port: 8080, target, host_header: None, headers: vec![] }
    }

    #[test]
    fn where_redirects_lead() {
        // DS-H18
        let current = get("10.0.0.2", "/a/b?c=d");
        let to = |status: u16, location: Option<&str>| {
            let status = StatusCode::from_u16(status).unwrap();
            let answer = Answer { status, location: location.map(str::to_owned), body: String::new() };
            next_place(&current, &answer).map(|next| failed_get(&next, ""))
        };
        for (location, url) in [
            ("/x?y", "http://10.0.0.2:8080/x?y"),
            ("x", "http://10.0.0.2:8080/a/x"),
            ("//other/x", "http://other:80/x"),
            ("https://[fd00::1]:8443", "https://[fd00::1]:8443/"),
        ] {
            assert_eq!(to(302, Some(location)).unwrap(), format!("Get \"{url}\": "), "{location}");
        }
        assert_eq!((to(302, None), to(304, Some("/x")), to(200, Some("/x"))), (None, None, None));
    }
}
