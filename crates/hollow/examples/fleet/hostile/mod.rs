//! Slow and silent clients, and HTTP/2 with every frame abused, beside a normal load of nodes that
//! speak as nodes: what heartbeats and a health probe see of it, and what the server keeps.
//!
//! The attackers are processes of their own (`fleet attack`), with a lower priority: they stand for
//! other machines, and take what the server and the nodes leave of this one's cores.

mod attackers;
mod probe;

use std::time::{Duration, Instant};

use anyhow::Context;
use everynode_api::kinds;
use everynode_api::ports::{Request, Target};
use serde_json::{Value, json};

use self::attackers::Attackers;
use self::probe::Probe;
use crate::Bench;
use crate::attack::{Kind, State};
use crate::cluster::NAMESPACE;
use crate::endpoint::Endpoint;
use crate::process::Process;
use crate::stats::quantile;

const SET: &str = "bench-hostile";
const ACCOUNT: &str = "bench-hostile";
/// Registration has its echo, and every node's first renewal is within ten seconds.
const SETTLE: Duration = Duration::from_secs(12);
/// How often memory is looked at.
const MEMORY_EVERY: Duration = Duration::from_millis(100);
/// How often the server is asked for its own counts.
const METRICS_EVERY: Duration = Duration::from_secs(5);
/// What was closed is gone from the server's count, and what was counted from its memory.
const AFTER: Duration = Duration::from_secs(15);
const SILENT: usize = 10_000;
const SLOW: usize = 1_000;
/// Connections for each abuse of HTTP/2.
const ABUSERS: usize = 2;

/// What a time with or without attackers showed.
#[derive(Default)]
struct Seen {
    memory_mib_max: f64,
    /// The server's own count.
    connections_max: f64,
    /// Of silent, slow and HTTP/2 attackers, each at its most.
    open_max: [usize; 3],
}

impl Bench {
    pub(crate) async fn hostile(&mut self) -> anyhow::Result<()> {
        let path = self.args.kubeconfig.clone().context("--kubeconfig must say where the server writes it")?;
        let endpoint = Endpoint::of_kubeconfig(&path)?;
        self.cluster.create_set(SET).await?;
        self.cluster.until_ready(SET, 1, self.fleet.nodes()).await?;
        let token = self.ordinary_user().await?;
        tokio::time::sleep(SETTLE).await;
        self.phase("before", &endpoint, None).await?;
        let memory = self.measure_memory("before");
        let cpu = crate::process::cpu_seconds(&self.plane.processes());
        let counts = [(Kind::Silent, SILENT), (Kind::Slow, SLOW), (Kind::Http2, ABUSERS)];
        let mut attackers = Attackers::start(&path, endpoint.address, &token, &counts)?;
        let began = Instant::now();
        self.phase("during", &endpoint, Some(&mut attackers)).await?;
        let used = crate::process::cpu_seconds(&self.plane.processes()) - cpu;
        let share = used / began.elapsed().as_secs_f64() * 100.0;
        self.measures.add("hostile cpu", "CPU of the server while attacked", "% of a core", share);
        attackers.stop().await?;
        tokio::time::sleep(AFTER).await;
        self.phase("after", &endpoint, None).await?;
        let left = self.measure_memory("after") - memory;
        self.measures.add("hostile memory left", "memory after, more than before", "MiB", left);
        self.closed_connections().await
    }

    fn measure_memory(&mut self, when: &str) -> f64 {
        let memory = self.plane.processes().iter().map(Process::resident_mib).sum();
        self.measures.add(&format!("hostile memory {when}"), &format!("memory of the server, {when}"), "MiB", memory);
        memory
    }

