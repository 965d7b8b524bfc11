//! Users and their browsers. Each request carries the groups that its user has at that moment, goes to whichever replica chance says, and its login is used at once and
//! once more a little later, as a gateway with a slow request would.

use crate::{
    Chance, World,
    known::waited_for_a_boundary,
    late::write_late,
    meddler::meddle,
    support::{
        http::{Answer, Server},
        stage::question,
    },
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use elastauth::demo::standin::StandIn;
use http::{HeaderValue, header};
use std::{
    collections::BTreeSet,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};

/// Users whose groups never change, and users whose groups do.
pub(crate) const STEADY: usize = 120;
pub(crate) const CHANGING: usize = 240;
const CLIENTS: u64 = 24;
/// How many of them come through the gateway, and see what the cluster itself says of their login.
const THROUGH_GATEWAY: u64 = 6;
/// How long after an answer its login is used for the last time. Well within the grace.
pub(crate) const LATER: u64 = 150;

/// Groups that a user may have, with the roles that they give beside `viewer`.
const GROUPS: [(&str, &[&str]); 4] =
    [("", &[]), ("dev", &["editor"]), ("ops", &["monitoring_user"]), ("dev,ops", &["editor", "monitoring_user"])];

/// Who has which groups now.
pub(crate) struct Directory {
    users: Vec<Mutex<User>>,
}

struct User {
    name: String,
    groups: usize,
    /// For each set of groups: when a request with it was last about, and how many are.
    seen: [Option<Instant>; GROUPS.len()],
    about: [u32; GROUPS.len()],
    /// Whether some replica has let the user in: from then on a refusal needs a reason.
    known: bool,
    /// Nobody asks for him: somebody is changing him in the cluster.
    aside: bool,
}

impl Directory {
    pub(crate) fn new() -> Self {
        let users = (0..STEADY + CHANGING).map(|n| {
            let name = if n < STEADY { format!("steady-{n}") } else { format!("changing-{n}") };
            Mutex::new(User {
                name,
                groups: n % GROUPS.len(),
                seen: [None; GROUPS.len()],
                about: [0; GROUPS.len()],
                known: false,
                aside: false,
            })
        });
        Self { users: users.collect() }
    }

    /// Waits until nobody asks for the user and no login of his is in use; his name, if he is known.
    pub(crate) async fn take_aside(&self, place: usize) -> Option<String> {
        self.users[place].lock().unwrap().aside = true;
        while self.users[place].lock().unwrap().about.iter().any(|about| *about > 0) {
            sleep(Duration::from_millis(5)).await;
        }
        sleep(Duration::from_millis(2 * LATER)).await;
        let user = self.users[place].lock().unwrap();
        user.known.then(|| user.name.clone())
    }

    /// Gives him groups that come to other roles than those that stand in the cluster.
    pub(crate) fn give_other_groups(&self, place: usize, cluster: &StandIn, chance: &mut Chance) -> &'static str {
        let mut user = self.users[place].lock().unwrap();
        let standing: BTreeSet<String> = cluster.user(&user.name).into_iter().flat_map(|user| user.roles).collect();
        let others: Vec<usize> = (0..GROUPS.len()).filter(|groups| roles(*groups) != standing).collect();
        user.groups = others[usize::try_from(chance.below(others.len() as u64)).unwrap()];
        GROUPS[user.groups].0
    }

    /// How long ago somebody asked for this user with other groups.
    pub(crate) fn other_groups(&self, place: usize, groups: usize) -> Option<Duration> {
        let user = self.users[place].lock().unwrap();
        let others = (0..GROUPS.len()).filter(|other| *other != groups);
        others.filter_map(|other| if user.about[other] > 0 { Some(Duration::ZERO) } else { user.seen[other].map(|at| at.elapsed()) }).min()
    }

    pub(crate) fn let_back(&self, place: usize) {
        self.users[place].lock().unwrap().aside = false;
    }
}

