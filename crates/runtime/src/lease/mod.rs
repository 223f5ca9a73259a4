//! Leader election through a `coordination.k8s.io/v1 Lease` (DS-F19): [`machine`] decides, this
//! file reads and writes, [`fenced`] is what the leader writes through.

mod fenced;
mod machine;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use everynode_api::fence::{Fence, FenceError};
use everynode_api::kinds;
use everynode_api::meta::Meta;
use everynode_api::ports::{Api, ApiError, Request, Target};
use everynode_api::time::rfc3339_micro;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;

use self::fenced::Fenced;
pub use self::machine::Timing;
use self::machine::{Machine, Record, Step};
use crate::clock::Env;
use crate::shutdown::Shutdown;

/// A candidate.
pub struct Election {
    api: Arc<dyn Api>,
    env: Env,
    lease: LeaseCandidate,
    timing: Timing,
    fenced: Arc<Fenced>,
}

/// Which Lease, and the candidate that wants it.
#[derive(Clone, Debug)]
pub struct LeaseCandidate {
    pub namespace: String,
    /// The Lease's name: candidates with the same one take part in the same election.
    pub name: String,
    /// Unique among the candidates, those of the past included: `HOST_UUID`.
    pub identity: String,
}

/// How a candidacy ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// We led and do no longer. The caller stops writing at once and exits (DS-F19).
    Lost,
    /// Shut down; the Lease was given up if it was ours.
    Released,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Lease {
    metadata: Meta,
    spec: Spec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    holder_identity: Option<String>,
    lease_duration_seconds: Option<u64>,
    acquire_time: Option<String>,
    renew_time: Option<String>,
    lease_transitions: Option<u64>,
}

impl Election {
    /// A candidate that writes to `api`. Fails if the names can not be part of a fence.
    pub fn new(api: Arc<dyn Api>, env: Env, lease: LeaseCandidate, timing: Timing) -> Result<Election, FenceError> {
        Fence::new(&lease.namespace, &lease.name, &lease.identity, 0)?;
        let fenced = Arc::new(Fenced::new(api.clone(), env.clone()));
        Ok(Election { api, env, lease, timing, fenced })
    }

    /// The API as the leader's work is to use it: what it writes counts only while we lead.
    pub fn leaders_api(&self) -> Arc<dyn Api> {
        self.fenced.clone()
    }

    /// Stands, and carries out `work` while leading. When leadership ends, `work` is told to stop
    /// and waited for; at shutdown the Lease is kept until it has stopped.
    pub async fn lead<W: Future<Output = ()>>(&self, shutdown: &Shutdown, work: impl FnOnce(Shutdown) -> W) -> End {
        let (leading, leads) = watch::channel(false);
        let (trigger, stop) = Shutdown::new();
        let (release, released) = Shutdown::new();
        let begun = AtomicBool::new(false);
        let working = async {
            // An error means that the election is over.
            if leads.clone().wait_for(|leads| *leads).await.is_ok() {
                begun.store(true, Ordering::Relaxed);
                work(stop).await;
            }
        };
        let mut working = std::pin::pin!(working);
        let mut standing = std::pin::pin!(self.run(&leading, &released));
        let lost = tokio::select! {
            biased;
            end = &mut standing => Some(end),
            () = shutdown.wait() => None,
            () = &mut working => {
                tracing::error!(lease = %self.lease.name, "the work of the leader ended by itself");
                return End::Lost;
            }
        };
        trigger.fire();
        let has_work = begun.load(Ordering::Relaxed);
        if let Some(end) = lost {
            if has_work {
                working.await;
            }
            return end;
        }
        if has_work {
            // Renewed to the last write; leadership may still be lost on the way.
            tokio::select! {
                biased;
                () = &mut working => {}
                end = &mut standing => {
                    working.await;
                    return end;
                }
            }
        }
        release.fire();
        standing.await
    }

    /// Stands until leadership is lost or shutdown. `leading` is true while we lead.
    pub async fn run(&self, leading: &watch::Sender<bool>, shutdown: &Shutdown) -> End {
        let mut machine = Machine::new(self.lease.identity.clone(), self.timing.clone());
        loop {
            let deadline = machine.deadline();
            tokio::select! {
                biased;
                () = shutdown.wait() => return self.leave(&mut machine, leading).await,
                () = self.fenced.lost() => return self.lose(leading),
                () = self.expire(deadline) => {}
                result = self.attempt(&mut machine) => {
                    if let Err(error) = result {
                        tracing::warn!(lease = %self.lease.name, %error, "cannot read or write the leader lease");
                    }
                }
            }
            let leads = machine.is_leader(self.env.now());
            if *leading.borrow() && !leads {
                return self.lose(leading);
            }
            if leads && !leading.send_replace(true) {
                tracing::info!(lease = %self.lease.name, identity = %self.lease.identity, "leading");
            }
            tokio::select! {
                biased;
                () = shutdown.wait() => return self.leave(&mut machine, leading).await,
                () = self.fenced.lost() => return self.lose(leading),
                () = self.env.sleep(self.pause(leads)) => {}
            }
        }
    }

