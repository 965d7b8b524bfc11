//! `elastauth doctor --gateway URL`: does the gateway in front of elastauth keep out what a client
//! may not say? It asks as a client does, with harmless forged headers.
//!
//! Nothing is written by it. A forged name is one that elastauth refuses to everybody, and a forged
//! group is a byte that no group can have, so a header that is believed ends in a refusal. With
//! `--listen` the doctor is elastauth and the application of a route of its own, and sees each
//! header that arrives.

mod advice;
mod answers;
mod arrivals;
mod direct;
mod proxied;
mod through;
mod types;
mod wire;

use super::output::{CommandError, print, runtime};
use advice::{Kind, advice};
use arrivals::StandIn;
use clap::Args;
use http::{HeaderName, HeaderValue, Uri, header};
use serde_json::{Value, json};
use std::{
    fmt::Write as _,
    io::{self, Write as _},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
};
use types::{CannotAsk, Check, Mode, Names, Verdict};
use wire::Way;

/// Nothing could be said.
const CANNOT_ASK: u8 = 2;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// An address behind the gateway, as users open it: `https://kibana.example.org/`.
    #[arg(long, value_name = "URL")]
    gateway: Uri,
    /// Connect to this address instead of the host of the URL.
    #[arg(long, value_name = "HOST:PORT")]
    connect: Option<String>,
    /// A PEM file of CAs that are trusted instead of the system's, or the gateway's
    /// self-signed certificate.
    #[arg(long, value_name = "PATH")]
    ca_cert: Option<PathBuf>,
    /// Which gateway it is, for the lines to change. Left out, it is guessed.
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    /// The cookies of a session of your own, so that requests that get in can be tried as well;
    /// `@PATH` reads them from a file.
    #[arg(long, value_name = "COOKIES")]
    cookie: Option<String>,
    /// A header that shows that you are signed in, as `Name: value`; `@PATH` reads it from a file.
    /// May be repeated.
    #[arg(long = "header", value_name = "HEADER")]
    headers: Vec<String>,
    /// elastauth's own address, to see whether it refuses who asks past the gateway.
    #[arg(long, value_name = "URL")]
    elastauth: Option<Uri>,
    /// The user header that elastauth reads (`authelia.header_username`). May be repeated.
    #[arg(
        long = "user-header",
        value_name = "NAME",
        default_value = "Remote-User"
    )]
    user_headers: Vec<HeaderName>,
    /// The groups header that elastauth reads (`authelia.header_groups`).
    #[arg(long, value_name = "NAME", default_value = "Remote-Groups")]
    groups_header: HeaderName,
    /// For programs: one JSON object.
    #[arg(long)]
    json: bool,
}

/// What was found.
struct Report {
    kind: Option<Kind>,
    /// Of the elastauth that was asked, where its health is shown.
    mode: Option<Mode>,
    requests: usize,
    checks: Vec<Check>,
}

/// The exit code is 0 if all is well, 1 if something has to be changed, 2 if nothing can be said.
pub(super) fn run(options: &Options, listen: Option<&str>) -> ExitCode {
    match report(options, listen) {
        Ok(report) => {
            let is_good = report.findings() == 0;
            let text = if options.json {
                format!("{:#}", report.as_json(options))
            } else {
                report.as_text()
            };
            match print(&text) {
                Ok(()) if is_good => ExitCode::SUCCESS,
                Ok(()) | Err(_) => ExitCode::FAILURE,
            }
        }
        Err(CannotAsk(why)) => {
            if options.json {
                let _nobody_reads = print(&format!("{:#}", json!({ "ok": null, "error": why })));
            } else {
                let _nobody_reads = writeln!(io::stderr(), "{why}");
            }
            ExitCode::from(CANNOT_ASK)
        }
    }
}

fn report(options: &Options, listen: Option<&str>) -> Result<Report, CannotAsk> {
    let session = session(options)?;
    let listen = listen.map(|text| {
        text.parse::<SocketAddr>().map_err(|_| {
            CannotAsk("--listen must be an address and a port such as 127.0.0.1:9100".to_owned())
        })
    });
    let listen = listen.transpose()?;
    let runtime = runtime().map_err(|CommandError(why)| CannotAsk(why))?;
    runtime.block_on(examine(options, session, listen))
}

