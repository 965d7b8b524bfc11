//! A real Keycloak, one for all tests of a binary. Each test has a realm of its own in it, with its
//! own keys and people.

use super::{
    browser::{Browser, code_request},
    http::{Answer, Server},
    part, ports,
    process::{NotReady, Process, command, java_options},
};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, OnceCell};

/// A busy machine can keep a new realm waiting for long.
const PATIENCE: Duration = Duration::from_mins(2);

/// Where the code flow ends. Nobody listens there: the browser stops before.
const CALLBACK: &str = "http://127.0.0.1/callback";

#[derive(Debug)]
pub(crate) struct Keycloak {
    server: Server,
    port: u16,
    /// It ends with its stdin, so it ends with us even when nobody drops this: a static is never
    /// dropped.
    _process: Process,
}

impl Keycloak {
    /// The one that the tests of this binary share.
    pub(crate) async fn shared() -> &'static Self {
        static KEYCLOAK: OnceCell<Keycloak> = OnceCell::const_new();
        KEYCLOAK
            .get_or_init(|| ports::started(async || Self::start().await))
            .await
    }

    async fn start() -> Result<Self, NotReady> {
        let port = ports::free_port();
        let mut run =
            command(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kits/keycloak/run.sh"));
        run.arg(part("keycloak"))
            .arg(port.to_string())
            .stdin(Stdio::piped())
            .env("JAVA", part("java/bin/java"))
            .env("JDK_JAVA_OPTIONS", java_options());
        let mut process = Process::start("keycloak", &mut run);
        let listening =
            async |process: &Process| process.log().contains("Listening on:").then_some(());
        process
            .ready("its first sign of life", PATIENCE, listening)
            .await?;
        Ok(Self {
            server: Server::plain(port).within(PATIENCE),
            port,
            _process: process,
        })
    }

    async fn administrator(&self) -> String {
        let fields = [
            ("grant_type", "password"),
            ("client_id", "admin-cli"),
            ("username", "admin"),
            ("password", "admin-password"),
        ];
        let answer = self
            .server
            .post_form("/realms/master/protocol/openid-connect/token", &[], &fields)
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        format!(
            "Bearer {}",
            answer.json()["access_token"].as_str().expect("a token")
        )
    }

    async fn manage(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let administrator = self.administrator().await;
        let answer = self
            .server
            .ask(
                method.clone(),
                path,
                &[("authorization", &administrator)],
                body,
            )
            .await;
        assert!(
            answer.status.is_success(),
            "{method} {path}: {} {}",
            answer.status,
            answer.text()
        );
        answer
    }
}

/// A realm from the template in tests/kits/keycloak, whose README says who and what is in it.
#[derive(Debug)]
pub(crate) struct Realm {
    keycloak: &'static Keycloak,
    name: String,
}

