//! A Redis that does nothing by itself: each command about a user waits until the explorer says
//! what becomes of it. It runs the scripts that it is sent.
//!
//! It listens on a socket of the file system, which hands over at once what it is given. The number
//! of the database says who is calling.

use super::{
    cluster::{CallName, Life},
    script::{self, Value},
};
use elastauth::internals::ledger::redis::DEADLINE;
use std::{
    collections::{BTreeMap, VecDeque},
    hash::{Hash, Hasher},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixListener, UnixStream},
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

/// A heartbeat is as long as this; all other messages are shorter.
const HEARTBEAT: usize = 196;
/// A message that the one user is unchanged is as long as this: it carries a time
/// as well.
const STANDS: usize = 76 + USER.len();
/// The user of all settings with a Redis.
pub(crate) const USER: &str = "alice";
/// Where the numbers of heartbeats begin.
const FIRST_HEARTBEAT: u32 = 1_000_000;
/// Commands of one replica that nobody waits for any more and that Redis may yet do.
const ORPHANS: usize = 2;
/// Lives of one place.
const LIVES: usize = 100;

/// A command that has come.
#[derive(Debug)]
pub(crate) struct Command {
    words: Vec<Vec<u8>>,
    /// Which connection of its replica it came by.
    connection: u64,
    came: u64,
    /// How many changes the cluster had seen by then: what it says is of no later.
    after: u64,
    /// Its place among all that came.
    order: u64,
    /// The caller still waits.
    pub(crate) awaited: bool,
    answer: oneshot::Sender<Value>,
}

impl Command {
    /// Without the message, which is another one each time.
    fn plain(&self) -> &[Vec<u8>] {
        let message = ["EVAL", "PUBLISH"].iter().any(|name| self.is(name));
        &self.words[..self.words.len() - usize::from(message)]
    }

    fn is(&self, name: &str) -> bool {
        self.words[0] == name.as_bytes()
    }

    /// Whether an update waits for it: it looks, or begins a write. All else is sent in the
    /// background.
    pub(crate) fn holds_an_update(&self, now: u64) -> bool {
        ["look", "begin"].contains(&self.word())
            && self.awaited
            && u128::from(now - self.came) < DEADLINE.as_millis()
    }

    /// What stands in a story.
    pub(crate) fn word(&self) -> &'static str {
        match (self.words[0].as_slice(), self.words.len()) {
            (b"EVAL", 5) => "look",
            (b"EVAL", 8) => "begin",
            (b"EVAL", _) => "end or confirm",
            (b"DEL", _) => "forget",
            _ => "tell",
        }
    }
}

/// What somebody has said to all.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    text: Vec<u8>,
    /// By which command; `None` for a heartbeat.
    pub(crate) by: Option<CallName>,
    /// Whether it says that a user is written, and not that they are unchanged.
    pub(crate) is_change: bool,
    /// How many changes the cluster had seen when it was sent.
    pub(crate) after: u64,
}

impl Hash for Message {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.by, self.is_change).hash(state);
    }
}

/// Somebody who listens.
#[derive(Debug)]
struct Subscriber {
    messages: mpsc::UnboundedSender<Vec<u8>>,
    /// What has not come yet, while messages are late.
    late: Option<VecDeque<Message>>,
}

/// A value, and until when it lies there.
type Lying = (Vec<u8>, u64);

#[derive(Debug, Default)]
pub(crate) struct State {
    values: BTreeMap<Vec<u8>, Lying>,
    pub(crate) commands: BTreeMap<CallName, Command>,
    subscribers: BTreeMap<Life, Subscriber>,
    /// Commands of each life so far; a life that is not here is over, and nothing of it gets
    /// through.
    pub(crate) lives: BTreeMap<Life, u32>,
    /// Counts whatever comes in.
    pub(crate) moved: u64,
    connections: u64,
    /// The number of the last heartbeat, far from those of other commands.
    heartbeats: u32,
    /// Stories so far: connections of older ones are dead.
    story: u64,
    pub(crate) now: u64,
    /// Changes in the cluster so far.
    pub(crate) changes: u64,
    /// What has come to whom since this was last asked.
    pub(crate) heard: Vec<(Life, Message)>,
}

