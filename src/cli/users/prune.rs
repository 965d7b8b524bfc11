//! `elastauth users prune`: deletes users who have stayed away. It counts them first and asks, and
//! then has a replica delete one after another; each is looked at once more right before.

use super::{
    asking::{Asking, ended},
    progress::{self, Progress},
    query,
    replicas::{self, Asked, Operator, Replica, text},
};
use crate::{
    cli::output::{CommandError, print},
    config::Config,
};
use clap::Args;
use futures_util::{StreamExt as _, future::ready, stream};
use serde_json::{Value, json};
use std::{
    fmt::Write as _,
    pin::pin,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use tokio::signal::ctrl_c;

/// Users whom a replica is asked for at once; it has the bound that suits the cluster.
const AT_ONCE: usize = 32;
/// Failures after which it stops: a cluster that is away fails every attempt.
const FAILURES: usize = 8;

#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// How long the users have stayed away, such as `30d` or `720h`. At least twice the time within
    /// which it is known when a user was seen (`credentials.rotation`).
    #[arg(long, value_name = "TIME", value_parser = time)]
    unseen: Duration,
    /// One cluster only. Left out, it is done in all of them.
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// Say who would be deleted, and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    asking: Asking,
}

pub(super) async fn prune(config: &Config, options: &Prune) -> Result<(), CommandError> {
    let operator = options.asking.operator()?;
    let replicas = replicas::all(config, &options.asking.replicas).await?;
    let Some((first, others)) = replicas.split_first() else {
        return Ok(());
    };
    let due = due(&operator, first, options).await?;
    let mut report = Report::new(&due, options.dry_run);
    if !options.dry_run && !due.users.is_empty() {
        if !options.yes {
            let question = format!("{}. Delete them? [y/N] ", due.count());
            if !progress::agrees(&question)? {
                return Err(CommandError("Nobody is deleted.".to_owned()));
            }
        }
        delete(&operator, (first, others), options, due.users, &mut report).await;
    }
    let ok = report.is_ok();
    if options.asking.json {
        return ended(ok, &format!("{:#}", report.shown()), true);
    }
    if options.dry_run && !report.due.is_empty() {
        print(&report.due.join("\n"))?;
    }
    ended(ok, &report.summary(), false)
}

/// Who has stayed away, as one replica counts them.
#[derive(Default)]
struct Due {
    /// Names, and in which cluster.
    users: Vec<(String, String)>,
    of: u64,
    unknown: u64,
    /// Clusters that could not be asked.
    failed: Vec<String>,
}

impl Due {
    fn count(&self) -> String {
        let (due, of, unknown) = (self.users.len(), self.of, self.unknown);
        let mut text = format!("{due} of {of} users have stayed away for so long");
        if unknown > 0 {
            let _infallible = write!(
                text,
                " (of {unknown} more it is not noted when they were seen; they stay)"
            );
        }
        text
    }
}

async fn due(operator: &Operator, replica: &Replica, options: &Prune) -> Result<Due, CommandError> {
    let seconds = options.unseen.as_secs().to_string();
    let mut due = Due::default();
    let mut pages = vec![(options.cluster.clone(), None::<String>)];
    while let Some((cluster, after)) = pages.pop() {
        let parameters = [
            Some(("unseen_seconds", seconds.clone())),
            cluster.map(|name| ("cluster", name)),
            after.clone().map(|name| ("after", name)),
        ];
        let path = query(parameters.into_iter().flatten());
        let asked = operator.look(replica, "prune", &path).await;
        let Some(clusters) = asked.clusters() else {
            return Err(CommandError(asked.failure()));
        };
        for one in clusters {
            let cluster = text(one, "cluster");
            if one.get("error").is_some() {
                due.failed
                    .push(format!("{cluster}: {}", text(one, "error")));
            }
            let number = |name| one.get(name).and_then(Value::as_u64).unwrap_or_default();
            due.of += number("of");
            due.unknown += number("unknown");
            let users = one.get("users").and_then(Value::as_array);
            let names = users.into_iter().flatten().map(|user| text(user, "user"));
            due.users.extend(names.map(|name| (name, cluster.clone())));
            // A cluster that repeats itself must not keep us for ever.
            let next = one.get("next").and_then(Value::as_str).map(str::to_owned);
            if next.is_some() && next > after {
                pages.push((Some(cluster), next));
            }
        }
    }
    due.users.sort();
    Ok(due)
}

