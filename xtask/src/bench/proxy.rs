//! Proxy mode against plain proxies with keep-alive to the same server: a bare hyper proxy, nginx,
//! `HAProxy`, Traefik, Caddy, and nginx that asks elastauth about each request. Small answers,
//! large ones, uploads, and memory. The server is `examples/plain_upstream.rs`.

use super::{
    clients::{Dice, at_once, identity},
    median, mega, now,
    server::{Connection, Elastauth, Folder, Running, built, cpu_of, example, free_address},
};
use crate::shell;
use anyhow::{Context, ensure};
use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::Command,
    time::Duration,
};

const ROUNDS: usize = 5;
const SECONDS: u32 = 4;
const CONNECTIONS: u32 = 64;
const MEGABYTE: usize = 1 << 20;

/// What the clients do.
#[derive(Clone, Copy, PartialEq)]
enum Work {
    Small,
    Download,
    Upload,
}

/// What a round of load has shown.
#[derive(Clone, Copy)]
struct Load {
    rate: f64,
    cost_us: f64,
    median_ms: f64,
}

/// A proxy, with the processes whose time counts.
struct Proxy {
    name: &'static str,
    main: Running,
    /// elastauth, where it is asked by another proxy.
    asked: Option<Elastauth>,
    _home: Option<Folder>,
}

impl Proxy {
    fn cpu(&self) -> anyhow::Result<Duration> {
        let main = of_family(&self.main.id())?;
        let asked = self.asked.as_ref().map(|asked| asked.cpu()).transpose()?;
        Ok(main + asked.unwrap_or_default())
    }
}

/// Processor time of a process and of its living children: nginx works in children.
fn of_family(process: &str) -> anyhow::Result<Duration> {
    let list = format!("/proc/{process}/task/{process}/children");
    let children = std::fs::read_to_string(list).unwrap_or_default();
    let children = children.split_whitespace().map(cpu_of);
    children.chain([cpu_of(process)]).sum()
}

pub(super) fn run() -> anyhow::Result<()> {
    let (cluster, upstream) = (example("yes_cluster")?, example("plain_upstream")?);
    let ours = elastauth(&cluster, upstream.address)?;
    let idle = ours.main.resident_kib()?;
    let mut all = vec![ours];
    all.extend(plain_proxies(&cluster, upstream.address)?);
    for (work, what) in [
        (Work::Small, "small answers"),
        (Work::Download, "answers of 1 MB"),
        (Work::Upload, "uploads of 1 MB"),
    ] {
        compare(&all, work, what)?;
    }
    let ours = &all.first().context("elastauth")?.main;
    println!(
        "resident: {:.1} MB idle, {:.1} MB after the run (aim: at most 12, 60)",
        mega(idle),
        mega(ours.resident_kib()?)
    );
    mixed(&cluster, upstream.address)?;
    idle_connections(&cluster, upstream.address)?;
    gigabyte(&cluster, upstream.address)
}

fn elastauth(cluster: &Running, upstream: SocketAddr) -> anyhow::Result<Proxy> {
    let more = format!("proxy: {{enabled: true, elasticsearch_url: \"http://{upstream}\"}}\n");
    let elastauth = Elastauth::start(&format!("http://{}", cluster.address), &more)?;
    let (main, home) = elastauth.into_parts();
    Ok(Proxy {
        name: "elastauth",
        main,
        asked: None,
        _home: Some(home),
    })
}

fn plain_proxies(cluster: &Running, upstream: SocketAddr) -> anyhow::Result<Vec<Proxy>> {
    let mut all = Vec::new();
    let address = free_address()?;
    let mut bare = Command::new(built("examples/bare_proxy"));
    bare.args([address.to_string(), upstream.to_string()]);
    all.push(Proxy {
        name: "bare hyper proxy",
        main: Running::start(&mut bare, address, "/")?,
        asked: None,
        _home: None,
    });
    all.push(nginx(upstream, None)?);
    let asked = Elastauth::start(&format!("http://{}", cluster.address), "")?;
    all.push(nginx(upstream, Some(asked))?);
    all.push(haproxy(upstream)?);
    all.push(traefik(upstream)?);
    all.push(caddy(upstream)?);
    Ok(all)
}

