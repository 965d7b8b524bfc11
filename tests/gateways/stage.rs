//! A gateway with the files of its guide, and all the others around it: elastauth with the guide's
//! own configuration, a stand-in cluster, Authelia's stand-in or an identity provider, and
//! applications that record what reaches them.

use crate::{
    application::{Application, RECORD},
    client::Reply,
    draft::Draft,
    gateway::{ELASTICSEARCH, Form, GATEWAY_KEY, Gateway, KIBANA, Parties, Program},
    message::Message,
    support::{
        authelia::Authelia, elastauth::Elastauth, find, free_port, guide, http::pair, idp::Idp,
    },
};
use elastauth::internals::{demo::standin::StandIn, shutdown::Tasks};
use http::HeaderValue;
use serde_json::{Value, json};
use std::time::Duration;

pub(crate) const SECRET_KEY: &str =
    "c1f9a67d30b84e52976efab0451d8c23e7b04c9f6a1852d3b9ce70f8146da25b";

/// A gateway that has seen elastauth fail may keep away from it for a while.
const AGAIN: Duration = Duration::from_secs(30);

/// What attacks say their address is.
const FORGED_ADDRESS: &str = "203.0.113.9";

/// No application behind elastauth gets any of these, whichever way its name is written.
const FORBIDDEN: [&str; 14] = [
    "remote-user",
    "remote-groups",
    "remote-email",
    "remote-name",
    "x-elastauth-key",
    "es-security-runas-user",
    "es-secondary-authorization",
    "es-client-authentication",
    "es-secondary-x-client-authentication",
    "opendistro-security-impersonate-as",
    "security-impersonate-as",
    "x-original-url",
    "x-original-method",
    "x-rewrite-url",
];

pub(crate) struct Stage {
    pub(crate) form: Form,
    pub(crate) gateway: Gateway,
    pub(crate) elastauth: Elastauth,
    pub(crate) cluster: StandIn,
    pub(crate) authelia: Authelia,
    pub(crate) elasticsearch: Application,
    pub(crate) kibana: Application,
    pub(crate) wiki: Application,
    idp: Idp,
    /// elastauth's configuration, for another start.
    pub(crate) config: String,
    _tasks: Tasks,
}

impl Stage {
    pub(crate) async fn new(program: &Program, form: Form) -> Self {
        Self::asking(program, form, None).await
    }

    /// The gateway asks at this port instead of asking elastauth.
    pub(crate) async fn asking(program: &Program, form: Form, instead: Option<u16>) -> Self {
        let tasks = Tasks::default();
        let cluster = StandIn::start(&tasks).await.expect("a stand-in");
        let (authelia, idp) = (Authelia::start().await, Idp::start().await);
        let (elasticsearch, kibana, wiki) = (
            Application::start().await,
            Application::start().await,
            Application::start().await,
        );
        // Fixed, so that elastauth can be started again.
        let listen = format!("127.0.0.1:{}", free_port());
        let mut replace = vec![
            ("0.0.0.0:5000", listen.as_str()),
            ("192.0.2.20/32", "127.0.0.1/32"),
        ];
        let url = cluster.url();
        replace.push(("http://elasticsearch:9200", &url));
        if form == Form::Tokens {
            replace.push(("https://sso.example.org/realms/main", &idp.issuer));
        }
        let config = guide::file(&format!("{}/{}", program.folder, form.config()), &replace);
        let elastauth = start_elastauth(&config, &cluster).await;
        let parties = Parties {
            authelia: authelia.port,
            elastauth: instead.unwrap_or_else(|| elastauth.port()),
            elasticsearch: elasticsearch.port,
            kibana: kibana.port,
            wiki: wiki.port,
        };
        let gateway = (program.start)(form, parties).await;
        Self {
            form,
            gateway,
            elastauth,
            cluster,
            authelia,
            elasticsearch,
            kibana,
            wiki,
            idp,
            config,
            _tasks: tasks,
        }
    }

    /// Starts elastauth again where it was.
    pub(crate) async fn restart_elastauth(&mut self) {
        self.elastauth.kill();
        self.elastauth = start_elastauth(&self.config, &self.cluster).await;
    }

    /// How much has arrived at all applications that elastauth is in front of.
    pub(crate) fn arrived(&self) -> usize {
        self.elasticsearch.count() + self.kibana.count()
    }

    /// Where everybody is, for another gateway.
    pub(crate) fn parties(&self) -> Parties {
        Parties {
            authelia: self.authelia.port,
            elastauth: self.elastauth.port(),
            elasticsearch: self.elasticsearch.port,
            kibana: self.kibana.port,
            wiki: self.wiki.port,
        }
    }

