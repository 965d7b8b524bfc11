//! A hundred clusters against one with as many users: what choosing costs, what a cluster that
//! hangs does to the users of the others, and memory.

use super::{
    clients::at_once,
    median, millis, now, percentile,
    rounds::{Load, wrk_exactly},
    server::{Connection, Elastauth, Running, example},
};
use anyhow::{Context as _, ensure};
use std::{
    fmt::Write as _,
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

const CLUSTERS: usize = 100;
const USERS: usize = 1_000;
const ROUNDS: usize = 6;
/// Clients that fill a program with users.
const FILLERS: usize = 32;
/// How long one measurement of waits takes.
const WATCHED: Duration = Duration::from_secs(4);

/// What is not measured here: limits, rotation, checks, and the hash that a real cluster gets.
const MORE: &str = "cache:\n  expiration: 24h\ncredentials:\n  hash: off\n  rotation: 0\n\
                    users:\n  new_per_minute: 1000000\n  writes_at_once: 64\n";

/// By what a request's cluster is chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
enum By {
    /// There is only one.
    Nothing,
    Host,
    Path,
    Endpoint,
}

pub(super) fn run() -> anyhow::Result<()> {
    // No two clusters may have one node.
    let nodes = (0..=CLUSTERS).map(|_| example("yes_cluster"));
    let nodes = nodes.collect::<Result<Vec<_>, _>>()?;
    let urls = nodes.iter().map(|node| format!("http://{}", node.address));
    let urls: Vec<String> = urls.collect();
    let (url, urls) = urls.split_first().context("a node")?;
    let one = Elastauth::start(url, MORE)?;
    let by_host = Elastauth::start(url, &many(By::Host, urls))?;
    let by_path = Elastauth::start(url, &many(By::Path, urls))?;
    let programs = [
        (By::Nothing, &one),
        (By::Host, &by_host),
        (By::Path, &by_path),
        (By::Endpoint, &by_host),
    ];
    // Users of one of the hundred: nothing but the choice differs.
    for (by, program) in &programs {
        fill(program.address, *by, &(0..USERS))?;
    }
    choosing(&programs, 1)?;
    // Users of all: what is known of them lies in a hundred places.
    memory(&one, &by_host)?;
    fill(by_path.address, By::Path, &(USERS..CLUSTERS * USERS))?;
    choosing(&programs, CLUSTERS)?;
    drop((one, by_host, by_path));
    let first = nodes.get(1).context("the first cluster's node")?;
    hanging(url, urls, first)
}

/// The sections of the clusters, each with its node.
fn many(by: By, urls: &[String]) -> String {
    let mut text = format!("{MORE}clusters:\n");
    for (number, url) in urls.iter().enumerate() {
        let which = if by == By::Path {
            format!("paths: [/c{number}]")
        } else {
            format!("hosts: [c{number}.es.example.com]")
        };
        let _infallible = writeln!(
            text,
            "  c{number}: {{kind: elasticsearch, hosts: [\"{url}\"], username: elastauth, \
             password: bench-password, match: {{{which}}}}}"
        );
    }
    text
}

/// Bytes for each known user: of the second half of them, when each cluster has its tables. They
/// come one after the other, so that no connection is among it; then as many more come at once, and
/// what a program has more is connections.
fn memory(one: &Elastauth, hundred: &Elastauth) -> anyhow::Result<()> {
    let (users, half) = (CLUSTERS * USERS, CLUSTERS * USERS / 2);
    let mut of_user = Vec::new();
    for (what, by, program) in [
        ("one cluster", By::Nothing, one),
        ("100 clusters", By::Host, hundred),
    ] {
        let idle = program.resident_kib()?;
        // Every other user of each cluster, and then the others.
        fill_by(1, program.address, by, &(0..users).step_by(2))?;
        let with_half = program.resident_kib()?;
        fill_by(1, program.address, by, &(1..users).step_by(2))?;
        let full = program.resident_kib()?;
        fill(program.address, by, &(users..users + users / 10))?;
        let at_once = program.resident_kib()?;
        let bytes = full.saturating_sub(with_half) * 1_024 / half as u64;
        println!(
            "{what}: {idle} KiB resident, {with_half} KiB with {half} users, {full} KiB with {users}; \
             {at_once} KiB after {} more, {FILLERS} at once",
            users / 10
        );
        of_user.push(bytes);
    }
    if let [one, hundred] = *of_user {
        println!(
            "memory for each known user: {hundred} bytes with 100 clusters, {one} with one (aim: \
             the same)"
        );
    }
    Ok(())
}

/// Lets users in once.
fn fill(
    address: SocketAddr,
    by: By,
    numbers: &(impl Iterator<Item = usize> + Clone + Sync),
) -> anyhow::Result<()> {
    fill_by(FILLERS, address, by, numbers)
}

/// The same, so many at once.
fn fill_by(
    clients: usize,
    address: SocketAddr,
    by: By,
    numbers: &(impl Iterator<Item = usize> + Clone + Sync),
) -> anyhow::Result<()> {
    at_once(clients, |worker| {
        let mut connection = Connection::open(address)?;
        for number in numbers.clone().skip(worker).step_by(clients) {
            let (cluster, user) = person(number);
            let (path, headers) = request(by, cluster, user);
            let status = connection.ask(&path, &headers)?;
            ensure!(status == 200, "{by:?}: user {number} got {status}");
        }
        Ok(())
    })?;
    Ok(())
}

/// A user and their cluster: a thousand after another are of one. Further ones come to one cluster
/// all at once, and then to the next.
fn person(number: usize) -> (usize, usize) {
    if number < CLUSTERS * USERS {
        (number / USERS, number % USERS)
    } else {
        (number / FILLERS % CLUSTERS, number)
    }
}

/// Path and headers of a request. They differ in nothing but the path.
fn request(by: By, cluster: usize, user: usize) -> (String, String) {
    let path = if by == By::Endpoint {
        format!("/elastauth/clusters/c{cluster}")
    } else {
        "/elastauth/forward-auth".to_owned()
    };
    let headers = format!(
        "Remote-User: user-{cluster}-{user}\r\nRemote-Groups: dev,ops\r\nX-Forwarded-For: \
         192.0.2.7\r\nX-Forwarded-Host: c{cluster}.es.example.com\r\nX-Forwarded-Method: \
         GET\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Uri: /c{cluster}/_search?q=x\r\n"
    );
    (path, headers)
}

/// The same requests at each program in turn, for the first so many clusters.
fn choosing(programs: &[(By, &Elastauth)], clusters: usize) -> anyhow::Result<()> {
    let mut rates = vec![Vec::new(); programs.len()];
    let mut costs = rates.clone();
    for round in 0..ROUNDS {
        let mut found: Vec<Option<Load>> = vec![None; programs.len()];
        for place in 0..programs.len() {
            let place = (place + round) % programs.len();
            let Some((by, program)) = programs.get(place) else {
                continue;
            };
            if let Some(slot) = found.get_mut(place) {
                *slot = Some(load(program, *by, clusters)?);
            }
        }
        let found: Vec<Load> = found.into_iter().flatten().collect();
        let Some(one) = found.first().copied() else {
            continue;
        };
        println!("round {}: {}", round + 1, shown(programs, &found));
        for ((load, rates), costs) in found.iter().zip(&mut rates).zip(&mut costs) {
            rates.push(load.rate / one.rate);
            costs.push(load.cost_us / one.cost_us);
        }
    }
    for (place, (by, _)) in programs.iter().enumerate().skip(1) {
        let (Some(rates), Some(costs)) = (rates.get_mut(place), costs.get_mut(place)) else {
            continue;
        };
        println!(
            "100 clusters by {by:?}, users of {clusters} of them, against one cluster with as many: \
             requests/s {} (aim: at least 0.98), CPU a request {}",
            median(rates).1,
            median(costs).1
        );
    }
    Ok(())
}

fn shown(programs: &[(By, &Elastauth)], found: &[Load]) -> String {
    let all = programs.iter().zip(found);
    let words =
        all.map(|((by, _), load)| format!("{by:?} {:.0}/s {:.2} us", load.rate, load.cost_us));
    words.collect::<Vec<_>>().join(", ")
}

fn load(server: &Running, by: By, clusters: usize) -> anyhow::Result<Load> {
    let (path, headers) = request(by, 0, 0);
    let lua = |text: &str| {
        let text = text.replace("\r\n", "\\r\\n");
        let text = text.replace(
            "user-0-0",
            "user-' .. c .. '-' .. math.random(0, last) .. '",
        );
        text.replace("c0", "c' .. c .. '")
    };
    let script = format!(
        "local last = {}\nfunction init() math.randomseed(os.time()) end\nfunction request()\n  \
         local c = math.random(0, {})\n  return 'GET {} HTTP/1.1\\r\\nHost: bench\\r\\n{}\\r\\n'\n\
         end\n",
        USERS - 1,
        clusters - 1,
        lua(&path),
        lua(&headers),
    );
    wrk_exactly(server, &script)
}

/// Waits of known users of all clusters but the first, which answers, or takes connections and
/// says nothing while 32 users of it ask.
fn hanging(url: &str, urls: &[String], first: &Running) -> anyhow::Result<()> {
    let program = Elastauth::start(url, &many(By::Host, urls))?;
    fill(program.address, By::Host, &(0..CLUSTERS / 10 * USERS))?;
    let next = AtomicUsize::new(0);
    let (mut ratios, mut medians) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let mut before = waits(&program, None)?;
        first.signal("STOP")?;
        let hung = waits(&program, Some(&next));
        first.signal("CONT")?;
        let mut during = hung?;
        let (p99, middle) = (percentile(&mut during, 0.99), percentile(&mut during, 0.5));
        let (p99_before, middle_before) =
            (percentile(&mut before, 0.99), percentile(&mut before, 0.5));
        println!(
            "round {}: p99 {p99_before:.2} ms before, {p99:.2} ms while a cluster hangs; median \
             {middle_before:.3} and {middle:.3} ms",
            round + 1
        );
        ratios.push(p99 / p99_before);
        medians.push(middle / middle_before);
    }
    println!(
        "one of 100 clusters hangs and its users ask, known users of the others: p99 {} of before \
         (aim: at most 1.1), median {}; {} requests of its users meanwhile",
        median(&mut ratios).1,
        median(&mut medians).1,
        next.load(Ordering::Relaxed)
    );
    Ok(())
}