pub(crate) fn start(world: &Arc<World>, gateway: &Server, seed: u64) -> Vec<JoinHandle<()>> {
    let changes = tokio::spawn(change_groups(Arc::clone(world), Chance::new(seed, 1)));
    let clients = (0..CLIENTS).map(|n| {
        let gateway = (n < THROUGH_GATEWAY).then(|| gateway.clone());
        tokio::spawn(client(Arc::clone(world), gateway, Chance::new(seed, 100 + n)))
    });
    let meddler = tokio::spawn(meddle(Arc::clone(world), Chance::new(seed, 5)));
    let late = tokio::spawn(write_late(Arc::clone(world), Chance::new(seed, 6)));
    clients.chain([changes, meddler, late]).collect()
}

/// Somebody gets other groups many times a second: back to those that a replica may remember, before it has forgotten them.
async fn change_groups(world: Arc<World>, mut chance: Chance) {
    while Instant::now() < world.end {
        let place = STEADY + usize::try_from(chance.below(CHANGING as u64)).unwrap();
        world.directory.users[place].lock().unwrap().groups = usize::try_from(chance.below(GROUPS.len() as u64)).unwrap();
        world.report.count("changes of groups");
        sleep(Duration::from_millis(10 + chance.below(40))).await;
    }
}

async fn client(world: Arc<World>, gateway: Option<Server>, mut chance: Chance) {
    while Instant::now() < world.end {
        // Some come often: the same user through several connections at once, too.
        let user = match chance.below(4) {
            0 => chance.below(8) * 25,
            1 => STEADY as u64 + chance.below(CHANGING as u64),
            _ => chance.below((STEADY + CHANGING) as u64),
        };
        visit(&world, usize::try_from(user).unwrap(), gateway.as_ref(), None, &mut chance).await;
        sleep(Duration::from_millis(20 + chance.below(60))).await;
    }
}

/// One request of this user, through the gateway or to a replica; to this one first, if it is still there.
pub(crate) async fn visit(world: &Arc<World>, place: usize, gateway: Option<&Server>, first: Option<SocketAddr>, chance: &mut Chance) {
    let (name, groups, known) = {
        let mut user = world.directory.users[place].lock().unwrap();
        if user.aside {
            return;
        }
        let groups = user.groups;
        user.about[groups] += 1;
        (user.name.clone(), groups, user.known)
    };
    let asked = Instant::now();
    if let Some(gateway) = gateway {
        through(world, gateway, place, groups, &name, known).await;
        return leave(&mut world.directory.users[place].lock().unwrap(), groups);
    }
    let answer = ask(world, &name, GROUPS[groups].0, first, chance).await;
    match answer {
        Some((answer, by)) if answer.status == 200 => {
            world.report.count("granted");
            if world.sky.lock().unwrap().cluster_is_in_trouble() {
                world.report.count("granted while the cluster did not do its part");
            }
            world.report.answered(asked.elapsed());
            world.known.granted(by, place, groups);
            let login = answer.headers.get(header::AUTHORIZATION).cloned();
            use_login(world, place, groups, &name, login.as_ref(), by, "at once");
            let mut user = world.directory.users[place].lock().unwrap();
            user.known = true;
            leave(&mut user, groups);
            drop(user);
            let (world, later) = (Arc::clone(world), Duration::from_millis(20 + chance.below(LATER - 20)));
            tokio::spawn(async move {
                sleep(later).await;
                use_login(&world, place, groups, &name, login.as_ref(), by, "later");
            });
        }
        other => {
            leave(&mut world.directory.users[place].lock().unwrap(), groups);
            let (answer, by) = other.unzip();
            if by.is_some_and(|by| world.known.has_to_answer(world, by, place, &name, groups, asked)) {
                let told = answer.map(|answer| answer.text());
                world
                    .report
                    .violation("failed answer", format!("{name} was known to the replica, asked {:?} ago: {told:?}", asked.elapsed()));
            } else {
                refused(world, &name, known, asked, by, answer.as_ref());
            }
            world.known.failed(place);
        }
    }
}

