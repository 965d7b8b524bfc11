//! The stand-in for OpenSearch against what was measured on a real 2.19.4.

use super::*;
use crate::demo::standin::opensearch::InternalUser;

const USERS: &str = "/_plugins/_security/api/internalusers";
const ME: &str = "/_plugins/_security/authinfo";

async fn caller() -> Caller {
    let tasks = Tasks::default();
    let standin = StandIn::start_opensearch(&tasks).await.unwrap();
    Caller {
        standin,
        tasks,
        client: Client::builder(TokioExecutor::new()).build_http(),
    }
}

impl Caller {
    async fn call(&self, method: Method, path: &str, body: &Value) -> Received {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let service = self.service();
        (self.received(method, path, &service, &body).await).unwrap()
    }

    async fn write_internal(&self, name: &str, body: &Value) -> Received {
        self.call(Method::PUT, &format!("{USERS}/{name}"), body)
            .await
    }

    async fn me(&self, name: &str, password: &str) -> Received {
        let login = basic(name, password);
        (self.received(Method::GET, ME, &login, "").await).unwrap()
    }
}

fn bcrypt_of(password: &str) -> String {
    InternalUser::new("", password).hash
}

fn said(received: &Received) -> (u16, &str) {
    let field = |name: &str| received.body[name].as_str();
    let text = field("message").or_else(|| field("reason"));
    (received.status.as_u16(), text.unwrap_or_default())
}

#[tokio::test]
async fn a_write_is_the_whole_user_but_for_the_hash() {
    let caller = caller().await;
    let body = json!({
        "hash": bcrypt_of("open sesame"), "backend_roles": ["staff"],
        "attributes": { "a": "x", "n": 7 }, "opendistro_security_roles": ["viewer"],
    });
    assert_eq!(
        said(&caller.write_internal("ada", &body).await),
        (201, "'ada' created.")
    );
    let me = caller.me("ada", "open sesame").await;
    assert_eq!(me.body["user_name"], "ada");
    assert_eq!(
        me.body["custom_attribute_names"],
        json!(["attr.internal.a", "attr.internal.n"])
    );
    assert_eq!(me.body["roles"], json!(["own_index", "viewer"]));
    assert_eq!(me.headers.get("x-elastic-product"), None);
    let read = caller
        .call(Method::GET, &format!("{USERS}/ada"), &Value::Null)
        .await;
    let shown = &read.body["ada"];
    assert_eq!(
        (&shown["hash"], &shown["attributes"]["n"]),
        (&json!(""), &json!("7"))
    );

    let body = json!({ "opendistro_security_roles": ["editor"] });
    assert_eq!(
        said(&caller.write_internal("ada", &body).await),
        (200, "'ada' updated.")
    );
    assert_eq!(
        caller.me("ada", "open sesame").await.body["roles"],
        json!(["editor", "own_index"])
    );
    let user = caller.standin.internal_user("ada").unwrap();
    assert!(
        user.attributes.is_empty() && user.backend_roles.is_empty(),
        "{user:?}"
    );
    assert_eq!(
        caller.standin.roles_of("ada"),
        Some(vec!["editor".to_owned()])
    );
}

#[tokio::test]
async fn what_is_refused_is_worded_as_by_the_plugin() {
    let caller = caller().await;
    let hash = bcrypt_of("open sesame");
    let with = |fields: Value| {
        let mut body = json!({ "hash": hash });
        body.as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        body
    };
    for (name, body, expected) in [
        (
            "ada",
            json!({}),
            (
                400,
                "Please specify either 'hash' or 'password' when creating a new internal user.",
            ),
        ),
        (
            "ada",
            with(json!({ "enabled": true })),
            (400, "Invalid configuration"),
        ),
        (
            "ada",
            with(json!({ "backend_roles": "x" })),
            (400, "Wrong datatype"),
        ),
        (
            "ada",
            with(json!({ "attributes": { "a": {} } })),
            (500, "Cannot deserialize value of type `java.lang.String`"),
        ),
        (
            "ada",
            with(json!({ "opendistro_security_roles": ["nope"] })),
            (404, "role 'nope' not found."),
        ),
        (
            "ada",
            with(json!({ "opendistro_security_roles": ["all_access"] })),
            (403, "Resource 'all_access' is reserved."),
        ),
        ("ada", json!({ "password": "weak" }), (400, "Weak password")),
        (
            "ada",
            json!({ "password": "Ea1-0123456789Ada9876543210" }),
            (400, "Password is similar to user name"),
        ),
        (
            "ada",
            json!({ "password": "x".repeat(101) }),
            (400, "Password is too long"),
        ),
        (
            "a%3Ab",
            with(json!({})),
            (400, "Username cannot contain the following characters: ':'"),
        ),
        (
            "admin",
            with(json!({})),
            (403, "Resource 'admin' is reserved."),
        ),
    ] {
        assert_eq!(
            said(&caller.write_internal(name, &body).await),
            expected,
            "{name} {body}"
        );
    }
    caller.standin.set_internal_user(InternalUser {
        hidden: true,
        ..InternalUser::new("ghost", "open sesame")
    });
    let gone = (404, "Resource 'ghost' is not available.");
    assert_eq!(
        said(&caller.write_internal("ghost", &with(json!({}))).await),
        gone
    );
    let read = async |name: &str| {
        let path = format!("{USERS}/{name}");
        caller.call(Method::GET, &path, &Value::Null).await
    };
    assert_eq!(said(&read("ghost").await), gone);
    assert_eq!(
        said(&read("nobody").await),
        (404, "user 'nobody' not found.")
    );
    assert_eq!(read("admin").await.body["admin"]["reserved"], true);
    let delete = |name: &str| (Method::DELETE, format!("{USERS}/{name}"));
    for (name, expected) in [
        ("nobody", (404, "user 'nobody' not found.")),
        ("admin", (403, "Resource 'admin' is reserved.")),
    ] {
        let (method, path) = delete(name);
        assert_eq!(
            said(&caller.call(method, &path, &Value::Null).await),
            expected
        );
    }
    let all = caller.call(Method::GET, USERS, &Value::Null).await;
    let names: Vec<&String> = all.body.as_object().unwrap().keys().collect();
    assert_eq!(names, ["admin", SERVICE_USER]);
}

