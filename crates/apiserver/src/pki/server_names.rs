//! Names that are the API server's: no node may have one, since its certificate would serve for it.

/// Names by which pods reach the API server, and what a machine calls itself: they and all names
/// below them.
const DOMAINS: [&str; 5] = ["localhost", "kubernetes", "svc", "cluster.local", "localdomain"];

/// Whether a name is an address, one of `served`, or lies where the cluster's own services do.
pub(super) fn is_the_servers(name: &str, served: &[String]) -> bool {
    is_address(name)
        || served.iter().any(|served| matches(served, name))
        || DOMAINS
            .iter()
            .any(|domain| name.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
        || name.starts_with("kubernetes.")
}

/// Whatever a client might read as an address: names whose last part is a number.
fn is_address(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    let hexadecimal = last.strip_prefix("0x").is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    name.parse::<std::net::IpAddr>().is_ok() || last.bytes().all(|byte| byte.is_ascii_digit()) || hexadecimal
}

fn matches(served: &str, name: &str) -> bool {
    match served.strip_prefix("*.") {
        Some(domain) => name.split_once('.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(domain)),
        None => served.eq_ignore_ascii_case(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_server_and_addresses_are_nobodys() {
        let served =
            ["Fleet.example.com", "*.api.example.com", "192.0.2.1", "kubernetes.default.svc"].map(str::to_owned);
        for name in [
            "fleet.example.com",
            "a.api.example.com",
            "192.0.2.1",
            "192.0.2.9",
            "127.1",
            "1",
            "0x7f000001",
            "a.0x1",
            "localhost",
            "a.localhost",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "web.team.svc",
            "kubernetes.default.svc.cluster.local",
            "x.cluster.local",
        ] {
            assert!(is_the_servers(name, &served), "{name}");
        }
        for name in [
            "n1",
            "node-1",
            "worker.example.com",
            "a.b.api.example.com",
            "kubernetes-1",
            "svc-1",
            "ip-10-0-0-1.internal",
        ] {
            assert!(!is_the_servers(name, &served), "{name}");
        }
    }
}