/// Until all are done, too many fail, or somebody interrupts it; those in hand are waited for.
async fn delete(
    operator: &Operator,
    replicas: (&Replica, &[Replica]),
    options: &Prune,
    users: Vec<(String, String)>,
    report: &mut Report,
) {
    let (first, others) = replicas;
    let seconds = &options.unseen.as_secs().to_string();
    let mut progress = Progress::new(users.len(), options.asking.json);
    let stops = &AtomicBool::new(false);
    let one = |(user, cluster): (String, String)| async move {
        let parameters = [
            ("unseen_seconds", seconds.clone()),
            ("cluster", cluster.clone()),
        ];
        let asked = operator
            .ask(first, &user, "prune", &query(parameters))
            .await;
        let end = End::of(&asked);
        let mut told = Vec::new();
        // Replicas that share no Redis with the first one learn it only so.
        if !matches!(end, End::Kept(_)) && asked.may_be_done() {
            for replica in others {
                let query = query([("cluster", cluster.clone())]);
                told.push(operator.ask(replica, &user, "recheck", &query).await);
            }
        }
        (user, cluster, end, told, asked.is_alone())
    };
    let goes_on = |_: &(String, String)| ready(!stops.load(Ordering::Relaxed));
    let begun = stream::iter(users).take_while(goes_on).map(one);
    let mut done = pin!(begun.buffer_unordered(AT_ONCE));
    let mut interrupt = pin!(ctrl_c());
    let mut in_a_row = 0;
    loop {
        tokio::select! {
            biased;
            _signal = &mut interrupt, if !report.interrupted => {
                report.interrupted = true;
                stops.store(true, Ordering::Relaxed);
            }
            next = done.next() => {
                let Some((user, cluster, end, told, is_alone)) = next else {
                    break;
                };
                in_a_row = if matches!(end, End::Failed(_)) { in_a_row + 1 } else { 0 };
                if in_a_row >= FAILURES {
                    stops.store(true, Ordering::Relaxed);
                }
                report.alone |= is_alone && others.is_empty();
                report.add(&user, &cluster, end, &told);
                progress.one_more();
            }
        }
    }
    progress.end();
}

/// What became of one user.
enum End {
    Deleted,
    Kept(String),
    Failed(String),
}

impl End {
    fn of(asked: &Asked) -> Self {
        let Some(one) = asked.clusters().and_then(|clusters| clusters.first()) else {
            return Self::Failed(asked.failure());
        };
        let message = text(one, "message");
        match text(one, "result").as_str() {
            "done" => Self::Deleted,
            "kept" => Self::Kept(message),
            _ => Self::Failed(message),
        }
    }
}

/// What it did, for people and for programs.
struct Report {
    dry_run: bool,
    count: String,
    due: Vec<String>,
    deleted: Vec<Value>,
    kept: Vec<Value>,
    failed: Vec<Value>,
    /// Clusters that could not be asked.
    away: Vec<String>,
    shown_due: Vec<Value>,
    unknown: u64,
    interrupted: bool,
    /// Whether other replicas learn nothing.
    alone: bool,
}

impl Report {
    fn new(due: &Due, dry_run: bool) -> Self {
        let users = due.users.iter();
        let shown =
            |(user, cluster): &(String, String)| json!({ "user": user, "cluster": cluster });
        Self {
            dry_run,
            count: due.count(),
            shown_due: users.clone().map(shown).collect(),
            due: users
                .map(|(user, cluster)| format!("{user}  {cluster}"))
                .collect(),
            deleted: Vec::new(),
            kept: Vec::new(),
            failed: Vec::new(),
            away: due.failed.clone(),
            unknown: due.unknown,
            interrupted: false,
            alone: false,
        }
    }