    fn lose(&self, leading: &watch::Sender<bool>) -> End {
        tracing::error!(lease = %self.lease.name, "leadership was lost");
        self.fenced.end();
        leading.send_replace(false);
        End::Lost
    }

    /// Followers spread out a little, so that they do not all run for a free Lease at once.
    fn pause(&self, leads: bool) -> std::time::Duration {
        match leads {
            true => self.timing.retry_period,
            false => self.timing.retry_period / 2 + self.env.jitter(self.timing.retry_period / 2),
        }
    }

    async fn expire(&self, deadline: Option<jiff::Timestamp>) {
        match deadline {
            Some(deadline) => self.env.sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    }

    /// One reading and, if the Lease is ours or free, one writing. A conflict means that another
    /// one was faster; the next reading tells.
    async fn attempt(&self, machine: &mut Machine) -> Result<(), ApiError> {
        let lease = self.read().await?;
        let now = self.env.now();
        let Step::Write { record, exists } = machine.on_read(lease, now, &rfc3339_micro(now)) else {
            return Ok(());
        };
        match self.write(&record, exists).await {
            Ok(()) => {
                machine.on_written(now);
                self.fence(&record, machine);
            }
            Err(error) if error.is_conflict() || error.is_already_exists() => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// From now on, and until the deadline, the leader's writes pass.
    fn fence(&self, record: &Record, machine: &Machine) {
        let LeaseCandidate { namespace, name, identity } = &self.lease;
        // The names were checked at the beginning.
        if let (Ok(fence), Some(deadline)) =
            (Fence::new(namespace, name, identity, record.transitions), machine.deadline())
        {
            self.fenced.lead(fence, deadline);
        }
    }

    async fn leave(&self, machine: &mut Machine, leading: &watch::Sender<bool>) -> End {
        self.fenced.end();
        leading.send_replace(false);
        machine.on_released();
        let give_up = async {
            if let Ok(Some(lease)) = self.read().await
                && let Some(record) = machine.release(&lease, &rfc3339_micro(self.env.now()))
                && let Err(error) = self.write(&record, true).await
            {
                tracing::debug!(lease = %self.lease.name, %error, "cannot give up the leader lease");
            }
        };
        tokio::select! {
            biased;
            () = give_up => {}
            () = self.env.sleep(self.timing.retry_period) => {}
        }
        End::Released
    }

    fn target(&self) -> Target {
        Target::new(kinds::LEASE, &self.lease.namespace, &self.lease.name)
    }

    async fn read(&self) -> Result<Option<Record>, ApiError> {
        let answer = match self.api.call(Request::Get(self.target())).await {
            Ok(answer) => answer,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        let lease: Lease = serde_json::from_slice(&answer).map_err(|error| ApiError::Garbled(error.to_string()))?;
        Ok(Some(Record {
            holder: lease.spec.holder_identity.unwrap_or_default(),
            duration_seconds: lease.spec.lease_duration_seconds.unwrap_or(0),
            acquire_time: lease.spec.acquire_time.unwrap_or_default(),
            renew_time: lease.spec.renew_time.unwrap_or_default(),
            transitions: lease.spec.lease_transitions.unwrap_or(0),
            revision: lease.metadata.resource_version,
        }))
    }

    async fn write(&self, record: &Record, exists: bool) -> Result<(), ApiError> {
        let mut body = json!({
            "kind": "Lease",
            "apiVersion": "coordination.k8s.io/v1",
            "metadata": {"name": self.lease.name, "namespace": self.lease.namespace},
            "spec": {
                "holderIdentity": record.holder,
                "leaseDurationSeconds": record.duration_seconds,
                "acquireTime": time(&record.acquire_time),
                "renewTime": time(&record.renew_time),
                "leaseTransitions": record.transitions,
            },
        });
        let target = self.target();
        let request = match exists {
            true => {
                body["metadata"]["resourceVersion"] = record.revision.to_string().into();
                Request::Update { target, body }
            }
            false => Request::Create { target, body },
        };
        self.api.call(request).await.map(drop)
    }
}

/// An empty time is none.
fn time(text: &str) -> Value {
    match text {
        "" => Value::Null,
        text => text.into(),
    }
}
