//! A client that never stops asking: every node in turn, whether any pod of a set answers there.
//!
//! What counts as an outage is decided so that no race between asking and replacing can look like
//! one. A node is down if none of its pods answers, and none of those that a list names which was
//! fetched after that. Two nodes are down together if the first was down before and after the
//! second was.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use super::Space;
use super::workloads::text;

/// Until a pod of this machine has answered.
const ANSWER: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_millis(20);

/// What was found between the start and the end.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// Answers that came.
    pub(crate) answers: usize,
    /// Nodes that were down at some time.
    pub(crate) down: BTreeSet<String>,
    /// Pairs of nodes that were down at the same time.
    pub(crate) together: BTreeSet<String>,
}

/// Asks the pods of the set on these nodes, at this port, while the work is done.
pub(crate) fn while_asking(space: &Space<'_>, set: &str, nodes: &[&str], port: u16, work: impl FnOnce()) -> Asked {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            let mut round = Round { space, set, port, pods: BTreeMap::new(), asked: Asked::default() };
            while !stop.load(Ordering::Relaxed) {
                round.run(nodes);
                std::thread::sleep(PAUSE);
            }
            round.asked
        });
        let stopper = Stopper(&stop);
        work();
        drop(stopper);
        client.join().expect("the client does not fail")
    })
}

/// Ends the client also when the work fails.
struct Stopper<'a>(&'a AtomicBool);

impl Drop for Stopper<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Round<'a, 's> {
    space: &'a Space<'s>,
    set: &'a str,
    port: u16,
    /// Addresses of the set's pods by node, as last listed.
    pods: BTreeMap<String, Vec<String>>,
    asked: Asked,
}

impl Round<'_, '_> {
    fn run(&mut self, nodes: &[&str]) {
        let mut down: Vec<&str> = Vec::new();
        for node in nodes {
            if self.is_down(node) {
                self.asked.down.insert((*node).to_owned());
                down.push(node);
            }
        }
        let Some((last, before)) = down.split_last() else { return };
        for first in before.iter().filter(|first| self.is_down(first)).collect::<Vec<_>>() {
            self.asked.together.insert(format!("{first} and {last}"));
        }
    }

    /// While no list can be got, nothing is known.
    fn is_down(&mut self, node: &str) -> bool {
        !self.answers(node) && self.list() && !self.answers(node)
    }

    fn answers(&mut self, node: &str) -> bool {
        let addresses = self.pods.get(node).map(Vec::as_slice).unwrap_or_default();
        let answer = addresses.iter().any(|ip| get(ip, self.port).is_some_and(|answer| answer.contains(" 200 ")));
        self.asked.answers += usize::from(answer);
        answer
    }

    fn list(&mut self) -> bool {
        let Ok(pods) = self.space.pods(self.set) else { return false };
        self.pods.clear();
        let addressed = |pod: &&Value| pod["status"]["podIP"].is_string();
        for pod in pods.iter().filter(addressed) {
            let node = text(&pod["spec"]["nodeName"]).to_owned();
            self.pods.entry(node).or_default().push(text(&pod["status"]["podIP"]).to_owned());
        }
        true
    }
}

/// One request over plain HTTP.
fn get(ip: &str, port: u16) -> Option<String> {
    let address = format!("{ip}:{port}").parse().ok()?;
    let mut stream = TcpStream::connect_timeout(&address, ANSWER).ok()?;
    stream.set_read_timeout(Some(ANSWER)).ok()?;
    stream.write_all(format!("GET / HTTP/1.1\r\nHost: {ip}\r\n\r\n").as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