/// The Redis with its gate. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Redis {
    state: Arc<Mutex<State>>,
    folder: Arc<TempDir>,
}

impl Redis {
    pub(crate) fn open() -> (Self, JoinHandle<()>) {
        let redis = Self {
            state: Arc::default(),
            // The address of a socket has 108 bytes, and `TMPDIR` may be longer.
            folder: Arc::new(tempfile::tempdir_in("/tmp").unwrap()),
        };
        let listener = UnixListener::bind(redis.path()).unwrap();
        let served = redis.clone();
        let accepting = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(served.clone().serve(stream));
            }
        });
        (redis, accepting)
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("redis")
    }

    pub(crate) fn url(&self, life: Life) -> String {
        format!(
            "unix://{}?db={}",
            self.path().display(),
            1 + life.place * LIVES + life.number
        )
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// An empty one; whoever was connected is no more.
    pub(crate) fn reset(&self, now: u64) {
        let mut state = self.state();
        *state = State {
            story: state.story + 1,
            connections: state.connections,
            heartbeats: FIRST_HEARTBEAT,
            now,
            ..State::default()
        };
    }

    /// One connection: commands in their order, or messages.
    async fn serve(self, mut stream: UnixStream) {
        let (story, connection) = {
            let mut state = self.state();
            state.connections += 1;
            (state.story, state.connections)
        };
        let (mut read, mut life) = (Vec::new(), None);
        let (mut answers, mut messages) = (
            VecDeque::<(CallName, oneshot::Receiver<Value>)>::new(),
            None::<mpsc::UnboundedReceiver<_>>,
        );
        'connected: loop {
            while let Some(words) = command(&mut read) {
                self.state().moved += 1;
                match (words[0].as_slice(), life) {
                    (b"SELECT", _) => {
                        let number =
                            String::from_utf8_lossy(&words[1]).parse::<usize>().unwrap() - 1;
                        life = Some(Life {
                            place: number / LIVES,
                            number: number % LIVES,
                        });
                        if stream.write_all(b"+OK\r\n").await.is_err() {
                            break 'connected;
                        }
                    }
                    (b"PING", _) => drop(stream.write_all(b"+PONG\r\n").await),
                    (b"SUBSCRIBE", Some(life)) => {
                        let (sender, receiver) = mpsc::unbounded_channel();
                        messages = Some(receiver);
                        self.state().subscribers.insert(
                            life,
                            Subscriber {
                                messages: sender,
                                late: None,
                            },
                        );
                        drop(
                            stream
                                .write_all(&pushed(&[b"subscribe", &words[1]], Some(1)))
                                .await,
                        );
                    }
                    (_, Some(life)) => {
                        let Some(coming) = self.state().come(life, connection, words) else {
                            break 'connected;
                        };
                        answers.push_back(coming);
                    }
                    (name, None) => panic!("{} by nobody", String::from_utf8_lossy(name)),
                }
            }
            let is_over = {
                let state = self.state();
                state.story != story || life.is_some_and(|life| !state.lives.contains_key(&life))
            };
            if is_over {
                break;
            }
            tokio::select! {
                biased;
                answer = async { (&mut answers[0].1).await }, if !answers.is_empty() => {
                    answers.pop_front();
                    let Ok(answer) = answer else { break };
                    self.state().moved += 1;
                    drop(stream.write_all(&encoded(answer)).await);
                }
                message = async { messages.as_mut().unwrap().recv().await }, if messages.is_some() => {
                    let Some(message) = message else { break };
                    self.state().moved += 1;
                    drop(stream.write_all(&pushed(&[b"message", b"all", &message], None)).await);
                }
                bytes = stream.read_buf(&mut read) => if !bytes.is_ok_and(|bytes| bytes > 0) {
                    break;
                },
            }
        }
        let mut state = self.state();
        state.moved += 1;
        if state.story == story {
            for (name, _) in answers {
                // Of a Redis that hangs for long, the first ones are enough of a surprise.
                let orphans = state
                    .commands
                    .iter()
                    .filter(|(other, command)| other.0 == name.0 && !command.awaited)
                    .count();
                if name.1 >= FIRST_HEARTBEAT || orphans >= ORPHANS {
                    state.commands.remove(&name);
                } else if let Some(command) = state.commands.get_mut(&name) {
                    command.awaited = false;
                }
            }
            drop(messages);
            // A newer connection of the same replica has a subscription of its own.
            state
                .subscribers
                .retain(|_, subscriber| !subscriber.messages.is_closed());
        }
    }
}

