//! The server over a real socket with TLS, spoken to by a small client of our own and by real kubectl.

mod access;
mod kubectl;
mod lists;
mod matrix;
mod pods;
mod support;
mod verbs;
mod watches;
