//! Users and their browsers. Each request carries the groups that its user has at that moment, goes
//! to whichever replica chance says, and its login is used at once and once more a little later, as
//! a gateway with a slow request would.

use crate::support::{Why, pause};
use crate::{
    Chance, World,
    cluster::{Cluster, Seen},
    directory::{GROUPS, STEADY, Visit},
    judge::{judge_roles, refused, rejected, stands_in_an_older_period},
    late::write_late,
    meddler::meddle,
    support::{
        http::{Answer, Server},
        stage::question,
    },
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderValue, header};
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{task::JoinHandle, time::Instant};

const CLIENTS: u64 = 24;
/// How many of them come through the gateway, and see what the cluster itself says of their login.
const THROUGH_GATEWAY: u64 = 6;
/// How long after an answer its login is used for the last time. Well within the grace.
pub(crate) const LATER: u64 = 150;

pub(crate) fn start(world: &Arc<World>, gateway: &Server, seed: u64) -> Vec<JoinHandle<()>> {
    let mut tasks = vec![tokio::spawn(change_groups(
        Arc::clone(world),
        Chance::new(seed, 1),
    ))];
    tasks.extend((0..CLIENTS).map(|n| {
        let gateway = (n < THROUGH_GATEWAY).then(|| gateway.clone());
        tokio::spawn(client(
            Arc::clone(world),
            gateway,
            Chance::new(seed, 100 + n),
        ))
    }));
    tasks.push(tokio::spawn(meddle(
        Arc::clone(world),
        Chance::new(seed, 5),
    )));
    if let Cluster::StandIn(cluster) = &world.cluster {
        tasks.push(tokio::spawn(write_late(
            Arc::clone(world),
            cluster.clone(),
            Chance::new(seed, 6),
        )));
    }
    tasks
}

/// Somebody gets other groups many times a second: back to those that a replica may remember,
/// before it has forgotten them.
async fn change_groups(world: Arc<World>, mut chance: Chance) {
    let (least, more) = world.pace.change;
    while Instant::now() < world.end {
        let place = STEADY + usize::try_from(chance.below(world.pace.changing as u64)).unwrap();
        world.directory.give_any_groups(place, &mut chance);
        world.report.count("changes of groups");
        pause(Why::Pace, Duration::from_millis(least + chance.below(more))).await;
    }
}

async fn client(world: Arc<World>, gateway: Option<Server>, mut chance: Chance) {
    let (least, more) = world.pace.pause;
    // Not all in the same moment: in the first ones everybody is made.
    pause(Why::Pace, Duration::from_millis(chance.below(10 * more))).await;
    let changing = world.pace.changing as u64;
    while Instant::now() < world.end {
        // Some come often: the same user through several connections at once, too.
        let user = match chance.below(4) {
            0 => chance.below(8) * 25 % (STEADY as u64 + changing),
            1 => STEADY as u64 + chance.below(changing),
            _ => chance.below(STEADY as u64 + changing),
        };
        visit(
            &world,
            usize::try_from(user).unwrap(),
            gateway.as_ref(),
            None,
            &mut chance,
        )
        .await;
        pause(Why::Pace, Duration::from_millis(least + chance.below(more))).await;
    }
}

/// One request of this user, through the gateway or to a replica; to this one first, if it is still
/// there.
pub(crate) async fn visit(
    world: &Arc<World>,
    place: usize,
    gateway: Option<&Server>,
    first: Option<SocketAddr>,
    chance: &mut Chance,
) {
    let Some(mut visit) = world.directory.visit(place) else {
        return;
    };
    if visit.known {
        world.report.count("requests of known users");
    }
    if world.directory.stands_for(&visit, &world.pace) {
        world
            .report
            .count("requests of known users for whom nothing has to be written");
    }
    if let Some(gateway) = gateway {
        through(world, gateway, &visit).await;
        return world.directory.leave(&visit);
    }
    match ask(world, &visit.name, GROUPS[visit.groups].0, first, chance).await {
        Some((answer, by)) if answer.status == 200 => {
            visit.by = Some(by);
            world.report.count("granted");
            if world.is_in_trouble() {
                world
                    .report
                    .count("granted while the cluster did not do its part");
            }
            world.report.answered(visit.asked.elapsed());
            world.known.granted(by, place, visit.groups);
            world.directory.granted(&visit, &world.pace);
            let login = answer.headers.get(header::AUTHORIZATION).cloned();
            if let Some(login) = &login {
                world.past.granted(&visit.name, login);
            }
            let (later, node) = (
                Duration::from_millis(20 + chance.below(LATER - 20)),
                chance.below(2),
            );
            use_login(world, &visit, login.as_ref(), "at once", node).await;
            world.directory.leave(&visit);
            let world = Arc::clone(world);
            tokio::spawn(async move {
                pause(Why::Pace, later).await;
                use_login(&world, &visit, login.as_ref(), "later", node + 1).await;
                world.directory.used(&visit);
            });
        }
        other => {
            world.directory.leave(&visit);
            world.directory.failed(&visit);
            let (answer, by) = other.unzip();
            visit.by = by;
            if world.known.has_to_answer(world, &visit) {
                let detail = answer.map(|answer| answer.text());
                let detail = format!(
                    "{} was known to the replica, asked {:?} ago: {detail:?}",
                    visit.name,
                    visit.asked.elapsed()
                );
                world
                    .report
                    .violation("failed answer", detail + &world.cluster.detail());
            } else {
                refused(world, &visit, answer.as_ref());
            }
            world.known.failed(place);
        }
    }
}

