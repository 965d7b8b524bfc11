//! Proxy mode on the running program, in front of an upstream of the test's own that keeps every
//! byte.

mod clients;
mod cross_origin;
mod cut;
mod doctor;
mod early;
mod ending;
mod failures;
mod floods;
mod framing;
mod gone;
mod limits;
mod login;
mod mixing;
mod operators;
mod passing;
mod seen;
mod servers;
pub(crate) mod setup;
mod streams;
mod tls;
mod tunnels;
