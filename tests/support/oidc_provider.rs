//! The certified `oidc-provider` on a free port, with keys that outlive a restart.

use super::{
    browser::{Browser, code_request},
    http::{Server, basic},
    part, ports,
    process::{NotReady, Process, command},
};
use http::StatusCode;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;

/// Where the code flow ends. Nobody listens there: the browser stops before.
const CALLBACK: &str = "http://127.0.0.1:9/callback";
const SCOPE: &str = "openid profile email groups";

#[derive(Debug)]
pub(crate) struct OidcProvider {
    process: Process,
    port: u16,
    home: TempDir,
    settings: Value,
}

impl OidcProvider {
    /// Starts it with keys as `("k1", "RS256")` and with clients beside the usual ones:
    /// `elastauth`, and `other` with rights of its own.
    pub(crate) async fn start(sign: &[(&str, &str)], clients: &[Value]) -> Self {
        ports::started(async || Self::start_once(sign, clients).await).await
    }

    async fn start_once(sign: &[(&str, &str)], clients: &[Value]) -> Result<Self, NotReady> {
        let home = tempfile::tempdir().expect("a folder for the provider");
        let port = ports::free_port();
        let usual = |name: &str| {
            json!({ "client_id": name, "client_secret": format!("{name}-secret"),
                "redirect_uris": [CALLBACK],
                    "response_types": ["code"], "grant_types": ["authorization_code"] })
        };
        let clients = [&[usual("elastauth"), usual("other")], clients].concat();
        let settings = json!({
            "port": port, "keys": home.path().join("keys"), "sign": Self::keys(sign),
            "clients": clients,
            "accounts": {
                "alice": { "preferred_username": "alice", "name": "Alice Archer",
                    "email": "alice@example.org", "groups": ["dev", "a,b"] },
                "bob": { "preferred_username": "bob", "name": "Bob Baker" },
            },
        });
        let mut process = Self::spawn(&settings, home.path());
        Self::wait(&mut process).await?;
        Ok(Self {
            process,
            port,
            home,
            settings,
        })
    }

    fn keys(sign: &[(&str, &str)]) -> Value {
        sign.iter()
            .map(|(kid, alg)| json!({ "kid": kid, "alg": alg }))
            .collect()
    }

    fn spawn(settings: &Value, home: &Path) -> Process {
        let file = home.join("settings.json");
        std::fs::write(&file, settings.to_string()).expect("the provider's settings");
        let mut node = command(part("node"));
        node.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kits/oidc-provider/server.mjs"))
            .arg(file);
        node.env("OIDC_PROVIDER_PART", part("oidc-provider"))
            .stdin(Stdio::piped());
        Process::start("oidc-provider", &mut node)
    }

    async fn wait(process: &mut Process) -> Result<(), NotReady> {
        let ready = async |process: &Process| {
            process
                .log()
                .lines()
                .any(|line| line.starts_with("ready "))
                .then_some(())
        };
        process
            .ready("its first sign of life", Duration::from_secs(30), ready)
            .await
    }

    /// Ends it and starts it again with these keys in force. It forgets its sessions and opaque
    /// tokens; keys keep their numbers by their names.
    pub(crate) async fn restart(&mut self, sign: &[(&str, &str)]) {
        self.process.kill();
        self.settings["sign"] = Self::keys(sign);
        self.process = Self::spawn(&self.settings, self.home.path());
        Self::wait(&mut self.process)
            .await
            .unwrap_or_else(|why| panic!("{why}"));
    }

    pub(crate) fn issuer(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Signs in on the provider's own pages. `resource` decides what the access token is;
    /// server.mjs says how.
    pub(crate) async fn tokens(&self, client: &str, user: &str, resource: Option<&str>) -> Value {
        let server = Server::plain(self.port);
        let more: Vec<(&str, &str)> = resource
            .map(|resource| ("resource", resource))
            .into_iter()
            .collect();
        let (query, verifier) = code_request(client, CALLBACK, SCOPE, &more);
        let back = Browser::new(&server)
            .sign_in(&format!("/auth?{query}"), CALLBACK, user, "any")
            .await;
        let code = back
            .get("code")
            .unwrap_or_else(|| panic!("no code, but {back:?}"));
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", verifier),
        ];
        let login = basic(client, &format!("{client}-secret"));
        let answer = server
            .post_form(
                "/token",
                &[("authorization", &login)],
                &[&fields[..], &more].concat(),
            )
            .await;
        assert_eq!(
            answer.status,
            StatusCode::OK,
            "{}\n{}",
            answer.text(),
            self.process.log()
        );
        answer.json()
    }

    pub(crate) async fn access_token(
        &self,
        client: &str,
        user: &str,
        resource: Option<&str>,
    ) -> String {
        self.tokens(client, user, resource).await["access_token"]
            .as_str()
            .expect("a token")
            .to_owned()
    }

    /// Revokes a token, as its client.
    pub(crate) async fn revoke(&self, client: &str, token: &str) {
        let login = basic(client, &format!("{client}-secret"));
        let answer = Server::plain(self.port)
            .post_form(
                "/token/revocation",
                &[("authorization", &login)],
                &[("token", token)],
            )
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    }

    /// Ends it, as a crash would.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }
}
