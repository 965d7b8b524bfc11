//! Proxy mode on the running program, in front of an upstream of the test's own that keeps every
//! byte.

mod cut;
mod floods;
mod framing;
mod limits;
mod passing;
mod seen;
mod servers;
pub(crate) mod setup;
