//! Sequences of HTTP/2 frames that no client would send, against the running program. None may
//! cause a panic, a grant, or memory without bound; a gateway is answered all the time, and each
//! connection ends.
//!
//! The choices are repeatable: a failure prints its seed. `cargo xtask fuzz --seconds N` runs
//! longer than the tests, from a new seed.

mod draw;
mod script;

use crate::support::{
    frames::{Frame, HEADERS, next_frame},
    http::Server,
    stage::{GATEWAY_KEY, Plan, Stage},
};
use draw::Draw;
use std::{net::Ipv4Addr, time::Duration};
use tokio::{
    io::AsyncWriteExt as _,
    sync::watch,
    task::JoinSet,
    time::{Instant, timeout},
};

/// Connections that are open at once.
const TOGETHER: usize = 40;
/// Enough for each kind of frame to meet each other kind, in some seconds.
const CASES: usize = 400;
/// The seed of the tests, always the same so that a failure can be repeated; `cargo xtask fuzz`
/// uses others.
const SEED: u64 = 7;
/// Longer than a peer may be silent, twice over, on a machine that is busy.
const ENDS: Duration = Duration::from_secs(40);
/// What all connections of a batch may cost: far more than they should, far less than a leak.
const MEMORY: u64 = 64_000_000;
/// The byte that says `:status: 200` at the start of a header block.
const STATUS_200: u8 = 0x88;

#[tokio::test]
async fn no_sequence_of_frames_harms_anybody() {
    harms_nobody("enable_metrics: true", Mode::ForwardAuth).await;
}

/// Clients get more streams and larger windows than gateways.
#[tokio::test]
async fn no_sequence_of_frames_harms_anybody_in_proxy_mode() {
    let proxy = "enable_metrics: true\nproxy:\n  enabled: true\n  \
                 limits: {header_timeout: 4s, idle_timeout: 4s, progress_timeout: 4s}";
    harms_nobody(proxy, Mode::Proxy).await;
}

#[derive(Debug, Clone, Copy)]
enum Mode {
    ForwardAuth,
    Proxy,
}

/// Whether a decision is made for alice and is right.
async fn is_answered(stage: &Stage, mode: Mode) -> bool {
    match mode {
        Mode::ForwardAuth => stage.works(&stage.ask("alice", "dev").await),
        Mode::Proxy => {
            let headers = [
                ("x-elastauth-key", GATEWAY_KEY),
                ("remote-user", "alice"),
                ("remote-groups", "dev"),
            ];
            let path = "/_security/_authenticate";
            let answer = stage.elastauth.server().get(path, &headers).await;
            answer.status == 200 && answer.json()["username"] == "alice"
        }
    }
}

async fn harms_nobody(settings: &str, mode: Mode) {
    let seed = number_from("ELASTAUTH_FUZZ_SEED").unwrap_or(SEED);
    let only = number_from("ELASTAUTH_FUZZ_CASE");
    let until = number_from("ELASTAUTH_FUZZ_SECONDS")
        .map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let stage = Stage::planned(Plan {
        more: settings,
        ..Plan::default()
    })
    .await;
    assert!(is_answered(&stage, mode).await);
    let before = stage.number("process_resident_memory_bytes").await;

    let (mut draw, mut begun) = (Draw(seed), 0);
    let mut peers = JoinSet::new();
    loop {
        let mut written = JoinSet::new();
        for n in 0..TOGETHER {
            // Each case has a seed of its own, so that the one that fails can be had again alone.
            let case = only.unwrap_or_else(|| draw.number());
            let server = address(&stage, n);
            let (done, mut is_done) = watch::channel(false);
            peers.spawn(play(server, case, done));
            written.spawn(async move { drop(is_done.wait_for(|done| *done).await) });
        }
        begun += TOGETHER;
        timeout(ENDS, written.join_all())
            .await
            .unwrap_or_else(|_| panic!("seed {seed}: a connection neither takes frames nor ends"));
        assert!(
            is_answered(&stage, mode).await,
            "seed {seed}, after {begun} cases"
        );
        let now = stage.number("process_resident_memory_bytes").await;
        assert!(
            now < before + MEMORY,
            "seed {seed}: {before} then {now} bytes"
        );
        while let Some(ended) = peers.try_join_next() {
            ended.unwrap();
        }
        let goes_on = until.map_or(begun < CASES, |until| Instant::now() < until);
        if only.is_some() || !goes_on {
            break;
        }
        // Those of earlier batches keep their places for some seconds.
        while peers.len() > 10 * TOGETHER {
            timeout(ENDS, peers.join_next())
                .await
                .unwrap_or_else(|_| panic!("seed {seed}: no connection ends"));
        }
    }
    let ended = timeout(ENDS, peers.join_all()).await;
    assert!(ended.is_ok(), "seed {seed}: a connection does not end");
    assert!(is_answered(&stage, mode).await);
    let log = stage.elastauth.log();
    let wrong = log
        .lines()
        .find(|line| line.contains("panicked") || line.contains(" ERROR "));
    assert_eq!(wrong, None, "seed {seed}");
    println!("{begun} cases from seed {seed}");
}

/// Untrusted addresses, and a gateway's without its key.
fn address(stage: &Stage, n: usize) -> Server {
    let n = u8::try_from(n % 20).unwrap();
    match n {
        0..4 => stage.gateway().clone(),
        _ => stage.gateway().from(Ipv4Addr::new(127, 0, 2, n)),
    }
}

/// Plays a case to the end of its connection, which the other side has to bring about.
async fn play(server: Server, case: u64, done: watch::Sender<bool>) {
    let told = Told(case);
    let mut draw = Draw(case);
    let script = script::write(&mut draw);
    let Ok(stream) = server.connect().await else {
        done.send_replace(true);
        return;
    };
    let reads = draw.chance(70);
    let (read, mut write) = stream.into_split();
    let writing = async {
        for piece in &script {
            // The other side may end at any time.
            if write.write_all(piece).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        done.send_replace(true);
        // Kept: the end of our half would be a reason to close.
        write
    };
    let reading = async {
        let mut stream = read;
        if !reads {
            // Nothing is read until all is written, or the connection has ended.
            let _ended = stream.readable().await;
            let mut done = done.subscribe();
            let _written = timeout(Duration::from_secs(5), done.wait_for(|done| *done)).await;
        }
        while let Some(frame) = next_frame(&mut stream).await {
            assert!(!is_grant(&frame), "a grant without a key: {frame:?}");
        }
    };
    let _halves = tokio::join!(writing, reading);
    drop(told);
}

fn is_grant(frame: &Frame) -> bool {
    frame.kind == HEADERS && frame.payload.first() == Some(&STATUS_200)
}

/// Says which case has failed, when it has.
struct Told(u64);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!(
                "this case alone: ELASTAUTH_FUZZ_CASE={} cargo test --test it frames",
                self.0
            );
        }
    }
}

fn number_from(variable: &str) -> Option<u64> {
    std::env::var(variable)
        .ok()
        .map(|text| text.parse().unwrap())
}
