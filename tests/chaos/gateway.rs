//! A real Traefik with the guide's own file in front of everything. Between it and the replicas stands what a Service of Kubernetes would be: a connection goes to any
//! replica that takes it.

use crate::{
    World, guide,
    support::{http::Server, stage::GATEWAY_KEY},
    traefik::Traefik,
};
use std::{net::Ipv4Addr, sync::Arc};
use tokio::net::{TcpListener, TcpStream};

/// Starts it. Identities are the client's own: who vouches for them is another test's.
pub(crate) async fn start(world: &Arc<World>) -> Traefik {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a listener");
    let port = listener.local_addr().expect("its address").port();
    tokio::spawn(balance(listener, Arc::clone(world)));
    let dynamic = guide::file(
        "traefik/dynamic.yml",
        &[
            ("middlewares: [clean, authelia, gateway-key, elastauth, forget]", "middlewares: [gateway-key, elastauth, forget]"),
            ("http://elastauth:5000", &format!("http://127.0.0.1:{port}")),
            ("http://elasticsearch:9200", &world.cluster.url()),
        ],
    );
    Traefik::start(&dynamic, &[], &[("GATEWAY_KEY", GATEWAY_KEY)]).await
}

async fn balance(listener: TcpListener, world: Arc<World>) {
    for turn in 0_usize.. {
        let Ok((mut client, _)) = listener.accept().await else { return };
        let world = Arc::clone(&world);
        tokio::spawn(async move {
            let gateways: Vec<Server> = world.gateways.read().unwrap().clone();
            for n in 0..gateways.len() {
                if let Ok(mut replica) = TcpStream::connect(gateways[(turn + n) % gateways.len()].address()).await {
                    let _either_may_hang_up = tokio::io::copy_bidirectional(&mut client, &mut replica).await;
                    return;
                }
            }
        });
    }
}
