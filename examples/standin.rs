//! For the benchmark: the stand-in of the demonstration, which really judges logins, as a program
//! of its own.
//!
//! `standin DELAY_MS` prints where the cluster is, where a second node of it is (for whoever tries
//! logins: its calls do not count), and the password of the service account. To each line on its
//! input it answers with the calls since the last one: `_authenticate`, reads, writes, the most at
//! once, and lists of users. It ends with its input.

#![expect(
    clippy::print_stdout,
    reason = "its output is how the benchmark talks to it"
)]

use elastauth::internals::{
    demo::standin::{Endpoint, Fault, Misbehaviour, StandIn},
    shutdown::Tasks,
};
use http::Method;
use std::{error::Error, time::Duration};
use tokio::{sync::mpsc, time::interval};

/// How often calls are counted between the questions: the record holds 20,000.
const OFTEN: Duration = Duration::from_millis(200);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let delay = std::env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .ok_or("usage: standin DELAY_MS")?;
    let tasks = Tasks::default();
    let cluster = StandIn::start(&tasks).await?;
    let judge = cluster.start_node().await?;
    if delay > 0 {
        cluster.fault(Fault::new(
            Endpoint::Any,
            Misbehaviour::Delay(Duration::from_millis(delay)),
        ));
    }
    println!(
        "{} {} {}",
        cluster.addr(),
        judge.addr(),
        cluster.service_password()
    );
    let mut questions = questions();
    let mut often = interval(OFTEN);
    let mut counted = Counted::default();
    loop {
        tokio::select! {
            question = questions.recv() => {
                let Some(()) = question else { return Ok(()) };
                counted.go_on(&cluster);
                let Counted { authenticate, reads, writes, lists, .. } = counted;
                println!("{authenticate} {reads} {writes} {} {lists}", cluster.busiest());
                counted = Counted { next: counted.next, ..Counted::default() };
            }
            _ = often.tick() => counted.go_on(&cluster),
        }
    }
}

/// A word for each line of the input.
fn questions() -> mpsc::Receiver<()> {
    let (sender, questions) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            if line.is_err() || sender.blocking_send(()).is_err() {
                return;
            }
        }
    });
    questions
}

#[derive(Default)]
struct Counted {
    authenticate: u64,
    reads: u64,
    writes: u64,
    lists: u64,
    /// The number of the first call that is not counted yet.
    next: u64,
}

impl Counted {
    fn go_on(&mut self, cluster: &StandIn) {
        for call in cluster.calls_since(self.next) {
            self.next = call.number + 1;
            match call.method {
                Method::PUT => self.writes += 1,
                _ if call.path == "/_security/_authenticate" => self.authenticate += 1,
                _ if call.path.contains('?') => self.lists += 1,
                _ => self.reads += 1,
            }
        }
    }
}
