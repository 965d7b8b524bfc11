//! For the benchmark: what any server of this machine pays for a request. It waits for sockets that
//! have something to read, reads, and writes the bytes that `bare_hyper` answers with. It looks at
//! nothing but the end of a head.
//!
//! `floor ADDRESS` serves until it is killed, on one thread.

use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream},
};
use std::{
    collections::HashMap,
    error::Error,
    io::{ErrorKind, Read as _, Write as _},
};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\n\
    authorization: Basic dXNlci0wOkVhMS1BQkNERUZHSElKS0xNTk9QUVJTVFVWV1hZWjAxMjM0NTY3ODlhYmNkZWZn\r\n\
    remote-user: user-0\r\nremote-groups: dev,ops\r\nremote-email: user-0@example.org\r\n\
    remote-name: User Zero\r\ncache-control: no-store\r\n\
    x-envoy-auth-headers-to-remove: es-security-runas-user\r\ncontent-length: 0\r\n\
    date: Tue, 01 Dec 2026 00:00:00 GMT\r\n\r\n";

const LISTENER: Token = Token(0);

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).ok_or("usage: floor ADDRESS")?;
    let mut listener = TcpListener::bind(address.parse()?)?;
    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(1_024));
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    let (mut streams, mut last) = (HashMap::new(), 0);
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() != LISTENER {
                let stream = streams.get_mut(&event.token());
                if !stream.is_some_and(answered) {
                    streams.remove(&event.token());
                }
                continue;
            }
            while let Ok((mut stream, _)) = listener.accept() {
                stream.set_nodelay(true)?;
                last += 1;
                let token = Token(last);
                poll.registry()
                    .register(&mut stream, token, Interest::READABLE)?;
                streams.insert(token, stream);
            }
        }
    }
}

/// Whether the connection goes on. A head that comes in pieces is answered at its last one.
fn answered(stream: &mut TcpStream) -> bool {
    let mut buffer = [0; 8_192];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return false,
            Ok(read) => {
                let part = buffer.get(..read).unwrap_or_default();
                if part.ends_with(b"\r\n\r\n") && stream.write_all(ANSWER).is_err() {
                    return false;
                }
                // There is an event for what comes after a read that has not filled the buffer.
                if read < buffer.len() {
                    return true;
                }
            }
            Err(why) => return why.kind() == ErrorKind::WouldBlock,
        }
    }
}
