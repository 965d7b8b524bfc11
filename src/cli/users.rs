//! `elastauth users revoke`: has a running replica revoke a login, and the others learn of it.
//!
//! Replicas that share no Redis cannot tell each other. So one replica revokes, and every other one
//! that is named is asked for a recheck: it then finds the new login in the cluster.

mod replicas;

use super::output::{CommandError, print};
use crate::config::Config;
use clap::{Args, Subcommand};
use http::Uri;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use replicas::{Asked, Operator, Replica};
use serde_json::{Value, json};
use std::{fmt::Write as _, path::PathBuf};

#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// Ends the login that a user has now. The cluster refuses it at once, and the user's next
    /// request gets another one.
    Revoke(Options),
}

#[derive(Debug, Args)]
pub(super) struct Options {
    /// The user, as the cluster knows them.
    name: String,
    /// A replica to ask, `http://HOST:PORT` or `https://…`; the first one revokes, the others are
    /// told. May be repeated. A host name that has several addresses (a headless service of
    /// Kubernetes) stands for all of them. Left out, the address of this configuration is asked.
    #[arg(long = "replica", value_name = "URL")]
    replicas: Vec<Uri>,
    /// Also invalidate the user's API keys, which keep the roles of their making. elastauth's own
    /// account needs the cluster privilege `manage_api_key` for it.
    #[arg(long)]
    api_keys: bool,
    /// The cluster in which the login is revoked; in all of them where this is left out.
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// A file with one of the replicas' `gateway_keys`, where they ask operators for one too.
    #[arg(long, value_name = "PATH")]
    gateway_key_file: Option<PathBuf>,
    /// For programs: one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(config: &Config, action: &Action) -> Result<(), CommandError> {
    let Action::Revoke(options) = action;
    let operator = Operator::new(options.gateway_key_file.as_deref())?;
    let replicas = replicas::all(config, &options.replicas).await?;
    let mut asked = Vec::with_capacity(replicas.len());
    let mut others = replicas.iter();
    if let Some(first) = others.next() {
        let query = query(options.api_keys, options.cluster.as_deref());
        asked.push(operator.ask(first, &options.name, "revoke", &query).await);
    }
    // A revocation of unknown outcome may have happened: the others have to look all the same.
    if asked.first().is_some_and(Asked::may_be_done) {
        for replica in others {
            let query = query(false, options.cluster.as_deref());
            asked.push(
                operator
                    .ask(replica, &options.name, "recheck", &query)
                    .await,
            );
        }
    }
    let ok = asked.iter().all(Asked::is_ok);
    let text = if options.json {
        let replicas: Vec<Value> = asked.iter().map(Asked::shown).collect();
        let report = json!({ "user": options.name, "ok": ok, "replicas": replicas });
        format!("{report:#}")
    } else {
        as_text(&asked, &replicas)
    };
    if ok {
        return print(&text);
    }
    if options.json {
        print(&text)?;
        return Err(CommandError(String::new()));
    }
    Err(CommandError(text))
}

fn query(api_keys: bool, cluster: Option<&str>) -> String {
    let cluster = cluster.map(|name| utf8_percent_encode(name, NON_ALPHANUMERIC));
    let cluster = cluster.map(|name| format!("cluster={name}"));
    let api_keys = api_keys.then(|| "api_keys=true".to_owned());
    let parameters: Vec<String> = api_keys.into_iter().chain(cluster).collect();
    if parameters.is_empty() {
        String::new()
    } else {
        format!("?{}", parameters.join("&"))
    }
}

fn as_text(asked: &[Asked], replicas: &[Replica]) -> String {
    let mut text = String::new();
    for one in asked {
        for (ok, sentence) in one.sentences() {
            let ok = if ok { "ok" } else { "failed" };
            let (action, replica) = (one.action, &one.replica);
            let _infallible = writeln!(text, "{ok}: {action} at {replica}: {sentence}");
        }
    }
    if replicas.len() == 1 && asked.iter().any(Asked::is_alone) {
        text.push_str(
            "warning: this replica shares no Redis with others; if there are others, run this \
             again with one --replica for each\n",
        );
    }
    text.truncate(text.trim_end().len());
    text
}