/// Asks the cluster through the gateway who is asking. The answer is the cluster's own, to the login that the gateway has put on.
async fn through(world: &World, gateway: &Server, place: usize, groups: usize, name: &str, known: bool) {
    let asked = Instant::now();
    let identity = [("remote-user", name), ("remote-groups", GROUPS[groups].0)];
    let answer = gateway.try_ask(http::Method::GET, "/_security/_authenticate", &identity, None).await;
    let sky = world.sky.lock().unwrap().clone();
    match answer {
        Ok(answer) if answer.status == 200 => {
            world.report.count("answered by the cluster through the gateway");
            let told = answer.json();
            if told["username"] != name {
                world.report.violation("wrong identity", format!("{name} is {} to the cluster", told["username"]));
            }
            let roles = told["roles"].as_array().into_iter().flatten().filter_map(|role| role.as_str().map(str::to_owned)).collect();
            judge_roles(world, place, groups, name, &roles, None, "through the gateway");
        }
        // The cluster's own challenge, and not ours.
        Ok(answer) if answer.status == 401 && !sky.security_is_away(asked) => {
            rejected(world, name, None, &format!("through the gateway: {}", answer.text()));
        }
        // Traefik's own word where the connection to elastauth breaks under a question.
        Ok(answer) if answer.status == 500 && answer.body.is_empty() && sky.a_replica_was_killed() => {
            world.report.allowed("failed answer", "the replica was killed under the gateway's question");
        }
        other => {
            world.known.failed(place);
            refused(world, name, known, asked, None, other.ok().as_ref());
        }
    }
}

fn leave(user: &mut User, groups: usize) {
    user.about[groups] -= 1;
    user.seen[groups] = Some(Instant::now());
}

/// As a gateway with a balancer in front of the replicas: where nobody listens, or a connection breaks, the next one is asked. Who has answered comes back, too.
async fn ask(world: &World, user: &str, groups: &str, first: Option<SocketAddr>, chance: &mut Chance) -> Option<(Answer, SocketAddr)> {
    let gateways = world.gateways.read().unwrap().clone();
    let any = usize::try_from(chance.below(gateways.len() as u64)).unwrap();
    let start = first.and_then(|first| gateways.iter().position(|gateway| gateway.address() == first)).unwrap_or(any);
    for n in 0..gateways.len() {
        let gateway = &gateways[(start + n) % gateways.len()];
        let asked = question("/elastauth", &[("remote-user", user.as_bytes()), ("remote-groups", groups.as_bytes())]);
        let begun = Instant::now();
        match gateway.send(asked).await {
            Ok(answer) => return Some((answer, gateway.address())),
            Err(fault) if is_refusal(&*fault) => world.report.count("asked another replica, as nobody listened"),
            Err(_) if world.was_killed(gateway) => world.report.allowed("question without an answer", "the replica was killed under it"),
            Err(_) if world.report.has_stalled_since(begun) => {
                world.report.allowed("question without an answer", "the machine stood still");
            }
            // Whoever is told to end, and whoever is not, answers what it has taken.
            Err(fault) => world.report.violation("failed answer", format!("{user}: the connection broke under the question: {fault:?}")),
        }
    }
    None
}

/// Whether nobody has taken the connection: then nobody has heard the question.
fn is_refusal(fault: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    fault.downcast_ref::<io::Error>().is_some_and(|fault| fault.kind() == io::ErrorKind::ConnectionRefused)
}