#[tokio::test]
async fn a_hash_is_taken_as_it_comes_and_really_verified() {
    let caller = caller().await;
    for hash in [
        bcrypt_of("open sesame"),
        bcrypt_of("open sesame").replacen("$2y$", "$2a$", 1),
        bcrypt_of("open sesame").replacen("$2y$", "$2b$", 1),
    ] {
        caller.write_internal("ada", &json!({ "hash": hash })).await;
        assert_eq!(
            caller.me("ada", "open sesame").await.status,
            StatusCode::OK,
            "{hash}"
        );
        assert_eq!(
            caller.me("ada", "another").await.status,
            StatusCode::UNAUTHORIZED
        );
    }
    assert_eq!(
        caller
            .write_internal("ada", &json!({ "hash": "!" }))
            .await
            .status,
        StatusCode::OK
    );
    let refused = caller.me("ada", "open sesame").await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        refused.headers["www-authenticate"],
        "Basic realm=\"OpenSearch Security\""
    );
    assert_eq!(refused.body, Value::Null, "it is a word, and no JSON");
}

#[tokio::test]
async fn a_list_of_users_is_written_as_a_whole_or_not_at_all() {
    let caller = caller().await;
    let add = |name: &str, role: &str| {
        json!({
            "op": "add", "path": format!("/{}", name.replace('~', "~0").replace('/', "~1")),
            "value": { "hash": bcrypt_of("open sesame"), "opendistro_security_roles": [role] },
        })
    };
    let patch = async |ops: Value| caller.call(Method::PATCH, USERS, &ops).await;
    let done = patch(json!([add("ada", "viewer"), add("a/b~c", "editor")])).await;
    assert_eq!(said(&done), (200, "Resource updated."));
    assert_eq!(
        caller.me("a/b~c", "open sesame").await.status,
        StatusCode::OK
    );
    for (bad, expected) in [
        (add("bob", "nope"), (404, "role 'nope' not found.")),
        (
            add("admin", "viewer"),
            (403, "Resource 'admin' is reserved."),
        ),
        (
            json!({ "op": "test", "path": "/ada", "value": {} }),
            (400, "Could not parse content of request."),
        ),
    ] {
        let answer = patch(json!([add("carol", "viewer"), bad])).await;
        assert_eq!(said(&answer), expected);
        assert!(caller.standin.internal_user("carol").is_none());
    }
    let within = json!([{ "op": "add", "path": "/ada/attributes/locked", "value": "yes" },
        { "op": "replace", "path": "/ada/hash", "value": "!" }]);
    assert_eq!(said(&patch(within).await), (200, "Resource updated."));
    let ada = caller.standin.internal_user("ada").unwrap();
    assert_eq!(
        (ada.hash.as_str(), ada.attributes["locked"].as_str()),
        ("!", "yes")
    );
    assert_eq!(ada.roles, ["viewer"]);
    let same = json!([{ "op": "replace", "path": "/ada/hash", "value": "!" }]);
    assert_eq!(said(&patch(same).await), (200, "No updates required"));
    let nobody = json!([{ "op": "remove", "path": "/nobody" }]);
    assert_eq!(said(&patch(nobody).await), (200, "No updates required"));
    let remove = json!([{ "op": "remove", "path": "/ada" }]);
    assert_eq!(said(&patch(remove).await), (200, "Resource updated."));
    assert!(caller.standin.internal_user("ada").is_none());
}

