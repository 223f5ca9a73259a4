//! The pod's resolver configuration (DS-H44).

use k8s_openapi::api::core::v1::{PodDNSConfig, PodSpec};

use crate::config::ClusterDns;
use crate::cri::v1::DnsConfig;

/// As resolvers' own limits: three servers.
const SERVERS_MAX: usize = 3;
const SEARCHES_MAX: usize = 32;

/// Whether the pod asks for the cluster's DNS and there is none.
pub(crate) fn misses_cluster_dns(cluster: &ClusterDns, spec: &PodSpec) -> bool {
    let asks = match spec.dns_policy.as_deref() {
        Some("None" | "Default") => false,
        Some("ClusterFirstWithHostNet") => true,
        _ => spec.host_network != Some(true),
    };
    asks && cluster.servers.is_empty()
}

/// What the pod's `/etc/resolv.conf` will say.
pub(super) fn dns_config(cluster: &ClusterDns, spec: &PodSpec, namespace: &str, resolv_conf: &str) -> DnsConfig {
    let host_network = spec.host_network == Some(true);
    let base = match spec.dns_policy.as_deref() {
        Some("None") => DnsConfig::default(),
        Some("Default") => parse_resolv_conf(resolv_conf),
        Some("ClusterFirstWithHostNet") => cluster_first(cluster, namespace, resolv_conf),
        _ if host_network => parse_resolv_conf(resolv_conf),
        _ => cluster_first(cluster, namespace, resolv_conf),
    };
    let mut merged = match &spec.dns_config {
        Some(more) => merge(base, more),
        None => base,
    };
    merged.servers.truncate(SERVERS_MAX);
    merged.searches.truncate(SEARCHES_MAX);
    merged
}

fn cluster_first(cluster: &ClusterDns, namespace: &str, resolv_conf: &str) -> DnsConfig {
    let host = parse_resolv_conf(resolv_conf);
    if cluster.servers.is_empty() {
        return host;
    }
    let domain = &cluster.domain;
    let mut searches = vec![format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.clone()];
    searches.extend(host.searches.into_iter().filter(|search| search != "."));
    searches.dedup();
    let servers = cluster.servers.iter().map(ToString::to_string).collect();
    DnsConfig { servers, searches, options: vec!["ndots:5".into()] }
}

fn merge(mut base: DnsConfig, more: &PodDNSConfig) -> DnsConfig {
    let add = |list: &mut Vec<String>, item: &String| {
        if !list.contains(item) {
            list.push(item.clone());
        }
    };
    more.nameservers.iter().flatten().for_each(|server| add(&mut base.servers, server));
    more.searches.iter().flatten().for_each(|search| add(&mut base.searches, search));
    for option in more.options.iter().flatten() {
        let Some(name) = option.name.as_deref().filter(|name| !name.is_empty()) else { continue };
        base.options.retain(|known| known.split(':').next() != Some(name));
        base.options.push(match option.value.as_deref() {
            Some(value) if !value.is_empty() => format!("{name}:{value}"),
            _ => name.to_owned(),
        });
    }
    base
}

/// The last `search` line counts, options add up: as resolvers read the file.
fn parse_resolv_conf(text: &str) -> DnsConfig {
    let mut parsed = DnsConfig::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => parsed.servers.extend(words.next().map(str::to_owned)),
            Some("search") => parsed.searches = words.map(str::to_owned).collect(),
            Some("options") => parsed.options = words.map(str::to_owned).collect(),
            _ => {}
        }
    }
    parsed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(spec: serde_json::Value, servers: &[&str], expected: &str) {
        let cluster = ClusterDns {
            servers: servers.iter().map(|server| server.parse().unwrap()).collect(),
            domain: "cluster.local".into(),
            resolv_conf: "/etc/resolv.conf".into(),
        };
        let spec: PodSpec = serde_json::from_value(spec).unwrap();
        let host = "# x\nnameserver 192.0.2.1\nsearch old\nsearch corp.example\noptions timeout:1\n";
        let DnsConfig { servers, searches, options } = dns_config(&cluster, &spec, "shop", host);
        assert_eq!(format!("{} | {} | {}", servers.join(" "), searches.join(" "), options.join(" ")), expected);
    }

    #[test]
    fn who_misses_the_cluster_dns() {
        let none = ClusterDns { servers: Vec::new(), domain: "d".into(), resolv_conf: "/r".into() };
        let some = ClusterDns { servers: vec!["10.0.0.10".parse().unwrap()], ..none.clone() };
        for (policy, on_host, misses) in [
            ("ClusterFirst", false, true),
            ("ClusterFirst", true, false),
            ("ClusterFirstWithHostNet", true, true),
            ("Default", false, false),
            ("None", false, false),
        ] {
            let spec = serde_json::json!({"containers": [], "dnsPolicy": policy, "hostNetwork": on_host});
            let spec = serde_json::from_value(spec).unwrap();
            assert_eq!(misses_cluster_dns(&none, &spec), misses, "{policy} {on_host}");
            assert!(!misses_cluster_dns(&some, &spec));
        }
    }

    /// DS-H44
    #[test]
    fn policies() {
        let host = "192.0.2.1 | corp.example | timeout:1";
        let cluster = "10.0.0.10 | shop.svc.cluster.local svc.cluster.local cluster.local corp.example | ndots:5";
        let dns = ["10.0.0.10"];
        check(serde_json::json!({"containers": []}), &dns, cluster);
        check(serde_json::json!({"containers": []}), &[], host);
        check(serde_json::json!({"containers": [], "hostNetwork": true, "dnsPolicy": "ClusterFirst"}), &dns, host);
        let with_host =
            serde_json::json!({"containers": [], "hostNetwork": true, "dnsPolicy": "ClusterFirstWithHostNet"});
        check(with_host, &dns, cluster);
        check(serde_json::json!({"containers": [], "dnsPolicy": "Default"}), &dns, host);
        let none = serde_json::json!({"containers": [], "dnsPolicy": "None",
            "dnsConfig": {"nameservers": ["192.0.2.9"], "searches": ["a"], "options": [{"name": "ndots", "value": "2"}]}});
        check(none, &dns, "192.0.2.9 | a | ndots:2");
        let more = serde_json::json!({"containers": [], "dnsConfig": {"options": [{"name": "ndots", "value": "1"}, {"name": "edns0"}]}});
        check(more, &dns, &cluster.replace("ndots:5", "ndots:1 edns0"));
    }
}
