//! Users and their browsers. Each request carries the groups that its user has at that moment, goes to whichever replica chance says, and its login is used at once and
//! once more a little later, as a gateway with a slow request would.

use crate::{
    Chance, Pace, World,
    cluster::Seen,
    meddler::meddle,
    support::{
        http::{Answer, Server},
        stage::question,
    },
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use elastauth::model::Username;
use http::{HeaderValue, header};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};

/// Users whose groups never change, and users whose groups do.
pub(crate) const STEADY: usize = 160;
const CHANGING: usize = 40;
const CLIENTS: u64 = 24;
/// How many of them come through the gateway, and see what the cluster itself says of their login.
const THROUGH_GATEWAY: u64 = 6;
/// How long after an answer its login is used for the last time. Well within the grace.
const LATER: u64 = 150;

/// Three seconds of reading, and the one for which a failure answers the same question: what one replica began before another made a user stand may fail for so long.
const A_FLIGHT: Duration = Duration::from_secs(4);

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
    /// Logins that are yet to be used once more.
    kept: u32,
    /// Whether some replica has let the user in: from then on a refusal needs a reason.
    known: bool,
    /// Nobody asks for him: somebody is changing him in the cluster.
    aside: bool,
    /// The password period in which he was last let in, and since when, until somebody changes him. Within it nothing has to be written for him.
    stands: Option<(u64, Instant)>,
    /// For each set of groups: when a request with it last failed, perhaps with a write under way.
    failed: [Option<Instant>; GROUPS.len()],
}

impl User {
    /// The number of the password period, counted as elastauth counts it.
    fn period(&self, pace: &Pace) -> u64 {
        let now = u64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
        let offset = Username::parse(&self.name).unwrap().place() % pace.rotation;
        (now + offset) / pace.rotation
    }
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
                kept: 0,
                known: false,
                aside: false,
                stands: None,
                failed: [None; GROUPS.len()],
            })
        });
        Self { users: users.collect() }
    }

    /// Waits until nobody asks for the user and no login of his is in use; his name, if he is known and not aside already.
    pub(crate) async fn take_aside(&self, place: usize) -> Option<String> {
        {
            let mut user = self.users[place].lock().unwrap();
            if user.aside || !user.known {
                return None;
            }
            user.aside = true;
        }
        let in_use = |user: &User| user.kept > 0 || user.about.iter().any(|about| *about > 0);
        while in_use(&self.users[place].lock().unwrap()) {
            sleep(Duration::from_millis(5)).await;
        }
        let mut user = self.users[place].lock().unwrap();
        user.stands = None;
        Some(user.name.clone())
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
    clients.chain([changes, meddler]).collect()
}

/// Somebody gets other groups many times a second: back to those that a replica may remember, before it has forgotten them.
async fn change_groups(world: Arc<World>, mut chance: Chance) {
    while Instant::now() < world.end {
        let place = STEADY + usize::try_from(chance.below(CHANGING as u64)).unwrap();
        world.directory.users[place].lock().unwrap().groups = usize::try_from(chance.below(GROUPS.len() as u64)).unwrap();
        world.report.count("changes of groups");
        let (least, more) = world.pace.change;
        sleep(Duration::from_millis(least + chance.below(more))).await;
    }
}

async fn client(world: Arc<World>, gateway: Option<Server>, mut chance: Chance) {
    // Not all in the same second: in the first ones everybody is made.
    sleep(Duration::from_millis(chance.below(10 * world.pace.pause.1))).await;
    while Instant::now() < world.end {
        // Some come often: the same user through several connections at once, too.
        let user = match chance.below(4) {
            0 => chance.below(8) * 25,
            1 => STEADY as u64 + chance.below(CHANGING as u64),
            _ => chance.below((STEADY + CHANGING) as u64),
        };
        visit(&world, usize::try_from(user).unwrap(), gateway.as_ref(), &mut chance).await;
        let (least, more) = world.pace.pause;
        sleep(Duration::from_millis(least + chance.below(more))).await;
    }
}