impl State {
    fn come(
        &mut self,
        life: Life,
        connection: u64,
        words: Vec<Vec<u8>>,
    ) -> Option<(CallName, oneshot::Receiver<Value>)> {
        let number = self.lives.get_mut(&life)?;
        // Which of those that a new connection wakes comes first is chance: a heartbeat takes no
        // number from the others.
        let is_heartbeat = words[0] == b"PUBLISH" && words[2].len() == HEARTBEAT;
        let number = if is_heartbeat {
            &mut self.heartbeats
        } else {
            number
        };
        *number += 1;
        let name = (life, *number);
        let (answer, reply) = oneshot::channel();
        let waits = self
            .commands
            .values()
            .any(|command| command.connection == connection);
        self.commands.insert(
            name,
            Command {
                words,
                connection,
                came: self.now,
                after: self.changes,
                order: self.moved,
                awaited: true,
                answer,
            },
        );
        // Heartbeats come through by themselves, where nothing stands before them.
        if is_heartbeat && !waits {
            self.run(name, true);
        }
        Some((name, reply))
    }

    /// Those that may be next: the first of each connection.
    pub(crate) fn next(&self) -> impl Iterator<Item = CallName> {
        let is_first = |(_, command): &(&CallName, &Command)| {
            !self.commands.values().any(|earlier| {
                earlier.connection == command.connection && earlier.order < command.order
            })
        };
        self.commands.iter().filter(is_first).map(|(name, _)| *name)
    }

    /// Does what a command says, and answers, or cuts the connection. Heartbeats that stood behind
    /// it come through as well.
    pub(crate) fn run(&mut self, name: CallName, answers: bool) -> Option<Value> {
        let command = self.commands.remove(&name)?;
        let value = self.perform(name, &command.words, command.after);
        let reply = value.clone();
        if answers {
            // Whoever has hung up does not hear it.
            drop(command.answer.send(value));
        } else {
            self.forget_connection(command.connection);
        }
        let behind = self.next().find(|next| {
            let next = &self.commands[next];
            next.is("PUBLISH") && next.words[2].len() == HEARTBEAT
        });
        if let Some(behind) = behind {
            self.run(behind, true);
        }
        Some(reply)
    }

    /// Cuts the connection of a command, which is never done.
    pub(crate) fn lose(&mut self, name: CallName) {
        if let Some(command) = self.commands.remove(&name) {
            self.forget_connection(command.connection);
        }
    }

    fn forget_connection(&mut self, connection: u64) {
        self.commands
            .retain(|_, command| command.connection != connection);
    }

    fn perform(&mut self, name: CallName, words: &[Vec<u8>], after: u64) -> Value {
        match words[0].as_slice() {
            b"GET" => self.lying(&words[1]).map_or(Value::Nothing, Value::Text),
            b"SET" => {
                assert_eq!(words[3], b"PX");
                let lasts: u64 = String::from_utf8_lossy(&words[4]).parse().unwrap();
                self.values.insert(
                    words[1].clone(),
                    (words[2].clone(), self.now.saturating_add(lasts)),
                );
                Value::Done
            }
            b"DEL" => Value::Number(i64::from(self.values.remove(&words[1]).is_some())),
            b"PUBLISH" => {
                let (text, by) = (
                    words[2].clone(),
                    (words[2].len() != HEARTBEAT).then_some(name),
                );
                let is_change = by.is_some() && text.len() < STANDS;
                self.publish(&Message {
                    text,
                    by,
                    is_change,
                    after,
                });
                Value::Number(1)
            }
            b"EVAL" => {
                let script = String::from_utf8(words[1].clone()).unwrap();
                let keys: usize = String::from_utf8_lossy(&words[2]).parse().unwrap();
                let (keys, arguments) = words[3..].split_at(keys);
                script::run(&script, keys, arguments, &mut |words| {
                    self.perform(name, &words, after)
                })
            }
            other => panic!("no such command: {}", String::from_utf8_lossy(other)),
        }
    }

