//! Counts of what was served, in Prometheus' text form (DS-J11).

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use everynode_api::kinds::Text;
use everynode_listen::Connections;
use jiff::SignedDuration;

use super::handshake::Handshakes;
use super::histogram::Histogram;
use super::limits::Limits;
use super::progress::Verdict;
use super::slot::Slots;

/// Upper bounds of the latency buckets, seconds.
const BUCKETS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// Upper bounds of what is left of clients' certificates, seconds: kube-apiserver's, from none to a
/// year.
const EXPIRATIONS: [f64; 15] = [
    0.0,
    1_800.0,
    3_600.0,
    7_200.0,
    21_600.0,
    43_200.0,
    86_400.0,
    172_800.0,
    345_600.0,
    604_800.0,
    2_592_000.0,
    7_776_000.0,
    10_368_000.0,
    15_552_000.0,
    31_104_000.0,
];

/// The labels that requests are counted by.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Labels {
    pub(crate) verb: &'static str,
    pub(crate) group: Text,
    pub(crate) version: Text,
    pub(crate) resource: Text,
    pub(crate) subresource: &'static str,
    /// `resource`, `namespace` or `cluster`
    pub(crate) scope: &'static str,
    pub(crate) dry_run: bool,
}

/// What was served of one kind of requests.
struct Served {
    by_code: BTreeMap<u16, u64>,
    durations: Histogram,
}

impl Default for Served {
    fn default() -> Self {
        Served { by_code: BTreeMap::new(), durations: Histogram::new(&BUCKETS) }
    }
}

/// All counters of the server.
pub(crate) struct Metrics {
    served: Mutex<BTreeMap<Labels, Served>>,
    watch_events: AtomicU64,
    panics: AtomicU64,
    client_certificates: Mutex<Histogram>,
    pub(crate) handshakes: Handshakes,
    pub(crate) slots: Arc<Slots>,
    /// Of the listener that is served.
    connections: OnceLock<Arc<Connections>>,
    /// Connections that were closed because their clients said nothing, or did not take their
    /// answers.
    silent: AtomicU64,
    stalled: AtomicU64,
    idle: AtomicU64,
}

impl Metrics {
    pub(crate) fn new(limits: Limits) -> Metrics {
        Metrics {
            served: Mutex::default(),
            watch_events: AtomicU64::default(),
            panics: AtomicU64::default(),
            client_certificates: Mutex::new(Histogram::new(&EXPIRATIONS)),
            handshakes: Handshakes::default(),
            slots: Slots::new(limits),
            connections: OnceLock::new(),
            silent: AtomicU64::default(),
            stalled: AtomicU64::default(),
            idle: AtomicU64::default(),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Metrics {
    /// Counts a finished request.
    pub(crate) fn finished(&self, labels: Labels, code: u16, took: Duration) {
        let mut served = lock(&self.served);
        let served = served.entry(labels).or_default();
        *served.by_code.entry(code).or_default() += 1;
        served.durations.observe(took.as_secs_f64());
    }

    /// Counts a connection whose client certificate is valid for so long.
    pub(crate) fn client_certificate(&self, left: SignedDuration) {
        lock(&self.client_certificates).observe(left.as_secs_f64());
    }

    pub(crate) fn watch_event(&self) {
        self.watch_events.fetch_add(1, Ordering::Relaxed);
    }

    /// Tells of a listener's connections.
    pub(crate) fn serves(&self, connections: &Arc<Connections>) {
        let _ = self.connections.set(connections.clone());
    }

    /// Counts a connection that was closed because of what its client did not do.
    pub(crate) fn connection_ended(&self, verdict: Verdict) {
        let counter = match verdict {
            Verdict::Silent => &self.silent,
            Verdict::Stalled => &self.stalled,
            Verdict::Idle => &self.idle,
            Verdict::GoOn => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn write_connections(&self, out: &mut String) {
        let name = "everynode_apiserver_connections";
        head(out, name, "gauge", "Open connections, those of strangers included.");
        let connections = self.connections.get();
        let _ = writeln!(out, "{name} {}", connections.map_or(0, |connections| connections.open()));
        let name = "everynode_apiserver_connections_closed_total";
        head(out, name, "counter", "Connections that the server closed because of what clients did or did not do.");
        let (shed, refused) =
            connections.map_or((0, 0), |connections| (connections.shed_total(), connections.refused_total()));
        let counted = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        for (reason, count) in [
            ("silent", counted(&self.silent)),
            ("stalled", counted(&self.stalled)),
            ("idle", counted(&self.idle)),
            ("shed", shed),
            ("refused", refused),
        ] {
            let _ = writeln!(out, "{name}{{reason=\"{reason}\"}} {count}");
        }
    }

    pub(crate) fn panicked(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    /// The whole in text form; `objects` is the number of stored objects by resource.
    pub(crate) fn text(&self, objects: &[(String, usize)]) -> String {
        let mut out = String::with_capacity(16 << 10);
        head(&mut out, "apiserver_request_total", "counter", "Requests by verb, resource and code.");
        for (labels, served) in lock(&self.served).iter() {
            let labels = labels.text();
            for (code, count) in &served.by_code {
                let _ = writeln!(out, "apiserver_request_total{{{labels},code=\"{code}\"}} {count}");
            }
        }
        self.write_durations(&mut out);
        self.slots.write(&mut out);
        self.write_connections(&mut out);
        head(&mut out, "apiserver_watch_events_total", "counter", "Watch events sent.");
        let _ = writeln!(out, "apiserver_watch_events_total {}", self.watch_events.load(Ordering::Relaxed));
        head(
            &mut out,
            "everynode_apiserver_panics_total",
            "counter",
            "Requests that failed by a defect of the server.",
        );
        let _ = writeln!(out, "everynode_apiserver_panics_total {}", self.panics.load(Ordering::Relaxed));
        head(&mut out, "apiserver_storage_objects", "gauge", "Stored objects by resource.");
        for (resource, count) in objects {
            let _ = writeln!(out, "apiserver_storage_objects{{resource=\"{resource}\"}} {count}");
        }
        out
    }

    fn write_durations(&self, out: &mut String) {
        let name = "apiserver_request_duration_seconds";
        head(out, name, "histogram", "Time from a request's head to its answer's head.");
        for (labels, served) in lock(&self.served).iter() {
            served.durations.write(out, name, &labels.text());
        }
        let name = "apiserver_client_certificate_expiration_seconds";
        head(out, name, "histogram", "Remaining life of the certificate that a client connects with, by connection.");
        lock(&self.client_certificates).write(out, name, "");
        self.handshakes.write(out);
    }
}

/// The two lines before a metric.
pub(crate) fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

impl Labels {
    fn text(&self) -> String {
        let dry_run = if self.dry_run { "All" } else { "" };
        format!(
            "component=\"apiserver\",dry_run=\"{dry_run}\",group=\"{}\",resource=\"{}\",scope=\"{}\",subresource=\"{}\",verb=\"{}\",version=\"{}\"",
            self.group, self.resource, self.scope, self.subresource, self.verb, self.version
        )
    }
}
