//! Several nodes: which failure sends a call to the next one, and which ends it.

use super::*;
use tokio::time::Instant;

#[tokio::test]
async fn one_dead_host_of_three_goes_unnoticed() {
    let (one, two, dead) = (
        Stub::start(Manner::answer(200, JOE)).await,
        Stub::start(Manner::answer(200, JOE)).await,
        NOBODY,
    );
    let cluster = client(&[one.addr, dead, two.addr]);
    for _ in 0..6 {
        assert!(cluster.read_user(&joe()).await.unwrap().is_some());
    }
    assert_eq!(one.requests().len() + two.requests().len(), 6);
    for stub in [&one, &two] {
        stub.behave(Manner::answer(200, CREATED));
    }
    for _ in 0..6 {
        write(&cluster, "joe").await.unwrap();
    }
    assert_eq!(one.requests().len() + two.requests().len(), 12);
}

#[tokio::test]
async fn a_write_goes_on_to_the_next_host_where_the_first_refused_the_connection() {
    let (node, dead) = (Stub::start(Manner::answer(200, CREATED)).await, NOBODY);
    for _ in 0..4 {
        // A new client each time: its first write meets either host.
        write(&client(&[dead, node.addr]), "joe").await.unwrap();
    }
    assert_eq!(node.requests().len(), 4);
}

#[tokio::test]
async fn a_write_that_was_sent_is_never_sent_to_another_host() {
    for manner in [
        Manner::HangUp,
        Manner::Hang,
        Manner::answer(502, "{}"),
        Manner::answer(503, "{}"),
        Manner::answer(200, "<html>"),
    ] {
        let (one, two) = (
            Stub::start(manner.clone()).await,
            Stub::start(manner.clone()).await,
        );
        let (cluster, _) = client_with(&[one.addr, two.addr], short());
        let error = write(&cluster, "joe").await.unwrap_err();
        assert!(error.may_take_effect(), "{manner:?}");
        assert_eq!(one.requests().len() + two.requests().len(), 1, "{manner:?}");
    }
}

/// A node that is frozen still accepts connections, because the kernel does. Only TLS shows that the
/// node does not answer.
#[tokio::test]
async fn a_write_without_a_tls_handshake_was_not_sent_and_goes_elsewhere() {
    let frozen = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let node = Stub::start(Manner::answer(200, CREATED)).await;
    let mut config = config(&[
        format!("https://{}", frozen.local_addr().unwrap()),
        format!("http://{}", node.addr),
    ]);
    config.tls.danger_skip_verify = true;
    for _ in 0..3 {
        let cluster = with(&config, Clock::System, short());
        write(&cluster, "joe").await.unwrap();
    }
    assert_eq!(node.requests().len(), 3);

    config.hosts.truncate(1);
    let error = write(&with(&config, Clock::System, short()), "joe")
        .await
        .unwrap_err();
    assert!(
        error.why == HttpError::ConnectTimeout.into() && !error.may_take_effect(),
        "{error:?}"
    );
}

#[tokio::test]
async fn reads_go_on_from_node_to_node_until_one_has_an_answer() {
    for manner in [
        Manner::HangUp,
        Manner::Hang,
        Manner::Endless,
        Manner::answer(200, "<html>"),
        Manner::answer(502, ""),
        Manner::answer(503, "{}"),
        Manner::answer(504, ""),
        // Without its security index a node knows neither the account nor its rights.
        Manner::answer(401, "{}"),
        Manner::answer(403, "{}"),
    ] {
        let (bad, good) = (
            Stub::start(manner.clone()).await,
            Stub::start(Manner::answer(200, JOE)).await,
        );
        let (cluster, _) = client_with(&[bad.addr, good.addr], short());
        for _ in 0..2 {
            assert!(
                cluster.read_user(&joe()).await.unwrap().is_some(),
                "{manner:?}"
            );
        }
        assert_eq!(
            (bad.requests().len(), good.requests().len()),
            (1, 2),
            "{manner:?}"
        );
    }
    // An answer of the cluster itself is final: asking on would only repeat it.
    for (status, requests) in [(400, 1), (429, 1), (500, 1), (401, 2), (403, 2)] {
        let (one, two) = (
            Stub::start(Manner::answer(status, "{}")).await,
            Stub::start(Manner::answer(status, "{}")).await,
        );
        assert_eq!(
            failure(client(&[one.addr, two.addr]).read_user(&joe()).await),
            format!("{status} -")
        );
        assert_eq!(
            one.requests().len() + two.requests().len(),
            requests,
            "{status}"
        );
    }
}

