//! A real Traefik with the guide's own file in front of everything. Between it and the replicas
//! stands what a Service of Kubernetes would be: a connection goes to any replica that takes it.

use crate::{
    World,
    cluster::Cluster,
    support::guide,
    support::traefik::Traefik,
    support::{http::Server, stage::GATEWAY_KEY},
};
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};
use tokio::net::{TcpListener, TcpStream};

/// Starts it. Identities are the client's own: who vouches for them is another test's.
pub(crate) async fn start(world: &Arc<World>) -> Traefik {
    let replicas = Arc::clone(world);
    let port = balanced(
        move || {
            replicas
                .gateways
                .read()
                .unwrap()
                .iter()
                .map(Server::address)
                .collect()
        },
        Order::InTurn,
    )
    .await;
    let cluster = match &world.cluster {
        Cluster::StandIn(cluster) => cluster.url(),
        Cluster::Nodes(nodes) => {
            let nodes = Arc::clone(nodes);
            format!(
                "http://127.0.0.1:{}",
                balanced(move || nodes.addresses(), Order::AsGiven).await
            )
        }
    };
    let dynamic = guide::file(
        "traefik/dynamic.yml",
        &[
            (
                "middlewares: [clean, authelia, gateway-key, elastauth, forget]",
                "middlewares: [gateway-key, elastauth, forget]",
            ),
            ("http://elastauth:5000", &format!("http://127.0.0.1:{port}")),
            ("http://elasticsearch:9200", &cluster),
        ],
    );
    Traefik::start(&dynamic, &[], &[("GATEWAY_KEY", GATEWAY_KEY)]).await
}

/// Which of several addresses a connection goes to first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    InTurn,
    AsGiven,
}

/// The port of a balancer. A connection goes to the first address that takes it.
async fn balanced(addresses: impl Fn() -> Vec<SocketAddr> + Send + 'static, order: Order) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("a listener");
    let port = listener.local_addr().expect("its address").port();
    tokio::spawn(async move {
        for turn in 0_usize.. {
            let Ok((mut client, _)) = listener.accept().await else {
                return;
            };
            let mut addresses = addresses();
            if order == Order::InTurn && !addresses.is_empty() {
                let first = turn % addresses.len();
                addresses.rotate_left(first);
            }
            tokio::spawn(async move {
                for address in addresses {
                    if let Ok(mut server) = TcpStream::connect(address).await {
                        let _either_may_hang_up =
                            tokio::io::copy_bidirectional(&mut client, &mut server).await;
                        return;
                    }
                }
            });
        }
    });
    port
}