impl User {
    /// Whether nothing has to be written for a request of his that was asked then: he stands in this period, has for a moment, and always has the same groups.
    fn stands_for(&self, visit: &Visit, pace: &Pace) -> bool {
        let stood = visit.stood.is_some_and(|(period, since)| period == self.period(pace) && since + A_FLIGHT <= visit.asked);
        stood && visit.stood == self.stands && visit.place < STEADY
    }
}

/// One request of a user, as it was asked.
struct Visit {
    place: usize,
    name: String,
    groups: usize,
    /// Whether he was let in before.
    known: bool,
    /// The password period for which he stood in the cluster, if he did.
    stood: Option<(u64, Instant)>,
    asked: Instant,
}

async fn visit(world: &Arc<World>, place: usize, gateway: Option<&Server>, chance: &mut Chance) {
    let visit = {
        let mut user = world.directory.users[place].lock().unwrap();
        if user.aside {
            return;
        }
        let groups = user.groups;
        user.about[groups] += 1;
        let visit = Visit { place, name: user.name.clone(), groups, known: user.known, stood: user.stands, asked: Instant::now() };
        if user.known {
            world.report.count("requests of known users");
        }
        if user.stands_for(&visit, &world.pace) {
            world.report.count("requests of known users for whom nothing has to be written");
        }
        visit
    };
    if let Some(gateway) = gateway {
        through(world, gateway, &visit).await;
        return leave(&mut world.directory.users[place].lock().unwrap(), visit.groups);
    }
    let answer = ask(world, &visit.name, GROUPS[visit.groups].0, chance).await;
    match answer {
        Some(answer) if answer.status == 200 => {
            world.report.count("granted");
            world.report.answered(visit.asked.elapsed());
            let login = answer.headers.get(header::AUTHORIZATION).cloned();
            {
                let mut user = world.directory.users[place].lock().unwrap();
                user.known = true;
                let period = user.period(&world.pace);
                user.stands = user.stands.filter(|(stood, _)| *stood == period).or(Some((period, Instant::now())));
                user.kept += 1;
            }
            let (world, later, first) = (Arc::clone(world), Duration::from_millis(20 + chance.below(LATER - 20)), chance.below(2));
            let (again, used_again) = (Arc::clone(&world), login.clone());
            use_login(&world, &visit, login.as_ref(), "at once", first).await;
            leave(&mut world.directory.users[place].lock().unwrap(), visit.groups);
            tokio::spawn(async move {
                sleep(later).await;
                use_login(&again, &visit, used_again.as_ref(), "later", first + 1).await;
                again.directory.users[visit.place].lock().unwrap().kept -= 1;
            });
        }
        other => {
            leave(&mut world.directory.users[place].lock().unwrap(), visit.groups);
            refused(world, &visit, other.as_ref());
        }
    }
}