#[tokio::test]
async fn writes_that_overlap_conflict_whomever_they_are_about() {
    let caller = caller().await;
    caller.standin.set_write_takes(Duration::from_millis(100));
    let body = json!({ "hash": bcrypt_of("open sesame") });
    let (one, other) = tokio::join!(
        caller.write_internal("ada", &body),
        caller.write_internal("bob", &body)
    );
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [StatusCode::CREATED, StatusCode::CONFLICT]);
    let names = ["ada", "bob"];
    let there = names
        .iter()
        .filter(|name| caller.standin.internal_user(name).is_some());
    assert_eq!(there.count(), 1);
}

#[tokio::test]
async fn a_replaced_login_stops_at_once_unless_it_was_being_checked() {
    let caller = caller().await;
    let write = async |role: &str, password: &str| {
        let body = json!({ "hash": bcrypt_of(password), "opendistro_security_roles": [role] });
        assert!(
            caller
                .write_internal("ada", &body)
                .await
                .status
                .is_success()
        );
    };
    let roles = async |password: &str| {
        let me = caller.me("ada", password).await;
        me.status.is_success().then(|| me.body["roles"].clone())
    };
    let only = |role: &str| Some(json!([role, "own_index"]));
    write("editor", "the first one").await;
    assert_eq!(roles("the first one").await, only("editor"));
    let fault = Fault::new(Endpoint::Write, Misbehaviour::OldLoginKept);
    caller.standin.fault(fault.times(1));
    write("auditor", "the second one").await;
    assert_eq!(
        roles("the first one").await,
        only("editor"),
        "what it was verified with"
    );
    assert_eq!(roles("the second one").await, only("auditor"));
    let login = HeaderValue::from_str(&basic("ada", "the first one")).unwrap();
    let direct = caller.standin.roles_with(&login);
    assert_eq!(direct.map(Value::from), only("editor"));
    write("viewer", "the third one").await;
    assert_eq!(
        (roles("the first one").await, roles("the second one").await),
        (None, None)
    );
    assert_eq!(
        roles("the third one").await,
        Some(json!(["own_index", "viewer"]))
    );
}

#[tokio::test]
async fn everybody_may_see_themselves_and_the_manager_alone_may_change_users() {
    let caller = caller().await;
    caller
        .write_internal("ada", &json!({ "hash": bcrypt_of("open sesame") }))
        .await;
    let login = basic("ada", "open sesame");
    let as_ada = async |method: Method, path: &str, body: &str| {
        caller.received(method, path, &login, body).await.unwrap()
    };
    for (method, path) in [
        (Method::GET, USERS.to_owned()),
        (Method::GET, format!("{USERS}/ada")),
        (Method::DELETE, format!("{USERS}/ada")),
        (Method::GET, "/_plugins/_security/api/roles".to_owned()),
        (Method::DELETE, "/_plugins/_security/api/cache".to_owned()),
        (Method::GET, "/".to_owned()),
    ] {
        let answer = as_ada(method, &path, "").await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
    }
    let root = caller.call(Method::GET, "/", &Value::Null).await;
    assert_eq!(
        root.status,
        StatusCode::FORBIDDEN,
        "it has no permission in the cluster"
    );
    let roles = caller
        .call(Method::GET, "/_plugins/_security/api/roles", &Value::Null)
        .await;
    assert!(roles.body.get("viewer").is_some() && roles.body.get("nope").is_none());
    let change = json!({ "current_password": "open sesame", "password": "Quite an0ther one" });
    let path = "/_plugins/_security/api/account";
    let changed = as_ada(Method::PUT, path, &change.to_string()).await;
    assert_eq!(said(&changed), (200, "'ada' updated."));
    assert_eq!(
        caller.me("ada", "Quite an0ther one").await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn without_its_security_index_it_says_503_to_all() {
    let caller = caller().await;
    let fault = Fault::new(Endpoint::Any, Misbehaviour::SecurityUnavailable);
    caller.standin.fault(fault);
    for login in [String::new(), caller.service()] {
        let answer = caller.received(Method::GET, ME, &login, "").await.unwrap();
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    }
}

#[tokio::test]
async fn an_older_elasticsearch_takes_no_foreign_hash_and_knows_no_query() {
    let tasks = Tasks::default();
    let standin = StandIn::start_version(&tasks, Version::V7_17)
        .await
        .unwrap();
    let caller = Caller {
        standin,
        tasks,
        client: Client::builder(TokioExecutor::new()).build_http(),
    };
    let body = json!({ "password_hash": hash_of("open sesame", 1_000), "roles": [] });
    let refused = caller.put("ada", &body).await;
    assert_eq!(
        (refused.status, refused.error_type()),
        (StatusCode::BAD_REQUEST, "illegal_argument_exception")
    );
    let query = caller.get("/_security/_query/user").await;
    assert_eq!(query.status, StatusCode::BAD_REQUEST);
    assert_eq!(caller.get("/").await.body["version"]["number"], "7.17.28");
}
