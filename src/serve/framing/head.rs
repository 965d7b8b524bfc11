//! A head: the request line and the headers, line by line, as far as it came.

use super::{
    authority::{absolute, is_authority},
    lines::{Field, field, is_end, leading, split, target_length, token_length},
    types::{Body, FramingFault as Fault, HeadLimits},
};
use std::ops::Range;

/// A longer length is refused: no cluster takes it, and sums with it overflow.
const LONGEST_BODY: u64 = i64::MAX as u64;

/// Lines that were judged. Positions are from the start of the head.
#[derive(Debug, Default)]
pub(super) struct Head {
    judged: usize,
    /// No line ends between `judged` and here.
    searched: usize,
    fields: usize,
    version: Option<Version>,
    /// Of the target, where it has the absolute form.
    authority: Option<Range<usize>>,
    host: Option<Range<usize>>,
    length: Option<u64>,
    is_chunked: bool,
    asks_for_upgrade: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Version {
    Http10,
    Http11,
}

/// A head that is complete and good.
#[derive(Debug, PartialEq)]
pub(super) struct Whole {
    pub(super) length: usize,
    pub(super) body: Body,
    pub(super) asks_for_upgrade: bool,
}

impl Head {
    /// Judges the lines that are complete. `bytes` begin where the head does; `None` while more has
    /// to come.
    pub(super) fn judge(
        &mut self,
        bytes: &[u8],
        limits: HeadLimits,
    ) -> Result<Option<Whole>, Fault> {
        let whole = if self.may_have_a_line(bytes) {
            self.lines(bytes, limits)?
        } else {
            None
        };
        if whole.as_ref().map_or(bytes.len(), |whole| whole.length) > limits.bytes {
            return Err(match self.version {
                Some(_) => Fault::HeadTooLarge,
                None => Fault::LineTooLong,
            });
        }
        self.searched = bytes.len();
        Ok(whole)
    }

    /// A head that comes byte by byte is read once, and not again with each byte.
    fn may_have_a_line(&self, bytes: &[u8]) -> bool {
        let (_, new) = split(bytes, self.searched);
        self.searched == 0 || new.contains(&b'\n')
    }

    fn lines(&mut self, bytes: &[u8], limits: HeadLimits) -> Result<Option<Whole>, Fault> {
        let Some(version) = self.request_line(bytes)? else {
            return Ok(None);
        };
        loop {
            let (_, rest) = split(bytes, self.judged);
            if let [b'\r' | b'\n', ..] = rest {
                // `otherwise` cannot be: it begins like a line end.
                let is_whole = is_end(rest, Fault::LineEnd)?;
                return is_whole.then(|| self.whole(bytes, version)).transpose();
            }
            let Some(field) = field(rest)? else {
                return Ok(None);
            };
            self.fields += 1;
            if self.fields > limits.fields {
                return Err(Fault::TooManyFields);
            }
            self.field(&field, version)?;
            self.judged += field.length;
        }
    }

