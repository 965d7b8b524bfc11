//! What one connection sends.

use super::draw::Draw;
use crate::support::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS, MAX_HEADER_LIST_SIZE, PING, PREFACE, PRIORITY, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, block, frame, request, settings,
};

/// The longest frame that the other side takes.
const MAX_FRAME: usize = 16_384;

/// The bytes of a connection, in the pieces in which they are sent.
pub(super) fn write(draw: &mut Draw) -> Vec<Vec<u8>> {
    let mut bytes = PREFACE.to_vec();
    if draw.chance(95) {
        bytes.extend(any_settings(draw));
    }
    let mut streams = Streams { last: 1 };
    for _ in 0..=draw.below(30) {
        bytes.extend(step(draw, &mut streams));
    }
    if draw.chance(20) {
        for _ in 0..=draw.below(8) {
            let at = draw.below(bytes.len());
            bytes[at] = draw.byte();
        }
    }
    if draw.chance(20) {
        bytes.truncate(draw.below(bytes.len()));
    }
    let mut pieces = Vec::new();
    while !bytes.is_empty() {
        let length = draw.one_of(&[1, 9, 100, 5_000, 1 << 20]).min(bytes.len());
        pieces.push(bytes.drain(..length).collect());
        if pieces.len() == 200 {
            pieces.push(std::mem::take(&mut bytes));
        }
    }
    pieces
}

/// Which streams have been used.
struct Streams {
    last: u32,
}

impl Streams {
    fn next(&mut self) -> u32 {
        self.last += 2;
        self.last
    }

    /// A used one, an unused one, one of the server's, or the connection.
    fn any(&self, draw: &mut Draw) -> u32 {
        let used = 1 + 2 * u32::try_from(draw.below(self.last as usize)).unwrap();
        draw.one_of(&[used, used, self.last, self.last + 20, 2, 0, 0x7fff_ffff])
    }
}

fn step(draw: &mut Draw, streams: &mut Streams) -> Vec<u8> {
    match draw.below(16) {
        0..3 => repeated(draw, 30, |draw| any_request(draw, streams.next())),
        // Rapid reset.
        3 => repeated(draw, 300, |draw| {
            let stream = streams.next();
            let code = draw.one_of(&[0_u32, 8, 7, u32::MAX]).to_be_bytes();
            [request(stream, &[]), frame(RST_STREAM, 0, stream, &code)].concat()
        }),
        4 => continuations(draw, streams.next()),
        5 => bombs(draw, streams.next()),
        6 => repeated(draw, 200, any_settings),
        7 => repeated(draw, 2_000, |draw| {
            let flags = draw.one_of(&[0, 0, ACK]);
            frame(PING, flags, 0, &draw.number().to_be_bytes())
        }),
        8 => repeated(draw, 300, |draw| {
            // Depends on itself, on the other, on nothing.
            let (stream, other) = (streams.any(draw), streams.any(draw));
            let on = draw.one_of(&[stream, other, other | 0x8000_0000, 0]);
            let payload = [&on.to_be_bytes()[..], &[draw.byte()]].concat();
            frame(PRIORITY, 0, stream, &payload)
        }),
        9 => repeated(draw, 50, |draw| {
            let by = draw.one_of(&[0, 1, 65_535, 0x7fff_ffff, u32::MAX]);
            frame(WINDOW_UPDATE, 0, streams.any(draw), &by.to_be_bytes())
        }),
        10 => repeated(draw, 40, |draw| {
            let (stream, length) = (streams.any(draw), draw.one_of(&[0, 1, 900, MAX_FRAME]));
            // The first byte says how much of the rest is padding, where the flags say so.
            let flags = draw.one_of(&[0, END_STREAM, 8, 9]);
            frame(DATA, flags, stream, &vec![draw.byte(); length])
        }),
        11 => frame(GOAWAY, 0, 0, &draw.bytes(100)),
        // A length that does not come, and lengths that are not allowed.
        12 => {
            let mut bytes = frame(draw.byte() % 12, draw.byte(), streams.any(draw), &[]);
            bytes[..3].copy_from_slice(&draw.one_of(&[[0xff; 3], [0, 0x40, 1], [0, 0x40, 0]]));
            bytes
        }
        13 => frame(RST_STREAM, 0, streams.any(draw), &draw.bytes(12)),
        14 => frame(HEADERS, draw.byte(), streams.next(), &draw.bytes(600)),
        _ => repeated(draw, 20, |draw| {
            let kind = draw.byte() % draw.one_of(&[12, 255]);
            frame(kind, draw.byte(), streams.any(draw), &draw.bytes(200))
        }),
    }
}

