//! HTTP/2 by hand, for what no client library sends: windows that stay shut, streams by the
//! thousand, frames of any length.

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
/// Of SETTINGS and PING.
pub(crate) const ACK: u8 = 1;

pub(crate) const MAX_CONCURRENT_STREAMS: u16 = 3;
pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;
pub(crate) const MAX_HEADER_LIST_SIZE: u16 = 6;

/// A frame that came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// What a SETTINGS frame says of this setting.
    pub(crate) fn setting(&self, name: u16) -> Option<u32> {
        self.payload.chunks_exact(6).find_map(|entry| {
            let (key, value) = entry.split_at(2);
            (key == name.to_be_bytes()).then(|| u32::from_be_bytes(value.try_into().unwrap()))
        })
    }
}

/// The bytes of a frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

pub(crate) fn settings(entries: &[(u16, u32)]) -> Vec<u8> {
    let payload: Vec<u8> = entries
        .iter()
        .flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat())
        .collect();
    frame(SETTINGS, 0, 0, &payload)
}

/// A header block without compression.
pub(crate) fn block(headers: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in headers {
        // A literal that is not indexed, with a new name.
        bytes.push(0);
        text(&mut bytes, name);
        text(&mut bytes, value);
    }
    bytes
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    // An integer with a prefix of seven bits; the eighth says that there is no Huffman code.
    match text.len() {
        length @ ..127 => bytes.push(length.try_into().unwrap()),
        length => {
            bytes.push(127);
            let mut rest = length - 127;
            while rest >= 128 {
                bytes.push(u8::try_from(rest % 128).unwrap() | 128);
                rest /= 128;
            }
            bytes.push(rest.try_into().unwrap());
        }
    }
    bytes.extend(text.as_bytes());
}

/// An auth request with these further headers.
pub(crate) fn request(stream: u32, more: &[(&str, &str)]) -> Vec<u8> {
    let usual = [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "a"),
        (":path", "/elastauth"),
    ];
    let block = block(&[&usual, more].concat());
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &block)
}

/// Begins a connection on which no answer may have a body: its window is shut.
pub(crate) async fn begin_with_shut_window(stream: &mut TcpStream) -> std::io::Result<()> {
    let begin = [PREFACE, &settings(&[(INITIAL_WINDOW_SIZE, 0)])].concat();
    stream.write_all(&begin).await
}

/// The next frame; `None` where the connection ends.
pub(crate) async fn next_frame(stream: &mut (impl AsyncRead + Unpin)) -> Option<Frame> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.ok()?;
    // A length of 24 bits, kind and flags, and a bit that means nothing before the stream.
    let number = |bytes: &[u8]| {
        let digits = bytes.iter().map(|byte| u32::from(*byte));
        digits.fold(0, |number, digit| number << 8 | digit)
    };
    let mut payload = vec![0; number(&head[..3]) as usize];
    stream.read_exact(&mut payload).await.ok()?;
    Some(Frame {
        kind: head[3],
        flags: head[4],
        stream: number(&head[5..]) & 0x7fff_ffff,
        payload,
    })
}