    fn request_line(&mut self, bytes: &[u8]) -> Result<Option<Version>, Fault> {
        if let Some(version) = self.version {
            return Ok(Some(version));
        }
        // RFC 9112, 2.2: some clients send an empty line behind a body.
        let begin = match bytes {
            [b'\r', b'\n', ..] => 2,
            [b'\r'] => return Ok(None),
            _ => 0,
        };
        let (_, line) = split(bytes, begin);
        let (method, rest) = split(line, token_length(line));
        let Some((space, rest)) = rest.split_first() else {
            return Ok(None);
        };
        if *space != b' ' || method.is_empty() {
            return Err(Fault::RequestLine);
        }
        if [&b"CONNECT"[..], b"TRACE"]
            .iter()
            .any(|no| method.eq_ignore_ascii_case(no))
        {
            return Err(Fault::Method);
        }
        let (target, rest) = split(rest, target_length(rest));
        let Some((space, rest)) = rest.split_first() else {
            return Ok(None);
        };
        let target_begins = begin + method.len() + 1;
        match *space {
            b' ' => self.target(target, target_begins)?,
            // HTTP/0.9 ends here.
            b'\r' | b'\n' => return Err(Fault::RequestLine),
            _ => return Err(Fault::Target),
        }
        let Some((version, rest)) = rest.split_first_chunk::<8>() else {
            return if rest.contains(&b'\n') {
                Err(Fault::RequestLine)
            } else {
                Ok(None)
            };
        };
        let version = match version {
            b"HTTP/1.1" => Version::Http11,
            b"HTTP/1.0" => Version::Http10,
            [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
                if major.is_ascii_digit() && minor.is_ascii_digit() =>
            {
                return Err(Fault::Version);
            }
            _ => return Err(Fault::RequestLine),
        };
        if !is_end(rest, Fault::RequestLine)? {
            return Ok(None);
        }
        self.judged = target_begins + target.len() + 1 + 8 + 2;
        self.version = Some(version);
        Ok(self.version)
    }

    fn target(&mut self, target: &[u8], begins: usize) -> Result<(), Fault> {
        // What hyper cannot hold as a URL it would answer itself.
        if target.len() >= usize::from(u16::MAX) {
            return Err(Fault::LineTooLong);
        }
        if !target.is_ascii() && std::str::from_utf8(target).is_err() {
            return Err(Fault::Target);
        }
        if target.first() == Some(&b'/') {
            return Ok(());
        }
        let authority = absolute(target).ok_or(Fault::Target)?;
        let scheme = leading(target, |byte| byte != b':') + 3;
        let from = begins + scheme;
        self.authority = Some(from..from + authority.len());
        Ok(())
    }

    fn field(&mut self, field: &Field<'_>, version: Version) -> Result<(), Fault> {
        let Field { name, value, .. } = field;
        // Few names have these lengths.
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => {
                if self.host.is_some() {
                    return Err(Fault::HostRepeated);
                }
                if !is_authority(value) {
                    return Err(Fault::HostMalformed);
                }
                let begins = self.judged + field.value_begins;
                self.host = Some(begins..begins + value.len());
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                if self.length.is_some() {
                    return Err(Fault::LengthRepeated);
                }
                self.length = Some(length(value).ok_or(Fault::Length)?);
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                let is_chunked = value.eq_ignore_ascii_case(b"chunked");
                if self.is_chunked || !is_chunked || version == Version::Http10 {
                    return Err(Fault::Encoding);
                }
                self.is_chunked = true;
            }
            // hyper ignores it in HTTP/1.0 too.
            7 if name.eq_ignore_ascii_case(b"upgrade") => {
                self.asks_for_upgrade = version == Version::Http11;
            }
            _ => return Ok(()),
        }
        if self.is_chunked && self.length.is_some() {
            return Err(Fault::LengthAndEncoding);
        }
        Ok(())
    }

    fn whole(&self, bytes: &[u8], version: Version) -> Result<Whole, Fault> {
        // Load balancers check with HTTP/1.0 and without a host.
        if self.host.is_none() && (version == Version::Http11 || self.authority.is_some()) {
            return Err(Fault::HostMissing);
        }
        if let (Some(authority), Some(host)) = (&self.authority, &self.host) {
            let at = |range: &Range<usize>| bytes.get(range.clone()).unwrap_or_default();
            if !at(authority).eq_ignore_ascii_case(at(host)) {
                return Err(Fault::HostContradicted);
            }
        }
        let body = if self.is_chunked {
            Body::Chunked
        } else {
            Body::Sized(self.length.unwrap_or(0))
        };
        Ok(Whole {
            length: self.judged + 2,
            body,
            asks_for_upgrade: self.asks_for_upgrade,
        })
    }
}

/// A decimal number and nothing else: no sign, no list, no white space.
fn length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let length: u64 = std::str::from_utf8(value).ok()?.parse().ok()?;
    (length <= LONGEST_BODY).then_some(length)
}
