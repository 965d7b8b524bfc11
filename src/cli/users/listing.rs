//! `elastauth users list` and `show`: what a replica knows of users, as a table or for programs.

use super::{
    asking::{Asking, ended},
    replicas::{self, text},
};
use crate::{cli::output::CommandError, config::Config};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use std::fmt::Write as _;

const COLUMNS: [&str; 4] = ["user", "cluster", "state", "seen"];

/// Lists the users of one cluster, or of all, page by page.
pub(super) async fn list(
    config: &Config,
    asking: &Asking,
    cluster: Option<&str>,
) -> Result<(), CommandError> {
    let operator = asking.operator()?;
    let replicas = replicas::all(config, &asking.replicas).await?;
    let Some(replica) = replicas.first() else {
        return Ok(());
    };
    let (mut users, mut failed) = (Vec::new(), Vec::new());
    let mut pages = vec![(cluster.map(str::to_owned), None::<String>)];
    while let Some((cluster, after)) = pages.pop() {
        let path = page(cluster.as_deref(), after.as_deref());
        let asked = operator.look(replica, "list", &path).await;
        let Some(clusters) = asked.clusters() else {
            return Err(CommandError(asked.failure()));
        };
        for one in clusters {
            let cluster = text(one, "cluster");
            if one.get("error").is_some() {
                failed.push(json!({ "cluster": cluster, "error": text(one, "error") }));
            }
            let of_page = one.get("users").and_then(Value::as_array);
            for user in of_page.into_iter().flatten() {
                let mut user = user.clone();
                if let Some(user) = user.as_object_mut() {
                    user.insert("cluster".to_owned(), json!(cluster));
                }
                users.push(user);
            }
            // A cluster that repeats itself must not keep us for ever.
            let next = one.get("next").and_then(Value::as_str).map(str::to_owned);
            if next.is_some() && next > after {
                pages.push((Some(cluster), next));
            }
        }
    }
    users.sort_by_cached_key(|user| (text(user, "user"), text(user, "cluster")));
    let printed = if asking.json {
        format!("{:#}", json!({ "users": users, "failed": failed }))
    } else {
        let mut printed = table(&users);
        for one in &failed {
            let (cluster, error) = (text(one, "cluster"), text(one, "error"));
            let _infallible = write!(printed, "\nfailed: {cluster}: {error}");
        }
        printed
    };
    ended(failed.is_empty(), &printed, asking.json)
}

/// Shows one user in each cluster.
pub(super) async fn show(
    config: &Config,
    asking: &Asking,
    user: &str,
    query: &str,
) -> Result<(), CommandError> {
    let operator = asking.operator()?;
    let replicas = replicas::all(config, &asking.replicas).await?;
    let Some(replica) = replicas.first() else {
        return Ok(());
    };
    let name = utf8_percent_encode(user, NON_ALPHANUMERIC);
    let asked = operator
        .look(replica, "show", &format!("/{name}/show{query}"))
        .await;
    let printed = match &asked.answer {
        Ok((_, answer)) if asking.json && asked.clusters().is_some() => format!("{answer:#}"),
        _ => match asked.clusters() {
            None => return Err(CommandError(asked.failure())),
            Some(clusters) => {
                let shown: Vec<String> = clusters.iter().map(|one| about(user, one)).collect();
                shown.join("\n")
            }
        },
    };
    ended(asked.is_ok(), &printed, asking.json)
}

fn page(cluster: Option<&str>, after: Option<&str>) -> String {
    let mut path = String::new();
    for (name, value) in [("cluster", cluster), ("after", after)] {
        if let Some(value) = value {
            let value = utf8_percent_encode(value, NON_ALPHANUMERIC);
            let sign = if path.is_empty() { '?' } else { '&' };
            let _infallible = write!(path, "{sign}{name}={value}");
        }
    }
    path
}

fn table(users: &[Value]) -> String {
    let rows = users.iter().map(|user| {
        let [name, cluster, state] = ["user", "cluster", "state"].map(|name| text(user, name));
        [name, cluster, state, seen(user)]
    });
    let rows: Vec<[String; 4]> = [COLUMNS.map(str::to_owned)]
        .into_iter()
        .chain(rows)
        .collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths = [width(0), width(1), width(2)];
    let lines = rows.iter().map(|[name, cluster, state, seen]| {
        let [one, two, three] = widths;
        format!("{name:one$}  {cluster:two$}  {state:three$}  {seen}")
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// When the user was seen, as far as their account tells.
fn seen(user: &Value) -> String {
    let day = |name| user.get(name).and_then(Value::as_str);
    match (day("seen_from"), day("seen_before")) {
        (Some(from), None) => format!("{from} or later"),
        (Some(from), Some(before)) if from == before => from.to_owned(),
        (Some(from), Some(before)) => format!("{from} to {before}"),
        (None, Some(before)) => format!("before {before}"),
        (None, None) => "unknown".to_owned(),
    }
}

fn about(user: &str, one: &Value) -> String {
    let cluster = text(one, "cluster");
    if one.get("state").is_none() {
        return format!("{user} in {cluster}: {}", text(one, "message"));
    }
    let list = |name: &str| {
        let list = one.get(name).and_then(Value::as_array);
        let texts = list.into_iter().flatten().filter_map(Value::as_str);
        texts.collect::<Vec<_>>().join(", ")
    };
    let generation = one.get("generation").and_then(Value::as_u64);
    let mut shown = format!("{user} in {cluster}\n  state       {}", text(one, "state"));
    if text(one, "state") == "foreign" {
        shown.push_str(": elastauth has not written this user");
        return shown;
    }
    for (name, value) in [
        ("seen", seen(one)),
        ("roles", list("roles")),
        ("groups", list("groups")),
        ("provider", text(one, "provider")),
        ("generation", generation.unwrap_or_default().to_string()),
    ] {
        let _infallible = write!(shown, "\n  {name:10}  {value}");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_aligned_and_says_what_is_known_of_the_last_use() {
        let user = |name: &str, cluster: &str, from: Option<&str>, before: Option<&str>| {
            json!({
                "user": name, "cluster": cluster, "state": "active",
                "seen_from": from, "seen_before": before,
            })
        };
        let users = [
            user("alice", "default", Some("2026-11-28"), None),
            user("bob", "de", None, Some("2026-11-28")),
            user("ca", "default", Some("2026-11-27"), Some("2026-11-28")),
            user("dave", "default", None, None),
        ];
        assert_eq!(
            table(&users),
            "user   cluster  state   seen\n\
             alice  default  active  2026-11-28 or later\n\
             bob    de       active  before 2026-11-28\n\
             ca     default  active  2026-11-27 to 2026-11-28\n\
             dave   default  active  unknown"
        );
        assert_eq!(page(None, None), "");
        assert_eq!(page(Some("a b"), Some("c&d")), "?cluster=a%20b&after=c%26d");
    }
}
