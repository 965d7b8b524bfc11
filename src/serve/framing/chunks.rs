//! A chunked body: lines with sizes, data, and trailers.

use super::{
    lines::{field, is_end, leading, split},
    types::{FramingFault as Fault, HeadLimits},
};

/// RFC 9112, 7.1.1 asks for a bound. Nobody gives them a meaning between client and server; hyper
/// drops them, and ends a body with more than 16 KB of them.
const EXTENSION_BYTES: usize = 256;
const ALL_EXTENSIONS: usize = 8 * 1024;
/// Of trailers, which nobody sends to a cluster.
const TRAILERS: HeadLimits = HeadLimits {
    bytes: 8 * 1024,
    fields: 32,
};
/// Enough for every size that a number of 64 bits has.
const DIGITS: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Chunks {
    next: Next,
    /// Bytes of extensions so far.
    extensions: usize,
}

#[derive(Debug, Default)]
enum Next {
    #[default]
    Size,
    Data(u64),
    End,
    Trailers(Trailers),
}

/// What is complete of a body.
#[derive(Debug, PartialEq)]
pub(super) enum Part {
    /// So many bytes, and the body goes on behind them.
    Some(usize),
    /// So many bytes, the last ones.
    Last(usize),
}

impl Chunks {
    /// `bytes` begin behind the last part.
    pub(super) fn judge(&mut self, bytes: &[u8]) -> Result<Option<Part>, Fault> {
        match &mut self.next {
            Next::Size => {
                let Some((size, length, extension)) = size_line(bytes)? else {
                    return Ok(None);
                };
                self.extensions += extension;
                if self.extensions > ALL_EXTENSIONS {
                    return Err(Fault::ChunkExtension);
                }
                self.next = match size {
                    0 => Next::Trailers(Trailers::default()),
                    size => Next::Data(size),
                };
                Ok(Some(Part::Some(length)))
            }
            Next::Data(left) => {
                let here = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                if here == 0 {
                    return Ok(None);
                }
                *left -= here as u64;
                if *left == 0 {
                    self.next = Next::End;
                }
                Ok(Some(Part::Some(here)))
            }
            Next::End => {
                if !is_end(bytes, Fault::ChunkEnd)? {
                    return Ok(None);
                }
                self.next = Next::Size;
                Ok(Some(Part::Some(2)))
            }
            Next::Trailers(trailers) => Ok(trailers.judge(bytes)?.map(Part::Last)),
        }
    }
}

/// The size, the length of its line, and that of the extension in it.
fn size_line(bytes: &[u8]) -> Result<Option<(u64, usize, usize)>, Fault> {
    let (digits, rest) = split(bytes, leading(bytes, |byte| byte.is_ascii_hexdigit()));
    if digits.len() > DIGITS {
        return Err(Fault::ChunkSize);
    }
    if rest.is_empty() {
        return Ok(None);
    }
    let size = std::str::from_utf8(digits).ok();
    let size = size.and_then(|digits| u64::from_str_radix(digits, 16).ok());
    // hyper counts in the same type, without its last values.
    let size = size.filter(|size| i64::try_from(*size).is_ok());
    let size = size.ok_or(Fault::ChunkSize)?;
    let (extension, rest) = match rest {
        [b';', ..] => split(rest, leading(rest, is_of_extension)),
        _ => (&[][..], rest),
    };
    if extension.len() > EXTENSION_BYTES {
        return Err(Fault::ChunkExtension);
    }
    let otherwise = match extension {
        [] => Fault::ChunkSize,
        _ => Fault::ChunkExtension,
    };
    if !is_end(rest, otherwise)? {
        return Ok(None);
    }
    let length = digits.len() + extension.len() + 2;
    Ok(Some((size, length, extension.len())))
}

const fn is_of_extension(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~')
}

/// Trailers that were judged, in bytes from their start.
#[derive(Debug, Default)]
struct Trailers {
    judged: usize,
    searched: usize,
    fields: usize,
}

impl Trailers {
    /// Their length, once they are complete.
    fn judge(&mut self, bytes: &[u8]) -> Result<Option<usize>, Fault> {
        let (_, new) = split(bytes, self.searched);
        let whole = if self.searched == 0 || new.contains(&b'\n') {
            self.lines(bytes)?
        } else {
            None
        };
        if whole.unwrap_or(bytes.len()) > TRAILERS.bytes {
            return Err(Fault::HeadTooLarge);
        }
        self.searched = bytes.len();
        Ok(whole)
    }

    fn lines(&mut self, bytes: &[u8]) -> Result<Option<usize>, Fault> {
        loop {
            let (_, rest) = split(bytes, self.judged);
            if let [b'\r' | b'\n', ..] = rest {
                return Ok(is_end(rest, Fault::LineEnd)?.then_some(self.judged + 2));
            }
            let Some(field) = field(rest)? else {
                return Ok(None);
            };
            self.fields += 1;
            if self.fields > TRAILERS.fields {
                return Err(Fault::TooManyFields);
            }
            if is_forbidden(field.name) {
                return Err(Fault::Trailer);
            }
            self.judged += field.length;
        }
    }
}

/// RFC 9110, 6.5.1: what frames or routes a message.
fn is_forbidden(name: &[u8]) -> bool {
    [
        &b"content-length"[..],
        b"transfer-encoding",
        b"trailer",
        b"host",
        b"connection",
        b"upgrade",
        b"te",
        b"expect",
    ]
    .iter()
    .any(|forbidden| name.eq_ignore_ascii_case(forbidden))
}
