//! A real Elasticsearch and a real OpenSearch behind one real Traefik and one elastauth: a person
//! has other roles in each, and what befalls one of the two is not seen by users of the other.

mod commands;
mod scene;

use crate::support::{all_at_once, find};
use http::StatusCode;
use scene::{BY_ENDPOINT, BY_HOST, BY_PATH, Kind, Level, Scene, Way};
use std::time::Duration;

/// A node that was away has to be back and a failure forgotten.
const RETURN: Duration = Duration::from_mins(1);
/// Users who come for the first time while a cluster is away.
const NEW_USERS: usize = 8;

/// Staff edits in Elasticsearch and views in OpenSearch; guests the other way round.
fn level(groups: &str, kind: Kind) -> Level {
    if (groups == "staff") == (kind == Kind::Elasticsearch) {
        Level::Editor
    } else {
        Level::Viewer
    }
}

/// A change of the groups counts in each cluster at the very next request.
async fn assert_roles_follow(scene: &Scene, user: &str, ways: &[Way]) {
    for groups in ["staff", "guests", "staff"] {
        let cookie = scene.sign_in(user, groups);
        for way in ways {
            scene.assert_may(*way, &cookie, level(groups, way.to)).await;
        }
    }
}

#[tokio::test]
async fn two_hosts_lead_to_two_clusters_with_other_roles() {
    let scene = Scene::new().await;
    assert_roles_follow(&scene, "host-alice", &BY_HOST).await;
    let log = scene.by_host.log();
    for (name, kind) in [("es", "elasticsearch"), ("os", "opensearch")] {
        let found = log.lines().any(|line| {
            line.contains(&format!(
                "the kind of the cluster is known cluster=\"{name}\" kind={kind}"
            ))
        });
        assert!(found, "{name} is {kind}: {log}");
    }
}

#[tokio::test]
async fn two_paths_lead_to_two_clusters_and_are_removed_behind_elastauth() {
    let scene = Scene::new().await;
    assert_roles_follow(&scene, "path-alice", &BY_PATH).await;
    let cookie = scene.sign_in("path-alice", "staff");
    for (host, path) in [
        // Traefik's prefixes end within a segment; those of elastauth do not.
        ("elasticsearch.example.org", "/espresso/_search"),
        ("elasticsearch.example.org", "/logs-app/_search"),
        ("elasticsearch.example.org", "/ES/logs-app/_search"),
        // Removed before elastauth is asked, the prefix cannot choose.
        ("early.example.org", "/es/logs-app/_search"),
    ] {
        let refused = scene.server(host).get(path, &[("cookie", &cookie)]).await;
        let said = refused.text();
        assert!(
            refused.status == StatusCode::FORBIDDEN && said.contains("no_cluster"),
            "{host}{path}: {} {said}",
            refused.status
        );
    }
}

#[tokio::test]
async fn an_endpoint_for_each_cluster_needs_neither_host_nor_path() {
    let scene = Scene::new().await;
    assert_roles_follow(&scene, "named-alice", &BY_ENDPOINT).await;
}

#[derive(Debug, Clone, Copy)]
enum Trouble {
    /// The node is gone as after a power cut, and is started again.
    Killed,
    /// It stands still, with all its connections.
    Paused,
    /// It answers 503 to all.
    Unavailable,
}

impl Scene {
    fn begin(&mut self, trouble: Trouble, kind: Kind) {
        match (trouble, kind) {
            (Trouble::Killed, Kind::Elasticsearch) => self.pair.elasticsearch.kill(),
            (Trouble::Killed, Kind::Opensearch) => self.pair.opensearch.kill(),
            (Trouble::Paused, Kind::Elasticsearch) => self.pair.elasticsearch.signal("STOP"),
            (Trouble::Paused, Kind::Opensearch) => self.pair.opensearch.signal("STOP"),
            (Trouble::Unavailable, _) => self.front(kind).answer_unavailable(true),
        }
    }

