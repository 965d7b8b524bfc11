//! `elastauth users …`: has a running replica show its users, or change one, and the others learn
//! of it.
//!
//! Replicas that share no Redis cannot tell each other. So one replica acts, and every other one
//! that is named is asked for a recheck: it then finds what was done in the cluster.

mod asking;
mod listing;
mod progress;
mod prune;
mod query;
mod replicas;

use super::output::CommandError;
use crate::config::Config;
use asking::{Asking, ended};
use clap::{Args, Subcommand};
use query::query;
use replicas::{Asked, Replica};
use serde_json::{Value, json};
use std::fmt::Write as _;

#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// Ends the login that a user has now. The cluster refuses it at once, and the user's next
    /// request gets another one.
    Revoke(Revoke),
    /// Lists the users that elastauth has written: in which cluster, in which state, and when they
    /// were seen.
    List(List),
    /// Shows one user in each cluster that has them.
    Show(Show),
    /// Keeps a user out: the cluster refuses their login, and their requests get 403, until they
    /// are enabled.
    Disable(Change),
    /// Lets a user in again who was disabled. Their next request gets a login.
    Enable(Change),
    /// Deletes a user. Their next request makes them again if their groups allow it: to keep them
    /// out, disable them.
    Delete(Change),
    /// Deletes the users who have stayed away for long. It counts them and asks first. Disabled
    /// users stay, and so do those of whom it is not noted when they were seen.
    Prune(prune::Prune),
}

#[derive(Debug, Args)]
pub(super) struct Revoke {
    /// The user, as the cluster knows them.
    name: String,
    #[command(flatten)]
    asking: Asking,
    /// Also invalidate the user's API keys, which keep the roles of their making. elastauth's own
    /// account needs the cluster privilege `manage_api_key` for it.
    #[arg(long)]
    api_keys: bool,
    /// The cluster in which the login is revoked; in all of them where this is left out.
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// One cluster only. Left out, all are asked.
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// The user, as the cluster knows them.
    name: String,
    /// One cluster only. Left out, all are asked.
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Debug, Args)]
pub(super) struct Change {
    /// The user, as the cluster knows them.
    name: String,
    /// One cluster only. Left out, it is done in each that has the user.
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    asking: Asking,
}

pub(super) async fn run(config: &Config, action: &Action) -> Result<(), CommandError> {
    match action {
        Action::Revoke(options) => {
            let api_keys = options.api_keys.then(|| ("api_keys", "true".to_owned()));
            let act = Act {
                action: "revoke",
                cluster: options.cluster.as_deref(),
                more: api_keys,
                tells: true,
            };
            act.run(config, &options.asking, &options.name).await
        }
        Action::List(options) => {
            listing::list(config, &options.asking, options.cluster.as_deref()).await
        }
        Action::Show(options) => {
            let query = query(options.cluster.clone().map(|name| ("cluster", name)));
            listing::show(config, &options.asking, &options.name, &query).await
        }
        Action::Disable(options) => change(config, options, "disable").await,
        Action::Enable(options) => change(config, options, "enable").await,
        Action::Delete(options) => change(config, options, "delete").await,
        Action::Prune(options) => prune::prune(config, options).await,
    }
}

async fn change(
    config: &Config,
    options: &Change,
    action: &'static str,
) -> Result<(), CommandError> {
    let dry_run = options.dry_run.then(|| ("dry_run", "true".to_owned()));
    let act = Act {
        action,
        cluster: options.cluster.as_deref(),
        more: dry_run,
        tells: !options.dry_run,
    };
    act.run(config, &options.asking, &options.name).await
}

/// Something that one replica does to a user.
struct Act<'a> {
    action: &'static str,
    cluster: Option<&'a str>,
    more: Option<(&'static str, String)>,
    /// Whether the other replicas have to look afterwards.
    tells: bool,
}

impl Act<'_> {
    async fn run(&self, config: &Config, asking: &Asking, user: &str) -> Result<(), CommandError> {
        let operator = asking.operator()?;
        let replicas = replicas::all(config, &asking.replicas).await?;
        let mut asked = Vec::with_capacity(replicas.len());
        let mut others = replicas.iter();
        let cluster = self.cluster.map(|name| ("cluster", name.to_owned()));
        if let Some(first) = others.next() {
            let query = query(cluster.clone().into_iter().chain(self.more.clone()));
            asked.push(operator.ask(first, user, self.action, &query).await);
        }
        // What has an unknown outcome may have happened: the others have to look all the same.
        if self.tells && asked.first().is_some_and(Asked::may_be_done) {
            for replica in others {
                asked.push(
                    operator
                        .ask(replica, user, "recheck", &query(cluster.clone()))
                        .await,
                );
            }
        }
        let ok = asked.iter().all(Asked::is_ok);
        let text = if asking.json {
            let replicas: Vec<Value> = asked.iter().map(Asked::shown).collect();
            let report = json!({ "user": user, "ok": ok, "replicas": replicas });
            format!("{report:#}")
        } else {
            as_text(&asked, &replicas)
        };
        ended(ok, &text, asking.json)
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