/// Asks the cluster through the gateway who is asking. The answer is the cluster's own, to the login that the gateway has put on.
async fn through(world: &World, gateway: &Server, visit: &Visit) {
    let (name, asked) = (visit.name.as_str(), visit.asked);
    let identity = [("remote-user", name), ("remote-groups", GROUPS[visit.groups].0)];
    let answer = gateway.try_ask(http::Method::GET, "/_security/_authenticate", &identity, None).await;
    let sky = world.sky.lock().unwrap().clone();
    let unwell = world.cluster.nodes().and_then(|nodes| nodes.health().is_unwell(asked));
    match answer {
        Ok(answer) if answer.status == 200 => {
            world.report.count("answered by the cluster through the gateway");
            let told = answer.json();
            if told["username"] != name {
                world.report.violation("wrong identity", format!("{name} is {} to the cluster", told["username"]));
            }
            let roles = told["roles"].as_array().into_iter().flatten().filter_map(|role| role.as_str().map(str::to_owned)).collect();
            judge_roles(world, visit, &roles, "through the gateway");
        }
        // The cluster's own challenge, and not ours.
        Ok(answer) if answer.status == 401 && !sky.security_is_away(asked) => {
            if let Some(why) = unwell {
                world.report.allowed("rejected login", why);
            } else if world.report.has_stalled() {
                world.report.allowed("rejected login", "the machine stood still");
            } else {
                world.report.violation(
                    "rejected login",
                    format!("{name}, through the gateway: {}; weather: {sky:?}{}", answer.text(), world.cluster.told()),
                );
            }
        }
        // Traefik's own word where the connection to elastauth breaks under a question.
        Ok(answer) if answer.status == 500 && answer.body.is_empty() && sky.a_replica_has_ended() => {
            world.report.allowed("failed answer", "the replica ended under the gateway's question");
        }
        // And where one to a node does, or the node does not answer.
        Ok(answer) if answer.status == 502 && unwell.is_some() => {
            world.report.allowed("failed answer", "the node ended under the gateway's request");
        }
        Err(_) if unwell.is_some() => world.report.allowed("failed answer", "the node kept the gateway's request for too long"),
        other => refused(world, visit, other.ok().as_ref()),
    }
}

fn leave(user: &mut User, groups: usize) {
    user.about[groups] -= 1;
    user.seen[groups] = Some(Instant::now());
}

/// As a gateway with a balancer in front of the replicas: where nobody listens, or a connection breaks, the next one is asked.
async fn ask(world: &World, user: &str, groups: &str, chance: &mut Chance) -> Option<Answer> {
    let gateways = world.gateways.read().unwrap().clone();
    let start = usize::try_from(chance.below(gateways.len() as u64)).unwrap();
    for n in 0..gateways.len() {
        let asked = question("/elastauth", &[("remote-user", user.as_bytes()), ("remote-groups", groups.as_bytes())]);
        if let Ok(answer) = gateways[(start + n) % gateways.len()].send(asked).await {
            return Some(answer);
        }
        world.report.count("asked another replica");
    }
    None
}

fn refused(world: &World, visit: &Visit, answer: Option<&Answer>) {
    let what = if visit.known { "failed answer" } else { "failed first login" };
    let sky = world.sky.lock().unwrap().clone();
    let stands = {
        let mut user = world.directory.users[visit.place].lock().unwrap();
        user.failed[visit.groups] = Some(Instant::now());
        user.stands_for(visit, &world.pace)
    };
    if visit.known {
        world.report.count("requests of known users that failed");
    }
    match sky.excuse(visit.asked).or_else(|| world.cluster.excuse(visit.asked, !stands)) {
        Some(why) if stands => world.report.allowed("failed answer for somebody who stands", why),
        Some(why) => world.report.allowed(what, why),
        None if world.report.has_stalled() => world.report.allowed(what, "the machine stood still"),
        None => {
            let told = answer.map_or("no replica answered".to_owned(), |answer| format!("{} {}", answer.status, answer.text()));
            let told = format!("{}{} after {:?}: {told}", visit.name, if stands { " (who stands)" } else { "" }, visit.asked.elapsed());
            world.report.violation("failed answer", format!("{told}; weather: {sky:?}{}", world.cluster.told()));
        }
    }
}

