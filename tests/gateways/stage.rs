//! A gateway with the files of its guide, and all the others around it: elastauth with the guide's
//! own configuration, a stand-in cluster, Authelia's stand-in or an identity provider, and
//! applications that record what reaches them.

use crate::{
    application::Application,
    draft::Draft,
    gateway::{ELASTICSEARCH, Form, GATEWAY_KEY, Gateway, KIBANA, Parties, Program, WIKI},
    message::Message,
    support::{authelia::Authelia, elastauth::Elastauth, free_port, guide, http::pair, idp::Idp},
};
use elastauth::internals::{demo::standin::StandIn, shutdown::Tasks};
use http::HeaderValue;
use serde_json::json;

const SECRET_KEY: &str = "c1f9a67d30b84e52976efab0451d8c23e7b04c9f6a1852d3b9ce70f8146da25b";

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
    config: String,
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

    /// The application of a host.
    pub(crate) fn application(&self, host: &str) -> &Application {
        match host {
            ELASTICSEARCH => &self.elasticsearch,
            KIBANA => &self.kibana,
            WIKI => &self.wiki,
            other => panic!("no application is at {other}"),
        }
    }

    /// What has arrived at all applications that elastauth is in front of.
    pub(crate) fn arrived(&self) -> usize {
        self.elasticsearch.count() + self.kibana.count()
    }

    /// Signs somebody in who may read, and returns the header line that shows it.
    pub(crate) fn signed_in(&self, user: &str) -> String {
        self.signed_in_with(user, "search-readers", "/search/readers")
    }

    /// The same with these groups, as Authelia and as the identity provider name them.
    pub(crate) fn signed_in_with(&self, user: &str, authelia: &str, provider: &str) -> String {
        if self.form == Form::Tokens {
            let token = self.idp.token(|claims| {
                claims["sub"] = json!(user);
                claims["preferred_username"] = json!(user);
                claims["email"] = json!(format!("{user}@example.org"));
                claims["groups"] = if provider.is_empty() {
                    json!([])
                } else {
                    json!([provider])
                };
            });
            format!("Authorization: Bearer {token}")
        } else {
            format!("Cookie: {}", self.authelia.sign_in(user, authelia))
        }
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
        let fields = record.headers.iter().chain(&record.trailers);
        for (name, value) in fields {
            let plain = name.to_ascii_lowercase().replace(['_', '.'], "-");
            if FORBIDDEN.contains(&plain.as_str()) {
                return Err(format!("`{name}: {value}`"));
            }
        }
        if let Some((name, _)) = record
            .trailers
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case("authorization"))
        {
            return Err(format!("`{name}` as a trailer"));
        }
        let said = |name: &str| record.all(name).join(", ");
        for (name, right) in [
            ("x-forwarded-proto", &["https"][..]),
            ("x-forwarded-host", &[ELASTICSEARCH, KIBANA]),
        ] {
            let said = said(name);
            if !said.is_empty() && !right.contains(&said.as_str()) {
                return Err(format!("`{name}: {said}`"));
            }
        }
        Ok(())
    }
}

async fn start_elastauth(config: &str, cluster: &StandIn) -> Elastauth {
    let secrets = [
        ("GATEWAY_KEY", GATEWAY_KEY),
        ("SECRET_KEY", SECRET_KEY),
        ("ELASTICSEARCH_PASSWORD", cluster.service_password()),
    ];
    Elastauth::start_anywhere_in(config, &[], &secrets).await
}
