//! `elastauth explain`: why somebody has which roles, and what the next request would do. It runs
//! the code of the request path.

mod token;

use super::output::{CommandError, failed, print};
use crate::{
    app::App,
    broker::Plan,
    config::{ClusterConfig, Config},
    flow::{AuthError, Explanation},
    identity::ProviderConfig,
    model::Group,
    net::trust::Trust,
    outcome::Outcome,
    request::{Protocol, Request},
    respond::Row,
    roles::Rule,
    telemetry::chain,
    upstream::Chosen,
};
use clap::Args;
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use serde_json::{Value, json};
use std::{fmt::Write as _, path::PathBuf};
use token::TokenFile;

/// Which request to explain.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// The user name, as the identity header would carry it.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// The groups, as the groups header would carry them. Left out, there is no groups header at
    /// all.
    #[arg(long, value_name = "G1,G2")]
    groups: Option<String>,
    /// The mail address.
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// The full name.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// A file with a bearer token, or `-` for standard input. The identity provider is asked as for
    /// any request; the token is not printed.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["user", "groups", "email", "name"])]
    token_file: Option<PathBuf>,
    /// One more header of the request, as `Name: value`. May be repeated.
    #[arg(long = "header", value_name = "K: V")]
    headers: Vec<String>,
    /// The name of the cluster, as if the gateway asked at its endpoint. The command fails if the
    /// configuration has no such cluster.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["host", "path"])]
    cluster: Option<String>,
    /// The host that the client asks for, as the gateway would say it. It can choose a cluster.
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// The path that the client asks for, as the gateway would say it.
    #[arg(long, value_name = "PATH", requires = "host")]
    path: Option<String>,
    /// Also ask the cluster what it has now. Nothing is written.
    #[arg(long)]
    online: bool,
    /// For programs: one JSON object.
    #[arg(long)]
    json: bool,
}

/// Explains one request. A refusal is an answer like any other: the command succeeds.
pub(super) async fn run(config: Config, options: &Options) -> Result<(), CommandError> {
    let names = config.clusters.iter();
    let names: Vec<String> = names
        .map(|cluster| format!("{:?}", cluster.name.as_str()))
        .collect();
    let names = names.join(", ");
    let mut headers = headers(&config, options)?;
    let token = options
        .token_file
        .as_deref()
        .map(TokenFile::read)
        .transpose()?;
    if let Some(token) = &token {
        headers.append(header::AUTHORIZATION, token.header()?);
    }
    let token_says = token.as_ref().map(TokenFile::says);
    let (mut parts, ()) = http::Request::new(()).into_parts();
    // With `--header 'X-Elastauth-Key: …'` it plays the gateway of that key.
    let peer = Trust::new(config.trust.clone()).operator(&headers);
    parts.headers = headers;
    let request = Request::new(peer, Protocol::ForwardAuth, parts);
    let is_one_of_several = config.clusters.len() > 1;
    let clusters = config.proxy.then(|| config.clusters.clone());
    let flow = App::flow(config).map_err(|error| failed("elastauth cannot be set up", &error))?;
    let chosen = match &options.cluster {
        Some(name) => flow
            .upstreams()
            .named(name)
            .map(Chosen::Cluster)
            .ok_or_else(|| {
                CommandError(format!(
                    "the configuration has no cluster {name:?}; it has {names}"
                ))
            })?,
        None => flow.choose(&request).map_err(|error| {
            let what = format!(
                "the request is for none of the clusters {names}; name one with --cluster, or say \
                 what the client asks for with --host and --path"
            );
            failed(&what, &error)
        })?,
    };
    let server = clusters.and_then(|clusters| server(&clusters, &chosen, &request));
    let name = chosen.name();
    let explained = flow.explain(&chosen, &request, options.online).await;
    let explained = explained.map_err(|error| failed("the request cannot be explained", &error))?;
    if options.json {
        let mut shown = as_json(&explained, &name, token_says.as_ref());
        if let (Some((name, urls)), Some(shown)) = (server, shown.as_object_mut()) {
            shown.insert("server".to_owned(), json!({ "name": name, "urls": urls }));
        }
        print(&format!("{shown:#}"))
    } else {
        let name = is_one_of_several.then_some(&*name);
        let mut text = as_text(&explained, name, token_says.as_ref(), options.online);
        if let Some((name, urls)) = server {
            let name = name.as_deref().unwrap_or("the cluster");
            let _infallible = write!(text, "\n{:<10} {name}: {}", "goes to", urls.join(", "));
        }
        print(&text)
    }
}

