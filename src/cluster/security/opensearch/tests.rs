use super::{
    answer::Login,
    document::{User, entry},
    *,
};
use crate::{
    clock::Clock,
    cluster::{
        pool::Timeouts,
        security::types::{Config, Kind, Marker, Origin, ServiceAccount},
        tests::stub::{Manner, Stub},
    },
    net::tls,
    secret::SecretString,
    telemetry::ClusterTelemetry,
};

/// An answer to a write and to a login of joe.
const DONE_AND_JOE: &str = r#"{"status":"OK","message":"Resource updated.",
    "user_name":"joe","custom_attribute_names":[],"roles":["viewer"]}"#;

/// A client of this node, for all tests of the kind.
pub(super) fn client(node: &Stub, clock: Clock) -> Arc<Client> {
    let config = Config {
        kind: Kind::Opensearch,
        hosts: vec![format!("http://{}", node.addr).parse().unwrap()],
        account: ServiceAccount::Basic {
            username: "svc".to_owned(),
            password: SecretString::from("pw"),
        },
        tls: tls::ClientConfig::default(),
        passwords: PasswordForm::Hash,
    };
    let (limits, telemetry) = ((Timeouts::default(), 1), ClusterTelemetry::default());
    Arc::new(Client::new(&config, clock, limits, &telemetry).unwrap())
}

fn opensearch(node: &Stub) -> Opensearch {
    Opensearch::new(client(node, Clock::System), PasswordForm::Hash)
}

fn joe(fingerprint: &str) -> Account {
    Account {
        name: "joe".to_owned(),
        roles: vec!["viewer".to_owned()],
        full_name: None,
        email: None,
        groups: Vec::new(),
        enabled: true,
        origin: Origin::Elastauth(Marker {
            fingerprint: Some(fingerprint.to_owned()),
            ..Marker::default()
        }),
    }
}

/// As the plugin gives it back.
fn shown(account: &Account) -> serde_json::Value {
    let mut shown = entry(account, SentPassword::Hash(""));
    let fields = shown.as_object_mut().unwrap();
    for name in ["reserved", "hidden", "static"] {
        fields.insert(name.to_owned(), false.into());
    }
    shown
}

fn password() -> NewPassword {
    NewPassword::new("open sesame", [7; 32].into())
}

/// Writes joe and answers each call in this way, the last one for all that follow.
async fn write_answered(
    node: &Stub,
    api: &Opensearch,
    manners: impl IntoIterator<Item = Manner>,
) -> Result<(), CallError> {
    api.commit.idle().await;
    let begun = node.requests().len();
    let behaves = async {
        for (index, manner) in manners.into_iter().enumerate() {
            node.asked(begun + index).await;
            node.behave(manner);
        }
    };
    let (joe, password) = (joe("f"), password());
    tokio::join!(api.write_user(&joe, None, &password, None), behaves).0
}

#[tokio::test]
async fn a_user_who_was_locked_or_written_since_they_were_read_is_overtaken() {
    let stored = |account: &Account| -> StoredAccount {
        let user: User = serde_json::from_value(shown(account)).unwrap();
        user.stored("joe")
    };
    let ours = stored(&joe("f"));
    let login = HeaderValue::from_static("Basic am9lOm9wZW4gc2VzYW1l");
    let locked = Account {
        enabled: false,
        ..joe("f")
    };
    for now in [shown(&locked), shown(&joe("g"))] {
        let body = serde_json::json!({ "joe": now }).to_string();
        let node = Stub::start(Manner::answer(200, &body)).await;
        let api = opensearch(&node);
        let error = api.authenticate_found(&login, &ours).await.unwrap_err();
        assert!(error.is_overtaken() && !error.may_take_effect());
        assert_eq!(node.requests().len(), 1, "no login is tried");
    }
    let absent = r#"{"status":"NOT_FOUND","message":"user 'joe' not found."}"#;
    let node = Stub::start(Manner::answer(404, absent)).await;
    let found = opensearch(&node).authenticate_found(&login, &ours).await;
    assert!(found.unwrap_err().is_overtaken());
    let body = serde_json::json!({ "joe": shown(&joe("f")) }).to_string();
    let node = Stub::start(Manner::answer(200, &body)).await;
    let api = opensearch(&node);
    let refused = async {
        node.asked(1).await;
        node.behave(Manner::answer(401, "Unauthorized"));
    };
    let (found, ()) = tokio::join!(api.authenticate_found(&login, &ours), refused);
    assert_eq!(found.unwrap(), Whoami::Refused, "their login was changed");
}