fn refused(world: &World, name: &str, known: bool, asked: Instant, by: Option<SocketAddr>, answer: Option<&Answer>) {
    let what = if known { "failed answer" } else { "failed first login" };
    let sky = world.sky.lock().unwrap().clone();
    match world.lates.holds_up(name, by, asked).or_else(|| sky.excuse(asked)) {
        Some(why) => world.report.allowed(what, why),
        None if waited_for_a_boundary(name, asked) => {
            world.report.allowed(what, "it had to wait for a boundary, and the machine was slow after it");
        }
        None if world.report.has_stalled_since(asked) => world.report.allowed(what, "the machine stood still"),
        None => {
            let told = answer.map_or("no replica answered".to_owned(), |answer| format!("{} {}", answer.status, answer.text()));
            world.report.violation("failed answer", format!("{name} after {:?}: {told}; weather: {sky:?}", asked.elapsed()));
        }
    }
}

fn rejected(world: &World, name: &str, by: Option<SocketAddr>, told: &str) {
    if let Some(why) = world.lates.found_late(name, by) {
        world.report.allowed("rejected login", why);
    } else if world.report.has_stalled_since(Instant::now()) {
        world.report.allowed("rejected login", "the machine stood still");
    } else {
        let sky = world.sky.lock().unwrap().clone();
        world.report.violation("rejected login", format!("{name}, {told}; weather: {sky:?}"));
    }
}

/// Uses a login against the cluster, and looks which roles stand there at that moment.
fn use_login(world: &World, place: usize, groups: usize, name: &str, login: Option<&HeaderValue>, by: SocketAddr, when: &'static str) {
    world.report.count(if when == "later" { "used later" } else { "used at once" });
    let pair = login.and_then(|login| login.to_str().ok()?.strip_prefix("Basic ").map(str::to_owned));
    let pair = pair.and_then(|encoded| String::from_utf8(STANDARD.decode(encoded).ok()?).ok());
    let Some((who, _)) = pair.as_deref().and_then(|pair| pair.split_once(':')) else {
        return world.report.violation("wrong identity", format!("{name}: no login at all"));
    };
    if who != name {
        return world.report.violation("wrong identity", format!("{name} got a login of {who}"));
    }
    let accepted = login.is_some_and(|login| world.cluster.accepts(login));
    let standing = world.cluster.user(name).map(|user| user.roles.into_iter().collect::<BTreeSet<_>>()).unwrap_or_default();
    if !accepted {
        rejected(world, name, Some(by), &format!("used {when}"));
    }
    judge_roles(world, place, groups, name, &standing, Some(by), when);
}

/// Holds the roles that stand in the cluster against those that the request's groups give.
fn judge_roles(
    world: &World,
    place: usize,
    groups: usize,
    name: &str,
    standing: &BTreeSet<String>,
    by: Option<SocketAddr>,
    when: &'static str,
) {
    let sky = world.sky.lock().unwrap().clone();
    let given = roles(groups);
    let (excess, missing) = (standing.difference(&given).count(), given.difference(standing).count());
    if excess + missing == 0 {
        return;
    }
    // Two requests with different groups at once, or shortly after each other, pull at one user: that is the documented bound between replicas.
    let other = world.directory.other_groups(place, groups);
    let what = if excess > 0 { "excess roles" } else { "missing roles" };
    let later = if when == "later" { Duration::from_millis(LATER) } else { Duration::ZERO };
    if other.is_some_and(|ago| ago < Duration::from_secs(1) + later) {
        world.report.allowed(what, "another request of the user with other groups within a second");
    } else if let Some(why) = world.lates.found_late(name, by) {
        world.report.allowed(what, why);
    } else if sky.unheard().is_some_and(|bound| other.is_some_and(|ago| ago < bound + later)) {
        world.report.allowed(what, "Redis was away, and memory is believed for ten seconds");
    } else if world.report.has_stalled_since(Instant::now()) {
        world.report.allowed(what, "the machine stood still");
    } else {
        world.report.violation(
            what,
            format!("{name}, used {when}: {standing:?} stands, {given:?} is given, others {other:?} ago; weather: {sky:?}"),
        );
    }
}

/// What these groups give.
fn roles(groups: usize) -> BTreeSet<String> {
    GROUPS[groups].1.iter().chain(&["viewer"]).map(|role| (*role).to_owned()).collect()
}