fn part(name: &str) -> anyhow::Result<Command> {
    let program = shell::root().join("target/parts").join(name);
    ensure!(
        program.exists(),
        "{name} is missing; `cargo xtask parts` fetches it"
    );
    Ok(Command::new(program))
}

/// How nginx puts the login on a request.
const ASKING: &str = "auth_request /_check; auth_request_set $login $upstream_http_authorization; \
     proxy_set_header Authorization $login;";

/// How nginx asks elastauth.
const QUESTION: &str = "location = /_check { internal; \
     proxy_pass http://elastauth/elastauth/auth-request; proxy_http_version 1.1; \
     proxy_set_header Connection ''; proxy_pass_request_body off; \
     proxy_set_header Content-Length ''; \
     proxy_set_header X-Original-URL $scheme://$http_host$request_uri; }";

fn nginx(upstream: SocketAddr, asked: Option<Elastauth>) -> anyhow::Result<Proxy> {
    let (address, home) = (free_address()?, Folder::new()?);
    let (check, question) = match &asked {
        None => (String::new(), String::new()),
        Some(elastauth) => (
            ASKING.to_owned(),
            format!(
                "upstream elastauth {{ server {}; keepalive 64; }}",
                elastauth.address
            ),
        ),
    };
    let ask = asked.as_ref().map_or("", |_| QUESTION);
    let path = home.path().display();
    let text = format!(
        "daemon off; worker_processes 2; pid {path}/pid; error_log {path}/log;\n\
         events {{ worker_connections 4096; }}\n\
         http {{ access_log off; client_body_temp_path {path}/a; proxy_temp_path {path}/b; \
         fastcgi_temp_path {path}/c; uwsgi_temp_path {path}/d; scgi_temp_path {path}/e; \
         client_max_body_size 0; keepalive_requests 100000000;\n\
         upstream cluster {{ server {upstream}; keepalive 64; keepalive_requests 100000000; }} \
         {question}\n\
         server {{ listen {address}; {ask} location / {{ {check} proxy_pass http://cluster; \
         proxy_http_version 1.1; proxy_set_header Connection ''; proxy_buffering on; \
         proxy_max_temp_file_size 0; proxy_request_buffering off; }} }} }}"
    );
    let file = home.path().join("nginx.conf");
    std::fs::write(&file, text)?;
    let mut program = part("nginx")?;
    program.arg("-c").arg(&file).arg("-p").arg(home.path());
    program.args(["-e", "stderr"]);
    Ok(Proxy {
        name: if asked.is_some() {
            "nginx asking elastauth"
        } else {
            "nginx"
        },
        main: Running::start(&mut program, address, "/")?,
        asked,
        _home: Some(home),
    })
}

fn haproxy(upstream: SocketAddr) -> anyhow::Result<Proxy> {
    let text = |address: SocketAddr| {
        format!(
            "global\n  maxconn 4096\ndefaults\n  mode http\n  timeout connect 5s\n  \
             timeout client 60s\n  timeout server 60s\n  http-reuse always\nfrontend front\n  \
             bind {address}\n  default_backend cluster\nbackend cluster\n  \
             server one {upstream} pool-max-conn 64\n"
        )
    };
    from_file(
        "HAProxy",
        "haproxy",
        "haproxy.cfg",
        text,
        |program, file| {
            program.arg("-f").arg(file);
        },
    )
}

fn traefik(upstream: SocketAddr) -> anyhow::Result<Proxy> {
    let (address, home) = (free_address()?, Folder::new()?);
    let dynamic = home.path().join("dynamic.yml");
    std::fs::write(
        &dynamic,
        format!(
            "http:\n  routers:\n    all:\n      rule: PathPrefix(`/`)\n      service: cluster\n  \
             services:\n    cluster:\n      loadBalancer:\n        servers:\n          - url: \
             http://{upstream}\n"
        ),
    )?;
    let mut program = part("traefik")?;
    program.args([
        &format!("--entrypoints.web.address={address}"),
        &format!("--providers.file.filename={}", dynamic.display()),
        "--log.level=ERROR",
    ]);
    Ok(Proxy {
        name: "Traefik",
        main: until_it_passes_on(&mut program, address)?,
        asked: None,
        _home: Some(home),
    })
}

