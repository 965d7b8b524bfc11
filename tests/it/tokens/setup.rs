//! The running program between an identity provider of the test's own and the stand-in cluster.

use crate::support::{elastauth::Elastauth, http::Answer, idp::Idp, until};
use elastauth::internals::{
    demo::standin::{SERVICE_USER, StandIn},
    shutdown::Tasks,
};

/// One provider, the program, the cluster.
pub(crate) struct Setup {
    pub(crate) idp: Idp,
    pub(crate) cluster: StandIn,
    pub(crate) elastauth: Elastauth,
    _tasks: Tasks,
}

impl Setup {
    pub(crate) async fn new() -> Self {
        Self::with("").await
    }

    /// The same with these lines at the end of the section `oidc`, and of the file.
    pub(crate) async fn with(more: &str) -> Self {
        let (idp, tasks) = (Idp::start().await, Tasks::default());
        let cluster = StandIn::start(&tasks).await.unwrap();
        let oidc = format!(
            "oidc:\n  issuer: {}\n  client_id: elastauth\n{more}",
            idp.issuer
        );
        let elastauth = Elastauth::start_anywhere(&config(&cluster, &oidc), &[]).await;
        Self {
            idp,
            cluster,
            elastauth,
            _tasks: tasks,
        }
    }

    /// One more elastauth of this deployment.
    pub(crate) async fn replica(&self, more: &str) -> Elastauth {
        let oidc = format!(
            "oidc:\n  issuer: {}\n  client_id: elastauth\n{more}",
            self.idp.issuer
        );
        Elastauth::start_anywhere(&config(&self.cluster, &oidc), &[]).await
    }

    pub(crate) async fn bearer(&self, token: &str) -> Answer {
        bearer(&self.elastauth, token).await
    }

    /// The log once this stands in it.
    pub(crate) async fn log_with(&self, text: &str) -> String {
        until(text, || self.elastauth.log().contains(text)).await;
        self.elastauth.log()
    }

    pub(crate) fn roles(&self, user: &str) -> Vec<String> {
        self.cluster.user(user).unwrap().roles
    }
}

/// The configuration of a program before this cluster; `oidc` is that section.
pub(crate) fn config(cluster: &StandIn, oidc: &str) -> String {
    format!(
        "listen: 127.0.0.1:0\nlog_level: debug\n\
         secret_key: c1f9a67d30b84e52976efab0451d8c23e7b04c9f6a1852d3b9ce70f8146da25b\n\
         auth_provider: [oidc, authelia]\ngroup_mappings:\n  dev: [editor]\n  a: [superuser]\n\
         elasticsearch:\n  hosts: [\"{}\"]\n  username: {SERVICE_USER}\n  password: {}\n{oidc}",
        cluster.url(),
        cluster.service_password()
    )
}

pub(crate) async fn bearer(elastauth: &Elastauth, token: &str) -> Answer {
    elastauth
        .server()
        .get(
            "/elastauth",
            &[("authorization", &format!("Bearer {token}"))],
        )
        .await
}
