//! What the parts of the doctor pass to each other.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde_json::Value;

/// In everything that the doctor sends, so that it is found in logs.
pub(super) const MARK: &str = "elastauth-doctor";
/// A name that elastauth refuses to everybody: no user of a cluster may begin with `_`. So a header
/// that is believed is answered with 403, and nothing is written.
pub(super) const FORGED_USER: &str = "_elastauth-doctor";
/// No gateway's key; only its answer shows whether the gateway sets its own.
pub(super) const GUESSED_KEY: &str = "elastauth-doctor-guessed-key";
/// In every other forged value.
pub(super) const FORGED: &str = "elastauth-doctor-forged";
/// `_elastauth-doctor:forged`, which is no user of any cluster.
pub(super) const FORGED_BASIC: &str = "Basic X2VsYXN0YXV0aC1kb2N0b3I6Zm9yZ2Vk";
/// No token of anybody. Authelia refuses unknown passwords and passes over tokens.
pub(super) const FORGED_BEARER: &str = "Bearer elastauth-doctor-forged";

/// A request of the doctor.
#[derive(Debug, Clone)]
pub(super) struct Probe {
    pub(super) method: Method,
    /// Instead of the path of the gateway's URL.
    pub(super) path: Option<String>,
    /// Names and values as they are sent.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
}

impl Probe {
    /// A GET of the gateway's URL with these headers more.
    pub(super) fn get(headers: &[(&str, &str)]) -> Self {
        Self {
            method: Method::GET,
            path: None,
            headers: Vec::new(),
        }
        .with(headers)
    }

    /// The same with these headers more.
    pub(super) fn with(mut self, headers: &[(&str, &str)]) -> Self {
        let pairs = headers.iter().filter_map(|(name, value)| {
            Some((
                name.parse().ok()?,
                HeaderValue::from_bytes(value.as_bytes()).ok()?,
            ))
        });
        self.headers.extend(pairs);
        self
    }
}

/// What the gateway answered.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// The beginning of the body.
    pub(super) body: Bytes,
}

/// How elastauth works at an address, as its health says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    AuthOnly,
    Proxy,
}

impl Mode {
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::AuthOnly => "auth-only",
            Self::Proxy => "proxy",
        }
    }
}

/// Headers that only the applications behind a gateway send.
const OF_APPLICATIONS: [&str; 5] = [
    "x-elastic-product",
    "kbn-name",
    "kbn-license-sig",
    "x-opensearch-product",
    "osd-name",
];

impl Answer {
    /// The code of elastauth's refusal, in its JSON or on its page.
    pub(super) fn code(&self) -> Option<String> {
        if let Ok(Value::Object(problem)) = serde_json::from_slice(&self.body) {
            let is_ours = ["message", "timestamp", "request_id"]
                .iter()
                .all(|member| problem.contains_key(*member));
            let code = problem.get("code").and_then(Value::as_str);
            return code.filter(|_| is_ours).map(str::to_owned);
        }
        let page = std::str::from_utf8(&self.body).ok()?;
        let (_, rest) = page.split_once("<dt>Code</dt><dd>")?;
        rest.split_once('<').map(|(code, _)| code.to_owned())
    }

    /// Whether the application has answered, or at least let somebody in.
    pub(super) fn is_from_application(&self) -> bool {
        let names = OF_APPLICATIONS.iter();
        let challenges = self.headers.get_all(header::WWW_AUTHENTICATE).iter();
        let is_of_cluster = |challenge: &HeaderValue| {
            let text = String::from_utf8_lossy(challenge.as_bytes()).to_ascii_lowercase();
            text.contains("realm=\"security\"") || text.starts_with("apikey")
        };
        self.status.is_success()
            || self.status == StatusCode::SWITCHING_PROTOCOLS
            || names.copied().any(|name| self.headers.contains_key(name))
            || challenges.into_iter().any(is_of_cluster)
    }

    /// Whether two answers say the same to whoever asks.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.status == other.status
            && self.code() == other.code()
            && self.is_from_application() == other.is_from_application()
    }

    /// The mode of the elastauth whose health this is.
    pub(super) fn mode(&self) -> Option<Mode> {
        let health: Value = serde_json::from_slice(&self.body).ok()?;
        let is_health = self.status == StatusCode::OK && health.get("status")? == "OK";
        let mut modes = [Mode::AuthOnly, Mode::Proxy].into_iter();
        let said = health.get("mode")?.as_str()?;
        modes.find(|mode| is_health && mode.text() == said)
    }

    /// Where a redirect leads.
    pub(super) fn location(&self) -> Option<&str> {
        self.headers.get(header::LOCATION)?.to_str().ok()
    }

    /// In a few words.
    pub(super) fn shown(&self) -> String {
        match self.code() {
            Some(code) => format!("{} ({code})", self.status.as_u16()),
            None => self.status.as_u16().to_string(),
        }
    }
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Good,
    /// Something has to be changed.
    Finding,
    /// Worth knowing; nothing is wrong.
    Note,
    NotTried,
}

impl Verdict {
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Finding => "finding",
            Self::Note => "note",
            Self::NotTried => "not_tried",
        }
    }
}

