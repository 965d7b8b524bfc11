//! Known users: one, few and many against a bare hyper server that returns a constant, with traces,
//! and a million against one.

use super::{
    clients::at_once,
    cores::Cores,
    decision::{Aim, Contest},
    median, mega, now,
    rounds::{Load, Named, Requests, against, wrk, wrk_apart},
    server::{Connection, Elastauth, Running, built, example, example_of},
};
use anyhow::ensure;
use std::net::SocketAddr;

const ROUNDS: usize = 5;
const USERS: usize = 1_000_000;
/// In clear, and without a bound on new users: the hash that a real cluster would get costs us most
/// of a millisecond a user and is not what is measured here.
const WITHOUT_CHECKS: &str = "cache:\n  capacity: 1200000\n  expiration: 24h\n\
                              credentials:\n  hash: off\n  rotation: 0\n\
                              users:\n  new_per_minute: 1000000\n  writes_at_once: 64\n";

/// What a gateway sends along: the identity and the usual company.
const COMPANY: &[(&str, &str)] = &[
    ("Remote-Groups", "dev,ops"),
    ("Remote-Name", "User Zero"),
    (
        "User-Agent",
        "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    ),
    ("X-Forwarded-For", "192.0.2.7"),
    ("X-Forwarded-Host", "kibana.example.org"),
    ("X-Forwarded-Method", "GET"),
    ("X-Forwarded-Port", "443"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Uri", "/app/discover?_g=(filters:!())"),
    ("Accept-Encoding", "gzip"),
];

/// One user whose request is always the same.
pub(super) fn run() -> anyhow::Result<()> {
    let cluster = example("yes_cluster")?;
    let contest = Contest::start(&cluster, "")?;
    contest.prepare(|elastauth| fill(elastauth.address, 1))?;
    let aim = Aim::Bare {
        rate: 0.95,
        cpu: 1.07,
    };
    contest.run("known user", 7, Requests::Same(&head(0)), aim)?;
    Ok(())
}

/// Users drawn evenly: 2,000, 40,000 and a million.
pub(super) fn users() -> anyhow::Result<()> {
    let cluster = example("yes_cluster")?;
    let contest = Contest::start(&cluster, WITHOUT_CHECKS)?;
    let few = Aim::Bare {
        rate: 0.85,
        cpu: 1.15,
    };
    for (users, aim) in [
        (2_000, few),
        (40_000, Aim::Baseline),
        (USERS, Aim::Baseline),
    ] {
        contest.prepare(|elastauth| fill(elastauth.address, users))?;
        let requests = drawn(users);
        let what = format!("{users} users drawn evenly");
        contest.run(&what, ROUNDS, Requests::Drawn(&requests), aim)?;
    }
    Ok(())
}

/// What remains without HTTP: a loop that reads what comes and writes fixed bytes.
pub(super) fn floor() -> anyhow::Result<()> {
    let cores = Cores::of_this_machine()?;
    let start = |name| example_of(&mut cores.server(built(&format!("examples/{name}"))));
    let (floor, bare) = (start("floor")?, start("bare_hyper")?);
    let head = head(0);
    let found = against(7, ("the loop", &floor), ("bare hyper", &bare), |server| {
        wrk_apart(&cores, server, Requests::Same(&head))
    })?;
    println!(
        "a loop that reads and writes fixed bytes against bare hyper: rate {}, CPU {}",
        median(&mut found.rates()).1,
        median(&mut found.costs()).1
    );
    Ok(())
}

/// Decisions with traces against decisions without.
pub(super) fn traces() -> anyhow::Result<()> {
    let (cluster, collector) = (example("yes_cluster")?, example("bare_hyper")?);
    let cluster = format!("http://{}", cluster.address);
    let endpoint = format!("http://{}", collector.address);
    let elastauth = Elastauth::start(&cluster, "enable_metrics: true\n")?;
    let sampled = |share| {
        let environment = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint),
            ("OTEL_TRACES_SAMPLER", "traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", share),
        ];
        Elastauth::start_in(&cluster, "enableOtel: true\n", &environment)
    };
    let (all, hundredth) = (sampled("1")?, sampled("0.01")?);
    let none = ("no trace", &*elastauth);
    compare(
        "one trace in a hundred recorded against none",
        "none set",
        ("one in a hundred", &hundredth),
        none,
    )?;
    compare(
        "every trace recorded against none",
        "none set",
        ("every trace", &all),
        none,
    )
}

