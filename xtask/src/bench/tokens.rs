//! Tokens: one that was seen before against bare hyper, the cost of a first sight, memory, and
//! whether anybody notices that the issuer is away.

use super::{
    clients::at_once,
    decision::{Aim, Contest},
    median, mega, now,
    rounds::Requests,
    server::{Connection, Elastauth, Running, example},
};
use anyhow::{Context, ensure};
use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// More than a minute in all, so that the keys are fetched again in between.
const ROUNDS: usize = 7;
/// Tokens of one kind in a round of first sights: at 50 us each, half a second of processor time,
/// which the system counts in steps of 10 ms.
const FIRST: usize = 10_000;
const MANY: usize = 100_000;

pub(super) fn run() -> anyhow::Result<()> {
    let cluster = example("yes_cluster")?;
    first_sight(&cluster)?;
    memory(&cluster)?;
    seen_before(&cluster)
}

fn start(cluster: &Running, issuer: &Running) -> anyhow::Result<Elastauth> {
    Elastauth::start(&format!("http://{}", cluster.address), &takes(issuer))
}

/// The configuration for tokens of this issuer.
fn takes(issuer: &Running) -> String {
    format!(
        "auth_provider: oidc\noidc:\n  issuer: http://{}\n  client_id: elastauth\n",
        issuer.address
    )
}

/// A token that is remembered against bare hyper, first with the issuer in reach and its keys
/// fetched again meanwhile, then with the issuer gone and its keys overdue.
fn seen_before(cluster: &Running) -> anyhow::Result<()> {
    let issuer = example("token_issuer")?;
    let contest = Contest::start(cluster, &takes(&issuer))?;
    let token = tokens(issuer.address, "RS256", 1)?
        .pop()
        .context("a token")?;
    contest.prepare(|elastauth| pass(elastauth.address, std::slice::from_ref(&token)))?;
    let what = format!("token of {} bytes seen before", token.len());
    let (headers, aim) = (
        headers(&token),
        Aim::Bare {
            rate: 0.87,
            cpu: 1.18,
        },
    );
    let rounds = |what: &str| contest.run(what, ROUNDS, Requests::Same(&headers), aim);
    let with_issuer = rounds(&what)?;
    let fetches = text(issuer.address, "/fetches")?;
    println!("the keys were fetched {fetches} times until then");

    drop(issuer);
    // The keys are good for a minute, and a tenth more at most.
    #[expect(clippy::disallowed_methods, reason = "nobody else runs on this thread")]
    std::thread::sleep(Duration::from_secs(70));
    let without = rounds(&format!("{what}, the issuer away and its keys overdue"))?;
    println!(
        "the issuer away: rate {:.2} and CPU {:.2} of before (aim: no change)",
        without.rate / with_issuer.rate,
        without.cpu / with_issuer.cpu
    );
    Ok(())
}

/// Processor time of a first sight beside that of a second one, over the same connections.
fn first_sight(cluster: &Running) -> anyhow::Result<()> {
    let issuer = example("token_issuer")?;
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        let mut more = Vec::new();
        for _ in 0..3 {
            let elastauth = start(cluster, &issuer)?;
            // The user's first login and the keys are not what is measured.
            pass(elastauth.address, &tokens(issuer.address, algorithm, 1)?)?;
            let fresh = tokens(issuer.address, algorithm, FIRST)?;
            let (first, second) = (cost(&elastauth, &fresh)?, cost(&elastauth, &fresh)?);
            more.push(first - second);
        }
        let aim = if algorithm == "RS256" {
            " (aim: at most 60)"
        } else {
            ""
        };
        println!(
            "first sight of an {algorithm} token, CPU more than a remembered one: {} us{aim}",
            median(&mut more).1
        );
    }
    Ok(())
}

/// Resident memory for tokens that are remembered.
fn memory(cluster: &Running) -> anyhow::Result<()> {
    let issuer = example("token_issuer")?;
    let elastauth = start(cluster, &issuer)?;
    pass(elastauth.address, &tokens(issuer.address, "EdDSA", 1_000)?)?;
    let before = elastauth.resident_kib()?;
    for _ in 0..MANY / FIRST {
        pass(elastauth.address, &tokens(issuer.address, "EdDSA", FIRST)?)?;
    }
    let after = elastauth.resident_kib()?;
    println!(
        "{MANY} remembered tokens: {:.1} MB more, {:.1} MB in all (aim: at most 60)",
        mega(after - before),
        mega(after)
    );
    Ok(())
}

/// Microseconds of processor time a token.
fn cost(elastauth: &Running, tokens: &[String]) -> anyhow::Result<f64> {
    let cpu = elastauth.cpu()?;
    pass(elastauth.address, tokens)?;
    let spent = elastauth.cpu()?.saturating_sub(cpu);
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    Ok(spent.as_secs_f64() * 1e6 / tokens.len() as f64)
}

/// Shows each token once, from four connections. All must be granted.
fn pass(address: SocketAddr, tokens: &[String]) -> anyhow::Result<()> {
    const CONNECTIONS: usize = 4;
    at_once(CONNECTIONS, |worker| {
        let mut connection = Connection::open(address)?;
        for token in tokens.iter().skip(worker).step_by(CONNECTIONS) {
            let status = connection.ask("/elastauth/forward-auth", &headers(token))?;
            ensure!(status == 200, "a token got {status}");
        }
        Ok(())
    })?;
    Ok(())
}

/// What a gateway sends along with a token.
fn headers(token: &str) -> String {
    format!(
        "Authorization: Bearer {token}\r\n\
         User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
         X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Host: kibana.example.org\r\nX-Forwarded-Method: GET\r\nX-Forwarded-Port: 443\r\n\
         X-Forwarded-Proto: https\r\nX-Forwarded-Uri: /app/discover?_g=(filters:!())\r\nAccept-Encoding: gzip\r\n"
    )
}

pub(super) fn tokens(
    issuer: SocketAddr,
    algorithm: &str,
    count: usize,
) -> anyhow::Result<Vec<String>> {
    // In pieces: one answer is made by one thread.
    const AT_ONCE: usize = 500;
    let mut all = Vec::new();
    while all.len() < count {
        let more = text(
            issuer,
            &format!("/tokens/{algorithm}/{}", AT_ONCE.min(count - all.len())),
        )?;
        all.extend(more.lines().map(str::to_owned));
    }
    Ok(all)
}

/// The body of an answer.
fn text(address: SocketAddr, path: &str) -> anyhow::Result<String> {
    let until = now() + Duration::from_secs(30);
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.write_all(
        format!("GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n").as_bytes(),
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(now() < until, "{path} took too long");
    let (head, body) = answer.split_once("\r\n\r\n").context("an answer")?;
    ensure!(head.starts_with("HTTP/1.1 200"), "{path}: {head}");
    Ok(body.to_owned())
}