    fn lying(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.values
            .get(key)
            .filter(|(_, until)| *until > self.now)
            .map(|(value, _)| value.clone())
    }

    fn publish(&mut self, message: &Message) {
        self.moved += 1;
        for (life, subscriber) in &mut self.subscribers {
            if let Some(late) = &mut subscriber.late {
                late.push_back(message.clone());
            } else if subscriber.messages.send(message.text.clone()).is_ok() {
                self.heard.push((*life, message.clone()));
            }
        }
    }

    /// From now on messages to this replica are late.
    pub(crate) fn delay_messages(&mut self, life: Life) {
        if let Some(subscriber) = self.subscribers.get_mut(&life) {
            subscriber.late = Some(VecDeque::new());
        }
    }

    pub(crate) fn messages_are_late(&self, life: Life) -> bool {
        self.subscribers
            .get(&life)
            .is_some_and(|subscriber| subscriber.late.is_some())
    }

    /// The messages that were late come.
    pub(crate) fn bring_messages(&mut self, life: Life) {
        let Some(subscriber) = self.subscribers.get_mut(&life) else {
            return;
        };
        for message in subscriber.late.take().into_iter().flatten() {
            if subscriber.messages.send(message.text.clone()).is_ok() {
                self.heard.push((life, message));
            }
        }
    }

    /// A replica's listening connection is cut.
    pub(crate) fn cut_listener(&mut self, life: Life) -> bool {
        self.subscribers.remove(&life).is_some()
    }

    pub(crate) fn hears(&self, life: Life) -> bool {
        self.subscribers.contains_key(&life)
    }

    pub(crate) fn flush(&mut self) -> bool {
        let was_empty = self.values.is_empty();
        self.values.clear();
        !was_empty
    }

    /// A replica is gone, and its connections with it.
    pub(crate) fn ended(&mut self, life: Life) {
        self.lives.remove(&life);
        self.subscribers.remove(&life);
        self.commands.retain(|(by, _), _| *by != life);
    }
}

impl Hash for State {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for (key, (value, until)) in &self.values {
            (key, value, until).hash(state);
        }
        for (name, command) in self
            .commands
            .iter()
            .filter(|((_, number), _)| *number < FIRST_HEARTBEAT)
        {
            (name, command.plain(), command.came, command.awaited).hash(state);
        }
        for (life, subscriber) in &self.subscribers {
            (life, &subscriber.late).hash(state);
        }
    }
}

/// Takes a whole command from what has been read.
fn command(read: &mut Vec<u8>) -> Option<Vec<Vec<u8>>> {
    /// A number, and what comes after its line.
    fn number(text: &[u8]) -> Option<(usize, &[u8])> {
        let end = text.windows(2).position(|window| window == b"\r\n")?;
        Some((
            std::str::from_utf8(&text[1..end]).unwrap().parse().unwrap(),
            &text[end + 2..],
        ))
    }
    let (count, mut rest) = number(read)?;
    let mut words = Vec::new();
    for _ in 0..count {
        let (length, after) = number(rest)?;
        words.push(after.get(..length)?.to_vec());
        rest = after.get(length + 2..)?;
    }
    *read = rest.to_vec();
    Some(words)
}

fn encoded(value: Value) -> Vec<u8> {
    match value {
        Value::Nothing => b"$-1\r\n".to_vec(),
        Value::True => b":1\r\n".to_vec(),
        Value::Number(number) => format!(":{number}\r\n").into_bytes(),
        Value::Text(text) => bulk(&text),
        Value::Done => b"+OK\r\n".to_vec(),
    }
}

fn bulk(text: &[u8]) -> Vec<u8> {
    [format!("${}\r\n", text.len()).as_bytes(), text, b"\r\n"].concat()
}

/// What comes to those who listen.
fn pushed(words: &[&[u8]], number: Option<u32>) -> Vec<u8> {
    let mut text = format!("*{}\r\n", words.len() + usize::from(number.is_some())).into_bytes();
    for word in words {
        text.extend(bulk(word));
    }
    if let Some(number) = number {
        text.extend(format!(":{number}\r\n").into_bytes());
    }
    text
}