/// Asks the cluster through the gateway who is asking. The answer is the cluster's own, to the
/// login that the gateway has put on.
async fn through(world: &World, gateway: &Server, visit: &Visit) {
    let (name, asked) = (visit.name.as_str(), visit.asked);
    let identity = [
        ("remote-user", name),
        ("remote-groups", GROUPS[visit.groups].0),
    ];
    let answer = gateway
        .try_ask(
            http::Method::GET,
            "/_security/_authenticate",
            &identity,
            None,
        )
        .await;
    let faults = world.faults.lock().unwrap().clone();
    let unwell = world
        .cluster
        .nodes()
        .and_then(|nodes| nodes.health().is_unwell(asked));
    match answer {
        Ok(answer) if answer.status == 200 => {
            world
                .report
                .count("answered by the cluster through the gateway");
            let body = answer.json();
            if body["username"] != name {
                world.report.violation(
                    "wrong identity",
                    format!("{name} is {} to the cluster", body["username"]),
                );
            }
            let roles = body["roles"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|role| role.as_str().map(str::to_owned))
                .collect();
            judge_roles(world, visit, &roles, "through the gateway");
        }
        // The cluster's own challenge, and not ours.
        Ok(answer) if answer.status == 401 && !faults.security_is_away(asked) => {
            rejected(
                world,
                visit,
                unwell,
                &format!("through the gateway: {}", answer.text()),
            );
        }
        // Traefik's own word where the connection to elastauth breaks under a question.
        Ok(answer)
            if answer.status == 500 && answer.body.is_empty() && faults.a_replica_was_killed() =>
        {
            world.report.allowed(
                "failed answer",
                "the replica was killed under the gateway's question",
            );
        }
        // And where one to a node does, or the node does not answer.
        Ok(answer) if answer.status == 502 && unwell.is_some() => {
            world.report.allowed(
                "failed answer",
                "the node ended under the gateway's request",
            );
        }
        Err(_) if unwell.is_some() => world.report.allowed(
            "failed answer",
            "the node kept the gateway's request for too long",
        ),
        other => {
            world.known.failed(visit.place);
            world.directory.failed(visit);
            refused(world, visit, other.ok().as_ref());
        }
    }
}

/// As a gateway with a balancer in front of the replicas: where nobody listens, or a connection
/// breaks, the next one is asked. Who has answered comes back, too.
async fn ask(
    world: &World,
    user: &str,
    groups: &str,
    first: Option<SocketAddr>,
    chance: &mut Chance,
) -> Option<(Answer, SocketAddr)> {
    let gateways = world.gateways.read().unwrap().clone();
    let any = usize::try_from(chance.below(gateways.len() as u64)).unwrap();
    let start = first
        .and_then(|first| {
            gateways
                .iter()
                .position(|gateway| gateway.address() == first)
        })
        .unwrap_or(any);
    for n in 0..gateways.len() {
        let gateway = &gateways[(start + n) % gateways.len()];
        let asked = question(
            "/elastauth",
            &[
                ("remote-user", user.as_bytes()),
                ("remote-groups", groups.as_bytes()),
            ],
        );
        let begun = Instant::now();
        match gateway.send(asked).await {
            Ok(answer) => return Some((answer, gateway.address())),
            Err(fault) if is_refusal(&*fault) => world
                .report
                .count("asked another replica, as nobody listened"),
            Err(_) if world.was_killed(gateway) => world.report.allowed(
                "question without an answer",
                "the replica was killed under it",
            ),
            Err(_) if world.report.has_stalled_since(begun) => {
                world
                    .report
                    .allowed("question without an answer", "the machine stood still");
            }
            // Whoever is asked to end, and whoever is not, answers what it has taken.
            Err(fault) => world.report.violation(
                "failed answer",
                format!("{user}: the connection broke under the question: {fault:?}"),
            ),
        }
    }
    None
}

/// Whether nobody has taken the connection: then nobody has heard the question.
fn is_refusal(fault: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    fault
        .downcast_ref::<io::Error>()
        .is_some_and(|fault| fault.kind() == io::ErrorKind::ConnectionRefused)
}

/// Uses a login against the cluster, and looks which roles stand there at that moment.
async fn use_login(
    world: &World,
    visit: &Visit,
    login: Option<&HeaderValue>,
    when: &'static str,
    node: u64,
) {
    let name = visit.name.as_str();
    world.report.count(if when == "later" {
        "used later"
    } else {
        "used at once"
    });
    let pair = login.and_then(|login| {
        login
            .to_str()
            .ok()?
            .strip_prefix("Basic ")
            .map(str::to_owned)
    });
    let pair = pair.and_then(|encoded| String::from_utf8(STANDARD.decode(encoded).ok()?).ok());
    let (Some(login), Some((who, _))) =
        (login, pair.as_deref().and_then(|pair| pair.split_once(':')))
    else {
        return world
            .report
            .violation("wrong identity", format!("{name}: no login at all"));
    };
    if who != name {
        return world
            .report
            .violation("wrong identity", format!("{name} got a login of {who}"));
    }
    match world.cluster.whoami(name, login, node).await {
        Seen::Taken { name: seen, roles } => {
            if seen != name {
                world
                    .report
                    .violation("wrong identity", format!("{name} is {seen} to the cluster"));
            }
            judge_roles(world, visit, &roles, when);
        }
        Seen::Refused { detail, standing } => {
            let late = "a write of an older period that was given up was carried out late";
            let why = stands_in_an_older_period(world, visit)
                .await
                .then_some(late);
            rejected(world, visit, why, &format!("used {when} {detail}"));
            if let Some(standing) = standing {
                judge_roles(world, visit, &standing, when);
            }
        }
        Seen::Unsaid(why) => world
            .report
            .allowed("login that could not be looked at", why),
    }
}
