//! What a gateway may meet at elastauth's address that is not a working elastauth.

use crate::message::Wire;
use std::{net::Ipv4Addr, sync::Arc};
use tokio::{
    net::{TcpListener, TcpStream},
    task::AbortHandle,
};

/// What it does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Takes the connection and says nothing.
    Silent,
    /// Closes the connection.
    Closes,
    /// Answers with these bytes, and closes the connection.
    Says(&'static str),
    /// Begins an answer and does not end it.
    Begins(&'static str),
}

/// A server with a fault for each user.
#[derive(Debug)]
pub(crate) struct Faulty {
    pub(crate) port: u16,
    task: AbortHandle,
}

impl Faulty {
    pub(crate) async fn start(by_user: Vec<(String, Fault)>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.expect("a listener");
        let port = listener.local_addr().expect("its address").port();
        let by_user = Arc::new(by_user);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&by_user)));
            }
        });
        Self {
            port,
            task: task.abort_handle(),
        }
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(stream: TcpStream, by_user: Arc<Vec<(String, Fault)>>) {
    let mut wire = Wire::new(stream);
    let Ok(Some(head)) = wire.head().await else {
        return;
    };
    let user = head.header("remote-user").unwrap_or_default();
    let Some((_, fault)) = by_user.iter().find(|(name, _)| name == user) else {
        return;
    };
    match fault {
        Fault::Closes => return,
        Fault::Silent => {}
        Fault::Says(bytes) => {
            let _whoever_asked_may_be_gone = wire.send(bytes.as_bytes()).await;
            return;
        }
        Fault::Begins(bytes) => {
            let _whoever_asked_may_be_gone = wire.send(bytes.as_bytes()).await;
        }
    }
    // Until the other side gives up.
    while wire.rest().await.is_ok_and(|bytes| !bytes.is_empty()) {}
}
