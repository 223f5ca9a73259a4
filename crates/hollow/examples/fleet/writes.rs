//! How long writes take: as the nodes see it, and as the server counts it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use everynode_api::ports::{Api, ApiError, BoxFuture, EventStream, Request, WatchRequest};
use everynode_hollow::{Apis, KubeconfigApis};

use crate::cluster::Cluster;
use crate::stats::quantile;

const VERBS: [&str; 4] = ["POST", "PUT", "PATCH", "DELETE"];

/// Times of the nodes' writes, from the moment they are wanted until the answer is there, in
/// milliseconds.
#[derive(Clone, Default)]
pub(crate) struct Writes(Arc<Mutex<Vec<f64>>>);

impl Writes {
    pub(crate) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// `None` where the nodes are in another process.
    pub(crate) fn p99_ms(&self) -> Option<f64> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (!all.is_empty()).then(|| quantile(&all, 0.99))
    }

    fn add(&self, began: Instant) {
        let ms = began.elapsed().as_secs_f64() * 1000.0;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(ms);
    }
}

/// Clients whose writes are timed.
pub(crate) struct TimedApis {
    inner: KubeconfigApis,
    writes: Writes,
}

struct Timed {
    inner: Arc<dyn Api>,
    writes: Writes,
}

impl TimedApis {
    pub(crate) fn new(path: Option<PathBuf>, writes: Writes) -> TimedApis {
        TimedApis { inner: KubeconfigApis::new(path.into_iter().collect(), None), writes }
    }
}

impl Apis for TimedApis {
    fn connect(&self) -> BoxFuture<'_, Result<Arc<dyn Api>, String>> {
        Box::pin(async {
            let inner = self.inner.connect().await?;
            Ok(Arc::new(Timed { inner, writes: self.writes.clone() }) as Arc<dyn Api>)
        })
    }

    fn throttled_total(&self) -> u64 {
        self.inner.throttled_total()
    }
}

impl Api for Timed {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Bytes, ApiError>> {
        let is_write = !matches!(request, Request::Get(_) | Request::List { .. } | Request::Raw { .. });
        Box::pin(async move {
            let began = Instant::now();
            let answer = self.inner.call(request).await;
            if is_write {
                self.writes.add(began);
            }
            answer
        })
    }

    fn watch(&self, request: WatchRequest) -> BoxFuture<'_, Result<Box<dyn EventStream>, ApiError>> {
        self.inner.watch(request)
    }
}

/// The server's own histogram of writes (`apiserver_request_duration_seconds`): counts up to each
/// bound, in seconds.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct ServerWrites(Vec<(f64, f64)>);

impl ServerWrites {
    pub(crate) async fn read(cluster: &Cluster) -> anyhow::Result<ServerWrites> {
        Ok(ServerWrites::parse(&cluster.metrics().await?))
    }

    fn parse(metrics: &str) -> ServerWrites {
        let mut buckets: Vec<(f64, f64)> = Vec::new();
        for line in metrics.lines() {
            let Some(rest) = line.strip_prefix("apiserver_request_duration_seconds_bucket{") else { continue };
            let Some((labels, count)) = rest.rsplit_once("} ") else { continue };
            let label = |name: &str| labels.split(',').find_map(|pair| pair.strip_prefix(name)?.strip_prefix("=\""));
            let is_write = label("verb").is_some_and(|verb| VERBS.contains(&verb.trim_end_matches('"')));
            let bound = label("le").map(|text| text.trim_end_matches('"')).and_then(|text| match text {
                "+Inf" => Some(f64::INFINITY),
                text => text.parse().ok(),
            });
            let (Some(bound), Ok(count), true) = (bound, count.parse::<f64>(), is_write) else { continue };
            match buckets.iter_mut().find(|bucket| bucket.0 == bound) {
                Some(bucket) => bucket.1 += count,
                None => buckets.push((bound, count)),
            }
        }
        buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        ServerWrites(buckets)
    }

    /// What was added since then.
    pub(crate) fn since(&self, before: &ServerWrites) -> ServerWrites {
        let earlier = |bound: f64| before.0.iter().find(|bucket| bucket.0 == bound).map_or(0.0, |bucket| bucket.1);
        ServerWrites(self.0.iter().map(|(bound, count)| (*bound, count - earlier(*bound))).collect())
    }

    /// Prometheus' way: evenly spread within the bucket that holds this share.
    pub(crate) fn quantile_ms(&self, share: f64) -> Option<f64> {
        let total = self.0.last().map(|bucket| bucket.1).filter(|total| *total > 0.0)?;
        let rank = share * total;
        let (mut low, mut below) = (0.0, 0.0);
        for (bound, count) in &self.0 {
            if *count >= rank {
                let width = if bound.is_finite() { bound - low } else { 0.0 };
                let part = if *count > below { (rank - below) / (count - below) } else { 0.0 };
                return Some((low + width * part) * 1000.0);
            }
            (low, below) = (*bound, *count);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: &str = r#"
apiserver_request_duration_seconds_bucket{resource="pods",verb="PATCH",le="0.01"} 50
apiserver_request_duration_seconds_bucket{resource="pods",verb="PATCH",le="0.05"} 90
apiserver_request_duration_seconds_bucket{resource="pods",verb="PATCH",le="+Inf"} 90
apiserver_request_duration_seconds_bucket{resource="pods",verb="DELETE",le="0.01"} 0
apiserver_request_duration_seconds_bucket{resource="pods",verb="DELETE",le="0.05"} 10
apiserver_request_duration_seconds_bucket{resource="pods",verb="DELETE",le="+Inf"} 10
apiserver_request_duration_seconds_bucket{resource="pods",verb="GET",le="0.01"} 1000
apiserver_request_duration_seconds_count{resource="pods",verb="GET"} 1000
"#;

    #[test]
    fn the_servers_histogram_tells_of_writes() {
        let all = ServerWrites::parse(METRICS);
        assert_eq!(all.0, [(0.01, 50.0), (0.05, 100.0), (f64::INFINITY, 100.0)]);
        assert_eq!(all.quantile_ms(0.5), Some(10.0));
        assert!((all.quantile_ms(0.75).unwrap() - 30.0).abs() < 1e-9);
        assert_eq!(all.since(&all).quantile_ms(0.5), None);
    }
}
