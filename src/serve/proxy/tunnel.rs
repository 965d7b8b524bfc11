//! A connection that has changed to another protocol: bytes both ways, until one side ends.

use super::exchange::Exchange;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;

/// Joins the client's connection and the cluster's. Both are free once the client has got its 101.
pub(super) async fn run(client: OnUpgrade, cluster: OnUpgrade, exchange: Exchange) {
    let both = futures_util::future::try_join(client, cluster);
    match both.await {
        Ok((client, cluster)) => {
            let (mut client, mut cluster) = (TokioIo::new(client), TokioIo::new(cluster));
            if let Err(error) = copy_bidirectional(&mut client, &mut cluster).await {
                tracing::debug!(%error, "a tunnel was cut");
            }
        }
        Err(error) => tracing::debug!(%error, "a tunnel did not begin"),
    }
    drop(exchange);
}