    async fn end(&mut self, trouble: Trouble, kind: Kind) {
        match (trouble, kind) {
            (Trouble::Killed, Kind::Elasticsearch) => self.pair.elasticsearch.start_again().await,
            (Trouble::Killed, Kind::Opensearch) => self.pair.opensearch.start_again().await,
            (Trouble::Paused, Kind::Elasticsearch) => self.pair.elasticsearch.signal("CONT"),
            (Trouble::Paused, Kind::Opensearch) => self.pair.opensearch.signal("CONT"),
            (Trouble::Unavailable, _) => self.front(kind).answer_unavailable(false),
        }
    }

    /// Waits until elastauth says this of the cluster.
    async fn reports(&self, kind: Kind, status: &str) {
        let what = format!("{status} of {kind:?}");
        let look = async || (self.readiness(kind).await["status"] == status).then_some(());
        find(&what, RETURN, look).await;
    }
}

/// While one cluster is away, everybody of the other one is served: known users, new ones and
/// those whose groups change.
async fn assert_others_see_nothing(scene: &Scene, trouble: Trouble, away: Kind) {
    let [es, os] = BY_HOST;
    let (sick, well) = match away {
        Kind::Elasticsearch => (es, os),
        Kind::Opensearch => (os, es),
    };
    let new = |what: &str, n: usize| {
        let user = format!("{what}-{trouble:?}-{}-{n}", away.name()).to_lowercase();
        scene.sign_in(&user, "staff")
    };
    let refused = (0..NEW_USERS).map(async |n| {
        let answer = scene.search(sick, &new("sick", n)).await;
        let said = answer.text();
        assert!(
            answer.status == StatusCode::SERVICE_UNAVAILABLE && said.contains("unavailable"),
            "{trouble:?}: {} {said}",
            answer.status
        );
    });
    let granted = (0..NEW_USERS).map(async |n| {
        let answer = scene.search(well, &new("well", n)).await;
        let (status, said) = (answer.status, answer.text());
        assert_eq!(
            status,
            StatusCode::OK,
            "{trouble:?}: {said}\n{}",
            scene.by_host.log()
        );
    });
    let ways = [well];
    let known = assert_roles_follow(scene, "trouble-alice", &ways);
    tokio::join!(all_at_once(refused), all_at_once(granted), known);
}

#[tokio::test]
async fn users_of_one_cluster_see_nothing_of_what_befalls_the_other() {
    let mut scene = Scene::new().await;
    assert_roles_follow(&scene, "trouble-alice", &BY_HOST).await;
    for (trouble, away) in [
        (Trouble::Killed, Kind::Elasticsearch),
        (Trouble::Killed, Kind::Opensearch),
        (Trouble::Paused, Kind::Elasticsearch),
        (Trouble::Paused, Kind::Opensearch),
        (Trouble::Unavailable, Kind::Elasticsearch),
        (Trouble::Unavailable, Kind::Opensearch),
    ] {
        let [es, os] = BY_HOST;
        let sick = if away == es.to { es } else { os };
        let before = scene.failed_calls(away).await;
        scene.begin(trouble, away);
        scene.reports(away, "ERROR").await;
        assert_others_see_nothing(&scene, trouble, away).await;
        scene.reports(away.other(), "OK").await;
        let counted = async || (scene.failed_calls(away).await > before).then_some(());
        find("failed calls to it in the metrics", RETURN, counted).await;
        scene.end(trouble, away).await;
        scene.reports(away, "OK").await;
        let user = format!("back-{trouble:?}-{}", away.name()).to_lowercase();
        let cookie = scene.sign_in(&user, "staff");
        find("a login there", RETURN, async || {
            let answer = scene.search(sick, &cookie).await;
            (answer.status == StatusCode::OK).then_some(())
        })
        .await;
        assert_roles_follow(&scene, "trouble-alice", &BY_HOST).await;
    }
}
