//! The server over a real socket with TLS, spoken to by a small client of our own and by real kubectl.

mod access;
mod agents;
mod attack;
mod descriptors;
mod fence;
mod handshakes;
mod hostile;
mod in_process;
mod joining;
mod kubectl;
mod lists;
mod matrix;
mod placing;
mod pods;
mod refused_bodies;
mod renewal;
mod roles;
mod room;
mod services;
mod store_health;
mod streams;
mod support;
mod tokens;
mod verbs;
mod watches;
mod writes;