fn caddy(upstream: SocketAddr) -> anyhow::Result<Proxy> {
    let text = |address: SocketAddr| {
        format!(
            "{{\n\tadmin off\n\tauto_https off\n\tpersist_config off\n\tlog {{\n\t\tlevel ERROR\n\t\
             }}\n}}\nhttp://{address} {{\n\treverse_proxy {upstream} {{\n\t\ttransport http {{\n\t\t\t\
             keepalive_idle_conns_per_host 64\n\t\t}}\n\t}}\n}}\n"
        )
    };
    from_file("Caddy", "caddy", "Caddyfile", text, |program, file| {
        program.args(["run", "--adapter", "caddyfile", "--config"]);
        program.arg(file);
    })
}

fn from_file(
    name: &'static str,
    part_name: &str,
    file: &str,
    text: impl Fn(SocketAddr) -> String,
    arguments: impl Fn(&mut Command, &Path),
) -> anyhow::Result<Proxy> {
    let (address, home) = (free_address()?, Folder::new()?);
    let file = home.path().join(file);
    std::fs::write(&file, text(address))?;
    let mut program = part(part_name)?;
    arguments(&mut program, &file);
    program.env("HOME", home.path());
    Ok(Proxy {
        name,
        main: until_it_passes_on(&mut program, address)?,
        asked: None,
        _home: Some(home),
    })
}

/// A proxy is ready once the server behind it has answered.
fn until_it_passes_on(program: &mut Command, address: SocketAddr) -> anyhow::Result<Running> {
    let running = Running::start(program, address, "/")?;
    let until = now() + Duration::from_secs(20);
    while super::server::request(address, "/", "")? != 200 {
        ensure!(now() < until, "{address} does not pass requests on");
    }
    Ok(running)
}

/// All of them in turn, each round in another order; ratios within the round.
fn compare(all: &[Proxy], work: Work, what: &str) -> anyhow::Result<()> {
    let mut found = vec![Vec::new(); all.len()];
    for round in 0..=ROUNDS {
        for place in 0..all.len() {
            let index = (place + round) % all.len();
            let (Some(proxy), Some(loads)) = (all.get(index), found.get_mut(index)) else {
                continue;
            };
            let load = load(proxy, work).with_context(|| format!("{}, {what}", proxy.name))?;
            // The first round of each fills its connections and does not count.
            if round > 0 {
                loads.push(load);
            }
        }
    }
    let [ours, others @ ..] = &*found else {
        return Ok(());
    };
    for (proxy, loads) in all.iter().skip(1).zip(others) {
        let ratios = |value: fn(&Load) -> f64| {
            let pairs = ours.iter().zip(loads);
            median(
                &mut pairs
                    .map(|(one, other)| value(one) / value(other))
                    .collect::<Vec<_>>(),
            )
            .1
        };
        println!(
            "{what}, elastauth against {}: rate {}, CPU {}, median latency {}",
            proxy.name,
            ratios(|load| load.rate),
            ratios(|load| load.cost_us),
            ratios(|load| load.median_ms)
        );
    }
    for (proxy, loads) in all.iter().zip(&found) {
        let of =
            |value: fn(&Load) -> f64| median(&mut loads.iter().map(value).collect::<Vec<_>>()).0;
        println!(
            "{what}, {}: {:.0}/s, {:.1} us, median {:.2} ms",
            proxy.name,
            of(|load| load.rate),
            of(|load| load.cost_us),
            of(|load| load.median_ms)
        );
    }
    Ok(())
}

