//! The server over a real socket with TLS, spoken to by a small client of our own and by real
//! kubectl and helm.

mod access;
mod agents;
mod attack;
mod custom_definitions;
mod custom_resources;
mod custom_scale;
mod descriptors;
mod fence;
mod handshakes;
mod helm;
mod hostile;
mod in_process;
mod joining;
mod kubectl;
mod lists;
mod managed_fields;
mod matrix;
mod placing;
mod pods;
mod programs;
mod protobuf;
mod recorded;
mod refused_bodies;
mod renewal;
mod roles;
mod room;
mod services;
mod store_health;
mod streams;
mod support;
mod system;
mod tokens;
mod verbs;
mod watches;
mod writes;
