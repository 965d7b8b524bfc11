//! The ports that tests get for programs which cannot choose one themselves.

use crate::support::ports::{self, Closed, free_port};
use std::{
    net::{Ipv4Addr, TcpListener, UdpSocket},
    os::unix::{fs::MetadataExt as _, process::CommandExt as _},
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};
use tokio::net::TcpStream;

/// A child has copies of all sockets from its fork until it runs its own program. A port that was
/// tried by binding it is taken as long as one of them has it.
#[test]
fn a_port_is_not_lost_to_a_child_that_has_not_begun() {
    let over = AtomicBool::new(false);
    // A user id, even our own, makes the standard library fork and not spawn, which takes longer.
    let ours = std::fs::metadata(crate::support::process::folder())
        .unwrap()
        .uid();
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let _ = Command::new("true").uid(ours).status();
                }
            });
        }
        let lost: Vec<_> = (0..200)
            .filter_map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, free_port())).err())
            .collect();
        over.store(true, Ordering::Relaxed);
        assert!(lost.is_empty(), "{lost:?}");
    });
}

#[test]
fn no_other_test_process_gets_the_port() {
    let (one, two) = (free_port(), free_port());
    assert_ne!(one, two);
    for port in [one, two] {
        let claim = UdpSocket::bind((Ipv4Addr::LOCALHOST, port));
        assert!(claim.is_err(), "what another process would claim");
    }
}

#[tokio::test]
async fn a_listener_keeps_its_port_after_its_end() {
    let listener = ports::listener().await;
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    assert!(UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_err());
}

#[tokio::test]
async fn a_closed_port_refuses_until_it_is_opened_and_is_nobody_elses() {
    let closed = Closed::new();
    let port = closed.port;
    let connect = async || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await;
    assert!(connect().await.is_err());
    assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_err());
    let _listener = closed.open();
    connect().await.unwrap();
}