/// In proxy mode: the server to which the request goes on, with its URLs. The cluster itself has no
/// name. `None` where the cluster is not in the configuration, or host and path are needed.
fn server(
    clusters: &[ClusterConfig],
    chosen: &Chosen,
    request: &Request,
) -> Option<(Option<String>, Vec<String>)> {
    let name = chosen.name();
    let cluster = clusters.iter().find(|one| one.name.as_str() == name)?;
    let texts = |urls: &[Uri]| urls.iter().map(ToString::to_string).collect();
    if let Some(beside) = cluster.proxy.beside(request).ok()? {
        return Some((Some(beside.name.to_string()), texts(&beside.target.urls)));
    }
    let target = cluster.proxy.target.as_ref();
    let urls = target.map_or(&cluster.cluster.hosts, |target| &target.urls);
    Some((None, texts(urls)))
}

/// The headers that the gateway would send for these options.
fn headers(config: &Config, options: &Options) -> Result<HeaderMap, CommandError> {
    let mut headers = HeaderMap::new();
    let mut put = |name: HeaderName, value: &str| {
        let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| {
            CommandError(format!("the value for {name} cannot be put into a header"))
        })?;
        headers.append(name, value);
        Ok::<(), CommandError>(())
    };
    let mut providers = config.identity.providers.iter();
    let names = providers.find_map(|provider| match provider {
        ProviderConfig::Headers(names) => Some(names.clone()),
        ProviderConfig::Oidc(_) => None,
    });
    let given = [
        &options.user,
        &options.groups,
        &options.email,
        &options.name,
    ];
    match names {
        Some(names) => {
            let user = names.users.into_iter().next();
            let others = [names.groups, names.email, names.name];
            for (name, value) in user.into_iter().chain(others).zip(given) {
                value.as_ref().map_or(Ok(()), |value| put(name, value))?;
            }
        }
        None if given.iter().any(|value| value.is_some()) => {
            return Err(CommandError(
                "--user, --groups, --email and --name set identity headers, but no configured \
                 provider reads identity headers"
                    .to_owned(),
            ));
        }
        None => {}
    }
    let said = [
        ("x-forwarded-host", &options.host),
        ("x-forwarded-uri", &options.path),
    ];
    for (name, value) in said {
        if let Some(value) = value {
            put(HeaderName::from_static(name), value)?;
        }
    }
    for header in &options.headers {
        let wrong = || CommandError(format!("--header takes `Name: value`, not {header:?}"));
        let (name, value) = header.split_once(':').ok_or_else(wrong)?;
        put(name.trim().parse().map_err(|_| wrong())?, value.trim())?;
    }
    Ok(headers)
}

/// Which provider identified the user, or refused to.
fn provider(explained: &Explanation) -> Option<&str> {
    match &explained.result {
        Err(refused) if refused.identity.is_none() => refused.provider().name(),
        _ => explained
            .identity()
            .map(|identity| identity.provider().name()),
    }
}

/// What the gateway would get: the status, the reason and the outcome.
fn answer(explained: &Explanation) -> (u16, String, Outcome) {
    match &explained.result {
        Ok(_) => (200, "a login".to_owned(), Outcome::Granted),
        Err(refused) => {
            let refusal = refused.refusal();
            let status = Row::of(refusal).status_for(Protocol::ForwardAuth);
            (
                status.as_u16(),
                chain(&refused.why),
                Outcome::Refused(refusal),
            )
        }
    }
}

