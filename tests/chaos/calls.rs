//! How often elastauth calls the cluster, by its own count: there must be no storm when a node goes
//! or comes back.

use crate::support::{Why, pause};
use crate::{World, support::http::Answer, support::stage::GATEWAY_KEY};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::time::Instant;

/// Looks at the numbers of every replica once a second until the end.
pub(crate) async fn watch(world: Arc<World>) {
    // By address: a replica that starts again is another one, and counts from nothing.
    let mut before: BTreeMap<_, u64> = BTreeMap::new();
    while Instant::now() < world.end {
        let begun = Instant::now();
        let phase = world
            .cluster
            .nodes()
            .map_or("", |nodes| nodes.health().phase());
        let gateways = world.gateways.read().unwrap().clone();
        let mut now = BTreeMap::new();
        for gateway in &gateways {
            let answer = gateway
                .try_ask(
                    http::Method::GET,
                    "/elastauth/metrics",
                    &[("x-elastauth-key", GATEWAY_KEY)],
                    None,
                )
                .await;
            if let Ok(answer) = answer {
                now.insert(gateway.address(), calls(&answer));
            }
        }
        let fresh: u64 = now
            .iter()
            .filter_map(|(address, calls)| calls.checked_sub(*before.get(address)?))
            .sum();
        if before.len() == now.len() && before.keys().eq(now.keys()) {
            world.report.called(phase, fresh);
        }
        before = now;
        pause(
            Why::Pace,
            Duration::from_secs(1).saturating_sub(begun.elapsed()),
        )
        .await;
    }
}

fn calls(answer: &Answer) -> u64 {
    let text = answer.text();
    let lines = text
        .lines()
        .filter(|line| line.starts_with("elastauth_cluster_calls_total{"));
    lines
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum()
}
