//! Faults do what their names say.

use super::*;

const BODY: &str = r#"{"password":"long enough","roles":["viewer"]}"#;

impl Caller {
    async fn write(&self) -> Option<Received> {
        self.received(Method::PUT, "/_security/user/ada", &self.service(), BODY)
            .await
    }

    fn with(&self, what: Misbehaviour) {
        self.standin.clear_faults();
        let _was_there = self.standin.remove_user("ada");
        self.standin.fault(Fault::new(Endpoint::Write, what));
    }

    fn applied(&self) -> bool {
        self.standin.user("ada").is_some()
    }
}

#[tokio::test]
async fn a_status_comes_with_its_envelope_and_applies_nothing() {
    let caller = Caller::new().await;
    for (status, error_type) in [
        (401, "security_exception"),
        (403, "security_exception"),
        (409, "version_conflict_engine_exception"),
        (429, "es_rejected_execution_exception"),
        (500, "exception"),
        (503, "unavailable_shards_exception"),
    ] {
        caller.with(Misbehaviour::Status(StatusCode::from_u16(status).unwrap()));
        let received = caller.write().await.unwrap();
        assert_eq!(
            (received.status.as_u16(), received.error_type()),
            (status, error_type)
        );
        assert!(!caller.applied());
    }
}

#[tokio::test]
async fn what_gives_no_answer_may_have_been_applied_or_not() {
    let caller = Caller::new().await;
    for (what, answered, applied) in [
        (Misbehaviour::AppliedThen500, true, true),
        (Misbehaviour::CloseBefore, false, false),
        (Misbehaviour::CloseAfter, false, true),
        (Misbehaviour::HalfBody, false, true),
        (Misbehaviour::EndlessBody, false, true),
        (Misbehaviour::Hang, false, false),
        (Misbehaviour::Html, true, false),
    ] {
        caller.with(what);
        let received = caller.write().await;
        assert_eq!(
            (received.is_some(), caller.applied()),
            (answered, applied),
            "{what:?}"
        );
    }
}

#[tokio::test]
async fn a_fault_about_one_user_leaves_the_others_alone() {
    let caller = Caller::new().await;
    let unavailable = Misbehaviour::Status(StatusCode::SERVICE_UNAVAILABLE);
    caller.standin.fault(
        Fault::new(Endpoint::Write, unavailable)
            .about("grace")
            .times(1),
    );
    assert_eq!(caller.write().await.unwrap().status, StatusCode::OK);
    for status in [StatusCode::SERVICE_UNAVAILABLE, StatusCode::OK] {
        assert_eq!(caller.put_text("grace", BODY).await.status, status);
    }
}

#[tokio::test]
async fn a_late_write_comes_although_the_caller_has_gone() {
    let caller = Caller::new().await;
    caller.with(Misbehaviour::LateWrite(Duration::from_millis(200)));
    assert!(
        tokio::time::timeout(Duration::from_millis(50), caller.write())
            .await
            .is_err()
    );
    assert!(!caller.applied());
    let waited = async {
        while !caller.applied() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(
        tokio::time::timeout(Duration::from_secs(5), waited)
            .await
            .is_ok()
    );
    assert_eq!(caller.standin.calls().last().unwrap().status, None);
}

#[tokio::test]
async fn a_fault_can_be_counted_delayed_and_kept_to_one_endpoint() {
    let caller = Caller::new().await;
    caller.standin.fault(Fault::new(
        Endpoint::Write,
        Misbehaviour::Delay(Duration::from_millis(60)),
    ));
    caller
        .standin
        .fault(Fault::new(Endpoint::Write, Misbehaviour::Status(StatusCode::CONFLICT)).times(2));
    let began = tokio::time::Instant::now();
    let statuses = [
        caller.write().await.unwrap().status,
        caller.write().await.unwrap().status,
        caller.write().await.unwrap().status,
    ];
    assert_eq!(statuses.map(|status| status.as_u16()), [409, 409, 200]);
    assert!(began.elapsed() >= Duration::from_millis(180));
    assert_eq!(
        caller.get("/_security/user/ada").await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn only_a_hash_is_refused_where_hashes_are_refused() {
    let caller = Caller::new().await;
    caller.with(Misbehaviour::HashRefused);
    let received = caller
        .put(
            "ada",
            &json!({ "password_hash": hash_of("x", 1_000), "roles": [] }),
        )
        .await;
    assert_eq!(
        (received.status, received.error_type()),
        (StatusCode::BAD_REQUEST, "illegal_argument_exception")
    );
    assert_eq!(caller.write().await.unwrap().status, StatusCode::OK);
}

#[tokio::test]
async fn without_the_security_index_right_passwords_look_wrong() {
    let caller = Caller::new().await;
    caller.write().await.unwrap();
    caller
        .standin
        .fault(Fault::new(Endpoint::Any, Misbehaviour::SecurityUnavailable));
    assert_eq!(
        caller.whoami(&basic("ada", "long enough")).await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        caller
            .whoami(&format!("ApiKey {}", caller.standin.api_key()))
            .await
            .status,
        StatusCode::UNAUTHORIZED
    );
    let service = caller.whoami(&caller.service()).await;
    assert_eq!(
        (service.status, service.error_type()),
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "authentication_processing_error"
        )
    );
    caller.standin.clear_faults();
    assert_eq!(
        caller.whoami(&basic("ada", "long enough")).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn the_end_takes_hanging_calls_with_it() {
    let caller = Caller::new().await;
    caller.with(Misbehaviour::Hang);
    let (ended, received) = tokio::join!(
        async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            caller.tasks.end();
            caller.tasks.drained(Duration::from_secs(2)).await
        },
        caller.write()
    );
    assert!(ended && received.is_none());
}