async fn examine(
    options: &Options,
    session: Vec<(HeaderName, HeaderValue)>,
    listen: Option<SocketAddr>,
) -> Result<Report, CannotAsk> {
    let names = Names {
        users: options
            .user_headers
            .iter()
            .map(HeaderName::to_string)
            .collect(),
        groups: options.groups_header.to_string(),
        others: vec!["remote-email".to_owned(), "remote-name".to_owned()],
    };
    let connect = options.connect.as_deref();
    let nobody = Way::new(&options.gateway, connect, options.ca_cert.clone())?;
    let has_session = !session.is_empty();
    let user = nobody.with(session);
    let (mut kind, mut mode, mut checks) = (options.kind, None, Vec::new());
    if let Some(listen) = listen {
        let stand_in = StandIn::listen(listen).await?;
        checks.extend(through::all(&user, &stand_in, &names).await?);
    } else {
        mode = proxied::mode(&nobody).await;
        let is_proxy = mode == Some(Mode::Proxy);
        let (usual, outside) = answers::outside(&nobody, &names, is_proxy).await?;
        kind = kind.or_else(|| Kind::of(&usual.headers));
        checks.extend(outside);
        if is_proxy {
            checks.extend(proxied::outside(&nobody, &user, &names).await?);
        }
        if has_session {
            let passes_bytes = kind.map_or(is_proxy, |kind| kind != Kind::Envoy);
            let inside = answers::inside(&user, &nobody, &usual, &names, passes_bytes, is_proxy);
            checks.extend(inside.await?);
            if is_proxy {
                checks.push(proxied::inside(&user).await?);
            }
        }
    }
    let mut requests = nobody.sent();
    if let Some(url) = &options.elastauth {
        let mut way = Way::new(url, None, options.ca_cert.clone())?;
        let own_mode = proxied::mode(&way).await;
        if own_mode == Some(Mode::Proxy) {
            // There the host of the request chooses the cluster.
            way = way.for_host_of(&nobody);
            checks.extend(proxied::outside(&way, &way, &names).await?);
        }
        checks.push(direct::ask(&way, &names, own_mode).await?);
        requests += way.sent();
        mode = own_mode.or(mode);
    }
    Ok(Report {
        kind,
        mode,
        requests,
        checks,
    })
}

/// What shows that the operator is signed in.
fn session(options: &Options) -> Result<Vec<(HeaderName, HeaderValue)>, CannotAsk> {
    let mut session = Vec::new();
    if let Some(cookie) = &options.cookie {
        session.push((
            header::COOKIE,
            value("--cookie", &text("--cookie", cookie)?)?,
        ));
    }
    for given in &options.headers {
        let line = text("--header", given)?;
        let wrong = || CannotAsk("--header must be `Name: value`".to_owned());
        let (name, rest) = line.split_once(':').ok_or_else(wrong)?;
        let name = name.trim().parse().map_err(|_| wrong())?;
        session.push((name, value("--header", rest.trim())?));
    }
    Ok(session)
}

/// A value of the command line, or of a file, so that it need not be in the list of processes.
fn text(option: &str, given: &str) -> Result<String, CannotAsk> {
    let Some(path) = given.strip_prefix('@') else {
        return Ok(given.to_owned());
    };
    let read = std::fs::read_to_string(path);
    let read = read.map_err(|error| CannotAsk(format!("{option}: {path}: {error}")))?;
    Ok(read.trim().to_owned())
}

fn value(option: &str, text: &str) -> Result<HeaderValue, CannotAsk> {
    let value = HeaderValue::from_bytes(text.as_bytes());
    let mut value = value
        .map_err(|_| CannotAsk(format!("{option} has a character that no header can have")))?;
    value.set_sensitive(true);
    Ok(value)
}

impl Report {
    fn findings(&self) -> usize {
        let findings = self.checks.iter();
        let findings = findings.filter(|check| check.verdict == Verdict::Finding);
        findings.count()
    }

    fn advice(&self, check: &Check) -> String {
        advice(check.subject, self.kind, self.mode)
    }

    fn as_text(&self) -> String {
        let mut text = String::new();
        for check in &self.checks {
            let verdict = check.verdict.text().replace('_', " ");
            let _infallible = writeln!(text, "{verdict}: {}", check.seen);
            if check.verdict == Verdict::Finding {
                let _infallible = writeln!(text, "  change: {}", self.advice(check));
            }
        }
        let findings = self.findings();
        let is_proxy = self.mode == Some(Mode::Proxy);
        if findings > 0 && self.kind.is_none() && !is_proxy {
            text.push_str("hint: --kind says which gateway it is, for the exact line\n");
        }
        let (kind, requests) = (self.kind.map_or("unknown", Kind::name), self.requests);
        let _infallible = write!(
            text,
            "{findings} finding(s), {requests} requests, gateway: {kind}"
        );
        if let Some(mode) = self.mode {
            let _infallible = write!(text, ", elastauth: {} mode", mode.text());
        }
        text
    }

    fn as_json(&self, options: &Options) -> Value {
        let check = |check: &Check| {
            let is_finding = check.verdict == Verdict::Finding;
            json!({
                "check": check.subject.name(),
                "result": check.verdict.text(),
                "seen": check.seen,
                "change": is_finding.then(|| self.advice(check)),
            })
        };
        json!({
            "ok": self.findings() == 0,
            "gateway": options.gateway.to_string(),
            "kind": self.kind.map(Kind::name),
            "mode": self.mode.map(Mode::text),
            "requests": self.requests,
            "checks": self.checks.iter().map(check).collect::<Vec<_>>(),
        })
    }
}
