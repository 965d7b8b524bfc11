//! The running demonstration: elastauth, the stand-in cluster, the gateway and its page.

use super::{
    error::DemoError,
    gateway::Gateway,
    site::{News, Site, accept},
    standin::StandIn,
};
use crate::shutdown::Tasks;
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};
use tokio::{net::TcpListener, sync::mpsc};

/// The gateway in front of a running elastauth, with its page.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) site: Arc<Site>,
    pub(super) addr: SocketAddr,
    pub(super) news: mpsc::Receiver<News>,
}

impl Stage {
    pub(super) async fn open(
        listen: Option<SocketAddr>,
        elastauth: SocketAddr,
        standin: StandIn,
        tasks: &Tasks,
    ) -> Result<Self, DemoError> {
        let listen = listen.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let listener = TcpListener::bind(listen).await.map_err(DemoError::Listen)?;
        let addr = listener.local_addr().map_err(DemoError::Listen)?;
        // As many as a terminal can fall behind.
        let (sender, news) = mpsc::channel(64);
        let site = Arc::new(Site {
            gateway: Gateway::new(elastauth, standin),
            news: sender,
        });
        tasks.spawn(accept(listener, Arc::clone(&site), tasks.clone()));
        Ok(Self { site, addr, news })
    }
}
