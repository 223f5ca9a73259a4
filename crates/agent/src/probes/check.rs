//! What a probe does, from the container's spec. Pure.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Container, HTTPGetAction, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::env::expand::expand;

/// As stock Kubernetes 1.36 presents itself (DS-H18).
pub(super) const USER_AGENT: &str = "kube-probe/1.36";

/// One thing to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Check {
    Http(HttpGet),
    Tcp { host: String, port: u16 },
    Exec { command: Vec<String> },
    Grpc { host: String, port: u16, service: String },
}

/// One HTTP GET.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HttpGet {
    pub tls: bool,
    pub host: String,
    pub port: u16,
    /// Path and query, as sent.
    pub target: String,
    /// The `Host` header, if it is not the address.
    pub host_header: Option<String>,
    pub headers: Vec<(String, String)>,
}

impl Check {
    /// `ip` is the pod's address (the node's for host-network pods), where no host is named.
    ///
    /// # Errors
    /// The probe cannot be tried at all, and why.
    pub(super) fn of(probe: &Probe, container: &Container, ip: Option<IpAddr>) -> Result<Check, String> {
        if let Some(exec) = &probe.exec {
            let command = exec.command.iter().flatten().map(|word| expand_static(word, container));
            return Ok(Check::Exec { command: command.collect() });
        }
        let own = || ip.map(|ip| ip.to_string()).ok_or_else(|| "the pod has no address yet".to_owned());
        let host = |named: &Option<String>| named.clone().filter(|host| !host.is_empty()).map_or_else(own, Ok);
        if let Some(get) = &probe.http_get {
            return Ok(Check::Http(http_get(get, container, host(&get.host)?)?));
        }
        if let Some(tcp) = &probe.tcp_socket {
            return Ok(Check::Tcp { host: host(&tcp.host)?, port: port(&tcp.port, container)? });
        }
        if let Some(grpc) = &probe.grpc {
            let port = port(&IntOrString::Int(grpc.port), container)?;
            return Ok(Check::Grpc { host: own()?, port, service: grpc.service.clone().unwrap_or_default() });
        }
        Err(format!("missing probe handler for container {}", container.name))
    }
}

/// `$(VAR)` with the values that stand in the spec itself.
fn expand_static(word: &str, container: &Container) -> String {
    let vars = container.env.iter().flatten().filter(|var| var.value_from.is_none());
    expand(word, |name| vars.clone().rfind(|var| var.name == name).map(|var| var.value.as_deref().unwrap_or("")))
}

fn http_get(get: &HTTPGetAction, container: &Container, host: String) -> Result<HttpGet, String> {
    let given = get.http_headers.iter().flatten().map(|header| (header.name.clone(), header.value.clone()));
    let (hosts, mut headers): (Vec<_>, Vec<_>) = given.partition(|(name, _)| name.eq_ignore_ascii_case("host"));
    for (name, value) in [("User-Agent", USER_AGENT), ("Accept", "*/*")] {
        if !headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name)) {
            headers.push((name.to_owned(), value.to_owned()));
        }
    }
    // An empty value means that the header is not sent at all.
    headers.retain(|(name, value)| {
        !value.is_empty() || !["user-agent", "accept"].contains(&name.to_ascii_lowercase().as_str())
    });
    Ok(HttpGet {
        tls: get.scheme.as_deref().unwrap_or_default().eq_ignore_ascii_case("https"),
        host,
        port: port(&get.port, container)?,
        target: target(get.path.as_deref().unwrap_or_default()),
        host_header: hosts.into_iter().map(|(_, value)| value).find(|value| !value.is_empty()),
        headers,
    })
}

/// A number, or the name of one of the container's ports.
fn port(given: &IntOrString, container: &Container) -> Result<u16, String> {
    let number = match given {
        IntOrString::Int(number) => *number,
        IntOrString::String(name) => {
            let named = container.ports.iter().flatten().find(|port| port.name.as_deref() == Some(name));
            let number = named.map(|port| port.container_port).or_else(|| name.parse().ok());
            number.ok_or_else(|| format!("port {name} not found"))?
        }
    };
    u16::try_from(number).ok().filter(|port| *port > 0).ok_or_else(|| format!("invalid port number: {number}"))
}

/// A path with query as it goes over the wire: begins with a slash, nothing that a request line
/// cannot hold, no fragment.
pub(super) fn target(path: &str) -> String {
    let mut target = String::with_capacity(path.len() + 1);
    let path = path.split_once('#').map_or(path, |(path, _)| path);
    if !path.starts_with('/') {
        target.push('/');
    }
    for byte in path.bytes() {
        match byte {
            b'!' | b'#'..=b';' | b'=' | b'?'..=b'[' | b']' | b'_' | b'a'..=b'z' | b'~' => target.push(byte.into()),
            _ => target.push_str(&format!("%{byte:02X}")),
        }
    }
    target
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(probe: &str) -> Result<Check, String> {
        let container: Container = serde_json::from_str(
            r#"{"name":"c","ports":[{"name":"web","containerPort":8080}],"env":[{"name":"A","value":"1"}]}"#,
        )
        .unwrap();
        Check::of(&serde_json::from_str(probe).unwrap(), &container, Some("10.0.0.2".parse().unwrap()))
    }

    #[test]
    fn an_http_get_and_its_defaults() {
        // DS-H18
        let Ok(Check::Http(get)) = check(r#"{"httpGet":{"port":"web"}}"#) else { panic!() };
        assert_eq!((get.tls, get.host.as_str(), get.port, get.target.as_str()), (false, "10.0.0.2", 8080, "/"));
        assert!(get.headers.contains(&("User-Agent".into(), "kube-probe/1.36".into())));
        let probe = r#"{"httpGet":{"port":9,"scheme":"HTTPS","host":"example","path":"/a?b=c d#e","httpHeaders":[
            {"name":"host","value":"h"},{"name":"X-Y","value":"z"},{"name":"user-agent","value":""}]}}"#;
        let Ok(Check::Http(get)) = check(probe) else { panic!() };
        assert_eq!((get.tls, get.host.as_str(), get.port, get.target.as_str()), (true, "example", 9, "/a?b=c%20d"));
        assert_eq!(get.host_header.as_deref(), Some("h"));
        assert_eq!(get.headers, [("X-Y".into(), "z".into()), ("Accept".into(), "*/*".into())]);
    }

    #[test]
    fn the_other_kinds() {
        // DS-H16, DS-H18
        let host = || "10.0.0.2".to_owned();
        let exec = Check::Exec { command: vec!["echo".into(), "1".into()] };
        assert_eq!(check(r#"{"exec":{"command":["echo","$(A)"]}}"#), Ok(exec));
        assert_eq!(check(r#"{"tcpSocket":{"port":"80"}}"#), Ok(Check::Tcp { host: host(), port: 80 }));
        let grpc = Check::Grpc { host: host(), port: 9, service: "s".into() };
        assert_eq!(check(r#"{"grpc":{"port":9,"service":"s"}}"#), Ok(grpc));
    }

    #[test]
    fn what_cannot_be_tried() {
        for (probe, words) in [
            (r#"{"tcpSocket":{"port":"nope"}}"#, "port nope not found"),
            (r#"{"tcpSocket":{"port":70000}}"#, "invalid port number: 70000"),
            (r#"{"httpGet":{"port":0}}"#, "invalid port number: 0"),
            ("{}", "missing probe handler for container c"),
        ] {
            assert_eq!(check(probe), Err(words.to_owned()));
        }
    }
}