/// What can be wrong, or worth knowing. The names are for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    /// Without identity nothing gets in.
    Closed,
    /// While elastauth refuses or fails, nothing gets in.
    FailsClosed,
    /// The user header of the client.
    User,
    /// The groups header of the client.
    Groups,
    /// Other identity headers, and other spellings, at the application.
    Spelling,
    /// `Authorization` of the client.
    Authorization,
    /// `Connection` of the client takes headers out.
    Connection,
    /// Headers by which a user acts as another in the cluster.
    RunAs,
    /// The gateway's own key.
    Key,
    /// The client's guess of a key.
    ClientKey,
    /// `X-Forwarded-*` of the client.
    Forwarded,
    /// Users on one connection.
    Mixing,
    Preflight,
    WebSocket,
    /// elastauth's own port.
    Direct,
    /// In proxy mode: endpoints of gateways, whose answers hold a login.
    Endpoints,
    /// In proxy mode: pages of operators on a port of clients.
    Pages,
    /// In proxy mode: requests whose end is unclear.
    Framing,
    /// In proxy mode: for whom the cluster takes the session.
    Cluster,
}

impl Subject {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::FailsClosed => "fails_closed",
            Self::User => "user_header",
            Self::Groups => "groups_header",
            Self::Spelling => "other_spellings",
            Self::Authorization => "client_authorization",
            Self::Connection => "connection_header",
            Self::RunAs => "run_as",
            Self::Key => "gateway_key",
            Self::ClientKey => "client_key",
            Self::Forwarded => "forwarded_headers",
            Self::Mixing => "mixed_users",
            Self::Preflight => "preflight",
            Self::WebSocket => "websocket",
            Self::Direct => "elastauth_port",
            Self::Endpoints => "gateway_endpoints",
            Self::Pages => "operator_pages",
            Self::Framing => "framing",
            Self::Cluster => "cluster",
        }
    }
}

/// One line of the report.
#[derive(Debug, Clone)]
pub(super) struct Check {
    pub(super) subject: Subject,
    pub(super) verdict: Verdict,
    /// What was seen.
    pub(super) seen: String,
}

impl Check {
    pub(super) fn new(subject: Subject, verdict: Verdict, seen: impl Into<String>) -> Self {
        let seen = seen.into();
        Self {
            subject,
            verdict,
            seen,
        }
    }
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct CannotAsk(pub(super) String);

/// Which identity headers elastauth reads here.
#[derive(Debug, Clone)]
pub(super) struct Names {
    pub(super) users: Vec<String>,
    pub(super) groups: String,
    /// Mail address and full name.
    pub(super) others: Vec<String>,
}

impl Names {
    pub(super) fn all(&self) -> impl Iterator<Item = &str> {
        let users = self.users.iter().chain([&self.groups]);
        users.chain(&self.others).map(String::as_str)
    }
}

/// Forms of a header's name that some application reads as the same one.
pub(super) fn spellings(name: &str) -> [String; 2] {
    [name.replace('-', "_"), name.replace('-', ".")]
}

/// Headers by which a user of Elasticsearch or `OpenSearch` acts as another.
pub(super) const RUN_AS: [&str; 5] = [
    "es-security-runas-user",
    "es-secondary-authorization",
    "es-secondary-x-client-authentication",
    "opendistro_security_impersonate_as",
    "security_impersonate_as",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &'static str, headers: &[(&'static str, &'static str)]) -> Answer {
        let headers = headers.iter();
        let headers = headers.map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        });
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: headers.collect(),
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    #[test]
    fn elastauths_answers_are_known_by_their_code() {
        let json = r#"{"message":"m","code":"user_not_allowed","timestamp":"t","request_id":"r"}"#;
        assert_eq!(
            answer(403, json, &[]).code().as_deref(),
            Some("user_not_allowed")
        );
        let page = "<dl><dt>Code</dt><dd>not_authenticated</dd></dl>";
        assert_eq!(
            answer(401, page, &[]).code().as_deref(),
            Some("not_authenticated")
        );
        for other in [r#"{"code":"x"}"#, "", "Forbidden", "[1]"] {
            assert_eq!(answer(403, other, &[]).code(), None, "{other}");
        }
    }

    #[test]
    fn the_mode_is_that_of_elastauths_own_health() {
        let proxy = r#"{"status":"OK","mode":"proxy"}"#;
        assert_eq!(answer(200, proxy, &[]).mode(), Some(Mode::Proxy));
        let auth_only = r#"{"status":"OK","mode":"auth-only"}"#;
        assert_eq!(answer(200, auth_only, &[]).mode(), Some(Mode::AuthOnly));
        assert_eq!(answer(503, proxy, &[]).mode(), None);
        for other in [
            "",
            "{}",
            "[]",
            r#"{"status":"OK"}"#,
            r#"{"status":"OK","mode":"a"}"#,
        ] {
            assert_eq!(answer(200, other, &[]).mode(), None, "{other}");
        }
    }

    #[test]
    fn an_application_is_known_by_what_only_it_sends() {
        for (status, name, value) in [
            (200, "x-any", ""),
            (101, "x-any", ""),
            (401, "x-elastic-product", "Elasticsearch"),
            (
                401,
                "www-authenticate",
                "Basic realm=\"security\", charset=\"UTF-8\"",
            ),
            (302, "kbn-name", "kibana"),
        ] {
            assert!(
                answer(status, "", &[(name, value)]).is_from_application(),
                "{name}"
            );
        }
        for (status, name, value) in [
            (401, "www-authenticate", "SSO realm=\"elastauth\""),
            (302, "location", "https://auth.example.org/"),
            (403, "server", "nginx"),
        ] {
            assert!(
                !answer(status, "", &[(name, value)]).is_from_application(),
                "{value}"
            );
        }
    }
}
