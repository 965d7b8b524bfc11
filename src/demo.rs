//! The demonstration: everything on one machine, on real sockets, told as it goes.

pub mod standin;