fn load(proxy: &Proxy, work: Work) -> anyhow::Result<Load> {
    let file = shell::root().join(format!("target/bench-{}.lua", std::process::id()));
    let (path, script) = match work {
        Work::Small => ("/logs-2026/_search?size=0".to_owned(), String::new()),
        Work::Download => (format!("/bytes/{MEGABYTE}"), String::new()),
        Work::Upload => (
            "/logs-2026/_bulk".to_owned(),
            format!("wrk.method = 'POST'\nwrk.body = string.rep('0', {MEGABYTE})\n"),
        ),
    };
    std::fs::write(&file, script)?;
    let connections = if work == Work::Small { CONNECTIONS } else { 8 };
    let cpu = proxy.cpu()?;
    let output = Command::new("wrk")
        .args([
            "-t1",
            &format!("-c{connections}"),
            "--timeout",
            "10s",
            "--latency",
        ])
        .args([
            &format!("-d{SECONDS}s"),
            "-H",
            "Remote-User: user-0",
            "-H",
            "Remote-Groups: dev",
        ])
        .arg("-s")
        .arg(&file)
        .arg(format!("http://{}{path}", proxy.main.address))
        .output()
        .context("wrk is missing: apt-get install wrk")?;
    let spent = proxy.cpu()?.saturating_sub(cpu).as_secs_f64();
    std::fs::remove_file(&file)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        !text.contains("Non-2xx") && !text.contains("Socket errors"),
        "{text}"
    );
    let (rate, total) = super::rounds::of_wrk(&text)?;
    Ok(Load {
        rate,
        cost_us: spent / total * 1e6,
        median_ms: median_ms(&text)?,
    })
}

/// The line `50%  1.23ms` of what wrk prints.
fn median_ms(text: &str) -> anyhow::Result<f64> {
    let line = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("50%"));
    let value = line.context("a median")?.trim();
    let (number, unit) = value.split_at(
        value
            .find(|letter: char| letter.is_alphabetic())
            .context("a unit")?,
    );
    let factor = match unit {
        "us" => 0.001,
        "ms" => 1.0,
        "s" => 1_000.0,
        _ => anyhow::bail!("wrk prints the time `{value}`"),
    };
    Ok(number.parse::<f64>()? * factor)
}

/// Many users at once, whose requests are cut off now and then: each request has to reach the
/// server with the login of its user.
fn mixed(cluster: &Running, upstream: SocketAddr) -> anyhow::Result<()> {
    const USERS: usize = 64;
    const REQUESTS: usize = 10_000;
    let proxy = elastauth(cluster, upstream)?;
    let address = proxy.main.address;
    let found = at_once(USERS, |user| {
        let (name, mut dice) = (format!("user-{user}"), Dice::new(user));
        let (mut answered, mut cut, mut wrong) = (0, 0, 0);
        let mut connection = None;
        for _ in 0..REQUESTS {
            let mut stream: BufReader<TcpStream> = match connection.take() {
                Some(stream) => stream,
                None => BufReader::new(TcpStream::connect(address)?),
            };
            let large = dice.below(50) == 0;
            let path = if large { "/bytes/2000000" } else { "/_search" };
            let body = "x".repeat(dice.below(3_000));
            let head = format!(
                "POST {path} HTTP/1.1\r\nHost: bench\r\n{}Content-Length: {}\r\n\r\n",
                identity(&name),
                body.len()
            );
            let whole = [head, body].concat().into_bytes();
            let is_cut = dice.below(10) == 0;
            let sent = if is_cut && dice.below(2) == 0 {
                dice.below(whole.len())
            } else {
                whole.len()
            };
            stream
                .get_mut()
                .write_all(whole.get(..sent).unwrap_or_default())?;
            if is_cut {
                // Sometimes the answer has begun, sometimes it has not.
                if sent == whole.len() && dice.below(2) == 0 {
                    let mut begun = [0];
                    let _cut_anyway = stream.read(&mut begun);
                }
                cut += 1;
                continue;
            }
            answered += 1;
            if seen(&mut stream)? != (200, name.clone()) {
                wrong += 1;
            }
            connection = Some(stream);
        }
        Ok((answered, cut, wrong))
    })?;
    let sum = |value: fn(&(usize, usize, usize)) -> usize| found.iter().map(value).sum::<usize>();
    println!(
        "{USERS} users, {} requests answered, {} cut off: {} with another login or none (aim: 0)",
        sum(|(answered, _, _)| *answered),
        sum(|(_, cut, _)| *cut),
        sum(|(_, _, wrong)| *wrong)
    );
    Ok(())
}

