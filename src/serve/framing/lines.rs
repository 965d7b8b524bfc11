//! Lines of a head and of trailers, byte by byte.
//!
//! Each function gets what came so far and answers `None` where that is less than it needs.

use super::types::FramingFault as Fault;

/// A header or trailer.
pub(super) struct Field<'a> {
    pub(super) name: &'a [u8],
    /// Without the white space around it.
    pub(super) value: &'a [u8],
    /// Where the value is in the line.
    pub(super) value_begins: usize,
    /// Of the whole line, its end included.
    pub(super) length: usize,
}

/// The line at the start of `bytes`, which is not the empty one.
pub(super) fn field(bytes: &[u8]) -> Result<Option<Field<'_>>, Fault> {
    if let Some(b' ' | b'\t') = bytes.first() {
        return Err(Fault::Folding);
    }
    let (name, rest) = split(bytes, token_length(bytes));
    let Some((colon, rest)) = rest.split_first() else {
        return Ok(None);
    };
    if *colon != b':' || name.is_empty() {
        return Err(match colon {
            b'\n' => Fault::LineEnd,
            _ => Fault::FieldName,
        });
    }
    let (value, rest) = split(rest, value_length(rest));
    if !is_end(rest, Fault::FieldValue)? {
        return Ok(None);
    }
    let space = leading(value, is_space);
    Ok(Some(Field {
        name,
        value: trimmed(value),
        value_begins: name.len() + 1 + space,
        length: name.len() + 1 + value.len() + 2,
    }))
}

/// Whether a whole line end is here; `otherwise` is wrong if something else is.
pub(super) fn is_end(bytes: &[u8], otherwise: Fault) -> Result<bool, Fault> {
    match bytes {
        [] | [b'\r'] => Ok(false),
        [b'\r', b'\n', ..] => Ok(true),
        [b'\r' | b'\n', ..] => Err(Fault::LineEnd),
        _ => Err(otherwise),
    }
}

/// `at` is no more than there is.
pub(super) fn split(bytes: &[u8], at: usize) -> (&[u8], &[u8]) {
    bytes.split_at_checked(at).unwrap_or((bytes, &[]))
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn trimmed(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// How many bytes from the start are of a token.
pub(super) fn token_length(bytes: &[u8]) -> usize {
    leading(bytes, is_of_token)
}

/// How many bytes from the start may be in a target: those that hyper takes.
pub(super) fn target_length(bytes: &[u8]) -> usize {
    let path = leading(bytes, is_of_path);
    let (_, rest) = split(bytes, path);
    let Some((b'?', rest)) = rest.split_first() else {
        return path;
    };
    path + 1 + leading(rest, is_of_query)
}

fn value_length(bytes: &[u8]) -> usize {
    const WIDTH: usize = 16;
    // Long values are tokens and cookies: without a branch a byte.
    let mut plain = 0;
    for part in bytes.chunks_exact(WIDTH) {
        if !part.iter().fold(true, |all, byte| all & is_of_value(*byte)) {
            break;
        }
        plain += WIDTH;
    }
    let (_, rest) = split(bytes, plain);
    plain + leading(rest, is_of_value)
}

const fn is_of_value(byte: u8) -> bool {
    (byte >= b' ' && byte != 0x7f) || byte == b'\t'
}

pub(super) fn leading(bytes: &[u8], is_good: impl Fn(u8) -> bool) -> usize {
    bytes
        .iter()
        .position(|byte| !is_good(*byte))
        .unwrap_or(bytes.len())
}

/// RFC 9110, 5.6.2.
const fn is_of_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

const fn is_of_path(byte: u8) -> bool {
    is_visible(byte) && !matches!(byte, b'#' | b'?' | b'<' | b'>' | b'`')
}

const fn is_of_query(byte: u8) -> bool {
    is_visible(byte) && !matches!(byte, b'#' | b'"' | b'<' | b'>')
}

const fn is_visible(byte: u8) -> bool {
    byte > b' ' && byte != 0x7f
}