fn works(api: &Opensearch) -> (bool, bool) {
    let read = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
    (read(&api.takes_hashes), read(&api.hash_works))
}

#[tokio::test]
async fn a_hash_works_when_a_login_has_and_not_when_nobody_has_answered() {
    let node = Stub::start(Manner::Hang).await;
    let api = opensearch(&node);
    let (done, cut) = (
        || Manner::answer(200, DONE_AND_JOE),
        Manner::answer(500, ""),
    );
    assert_eq!(write_answered(&node, &api, [done(), cut]).await, Ok(()));
    assert_eq!(works(&api), (true, false));
    assert_eq!(write_answered(&node, &api, [done()]).await, Ok(()));
    assert_eq!((works(&api), node.requests().len()), ((true, true), 4));
    // From now on a write is one call.
    assert_eq!(write_answered(&node, &api, [done()]).await, Ok(()));
    assert_eq!(node.requests().len(), 5);
}

#[tokio::test]
async fn a_refused_hash_is_followed_by_the_password_only_where_the_user_is_as_written() {
    let refused = || Manner::answer(401, "Unauthorized");
    let done = || Manner::answer(200, DONE_AND_JOE);
    let found = |account: &Account| {
        Manner::answer(
            200,
            &serde_json::json!({ "joe": shown(account) }).to_string(),
        )
    };
    let locked = Account {
        enabled: false,
        ..joe("f")
    };
    for other in [joe("g"), locked] {
        let node = Stub::start(Manner::Hang).await;
        let api = opensearch(&node);
        let written = write_answered(&node, &api, [done(), refused(), found(&other)]).await;
        assert!(written.unwrap_err().is_overtaken());
        assert_eq!((works(&api), node.requests().len()), ((true, false), 3));
    }
    let node = Stub::start(Manner::Hang).await;
    let api = opensearch(&node);
    // The second look is that of the write, as a call has just ended.
    let same = || found(&joe("f"));
    let manners = [done(), refused(), same(), same(), done()];
    assert_eq!(write_answered(&node, &api, manners).await, Ok(()));
    assert!(!works(&api).0);
    let writes: Vec<String> = node
        .requests()
        .into_iter()
        .filter(|request| request.starts_with("PATCH"))
        .collect();
    assert!(writes[0].contains(r#""hash":"$2b$04$"#) && writes.len() == 2);
    assert!(writes[1].contains(r#""password":"open sesame""#));
}

#[test]
fn a_login_proves_nothing_about_an_entry_that_it_does_not_show() {
    let login = || -> Option<Login> {
        serde_json::from_value(serde_json::json!({
            "user_name": "joe", "roles": ["viewer"],
            "custom_attribute_names": ["attr.internal.elastauth_fingerprint_f"],
        }))
        .unwrap()
    };
    let stored = |account: &Account| {
        let user: User = serde_json::from_value(shown(account)).unwrap();
        Box::new(user.stored("joe"))
    };
    let ours = stored(&joe("f"));
    assert_eq!(
        whoami(login(), Some(ours.clone())),
        Whoami::User(ours.clone())
    );
    let theirs = Account {
        origin: Origin::Other,
        ..joe("f")
    };
    for other in [joe("g"), theirs] {
        assert_eq!(whoami(login(), Some(stored(&other))), Whoami::Unproven);
    }
    let edited = Account {
        roles: vec!["editor".to_owned()],
        ..joe("f")
    };
    let Whoami::User(edited) = whoami(login(), Some(stored(&edited))) else {
        panic!("it is the same login")
    };
    assert!(!edited.exact, "a node has the roles of before");
    assert_eq!(whoami(None, Some(ours)), Whoami::Refused);
}