    /// Signs somebody in who may read, and returns the header line that shows it.
    pub(crate) fn signed_in(&self, user: &str) -> String {
        self.signed_in_with(user, "search-readers", "/search/readers")
    }

    /// The same with these groups, as Authelia and as the identity provider name them.
    pub(crate) fn signed_in_with(&self, user: &str, authelia: &str, provider: &str) -> String {
        if self.form == Form::Tokens {
            let token = self.idp.token(|claims| identify(claims, user, provider));
            format!("Authorization: Bearer {token}")
        } else {
            format!("Cookie: {}", self.authelia.sign_in(user, authelia))
        }
    }

    /// A header line with a token that is no longer valid.
    pub(crate) fn expired(&self, user: &str) -> String {
        let token = self.idp.token(|claims| {
            identify(claims, user, "/search/readers");
            claims["iat"] = json!(1_700_000_000);
            claims["exp"] = json!(1_700_000_300);
        });
        format!("Authorization: Bearer {token}")
    }

    /// Waits until this is served.
    pub(crate) async fn served_again(&self, draft: &Draft) {
        find("a gateway that serves again", AGAIN, async || {
            let reply = self.gateway.client.send(draft).await;
            matches!(reply, Reply::Answer(answer) if answer.header(RECORD).is_some()).then_some(())
        })
        .await;
    }

    /// A request of somebody who is not signed in.
    pub(crate) fn anonymous() -> Draft {
        let mut draft = Draft::get(ELASTICSEARCH, "/_search");
        draft.line("Accept: application/json");
        draft
    }

    /// A request of this user.
    pub(crate) fn request_of(&self, user: &str) -> Draft {
        let mut draft = Self::anonymous();
        draft.line(&self.signed_in(user));
        draft
    }

    /// Whether this has arrived as a request of this user has to: with exactly one login, which
    /// works and is the user's, and without anything that says who somebody is.
    ///
    /// # Errors
    /// With what is wrong.
    pub(crate) fn judge(&self, record: &Message, user: &str) -> Result<(), String> {
        let logins = record.all("authorization");
        let [login] = logins[..] else {
            return Err(format!("{} `Authorization`", logins.len()));
        };
        if !login.starts_with("Basic ") {
            return Err("an `Authorization` that is not elastauth's".to_owned());
        }
        let name = pair(login).0;
        if name != user {
            return Err(format!("the login of {name} instead of {user}"));
        }
        let value = HeaderValue::from_str(login).expect("a header value");
        if !self.cluster.accepts(&value) {
            return Err("a login that does not work".to_owned());
        }
        let roles = self.cluster.user(user).map(|user| user.roles);
        if roles.as_deref() != Some(&["viewer".to_owned()]) {
            return Err(format!("roles {roles:?}"));
        }
        untold(record)?;
        if gives_credentials(record) {
            return Err(format!("`{}`", record.first));
        }
        let hosts = [ELASTICSEARCH, KIBANA];
        for (name, right) in [
            ("x-forwarded-proto", &["https", "wss"][..]),
            ("x-forwarded-host", &hosts),
        ] {
            let said = record.all(name).join(", ");
            if !said.is_empty() && !right.contains(&said.as_str()) {
                return Err(format!("`{name}: {said}`"));
            }
        }
        // The gateway's own entry is the last one. Which that is on the loopback address differs.
        let said = record.all("x-forwarded-for").join(",");
        if said.ends_with(FORGED_ADDRESS) {
            return Err(format!("`x-forwarded-for: {said}`"));
        }
        Ok(())
    }

    /// Whether this has arrived as a request of nobody has to: without any credential.
    ///
    /// # Errors
    /// With what is wrong.
    pub(crate) fn judge_anonymous(record: &Message) -> Result<(), String> {
        for name in ["authorization", "cookie", "proxy-authorization"] {
            if let Some(value) = record.header(name) {
                return Err(format!("`{name}: {value}`"));
            }
        }
        untold(record)
    }

    /// Whether this has arrived at the wiki as a request of this user has to: with the name that
    /// Authelia gave, and without a login of elastauth.
    ///
    /// # Errors
    /// With what is wrong.
    pub(crate) fn judge_wiki(&self, record: &Message, user: &str) -> Result<(), String> {
        let names = record.all("remote-user");
        if names != [user] {
            return Err(format!("`Remote-User` {names:?}"));
        }
        if record.all("remote-groups") != ["search-readers"] {
            return Err("groups that are not Authelia's".to_owned());
        }
        for login in record.all("authorization") {
            let login = HeaderValue::from_str(login);
            if login.is_ok_and(|login| self.cluster.accepts(&login)) {
                return Err("a login of elastauth".to_owned());
            }
        }
        Ok(())
    }
}