/// `cluster` is the chosen one of several.
fn as_text(
    explained: &Explanation,
    cluster: Option<&str>,
    says: Option<&Value>,
    online: bool,
) -> String {
    let mut text = String::new();
    let mut line = |label: &str, value: &str| {
        let _infallible = writeln!(text, "{label:<10} {value}");
    };
    if let Some(cluster) = cluster {
        line("cluster", cluster);
    }
    if let Some(says) = says {
        // As JSON: whatever the token holds, it is text on one line.
        line("token", &says.to_string());
    }
    if let Some(provider) = provider(explained) {
        line("provider", provider);
    }
    if let Some(identity) = explained.identity() {
        line("user", identity.user().as_str());
        let groups: Vec<&str> = identity.groups().iter().map(Group::as_str).collect();
        let groups = groups.join(", ");
        line("groups", if groups.is_empty() { "none" } else { &groups });
        for given in explained.given() {
            let rule = match given.rule {
                Rule::Default => "default_roles".to_owned(),
                Rule::User { pattern } => format!("user_mappings, {pattern}"),
                Rule::Mapping { pattern, group } => match group.as_str() {
                    group if group == pattern => format!("group_mappings, {pattern}"),
                    group => format!("group_mappings, {pattern} fits {group}"),
                },
            };
            line("role", &format!("{} ({rule})", given.role.as_str()));
        }
        for hint in explained.hints() {
            line("hint", &hint);
        }
    }
    if let Some(document) = &explained.document {
        line("document", &document.to_string());
    }
    match &explained.plan {
        Some(plan) => {
            let found = plan.found.as_ref().map(|user| user.document.to_string());
            line("in cluster", found.as_deref().unwrap_or("no such user"));
            if let Some(generation) = generation(plan) {
                line(
                    "generation",
                    &format!("{generation}: the login was revoked so often"),
                );
            }
            line("next", &next(plan));
        }
        None if online && explained.result.is_ok() => line("in cluster", "not asked"),
        None => {}
    }
    let (status, why, _) = answer(explained);
    line("answer", &format!("{status}: {why}"));
    text.truncate(text.trim_end().len());
    text
}

fn as_json(explained: &Explanation, cluster: &str, says: Option<&Value>) -> Value {
    let identity = explained.identity().map(|identity| {
        let groups: Vec<&str> = identity.groups().iter().map(Group::as_str).collect();
        json!({
            "user": identity.user().as_str(),
            "groups": groups,
            "email": identity.email(),
            "full_name": identity.full_name(),
        })
    });
    let roles: Vec<Value> = explained
        .given()
        .iter()
        .map(|given| match given.rule {
            Rule::Default => json!({ "role": given.role.as_str(), "rule": "default_roles" }),
            Rule::User { pattern } => {
                json!({
                    "role": given.role.as_str(),
                    "rule": "user_mappings",
                    "pattern": pattern,
                })
            }
            Rule::Mapping { pattern, group } => {
                json!({
                    "role": given.role.as_str(),
                    "rule": "group_mappings",
                    "pattern": pattern,
                    "group": group.as_str(),
                })
            }
        })
        .collect();
    let in_cluster = explained.plan.as_ref().map(|plan| {
        let found = plan.found.as_ref().map(|user| &user.document);
        json!({ "found": found, "generation": generation(plan), "next": next(plan) })
    });
    let (status, why, outcome) = answer(explained);
    json!({
        "token": says,
        "provider": provider(explained),
        "identity": identity,
        "roles": roles,
        "hints": explained.hints(),
        "document": explained.document,
        "cluster_name": cluster,
        "cluster": in_cluster,
        "answer": { "status": status, "reason": why, "outcome": outcome.name() },
    })
}

/// How often the login of the user in the cluster was revoked, if it was.
fn generation(plan: &Plan) -> Option<u32> {
    let marker = plan.found.as_ref()?.account.origin.marker()?;
    Some(marker.generation.0).filter(|generation| *generation > 0)
}

fn next(plan: &Plan) -> String {
    match &plan.write {
        Ok(None) => "nothing: the user is as it should be".to_owned(),
        Ok(Some(why)) => format!("the user is written ({})", why.text()),
        Err(why) => format!("nothing: {}", chain(&AuthError::Broker(why.clone()))),
    }
}