fn repeated(draw: &mut Draw, below: usize, mut one: impl FnMut(&mut Draw) -> Vec<u8>) -> Vec<u8> {
    (0..=draw.below(below)).flat_map(|_| one(draw)).collect()
}

/// An auth request, most often a valid one, that may claim to be somebody.
fn any_request(draw: &mut Draw, stream: u32) -> Vec<u8> {
    let long = "x".repeat(draw.one_of(&[0, 100, 4_000, 15_000]));
    let more: &[(&str, &str)] = match draw.below(9) {
        0..4 => &[("remote-user", "alice")],
        4 => &[("x-long", &long)],
        5 => &[("Upper-Case", "x")],
        6 => &[(":path", "/twice")],
        7 => &[("content-length", "11"), ("connection", "close")],
        _ => &[("cookie", "a=b"), ("te", "trailers"), ("host", "")],
    };
    let mut bytes = request(stream, more);
    if draw.chance(30) {
        // Its body does not come.
        bytes[4] &= !END_STREAM;
    }
    bytes
}

fn any_settings(draw: &mut Draw) -> Vec<u8> {
    if draw.chance(10) {
        return frame(SETTINGS, draw.byte(), draw.one_of(&[0, 1]), &draw.bytes(50));
    }
    let entries: Vec<_> = (0..draw.below(6))
        .map(|_| {
            let names = [
                1,
                2,
                MAX_CONCURRENT_STREAMS,
                INITIAL_WINDOW_SIZE,
                5,
                MAX_HEADER_LIST_SIZE,
            ];
            (
                draw.one_of(&names),
                draw.one_of(&[0, 0, 1, 4_096, 65_535, 0x7fff_ffff, u32::MAX]),
            )
        })
        .collect();
    settings(&entries)
}

/// Headers that go on and on.
fn continuations(draw: &mut Draw, stream: u32) -> Vec<u8> {
    let mut bytes = frame(HEADERS, 0, stream, &block(&[(":method", "GET")]));
    let long = "x".repeat(draw.one_of(&[0, 10, 1_000, 16_000]));
    let piece = if draw.chance(20) {
        Vec::new()
    } else {
        block(&[("x", &long)])
    };
    let count = draw.below(200);
    for _ in 0..count {
        bytes.extend(frame(CONTINUATION, 0, stream, &piece));
    }
    if draw.chance(50) {
        bytes.extend(frame(
            CONTINUATION,
            END_HEADERS,
            stream,
            &block(&[(":path", "/")]),
        ));
    }
    bytes
}

/// A few bytes that mean many: one long entry of the table, referred to again and again.
fn bombs(draw: &mut Draw, stream: u32) -> Vec<u8> {
    let mut payload = block(&[
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "a"),
        (":path", "/elastauth"),
    ]);
    let mut entry = block(&[("x", &"y".repeat(draw.one_of(&[10, 3_000, 4_060])))]);
    // A literal that is indexed.
    entry[0] = 0x40;
    payload.extend(entry);
    // The newest entry has index 62, in hexadecimal 3e.
    payload.extend(vec![0x80 | 0x3e; draw.below(10_000)]);
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &payload)
}