impl Realm {
    pub(crate) async fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        static ONE: Mutex<()> = Mutex::const_new(());
        let keycloak = Keycloak::shared().await;
        let name = format!("realm-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kits/keycloak/realm.json");
        let template = std::fs::read_to_string(template).expect("the template of a realm");
        let mut realm: Value = serde_json::from_str(
            &template.replace("default-roles-elastauth", &format!("default-roles-{name}")),
        )
        .expect("JSON");
        realm["realm"] = json!(name);
        // Making RSA keys is most of what a new realm costs Keycloak, so it gets them. One of them
        // is for encryption, as in any realm.
        let (first, encryption) = (
            rsa_key("first", "RS256", 100),
            rsa_key("encryption", "RSA-OAEP", 100),
        );
        let shared = |kind: &str, config: Value| {
            json!({ "name": kind,
            "providerId": format!("{kind}-generated"), "config": config })
        };
        realm["components"]["org.keycloak.keys.KeyProvider"] = json!([
            first,
            encryption,
            shared(
                "hmac",
                json!({ "priority": ["100"], "algorithm": ["HS512"] })
            ),
            shared("aes", json!({ "priority": ["100"] })),
        ]);
        // One after the other: two at once wait for each other in its database.
        let _alone = ONE.lock().await;
        keycloak
            .manage(Method::POST, "/admin/realms", Some(&realm))
            .await;
        Self { keycloak, name }
    }

    pub(crate) fn issuer(&self) -> String {
        format!(
            "http://127.0.0.1:{}/realms/{}",
            self.keycloak.port, self.name
        )
    }

    /// Signs in with the password grant: `access_token`, `id_token`, `refresh_token`.
    pub(crate) async fn tokens(&self, client: &str, user: &str) -> Value {
        let (secret, password) = (format!("{client}-secret"), format!("{user}-password"));
        let fields = [
            ("grant_type", "password"),
            ("client_id", client),
            ("client_secret", &secret),
            ("username", user),
        ];
        self.token_endpoint(
            &[&fields[..], &[("password", &password), ("scope", "openid")]].concat(),
        )
        .await
    }

    pub(crate) async fn access_token(&self, client: &str, user: &str) -> String {
        self.tokens(client, user).await["access_token"]
            .as_str()
            .expect("a token")
            .to_owned()
    }

    /// Signs in on Keycloak's own page, with a code at the end.
    pub(crate) async fn tokens_by_browser(&self, client: &str, user: &str) -> Value {
        let (query, verifier) = code_request(client, CALLBACK, "openid", &[]);
        let start = format!("/realms/{}/protocol/openid-connect/auth?{query}", self.name);
        let back = Browser::new(&self.keycloak.server)
            .sign_in(&start, CALLBACK, user, &format!("{user}-password"))
            .await;
        let secret = format!("{client}-secret");
        self.token_endpoint(&[
            ("grant_type", "authorization_code"),
            ("client_id", client),
            ("client_secret", &secret),
            ("code", &back["code"]),
            ("redirect_uri", CALLBACK),
            ("code_verifier", verifier),
        ])
        .await
    }

    async fn token_endpoint(&self, fields: &[(&str, &str)]) -> Value {
        let answer = self
            .keycloak
            .server
            .post_form(
                &format!("/realms/{}/protocol/openid-connect/token", self.name),
                &[],
                fields,
            )
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        answer.json()
    }

    /// Does something as the administrator, below the realm.
    pub(crate) async fn manage(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        self.keycloak
            .manage(method, &format!("/admin/realms/{}{path}", self.name), body)
            .await
    }

    /// Merges `change` into a user.
    pub(crate) async fn change_user(&self, name: &str, change: &Value) {
        let id = self.user_id(name).await;
        self.manage(Method::PUT, &format!("/users/{id}"), Some(change))
            .await;
    }

    /// Takes a user out of a group, or puts one in.
    pub(crate) async fn set_member(&self, user: &str, group: &str, member: bool) {
        let user = self.user_id(user).await;
        let group = self
            .manage(Method::GET, &format!("/group-by-path{group}"), None)
            .await
            .json()["id"]
            .clone();
        let method = if member { Method::PUT } else { Method::DELETE };
        self.manage(
            method,
            &format!("/users/{user}/groups/{}", group.as_str().expect("an id")),
            None,
        )
        .await;
    }

    /// Signs out: the session of this refresh token is over, and Keycloak tells the clients in it.
    pub(crate) async fn sign_out(&self, client: &str, refresh_token: &str) {
        let secret = format!("{client}-secret");
        let fields = [
            ("client_id", client),
            ("client_secret", &secret),
            ("refresh_token", refresh_token),
        ];
        let answer = self
            .keycloak
            .server
            .post_form(
                &format!("/realms/{}/protocol/openid-connect/logout", self.name),
                &[],
                &fields,
            )
            .await;
        assert!(answer.status.is_success(), "{}", answer.text());
    }

    /// Ends all sessions of a user, as an administrator does.
    pub(crate) async fn end_sessions(&self, user: &str) {
        let user = self.user_id(user).await;
        self.manage(Method::POST, &format!("/users/{user}/logout"), None)
            .await;
    }

    /// Merges `change` into a client; attributes one by one.
    pub(crate) async fn change_client(&self, name: &str, change: &Value) {
        let found = self
            .manage(Method::GET, &format!("/clients?clientId={name}"), None)
            .await
            .json();
        let mut client = found[0].clone();
        for (member, value) in change.as_object().expect("an object") {
            if let (Some(old), Some(new)) = (client[member].as_object_mut(), value.as_object()) {
                old.extend(new.clone());
            } else {
                client[member] = value.clone();
            }
        }
        self.manage(
            Method::PUT,
            &format!("/clients/{}", client["id"].as_str().expect("an id")),
            Some(&client),
        )
        .await;
    }

    /// Makes a new RSA key that signs from now on; the old ones stay good.
    pub(crate) async fn new_key(&self, name: &str, priority: u32) {
        let mut key = rsa_key(name, "RS256", priority);
        key["providerType"] = json!("org.keycloak.keys.KeyProvider");
        self.manage(Method::POST, "/components", Some(&key)).await;
    }

    /// Takes away the key with which the realm was made.
    pub(crate) async fn delete_first_key(&self) {
        let all = self
            .manage(
                Method::GET,
                "/components?type=org.keycloak.keys.KeyProvider",
                None,
            )
            .await
            .json();
        let first = all
            .as_array()
            .expect("a list")
            .iter()
            .find(|one| one["name"] == "first")
            .expect("the first key");
        self.manage(
            Method::DELETE,
            &format!("/components/{}", first["id"].as_str().expect("an id")),
            None,
        )
        .await;
    }

    async fn user_id(&self, name: &str) -> String {
        let found = self
            .manage(
                Method::GET,
                &format!("/users?exact=true&username={name}"),
                None,
            )
            .await
            .json();
        found[0]["id"]
            .as_str()
            .unwrap_or_else(|| panic!("no user {name}"))
            .to_owned()
    }
}

/// A new RSA key as Keycloak takes one.
fn rsa_key(name: &str, algorithm: &str, priority: u32) -> Value {
    use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
    use aws_lc_rs::rsa::{KeyPair, KeySize};
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    let pair = KeyPair::generate(KeySize::Rsa2048).expect("a key");
    let der: Pkcs8V1Der<'_> = pair.as_der().expect("its form");
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        BASE64_STANDARD.encode(der.as_ref())
    );
    let provider = if algorithm == "RSA-OAEP" {
        "rsa-enc"
    } else {
        "rsa"
    };
    json!({
        "name": name, "providerId": provider,
        "config": { "priority": [priority.to_string()], "algorithm": [algorithm],
        "privateKey": [pem] },
    })
}
