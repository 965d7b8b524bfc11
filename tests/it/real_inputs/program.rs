//! The running program for the rows of a table.

use super::row::{Answer, Row, Sent, Table};
use crate::support::{
    elastauth::Elastauth,
    http::Answer as Response,
    idp::{Idp, now},
    until,
};
use elastauth::internals::{
    demo::standin::{SERVICE_USER, StandIn},
    shutdown::Tasks,
};
use http::{HeaderValue, Request};
use http_body_util::Full;
use serde_json::{Value, json};

/// An identity provider, the program with one set of settings, the cluster.
pub(super) struct Program {
    pub(super) idp: Idp,
    pub(super) elastauth: Elastauth,
    pub(super) cluster: StandIn,
    _tasks: Tasks,
}

/// Sends each row to a program with its settings, and holds it to its answer.
pub(super) async fn hold(table: &Table) {
    let mut settings: Vec<&[&str]> = Vec::new();
    for row in table.rows {
        if !settings.contains(&row.set) {
            settings.push(row.set);
        }
    }
    for set in settings {
        let program = Program::with(table.section, set).await;
        let rows = table.rows.iter().enumerate();
        for (index, row) in rows.filter(|(_, row)| row.set == set) {
            program.hold(index, row).await;
        }
    }
}

impl Program {
    pub(super) async fn with(section: &str, set: &[&str]) -> Self {
        let (idp, tasks) = (Idp::start().await, Tasks::default());
        let cluster = StandIn::start(&tasks).await.unwrap();
        let own = |name: &str| {
            let lines = set.iter().filter(|_| section == name);
            let indent = if name.is_empty() { "" } else { "  " };
            let lines = lines.map(|line| format!("{indent}{line}\n"));
            lines.collect::<Vec<_>>().concat()
        };
        let given = own("");
        let order = if given.contains("auth_provider:") {
            ""
        } else {
            "auth_provider: [oidc, authelia]\n"
        };
        let rules = if given.contains("mappings:") {
            String::new()
        } else {
            "default_roles: [viewer]\ngroup_mappings: {dev: [editor]}\n".to_owned()
        };
        let authelia = match own("authelia") {
            lines if lines.is_empty() => lines,
            lines => format!("authelia:\n{lines}"),
        };
        let config = format!(
            "listen: 127.0.0.1:0\nlog_level: debug\n\
             secret_key: c1f9a67d30b84e52976efab0451d8c23e7b04c9f6a1852d3b9ce70f8146da25b\n\
             {order}audit: {{path: /etc/elastauth/audit, grants: all}}\n\
             elasticsearch:\n  hosts: [\"{}\"]\n  username: {SERVICE_USER}\n  password: {}\n\
             {given}{rules}{authelia}\
             oidc:\n  issuer: {}\n  client_id: elastauth\n{}",
            cluster.url(),
            cluster.service_password(),
            idp.issuer,
            own("oidc"),
        );
        Self {
            elastauth: Elastauth::start_anywhere(&config, &[]).await,
            idp,
            cluster,
            _tasks: tasks,
        }
    }

    async fn hold(&self, index: usize, row: &Row) {
        let (user, id) = (format!("u{index}"), format!("row-{index}"));
        let response = self.send(row, &user, &id).await;
        let shown = super::document::input(row);
        let why = || {
            format!(
                "row {index}, {shown}: {response:?}\n{}",
                self.elastauth.log()
            )
        };
        if let Answer::Refused(status, code, words) = row.answer {
            let found = (response.status.as_u16(), response.json()["code"].clone());
            assert_eq!(found, (status, json!(code)), "{}", why());
            if !words.is_empty() {
                let (log, id) = (self.elastauth.log(), format!("request_id=\"{id}\""));
                let mut lines = log.lines().filter(|line| line.contains(&id));
                assert!(lines.any(|line| line.contains(words)), "{}", why());
            }
            return;
        }
        assert_eq!(response.status, 200, "{}", why());
        assert!(
            self.cluster.accepts(&response.headers["authorization"]),
            "{}",
            why()
        );
        match row.answer {
            Answer::Person(email, name) => {
                let header = |name: &str| {
                    let bytes = response.headers[name].as_bytes();
                    String::from_utf8(bytes.to_vec()).unwrap()
                };
                let found = (header("remote-email"), header("remote-name"));
                assert_eq!(found, (email.to_owned(), name.to_owned()), "{}", why());
            }
            Answer::User(name, groups) => {
                let granted = self.audited(&id).await;
                let name = if name.is_empty() { &user } else { name };
                let found = (&granted["user"], &granted["groups"]);
                // No groups are no member.
                let groups = if groups.is_empty() {
                    Value::Null
                } else {
                    json!(groups)
                };
                assert_eq!(found, (&json!(name), &groups), "{}", why());
            }
            Answer::Roles(roles) => {
                let granted = self.audited(&id).await;
                let name = granted["user"].as_str().unwrap();
                assert_eq!(self.cluster.user(name).unwrap().roles, roles, "{}", why());
            }
            Answer::Accepted | Answer::Refused(..) => {}
        }
    }

    async fn send(&self, row: &Row, user: &str, id: &str) -> Response {
        let mut request = Request::get("/elastauth").header("x-request-id", id);
        match &row.sent {
            Sent::Headers(headers) => {
                // Some inputs are about the user, the others need one.
                let names_user =
                    |name: &str| !["remote-groups", "remote-email", "remote-name"].contains(&name);
                if !headers.iter().any(|(name, _)| names_user(name)) {
                    request = request.header("remote-user", user);
                }
                for (name, value) in *headers {
                    request = request.header(*name, HeaderValue::from_bytes(value).unwrap());
                }
            }
            Sent::Groups(value) => {
                request = request
                    .header("remote-user", user)
                    .header("remote-groups", HeaderValue::from_bytes(value).unwrap());
            }
            Sent::Claims(changes) => {
                let token = self.token(changes, user);
                request = request.header("authorization", format!("Bearer {token}"));
            }
        }
        let request = request.body(Full::default()).unwrap();
        self.elastauth.server().send(request).await.unwrap()
    }

    /// An ordinary access token with these changes.
    pub(super) fn token(&self, changes: &str, user: &str) -> String {
        let mut claims = json!({
            "iss": self.idp.issuer, "aud": "elastauth", "sub": format!("subject of {user}"),
            "iat": now(), "exp": now() + 300, "scope": "openid", "preferred_username": user,
        });
        let members = claims.as_object_mut().unwrap();
        let changes: Value = serde_json::from_str(changes).expect(changes);
        for (name, value) in changes.as_object().unwrap() {
            if value.is_null() {
                members.remove(name);
            } else {
                members.insert(name.clone(), value.clone());
            }
        }
        self.idp.sign("JWT", &claims)
    }

    /// The audit event of this request.
    async fn audited(&self, id: &str) -> Value {
        let of_it = || {
            let audit = self.elastauth.file("audit");
            let events = audit
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok());
            let mut events = events.filter(|event: &Value| event["event"] == "granted");
            events.find(|event| event["request_id"] == id)
        };
        until("the audit event", || of_it().is_some()).await;
        of_it().unwrap()
    }
}
