//! `elastauth users …` on both clusters.

use super::scene::{BY_HOST, GATEWAY_KEY, Kind, Scene};
use crate::support::find;
use http::StatusCode;
use serde_json::{Value, json};
use std::{cell::Cell, process::Output, time::Duration};

/// How often a user of OpenSearch is deleted while their login is in use. With one write for a
/// deletion two of twenty logins worked on.
const DELETIONS: usize = 5;

impl Scene {
    async fn users(&self, arguments: &[&str]) -> Output {
        let url = format!("http://127.0.0.1:{}", self.by_host.port());
        let how = ["--replica", &url, "--gateway-key-file", "gateway.key"];
        let command = [&["users"][..], arguments, &how].concat();
        self.by_host.command(&command).await
    }

    /// What a command prints that has done its work.
    async fn done(&self, arguments: &[&str]) -> String {
        let output = self.users(arguments).await;
        assert!(
            output.status.success(),
            "{arguments:?}: {output:?}\n{}",
            self.by_host.log()
        );
        String::from_utf8(output.stdout).unwrap()
    }

    async fn printed(&self, arguments: &[&str]) -> Value {
        let text = self.done(&[arguments, &["--json"]].concat()).await;
        serde_json::from_str(&text).unwrap()
    }

    /// A user's login, asked of elastauth itself.
    async fn login(&self, kind: Kind, user: &str, groups: &str) -> Result<String, StatusCode> {
        let path = format!("/elastauth/clusters/{}", kind.name());
        let headers = [
            ("x-elastauth-key", GATEWAY_KEY),
            ("remote-user", user),
            ("remote-groups", groups),
        ];
        let answer = self.by_host.server().get(&path, &headers).await;
        let login = answer.header("authorization").map(str::to_owned);
        login.ok_or(answer.status)
    }

    /// Whether the cluster itself takes a login.
    async fn takes(&self, kind: Kind, login: &str) -> bool {
        match self.pair.whoami(kind, login).await.status {
            StatusCode::OK => true,
            StatusCode::UNAUTHORIZED => false,
            status => panic!("{kind:?} answers {status}"),
        }
    }

    /// The states of a user, by cluster.
    async fn states(&self, user: &str) -> [Value; 2] {
        let shown = self.printed(&["show", user]).await;
        let clusters = shown["clusters"].as_array().expect("clusters");
        let state = |name: &str| {
            let found = clusters.iter().find(|it| it["cluster"] == name);
            found.map(|it| it["state"].clone()).unwrap_or_default()
        };
        ["es", "os"].map(state)
    }
}

#[tokio::test]
async fn a_user_is_disabled_enabled_and_deleted_in_one_cluster_alone() {
    let scene = Scene::new().await;
    let user = "cmd-alice";
    let cookie = scene.sign_in(user, "staff");
    // Elasticsearch has a right of its own for each; without it the command says which.
    scene
        .login(Kind::Elasticsearch, user, "staff")
        .await
        .unwrap();
    let refused = scene.users(&["disable", user, "--cluster", "es"]).await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && said.contains("user/set_enabled"),
        "{said}"
    );
    scene.pair.may_change_users().await;

    for way in BY_HOST {
        let (here, there) = (way.to, way.to.other());
        let one = ["--cluster", here.name()];
        let run = async |arguments: &[&str]| scene.printed(&[arguments, &one].concat()).await;
        let login = scene.login(here, user, "staff").await.unwrap();
        let elsewhere = scene.login(there, user, "staff").await.unwrap();
        let listed = run(&["list"]).await;
        let all = listed["users"].as_array().expect("users");
        let found = all.iter().find(|it| it["user"] == user).expect("the user");
        assert_eq!(
            (&found["cluster"], &found["state"]),
            (&json!(here.name()), &json!("active"))
        );
        let shown = run(&["show", user]).await;
        assert_eq!(shown["clusters"][0]["groups"], json!(["staff"]), "{shown}");

        let would = run(&["disable", user, "--dry-run"]).await;
        assert_eq!(would["ok"], true, "{would}");
        assert!(scene.takes(here, &login).await);
        assert_eq!(run(&["disable", user]).await["ok"], true);
        assert!(!scene.takes(here, &login).await && scene.takes(there, &elsewhere).await);
        for groups in ["staff", "guests", "staff"] {
            let refused = scene.login(here, user, groups).await;
            assert_eq!(refused, Err(StatusCode::FORBIDDEN), "{groups} {here:?}");
        }
        let through = scene.search(way, &cookie).await;
        assert_eq!(through.status, StatusCode::FORBIDDEN, "{}", through.text());
        let states = scene.states(user).await;
        let disabled = ["disabled", "active"];
        let expected = if here == Kind::Elasticsearch {
            disabled
        } else {
            [disabled[1], disabled[0]]
        };
        assert_eq!(states, expected.map(|state| json!(state)));

        assert_eq!(run(&["enable", user]).await["ok"], true);
        let back =
            async || (scene.search(way, &cookie).await.status == StatusCode::OK).then_some(());
        find("the user to be let in again", Duration::from_secs(20), back).await;

        let login = scene.login(here, user, "staff").await.unwrap();
        assert!(scene.takes(here, &login).await);
        assert_eq!(run(&["delete", user]).await["ok"], true);
        assert!(!scene.takes(here, &login).await && scene.takes(there, &elsewhere).await);
        // Their next request makes them again.
        let again = scene.search(way, &cookie).await;
        assert_eq!(again.status, StatusCode::OK, "{}", again.text());
    }
    let unknown = scene.users(&["show", user, "--cluster", "ES"]).await;
    assert_eq!(unknown.status.code(), Some(1), "{unknown:?}");
}

/// OpenSearch may be checking the login while its user is deleted, and keeps what it has checked.
#[tokio::test]
async fn no_login_outlives_its_user_though_it_is_in_use_all_the_time() {
    let scene = Scene::new().await;
    for round in 0..DELETIONS {
        let user = format!("del-alice-{round}");
        let login = scene.login(Kind::Opensearch, &user, "staff").await.unwrap();
        let is_over = Cell::new(false);
        let use_it = async || {
            while !is_over.get() {
                let _ = scene.takes(Kind::Opensearch, &login).await;
            }
        };
        let delete = async {
            scene.done(&["delete", &user, "--cluster", "os"]).await;
            is_over.set(true);
        };
        tokio::join!(use_it(), use_it(), use_it(), use_it(), delete);
        assert!(!scene.takes(Kind::Opensearch, &login).await, "{round}");
        assert!(scene.pair.opensearch.user(&user).await.is_none());
    }
}
