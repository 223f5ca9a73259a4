//! What flags take, checked where they are read: a value that cannot be right is an error of usage
//! that names the flag.

use std::time::Duration;

use everynode_api::{names, node_labels};

/// Parses `500ms`, `40s`, `5m`, `24h`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: u64 =
        number.parse().map_err(|_| format!("`{text}` is not a duration; write for example 40s, 5m or 24h"))?;
    let milliseconds = match unit {
        "ms" => Some(number),
        "s" | "" => number.checked_mul(1_000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        "d" => number.checked_mul(86_400_000),
        _ => return Err(format!("`{unit}` is not a unit of time; use ms, s, m, h or d")),
    };
    milliseconds.map(Duration::from_millis).ok_or_else(|| format!("`{text}` is too long"))
}

/// A certificate's: at least long enough that renewals can be tried again, at most what the
/// authority itself lasts.
pub(super) fn validity(text: &str) -> Result<Duration, String> {
    let days = |days: u64| Duration::from_secs(days * 86_400);
    match duration(text)? {
        validity if validity < Duration::from_secs(10) => Err("certificates must be valid for at least 10s".to_owned()),
        validity if validity > days(3650) => Err("certificates can be valid for at most 3650d".to_owned()),
        validity => Ok(validity),
    }
}

/// The first three bytes of `A.B.C.0/N`: services get their addresses from that /24.
pub(super) fn service_network(cidr: &str) -> Result<[u8; 3], String> {
    let (ip, bits) = network(cidr).ok_or("not of the form 10.96.0.0/24")?;
    if bits > 24 {
        return Err("too small: at least a /24 is needed".into());
    }
    let [a, b, c, _] = ip.octets();
    Ok([a, b, c])
}

/// The range of addresses of a node's pods.
pub(super) fn pod_cidr(cidr: &str) -> Result<String, String> {
    match network(cidr) {
        Some((_, 8..=30)) => Ok(cidr.to_owned()),
        _ => Err("not of the form 10.200.0.0/24".into()),
    }
}

fn network(cidr: &str) -> Option<(std::net::Ipv4Addr, u8)> {
    let (ip, bits) = cidr.split_once('/')?;
    Some((ip.parse().ok()?, bits.parse().ok().filter(|bits| *bits <= 32)?))
}

/// `KEY=VALUE`, both as Kubernetes takes them in labels.
pub(super) fn label(pair: &str) -> Result<(String, String), String> {
    let (key, value) = pair.split_once('=').ok_or("not of the form key=value")?;
    let wrong = [names::qualified_name(key), names::label_value(value)].concat();
    match wrong.is_empty() {
        false => Err(wrong.join("; ")),
        true if !node_labels::is_the_machines(key) => Err(format!(
            "a machine may not give its node this label; in the domains kubernetes.io and k8s.io only \
             kubelet.kubernetes.io/…, node.kubernetes.io/… and {}; for others: kubectl label node",
            node_labels::OWN.join(", ")
        )),
        true => Ok((key.to_owned(), value.to_owned())),
    }
}

/// A node's name.
pub(super) fn node_name(name: &str) -> Result<String, String> {
    let wrong = names::dns1123_subdomain(name);
    if wrong.is_empty() { Ok(name.to_owned()) } else { Err(wrong.join("; ")) }
}

/// `https://HOST[:PORT]`
pub(super) fn server_url(text: &str) -> Result<String, String> {
    let uri: http::Uri = text.parse().map_err(|error| format!("not a URL: {error}"))?;
    match (uri.scheme_str(), uri.host()) {
        (Some("https"), Some(_)) => Ok(text.to_owned()),
        _ => Err("it must be of the form https://HOST:PORT".into()),
    }
}

/// A level or a list of filters. A bare word would be taken for the name of a module, and nothing
/// be logged.
pub(super) fn log_level(text: &str) -> Result<String, String> {
    let known = |word: &str| word.contains('=') || word.parse::<tracing_subscriber::filter::LevelFilter>().is_ok();
    match text.split(',').all(|word| known(word.trim())) {
        true => Ok(text.to_owned()),
        false => Err("neither a level (error, warn, info, debug, trace) nor a list of filters".into()),
    }
}

