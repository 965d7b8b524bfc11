//! A port that two processes of one user listen on, so that a new one answers before the old one
//! ends (`reuse_port`).
//!
//! Linux gives each new connection to one of the sockets of a port, by a hash. What waits in the
//! queue of a socket is reset when that socket closes, and so is a connection whose handshake ends
//! after that (unless `net.ipv4.tcp_migrate_req` is set, which is not usual). So the old process
//! must get no new connections before it closes its socket. The new one sees to that: it gives the
//! port a program that names the second socket. Sockets have the order in which they came, and one
//! that closes leaves its number to the last one: with two processes the second is the newer one,
//! and with one process there is no second, so that Linux falls back to its hash.

use nix::{
    libc::{sock_filter, sock_fprog},
    sys::socket::{setsockopt, sockopt::AttachReusePortCbpf},
};
use std::{io, os::fd::AsFd};

/// `BPF_RET | BPF_K`: the answer is a constant.
const RETURN: u16 = 0x06;
/// The second socket.
const NEWER: u32 = 1;

/// Sends all connections from now on to the newer one of two sockets.
pub(super) fn prefer_newer(socket: &impl AsFd) -> io::Result<()> {
    let mut program = [sock_filter {
        code: RETURN,
        jt: 0,
        jf: 0,
        k: NEWER,
    }];
    let program = sock_fprog {
        len: 1,
        filter: program.as_mut_ptr(),
    };
    setsockopt(socket, AttachReusePortCbpf, &program).map_err(io::Error::from)
}