/// How long known users wait for each answer, in milliseconds; with `unknown`, new users of the
/// first cluster ask meanwhile.
fn waits(program: &Elastauth, unknown: Option<&AtomicUsize>) -> anyhow::Result<Vec<f64>> {
    const WATCHERS: usize = 4;
    const ASKING: usize = 32;
    let (until, over) = (now() + WATCHED, AtomicBool::new(false));
    let all = at_once(WATCHERS + unknown.map_or(0, |_| ASKING), |client| {
        let mut connection = Connection::open(program.address)?;
        let mut times = Vec::new();
        if client >= WATCHERS {
            while let Some(next) = unknown.filter(|_| !over.load(Ordering::Relaxed)) {
                let (path, headers) =
                    request(By::Host, 0, USERS + next.fetch_add(1, Ordering::Relaxed));
                let status = connection.ask(&path, &headers)?;
                ensure!(status == 503, "a user of a hanging cluster got {status}");
            }
            return Ok(times);
        }
        let mut user = client;
        while now() < until {
            let (path, headers) = request(By::Host, 1 + user % (CLUSTERS / 10 - 1), user % USERS);
            user += 7;
            let asked = now();
            let status = connection.ask(&path, &headers)?;
            ensure!(status == 200, "a known user got {status}");
            times.push(millis(asked.elapsed()));
        }
        over.store(true, Ordering::Relaxed);
        Ok(times)
    })?;
    Ok(all.into_iter().flatten().collect())
}
