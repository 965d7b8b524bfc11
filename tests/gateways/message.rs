//! HTTP/1 as bytes: what arrives is kept as it is, and nothing is checked that a test may want to
//! see.

use std::io;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Of a longer body only the length is kept.
const KEPT: usize = 64 * 1_024;
/// Far more than any gateway passes on.
const LONGEST_HEAD: usize = 4 * 1_024 * 1_024;

/// A request or an answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Message {
    /// The request line or the status line.
    pub(crate) first: String,
    pub(crate) headers: Vec<(String, String)>,
    /// Its beginning.
    pub(crate) body: Vec<u8>,
    pub(crate) length: usize,
    pub(crate) trailers: Vec<(String, String)>,
    /// Whether the body came to its end.
    pub(crate) is_complete: bool,
}

impl Message {
    /// All values of a header, whatever the case of its name.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let named = self
            .headers
            .iter()
            .filter(|(given, _)| given.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// The first value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    /// Of an answer; 0 for anything else.
    pub(crate) fn status(&self) -> u16 {
        let status = self.first.split(' ').nth(1);
        status
            .and_then(|status| status.parse().ok())
            .unwrap_or_default()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// How the end of a body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    None,
    Length(usize),
    Chunked,
    UntilClosed,
}

impl Body {
    pub(crate) fn of_request(head: &Message) -> Self {
        Self::given(head).unwrap_or(Self::None)
    }

    pub(crate) fn of_answer(head: &Message, method: &str) -> Self {
        let status = head.status();
        if method == "HEAD" || status < 200 || status == 204 || status == 304 {
            return Self::None;
        }
        Self::given(head).unwrap_or(Self::UntilClosed)
    }

    fn given(head: &Message) -> Option<Self> {
        if let Some(coding) = head.header("transfer-encoding")
            && coding.to_ascii_lowercase().contains("chunked")
        {
            return Some(Self::Chunked);
        }
        let length = head.header("content-length")?;
        length.trim().parse().ok().map(Self::Length)
    }
}

/// A connection, with what was read beyond the last message.
#[derive(Debug)]
pub(crate) struct Wire<S> {
    pub(crate) stream: S,
    read: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream,
            read: Vec::new(),
        }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// The next head; `None` where the connection ended before it began.
    pub(crate) async fn head(&mut self) -> io::Result<Option<Message>> {
        let end = loop {
            if let Some(at) = find(&self.read, b"\r\n\r\n") {
                break at;
            }
            if self.read.len() > LONGEST_HEAD {
                return Err(io::Error::other("a head without an end"));
            }
            if !self.more().await? {
                if self.read.is_empty() {
                    return Ok(None);
                }
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        };
        let head: Vec<u8> = self.read.drain(..end + 4).collect();
        let head = String::from_utf8_lossy(&head);
        let mut lines = head.trim_end().split("\r\n");
        Ok(Some(Message {
            first: lines.next().unwrap_or_default().to_owned(),
            headers: lines.filter_map(field).collect(),
            ..Message::default()
        }))
    }

    /// Reads the body of this head into it. `None` becomes its end at once.
    pub(crate) async fn body(&mut self, message: &mut Message, body: Body) -> io::Result<()> {
        match body {
            Body::None => {}
            Body::Length(length) => self.bytes(message, length).await?,
            Body::UntilClosed => loop {
                let read = std::mem::take(&mut self.read);
                keep(message, &read);
                if !self.more().await? {
                    break;
                }
            },
            Body::Chunked => loop {
                let line = self.line().await?;
                let digits = line.split(';').next().unwrap_or_default().trim();
                let length = usize::from_str_radix(digits, 16).map_err(io::Error::other)?;
                if length == 0 {
                    loop {
                        let line = self.line().await?;
                        if line.is_empty() {
                            break;
                        }
                        message.trailers.extend(field(&line));
                    }
                    break;
                }
                self.bytes(message, length).await?;
                self.line().await?;
            },
        }
        message.is_complete = true;
        Ok(())
    }

    async fn bytes(&mut self, message: &mut Message, mut left: usize) -> io::Result<()> {
        loop {
            let here = left.min(self.read.len());
            let read: Vec<u8> = self.read.drain(..here).collect();
            keep(message, &read);
            left -= here;
            if left == 0 {
                return Ok(());
            }
            if !self.more().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = find(&self.read, b"\r\n") {
                let line: Vec<u8> = self.read.drain(..at + 2).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            if !self.more().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Bytes behind the last message, as many as are there; none where the connection ended.
    pub(crate) async fn rest(&mut self) -> io::Result<Vec<u8>> {
        if self.read.is_empty() {
            self.more().await?;
        }
        Ok(std::mem::take(&mut self.read))
    }

    async fn more(&mut self) -> io::Result<bool> {
        self.read.reserve(16 * 1_024);
        Ok(self.stream.read_buf(&mut self.read).await? > 0)
    }
}

fn keep(message: &mut Message, bytes: &[u8]) {
    let room = KEPT.saturating_sub(message.body.len()).min(bytes.len());
    message.body.extend(&bytes[..room]);
    message.length += bytes.len();
}

fn field(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    Some((name.to_owned(), value.trim().to_owned()))
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}