    /// A token of a user that may do nothing but what every user may.
    async fn ordinary_user(&self) -> anyhow::Result<String> {
        let target = Target::new(kinds::SERVICE_ACCOUNT, NAMESPACE, ACCOUNT);
        let body = json!({ "metadata": { "name": ACCOUNT, "namespace": NAMESPACE } });
        self.cluster.call(Request::Create { target: target.clone(), body }).await?;
        let body = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
                           "spec": { "expirationSeconds": 3600 } });
        let answer = self.cluster.call(Request::Create { target: target.subresource("token"), body }).await?;
        let answer: Value = serde_json::from_slice(&answer)?;
        Ok(answer["status"]["token"].as_str().context("no token")?.to_owned())
    }

    /// Measures for as long as was asked for.
    async fn phase(
        &mut self,
        when: &str,
        endpoint: &Endpoint,
        mut attackers: Option<&mut Attackers>,
    ) -> anyhow::Result<()> {
        self.fleet.heartbeats().take();
        let probe = Probe::start(endpoint.clone());
        let mut seen = Seen::default();
        let processes = self.plane.processes();
        let end = Instant::now() + Duration::from_secs(self.args.seconds);
        let mut metrics_at = Instant::now();
        while Instant::now() < end {
            let memory: f64 = processes.iter().map(Process::resident_mib).sum();
            seen.memory_mib_max = seen.memory_mib_max.max(memory);
            if let Some(attackers) = attackers.as_deref_mut() {
                attackers.look()?;
                let open = attackers.states().map(|state| state.open);
                seen.open_max = std::array::from_fn(|index| seen.open_max[index].max(open[index]));
            }
            if Instant::now() >= metrics_at {
                metrics_at += METRICS_EVERY;
                let connections = metric(&self.cluster.metrics().await?, "everynode_apiserver_connections ");
                seen.connections_max = seen.connections_max.max(connections);
            }
            tokio::time::sleep(MEMORY_EVERY).await;
        }
        let probed = probe.stop().await;
        self.add_heartbeats(when);
        self.add_probe(when, &probed);
        self.measures.add(
            &format!("hostile memory {when} peak"),
            &format!("memory of the server, most {when}"),
            "MiB",
            seen.memory_mib_max,
        );
        let title = format!("connections that the server had, most {when}");
        self.measures.add(&format!("hostile connections {when}"), &title, "", seen.connections_max);
        if let Some(attackers) = attackers {
            self.add_attackers(&seen, &attackers.states());
        }
        Ok(())
    }

    fn add_heartbeats(&mut self, when: &str) {
        let times = self.fleet.heartbeats().take();
        let at = |share| quantile(&times.milliseconds, share);
        for (word, value) in [("p50", at(0.5)), ("p99", at(0.99)), ("max", at(1.0))] {
            self.measures.add(&format!("heartbeat {when} {word}"), &format!("heartbeats {when}, {word}"), "ms", value);
        }
        let counts = [("count", times.milliseconds.len()), ("failed", times.failed)];
        for (word, count) in counts {
            let title = format!("heartbeats {when}, {word}");
            self.measures.add(&format!("heartbeat {when} {word}"), &title, "", count as f64);
        }
    }

    fn add_probe(&mut self, when: &str, probed: &probe::Probed) {
        let at = |share| quantile(&probed.milliseconds, share);
        for (word, value) in [("p50", at(0.5)), ("p99", at(0.99)), ("max", at(1.0))] {
            self.measures.add(&format!("probe {when} {word}"), &format!("/readyz {when}, {word}"), "ms", value);
        }
        let title = format!("/readyz {when}, of {} not answered by 200", probed.asked());
        self.measures.add(&format!("probe {when} failed"), &title, "", probed.failed as f64);
    }

    fn add_attackers(&mut self, seen: &Seen, states: &[State; 3]) {
        let titles = ["silent connections", "slow bodies", "abused HTTP/2 connections"];
        for ((title, most), state) in titles.iter().zip(seen.open_max).zip(states) {
            self.measures.add(&format!("{title} most"), &format!("{title}, most at once"), "", most as f64);
            self.measures.add(
                &format!("{title} opened"),
                &format!("{title}, opened in all"),
                "",
                state.opened_total as f64,
            );
            self.measures.add(
                &format!("{title} failed"),
                &format!("{title}, not to be opened"),
                "",
                state.failed_total as f64,
            );
        }
        self.measures.add("abuse sent", "abused HTTP/2, sent", "MiB", states[2].mebibytes_sent as f64);
    }

    /// By the server's own count, why connections ended and requests were refused.
    async fn closed_connections(&mut self) -> anyhow::Result<()> {
        let metrics = self.cluster.metrics().await?;
        for reason in ["silent", "idle", "stalled", "shed", "refused"] {
            let words = format!("everynode_apiserver_connections_closed_total{{reason=\"{reason}\"}}");
            let title = format!("connections closed: {reason}");
            self.measures.add(&format!("hostile closed {reason}"), &title, "", metric(&metrics, &words));
        }
        let timed_out = metric(&metrics, "everynode_apiserver_tls_handshakes_total{result=\"timeout\"}");
        self.measures.add("hostile closed handshake", "connections closed: no handshake", "", timed_out);
        Ok(())
    }
}

/// The value of the line that begins so; 0 if there is none.
fn metric(metrics: &str, start: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(start));
    line.and_then(|value| value.trim().parse().ok()).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_found_by_the_beginning_of_its_line() {
        let text = "# TYPE everynode_apiserver_connections gauge\neverynode_apiserver_connections 12\nx{a=\"b\"} 3\n";
        assert_eq!(metric(text, "everynode_apiserver_connections "), 12.0);
        assert_eq!(metric(text, "x{a=\"b\"}"), 3.0);
        assert_eq!(metric(text, "y"), 0.0);
    }
}