/// Reads an answer to its end: its status, and whose login the server has seen.
fn seen(stream: &mut BufReader<TcpStream>) -> anyhow::Result<(u16, String)> {
    let (mut status, mut user, mut length) = (0, String::new(), 0);
    for number in 0.. {
        let mut line = String::new();
        ensure!(stream.read_line(&mut line)? > 0, "the connection ended");
        let line = line.trim_end();
        match line.split_once(": ") {
            _ if line.is_empty() => break,
            _ if number == 0 => {
                status = line.split(' ').nth(1).context("a status")?.parse()?;
            }
            Some((name, value)) if name.eq_ignore_ascii_case("x-seen") => {
                value.clone_into(&mut user);
            }
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse()?;
            }
            _ => {}
        }
    }
    std::io::copy(&mut stream.take(length), &mut std::io::sink())?;
    Ok((status, user))
}

/// Memory of an idle connection, after one request on each.
fn idle_connections(cluster: &Running, upstream: SocketAddr) -> anyhow::Result<()> {
    const MANY: u16 = 500;
    let proxy = elastauth(cluster, upstream)?;
    let elastauth = &proxy.main;
    let open = |count: usize| {
        at_once(4, |_| {
            (0..count / 4)
                .map(|_| {
                    let mut connection = Connection::open(elastauth.address)?;
                    ensure!(
                        connection.ask("/", &identity("user-0"))? == 200,
                        "no answer"
                    );
                    Ok(connection)
                })
                .collect::<anyhow::Result<Vec<_>>>()
        })
    };
    drop(open(40)?);
    let before = elastauth.resident_kib()?;
    let connections = open(usize::from(MANY))?;
    let after = elastauth.resident_kib()?;
    drop(connections);
    println!(
        "an idle connection: {:.1} KB (aim: at most 18)",
        mega(after.saturating_sub(before)) * 1e3 / f64::from(MANY)
    );
    Ok(())
}

/// A gigabyte each way: how much resident memory grows.
fn gigabyte(cluster: &Running, upstream: SocketAddr) -> anyhow::Result<()> {
    const BYTES: usize = 1 << 30;
    let proxy = elastauth(cluster, upstream)?;
    let elastauth = &proxy.main;
    ensure!(
        Connection::open(elastauth.address)?.ask("/", &identity("user-0"))? == 200,
        "no answer"
    );
    let before = elastauth.resident_kib()?;
    let head = |method: &str, path: &str, more: &str| {
        format!(
            "{method} {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n{}{more}\r\n",
            identity("user-0")
        )
    };
    let mut down = TcpStream::connect(elastauth.address)?;
    down.write_all(head("GET", &format!("/bytes/{BYTES}"), "").as_bytes())?;
    let read = std::io::copy(&mut down, &mut std::io::sink())?;
    ensure!(read > BYTES as u64, "only {read} bytes came");
    let after_down = elastauth.most_resident_kib()?;
    let mut up = TcpStream::connect(elastauth.address)?;
    up.write_all(head("POST", "/_bulk", &format!("Content-Length: {BYTES}\r\n")).as_bytes())?;
    std::io::copy(&mut std::io::repeat(b'0').take(BYTES as u64), &mut up)?;
    let mut answer = String::new();
    up.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    println!(
        "1 GB down, then up: resident memory grows by at most {:.1} MB, then {:.1} MB (aim: 8)",
        mega(after_down.saturating_sub(before)),
        mega(elastauth.most_resident_kib()?.saturating_sub(before))
    );
    Ok(())
}