fn identify(claims: &mut Value, user: &str, group: &str) {
    claims["sub"] = json!(user);
    claims["preferred_username"] = json!(user);
    claims["email"] = json!(format!("{user}@example.org"));
    claims["groups"] = json!([group]);
}

/// Whether nothing in it says who somebody is, but `Authorization`.
fn untold(record: &Message) -> Result<(), String> {
    for (name, value) in record.headers.iter().chain(&record.trailers) {
        let plain = name.to_ascii_lowercase().replace(['_', '.'], "-");
        if FORBIDDEN.contains(&plain.as_str()) {
            return Err(format!("`{name}: {value}`"));
        }
    }
    let is_login = |(name, _): &&(String, String)| name.eq_ignore_ascii_case("authorization");
    match record.trailers.iter().find(is_login) {
        Some((name, _)) => Err(format!("`{name}` as a trailer")),
        None => Ok(()),
    }
}

/// Whether the application would give its user a password or a key.
fn gives_credentials(record: &Message) -> bool {
    let target = record.first.split(' ').nth(1).unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let path = path.split('#').next().unwrap_or_default();
    // Elasticsearch 9.5 takes these and no other spelling: no second slash, no percent sign but in
    // the name, no other case. A slash at the end is nothing to it.
    let path = path.strip_suffix('/').unwrap_or(path);
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    if matches!(
        segments[..],
        ["_security", "user", .., "_password"]
            | ["_security", "api_key", ..]
            | ["_security", "cross_cluster", "api_key"]
            | ["_security", "oauth2", "token"]
            // Elasticsearch 7, and 8 for clients that ask for compatibility with it.
            | ["_xpack", "security", "user", .., "_password"]
            // OpenSearch, and what its path was called before.
            | ["_plugins" | "_opendistro", "_security", "api", "account"]
    ) {
        return true;
    }
    // Kibana resolves dots and decodes; how many slashes and which case it takes depends on its version.
    let decoded = |text: &str| {
        let bytes: Vec<u8> = percent_encoding::percent_decode_str(text).collect();
        String::from_utf8_lossy(&bytes).to_ascii_lowercase()
    };
    let path = decoded(&resolved(path));
    let segments: Vec<&str> = path.split('/').filter(|one| !one.is_empty()).collect();
    let is_private = segments.windows(3).any(|here| {
        here == ["internal", "security", "api_key"] || here == ["internal", "security", "users"]
    });
    let is_console = path.contains("console/proxy")
        && query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .filter(|(name, _)| decoded(name) == "path")
            .any(|(_, path)| is_own_credential(&console_path(&decoded(path))));
    is_console
        || is_private && (segments.contains(&"api_key") || segments.last() == Some(&"password"))
}

/// Which path Kibana's console asks Elasticsearch for: its URL parser drops tabs and line ends, and
/// resolves dots.
fn console_path(path: &str) -> String {
    let kept: String = path
        .chars()
        .filter(|one| !['\t', '\r', '\n'].contains(one))
        .collect();
    let path = kept.split(['?', '#']).next().unwrap_or_default();
    resolved(path)
}

/// However the words are spelled: the console's own encoding differs between versions of Kibana.
fn is_own_credential(path: &str) -> bool {
    let bytes: Vec<u8> = percent_encoding::percent_decode_str(path).collect();
    let path = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
    path.contains("security")
        && ["_password", "api_key", "oauth2", "account"]
            .iter()
            .any(|word| path.contains(word))
}

/// A path as Kibana's server resolves it: dots before anything else, also where they are escaped,
/// and a segment without a name is one.
fn resolved(path: &str) -> String {
    let mut segments = Vec::new();
    for segment in path.replace('\\', "/").split('/') {
        match segment.to_ascii_lowercase().replace("%2e", ".").as_str() {
            "." => {}
            ".." => drop(segments.pop()),
            _ => segments.push(segment.to_owned()),
        }
    }
    segments.join("/")
}

pub(crate) async fn start_elastauth(config: &str, cluster: &StandIn) -> Elastauth {
    Elastauth::start_anywhere_in(config, &[], &secrets(cluster)).await
}

/// What the guides' configurations take from the environment.
pub(crate) fn secrets(cluster: &StandIn) -> [(&str, &str); 3] {
    [
        ("GATEWAY_KEY", GATEWAY_KEY),
        ("SECRET_KEY", SECRET_KEY),
        ("ELASTICSEARCH_PASSWORD", cluster.service_password()),
    ]
}