    fn add(&mut self, user: &str, cluster: &str, end: End, told: &[Asked]) {
        let why = |message: &str| json!({ "user": user, "cluster": cluster, "message": message });
        match end {
            End::Deleted => self
                .deleted
                .push(json!({ "user": user, "cluster": cluster })),
            End::Kept(message) => self.kept.push(why(&message)),
            End::Failed(message) => self.failed.push(why(&message)),
        }
        for replica in told.iter().filter(|asked| !asked.is_ok()) {
            self.failed.push(why(&replica.failure()));
        }
    }

    fn left(&self) -> usize {
        let done = self.deleted.len() + self.kept.len() + self.failed.len();
        self.due.len().saturating_sub(done)
    }

    fn is_ok(&self) -> bool {
        let complete = self.dry_run || self.left() == 0;
        complete && self.failed.is_empty() && self.away.is_empty()
    }

    fn summary(&self) -> String {
        let mut summary = match (self.dry_run, self.due.len()) {
            (_, 0) | (true, _) => format!("{}. Nobody is deleted.", self.count),
            (false, due) => {
                let (deleted, kept) = (self.deleted.len(), self.kept.len());
                let failed = self.failed.len();
                format!("{deleted} of {due} users deleted, {kept} kept, {failed} failed.")
            }
        };
        for (one, what) in [(&self.kept, "kept"), (&self.failed, "failed")] {
            for one in one {
                let [user, cluster, why] = ["user", "cluster", "message"].map(|it| text(one, it));
                let _infallible = write!(summary, "\n{what}: {user} in {cluster}: {why}");
            }
        }
        for away in &self.away {
            let _infallible = write!(summary, "\nfailed: {away}");
        }
        if !self.dry_run && self.left() > 0 {
            let why = if self.interrupted {
                "interrupted"
            } else {
                "stopped: too many failures"
            };
            let _infallible = write!(
                summary,
                "\n{why}; {} users are left as they were",
                self.left()
            );
        }
        if self.alone && !self.deleted.is_empty() {
            summary.push_str(
                "\nwarning: this replica shares no Redis with others; if there are others, name \
                 each with --replica, so that they are told",
            );
        }
        summary
    }

    fn shown(&self) -> Value {
        json!({
            "ok": self.is_ok(), "dry_run": self.dry_run, "due": self.shown_due,
            "unknown": self.unknown, "deleted": self.deleted, "kept": self.kept,
            "failed": self.failed, "clusters_failed": self.away,
            "interrupted": self.interrupted, "left": self.left(),
        })
    }
}

/// A number and a unit: days, or what the configuration has.
fn time(text: &str) -> Result<Duration, String> {
    let wrong = || "a time is a number and `d`, `h`, `m` or `s`, such as `30d`".to_owned();
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let seconds = match unit {
        'd' => 86_400,
        'h' => 3_600,
        'm' => 60,
        's' => 1,
        _ => return Err(wrong()),
    };
    let number = text
        .strip_suffix(unit)
        .and_then(|it| it.parse::<u32>().ok());
    let number = number.ok_or_else(wrong)?;
    Ok(Duration::from_secs(u64::from(number) * seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_unit() {
        for (text, seconds) in [
            ("30d", Some(2_592_000)),
            ("720h", Some(2_592_000)),
            ("90m", Some(5_400)),
            ("12s", Some(12)),
            ("0d", Some(0)),
            ("4294967295d", Some(371_085_174_288_000)),
            ("30", None),
            ("d", None),
            ("", None),
            ("-3d", None),
            ("1.5d", None),
            ("30 d", None),
            ("1d12h", None),
            ("30ä", None),
        ] {
            let expected = seconds.map(Duration::from_secs);
            assert_eq!(time(text).ok(), expected, "{text}");
        }
    }
}