/// The rate and the processor time of one against another.
fn compare(what: &str, aim: &str, one: Named<'_>, other: Named<'_>) -> anyhow::Result<()> {
    fill(one.1.address, 1)?;
    fill(other.1.address, 1)?;
    let found = against(2 * ROUNDS, one, other, |server| load(server, 1))?;
    println!(
        "known user, requests/s, {what}: {} (aim: {aim})",
        median(&mut found.rates()).1
    );
    println!(
        "known user, CPU a request, {what}: {}",
        median(&mut found.costs()).1
    );
    Ok(())
}

/// A million known users: memory, and the rate against that with one.
pub(super) fn million() -> anyhow::Result<()> {
    let cluster = example("yes_cluster")?;
    let elastauth = Elastauth::start(&format!("http://{}", cluster.address), WITHOUT_CHECKS)?;
    let idle = elastauth.resident_kib()?;
    let begun = now();
    fill(elastauth.address, USERS)?;
    println!(
        "{USERS} first logins against a cluster that takes everybody: {:.0} s",
        begun.elapsed().as_secs_f64()
    );
    println!(
        "resident: {:.1} MB with {USERS} users, {:.1} MB idle (aim: at most 300)",
        mega(elastauth.resident_kib()?),
        mega(idle)
    );
    let mut rates = Vec::new();
    for _ in 0..ROUNDS {
        let (one, many) = (load(&elastauth, 1)?, load(&elastauth, USERS)?);
        println!(
            "one user {:.0}/s, {USERS} users {:.0}/s",
            one.rate, many.rate
        );
        rates.push(many.rate / one.rate);
    }
    println!(
        "rate with {USERS} users against one: {} (aim: at least 0.9)",
        median(&mut rates).1
    );
    Ok(())
}

/// Lets each user in once, from 32 connections.
pub(super) fn fill(address: SocketAddr, users: usize) -> anyhow::Result<()> {
    const CONNECTIONS: usize = 32;
    at_once(CONNECTIONS, |worker| {
        let mut connection = Connection::open(address)?;
        for user in (worker..users).step_by(CONNECTIONS) {
            let status = connection.ask("/elastauth/forward-auth", &head(user))?;
            ensure!(status == 200, "user-{user} got {status}");
        }
        Ok(())
    })?;
    Ok(())
}

fn head(user: usize) -> String {
    use std::fmt::Write as _;
    let mut text = format!("Remote-User: user-{user}\r\nRemote-Email: user-{user}@example.org\r\n");
    for (name, value) in COMPANY {
        let _ = write!(text, "{name}: {value}\r\n");
    }
    text
}

/// One round of wrk: 64 connections, 5 s, users drawn at random.
pub(super) fn load(server: &Running, users: usize) -> anyhow::Result<Load> {
    wrk(server, &drawn(users))
}

/// A script of wrk that draws users evenly. The requests of some ten thousand are made before the
/// load begins: making one takes a client as long as the server needs for its answer.
fn drawn(users: usize) -> String {
    const MADE_BEFORE: usize = 50_000;
    let company = COMPANY.iter().fold(String::new(), |text, (name, value)| {
        text + name + ": " + value + "\\r\\n"
    });
    let make = format!(
        "local tail = '{company}\\r\\n'\n\
         local function make(number)\n  local u = 'user-' .. number\n  \
         return 'GET /elastauth/forward-auth HTTP/1.1\\r\\nHost: bench\\r\\nRemote-User: ' .. u .. \
         '\\r\\nRemote-Email: ' .. u .. '@example.org\\r\\n' .. tail\nend\n"
    );
    let last = users - 1;
    if users <= MADE_BEFORE {
        format!(
            "{make}local made = {{}}\nfunction init()\n  math.randomseed(os.time())\n  \
             for number = 0, {last} do made[number] = make(number) end\nend\n\
             function request() return made[math.random(0, {last})] end\n"
        )
    } else {
        format!(
            "{make}function init() math.randomseed(os.time()) end\n\
             function request() return make(math.random(0, {last})) end\n"
        )
    }
}
