//! The node agent: it makes one machine's containers match the pods that are bound to it.
//!
//! How it is put together, in reading order:
//!
//! ```text
//! ports      the traits between the parts below, and the small values they exchange
//! config     what the agent is told: names, addresses, directories, limits
//! cri/       the container runtime behind the `Runtime` trait: CRI over a socket, or a fake
//! admission  what this node refuses: pods that do not fit, sysctls that reach beyond the pod,
//!            other systems
//! sync/      PURE: pod + observed containers + memory + now -> actions and the pod's status
//! worker/    one task per pod owns its memory and executes its actions; dispatcher and relist
//! container/ from a container of a pod to the runtime's configuration
//! env/       environment of a container (fieldRef, resourceFieldRef, config and secret refs)
//! volumes/   the pod's volumes on disk, and the mounts of a container
//! files      opening what pods can put something else in place of
//! probes/    liveness, readiness and startup probes
//! logs/      reading and rotating container logs
//! storage/   what pods use of the disk, and the end of those that use too much
//! network    makes the runtime notice a network configuration
//! server/    the agent's own HTTPS server: logs, exec, attach, port-forward
//! node/      the Node object: registration, status, lease
//! pods       the node's pods, from the API server
//! writer     pod statuses and deletions, to the API server
//! host/      cgroups, directories, hosts files, termination messages
//! agent      wires all of them to an API server
//! ```
//!
//! What is not here: networks and images themselves (the runtime's work), scheduling, any decision
//! about which pods belong on the node.

pub mod admission;
pub mod agent;
pub mod config;
pub mod container;
pub mod cri;
mod events;
mod files;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod host;
pub mod logs;
mod network;
mod pods;
pub mod ports;
pub mod server;
mod storage;
pub mod sync;
mod view;
pub mod worker;
mod writer;

pub mod env;
pub mod forward;
pub mod node;
pub mod probes;
pub mod volumes;
