//! What a pod costs in protobuf, in bytes and time, beside copying its JSON:
//! `cargo run --release -p everynode-protobuf --example measure`

#![allow(clippy::disallowed_methods, reason = "it measures time")]

#[path = "../tests/round_trip/daemon_pod.rs"]
mod daemon_pod;

use std::hint::black_box;

use daemon_pod::daemon_pod;
use everynode_protobuf::{Limits, kind, object, push_item, to_json};
use serde_json::Value;

/// In so short a time a busy machine mostly does nothing else.
const PODS: u32 = 20;
const BATCHES: u32 = 400;

/// Microseconds for each pod of the fastest batch, and the bytes of a batch.
fn measure(name: &str, pods: &[Vec<u8>], mut work: impl FnMut(&[u8]) -> usize) {
    let mut best = f64::MAX;
    let mut bytes = 0;
    for _ in 0..BATCHES {
        let started = std::time::Instant::now();
        bytes = pods.iter().map(|pod| black_box(work(black_box(pod)))).sum();
        best = best.min(started.elapsed().as_secs_f64());
    }
    println!("{name:<28} {:>7.2} µs a pod, {bytes} bytes", best * 1e6 / f64::from(PODS));
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pods: Vec<Vec<u8>> = (0..PODS).map(|number| daemon_pod(number).to_string().into_bytes()).collect();
    let kind = kind("v1", "Pod").ok_or("no pods")?;
    let encoded: Vec<Vec<u8>> = pods.iter().map(|pod| object(pod)).collect::<Result<_, _>>()?;
    let mut out = Vec::new();
    measure("copy JSON", &pods, |pod| {
        out.clear();
        out.extend_from_slice(pod);
        out.len()
    });
    measure("encode protobuf", &pods, |pod| {
        out.clear();
        let _ = push_item(&mut out, kind, pod);
        out.len()
    });
    measure("read JSON", &pods, |pod| serde_json::from_slice::<Value>(pod).map_or(0, |_| pod.len()));
    let limits = Limits { size_max: 1 << 20, depth_max: 100 };
    measure("decode protobuf to JSON", &encoded, |pod| to_json(pod, limits).map_or(0, |_| pod.len()));
    Ok(())
}