#[tokio::test]
async fn a_write_that_one_node_has_refused_is_carried_out_by_another() {
    for status in [401, 403] {
        let (bad, good) = (
            Stub::start(Manner::answer(status, "{}")).await,
            Stub::start(Manner::answer(200, CREATED)).await,
        );
        for _ in 0..4 {
            // A new client each time: its first write meets either host.
            write(&client(&[bad.addr, good.addr]), "joe").await.unwrap();
        }
        assert_eq!(good.requests().len(), 4, "{status}");
    }
}

#[tokio::test]
async fn a_login_counts_as_refused_anywhere_only_if_all_nodes_refuse_it() {
    let (one, two) = (
        Stub::start(Manner::answer(401, "{}")).await,
        Stub::start(Manner::answer(200, JOE_IS)).await,
    );
    let cluster = client(&[one.addr, two.addr]);
    let credential = HeaderValue::from_static("Basic x");
    for _ in 0..4 {
        assert!(
            matches!(cluster.authenticate_anywhere(&credential).await.unwrap(), Whoami::User(user) if user.account.name == "joe")
        );
    }
    two.behave(Manner::answer(401, "{}"));
    assert_eq!(
        cluster.authenticate_anywhere(&credential).await.unwrap(),
        Whoami::Refused
    );
    // A node that is gone does not answer, and the refusal counts: the nodes that can read the
    // user are among those that were asked.
    let beside_a_dead_one = client(&[NOBODY, one.addr]);
    for _ in 0..4 {
        assert_eq!(
            beside_a_dead_one
                .authenticate_anywhere(&credential)
                .await
                .unwrap(),
            Whoami::Refused
        );
    }
    one.behave(Manner::answer(503, "{}"));
    assert!(
        beside_a_dead_one
            .authenticate_anywhere(&credential)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn the_account_is_at_fault_only_where_no_node_has_another_failure() {
    let (one, two) = (
        Stub::start(Manner::answer(401, "{}")).await,
        Stub::start(Manner::answer(503, "{}")).await,
    );
    let cluster = client(&[one.addr, two.addr]);
    // Whichever of them is asked first.
    for _ in 0..4 {
        assert_eq!(failure(cluster.read_user(&joe()).await), "503 -");
    }
}

#[tokio::test]
async fn three_hanging_hosts_cost_one_deadline() {
    let stubs = [
        Stub::start(Manner::Hang).await,
        Stub::start(Manner::Hang).await,
        Stub::start(Manner::Hang).await,
    ];
    let timeouts = Timeouts {
        read: Duration::from_millis(600),
        ..short()
    };
    let (cluster, _) = client_with(&stubs.each_ref().map(|stub| stub.addr), timeouts);
    let begin = Instant::now();
    assert_eq!(failure(cluster.read_user(&joe()).await), "TimedOut");
    assert!(
        begin.elapsed() < Duration::from_millis(1_500),
        "{:?}",
        begin.elapsed()
    );
}

#[tokio::test]
async fn an_ejected_node_is_left_alone_until_its_time_and_then_tried_once() {
    let (bad, good) = (
        Stub::start(Manner::answer(502, "")).await,
        Stub::start(Manner::answer(200, JOE)).await,
    );
    let (cluster, time) = client_with(&[bad.addr, good.addr], Timeouts::default());
    let read_ten = async || {
        for _ in 0..10 {
            cluster.read_user(&joe()).await.unwrap();
        }
    };
    read_ten().await;
    assert_eq!(bad.requests().len(), 1, "ejected at its first failure");

    time.fetch_add(1_201, Ordering::SeqCst);
    read_ten().await;
    assert_eq!(bad.requests().len(), 2, "one probe, and out again");
    time.fetch_add(1_500, Ordering::SeqCst);
    read_ten().await;
    assert_eq!(bad.requests().len(), 2, "this time for longer");

    bad.behave(Manner::answer(200, JOE));
    time.fetch_add(1_000, Ordering::SeqCst);
    read_ten().await;
    assert!(
        bad.requests().len() > 5,
        "it is back: {}",
        bad.requests().len()
    );
}