/// Uses a login against the cluster, and looks which roles stand there at that moment.
async fn use_login(world: &World, visit: &Visit, login: Option<&HeaderValue>, when: &'static str, first: u64) {
    let name = visit.name.as_str();
    world.report.count(if when == "later" { "used later" } else { "used at once" });
    let pair = login.and_then(|login| login.to_str().ok()?.strip_prefix("Basic ").map(str::to_owned));
    let pair = pair.and_then(|encoded| String::from_utf8(STANDARD.decode(encoded).ok()?).ok());
    let (Some(login), Some((who, _))) = (login, pair.as_deref().and_then(|pair| pair.split_once(':'))) else {
        return world.report.violation("wrong identity", format!("{name}: no login at all"));
    };
    if who != name {
        return world.report.violation("wrong identity", format!("{name} got a login of {who}"));
    }
    match world.cluster.whoami(name, login, first).await {
        Seen::Taken { name: told, roles } => {
            if told != name {
                world.report.violation("wrong identity", format!("{name} is {told} to the cluster"));
            }
            judge_roles(world, visit, &roles, when);
        }
        Seen::Refused(_) if world.report.has_stalled() => world.report.allowed("rejected login", "the machine stood still"),
        Seen::Refused(_) if stands_in_an_older_period(world, visit).await => {
            world.report.allowed("rejected login", "a write of an older period that was given up was carried out late");
        }
        Seen::Refused(told) => {
            let sky = world.sky.lock().unwrap().clone();
            world.report.violation("rejected login", format!("{name}, used {when}; weather: {sky:?} {told}"));
        }
        Seen::Unsaid(why) => world.report.allowed("login that could not be looked at", why),
    }
}

/// Whether a write that was given up has put an older password in the place of the present one. Its own replica finds that within a second, the others within ten.
async fn stands_in_an_older_period(world: &World, visit: &Visit) -> bool {
    let Some(nodes) = world.cluster.nodes() else { return false };
    let gave_up = {
        let user = world.directory.users[visit.place].lock().unwrap();
        user.failed.iter().flatten().any(|at| at.elapsed() < Duration::from_secs(90))
    };
    let may_be_late = gave_up && nodes.health().may_carry_out_late();
    let stands = nodes.period(&visit.name).await;
    may_be_late && stands.is_some_and(|stands| stands < world.directory.users[visit.place].lock().unwrap().period(&world.pace))
}

/// Holds the roles that stand in the cluster against those that the request's groups give.
fn judge_roles(world: &World, visit: &Visit, standing: &BTreeSet<String>, when: &'static str) {
    let Visit { place, groups, ref name, .. } = *visit;
    let sky = world.sky.lock().unwrap().clone();
    let given: BTreeSet<String> = GROUPS[groups].1.iter().chain(&["viewer"]).map(|role| (*role).to_owned()).collect();
    let (excess, missing) = (standing.difference(&given).count(), given.difference(standing).count());
    if excess + missing == 0 {
        return;
    }
    // Two requests with different groups at once, or shortly after each other, pull at one user: that is the documented bound between replicas.
    let late;
    let other = {
        let user = world.directory.users[place].lock().unwrap();
        let others = (0..GROUPS.len()).filter(|other| *other != groups);
        let gave_up = others.clone().any(|other| user.failed[other].is_some_and(|at| at.elapsed() < Duration::from_secs(90)));
        late = gave_up && world.cluster.nodes().is_some_and(|nodes| nodes.health().may_carry_out_late());
        others.filter_map(|other| if user.about[other] > 0 { Some(Duration::ZERO) } else { user.seen[other].map(|at| at.elapsed()) }).min()
    };
    let what = if excess > 0 { "excess roles" } else { "missing roles" };
    let later = if when == "later" { Duration::from_millis(LATER) } else { Duration::ZERO };
    if other.is_some_and(|ago| ago < Duration::from_secs(1) + later) {
        world.report.allowed(what, "another request of the user with other groups within a second");
    } else if sky.unheard().is_some_and(|bound| other.is_some_and(|ago| ago < bound + later)) {
        world.report.allowed(what, "Redis was away, and memory is believed for ten seconds");
    } else if late {
        world.report.allowed(what, "a write that was given up may have been carried out late");
    } else {
        world.report.violation(
            what,
            format!(
                "{name}, used {when}: {standing:?} stands, {given:?} is given, others {other:?} ago; weather: {sky:?}{}",
                world.cluster.told()
            ),
        );
    }
}