/// A DaemonSet as people name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedSet {
    /// The namespace of `NAMESPACE/NAME`.
    pub(crate) namespace: Option<String>,
    pub(crate) name: String,
}

/// Words that stand for other kinds in `KIND/NAME`: whoever writes them does not mean a namespace.
const OTHER_KINDS: [&str; 11] = [
    "deploy",
    "deployment",
    "deployments",
    "sts",
    "statefulset",
    "statefulsets",
    "po",
    "pod",
    "pods",
    "svc",
    "service",
];

/// Reads `NAME`, kubectl's spellings `ds/NAME`, `daemonset/NAME`, `daemonsets.apps/NAME`, and
/// `NAMESPACE/NAME` as `everynode status` prints it.
pub(super) fn named_set(text: &str) -> Result<NamedSet, String> {
    let (before, name) = text.split_once('/').unwrap_or(("ds", text));
    let namespace = match before {
        _ if name.is_empty() || name.contains('/') || before.is_empty() => {
            return Err("not the name of a DaemonSet; write NAME, ds/NAME or NAMESPACE/NAME".into());
        }
        "ds" | "daemonset" | "daemonsets" | "daemonset.apps" | "daemonsets.apps" => None,
        other if OTHER_KINDS.contains(&other) || other.contains('.') => {
            return Err(format!("`{other}` is not a DaemonSet; write ds/{name}"));
        }
        namespace => Some(namespace.to_owned()),
    };
    Ok(NamedSet { namespace, name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_set_is_named_as_kubectl_or_status_names_it() {
        let plain = NamedSet { namespace: None, name: "web".into() };
        for text in ["web", "ds/web", "daemonset/web", "daemonsets.apps/web"] {
            assert_eq!(named_set(text), Ok(plain.clone()));
        }
        assert_eq!(named_set("x/web"), Ok(NamedSet { namespace: Some("x".into()), name: "web".into() }));
        assert_eq!(named_set("deploy/web"), Err("`deploy` is not a DaemonSet; write ds/web".to_owned()));
        assert!(named_set("ds/").is_err() && named_set("ds/a/b").is_err() && named_set("/web").is_err());
    }

    #[test]
    fn durations() {
        assert_eq!(duration("40s"), Ok(Duration::from_secs(40)));
        assert_eq!(duration("1h"), Ok(Duration::from_secs(3600)));
        assert!(validity("10s").is_ok() && validity("3650d").is_ok());
        assert!(validity("9s").is_err() && validity("3651d").is_err());
        assert!(duration("5 weeks").is_err() && duration("x").is_err() && duration("99999999999999999h").is_err());
    }

    #[test]
    fn networks() {
        assert_eq!(service_network("10.96.0.0/16"), Ok([10, 96, 0]));
        for wrong in ["10.96.0.0", "10.96.0.0/x", "fd00::/64", "10.96.0.0/28", "10.96.0.0/99"] {
            assert!(service_network(wrong).is_err(), "{wrong}");
        }
        assert!(pod_cidr("10.200.0.0/24").is_ok() && pod_cidr("10.200.0.0/31").is_err() && pod_cidr("x").is_err());
    }

    #[test]
    fn labels_names_and_addresses() {
        assert_eq!(label("a=b"), Ok(("a".into(), "b".into())));
        assert!(label("topology.kubernetes.io/zone=a").is_ok());
        let foreign = label("node-role.kubernetes.io/gpu=").unwrap_err();
        assert!(foreign.contains("may not give its node this label"), "{foreign}");
        assert!(label("a").is_err() && label("a=b c").is_err() && label("=b").is_err());
        assert!(node_name("edge-7").is_ok() && node_name("Edge").is_err());
        assert!(
            server_url("https://10.0.0.1:6443").is_ok()
                && server_url("http://a").is_err()
                && server_url("a b").is_err()
        );
        assert!(log_level("info,everynode_agent=debug").is_ok() && log_level("loud").is_err());
    }
}
