//! Which trace a request belongs to, and whether it is recorded: W3C Trace Context and the samplers
//! of OpenTelemetry.

use aws_lc_rs::rand;
use http::{HeaderMap, HeaderValue};
use std::fmt;

/// The header of W3C Trace Context: to which trace a request belongs.
pub(crate) const TRACEPARENT: &str = "traceparent";
/// The flag that says that whoever called records the trace.
const SAMPLED: u8 = 1;

/// The id of a trace.
pub(super) type TraceId = Id<16>;
/// The id of a span.
pub(super) type SpanId = Id<8>;

/// Never all zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Id<const N: usize>(pub(super) [u8; N]);

impl<const N: usize> Id<N> {
    /// A new one. Without randomness traces would mix; the id is at least valid then.
    pub(super) fn random() -> Self {
        let mut bytes = [0; N];
        match rand::fill(&mut bytes) {
            Ok(()) if bytes != [0; N] => Self(bytes),
            Ok(()) | Err(_) => Self([1; N]),
        }
    }

    fn parse(text: &[u8]) -> Option<Self> {
        hex(text).filter(|bytes| *bytes != [0; N]).map(Self)
    }
}

impl<const N: usize> fmt::Display for Id<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What a caller says about its trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parent {
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
    pub(super) sampled: bool,
}

impl Parent {
    /// Reads `traceparent`. A malformed or repeated one is ignored, as the standard demands.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let value = values.next()?.as_bytes();
        values.next().is_none().then(|| Self::parse(value))?
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let mut parts = text.splitn(5, |byte| *byte == b'-');
        let [version] = hex(parts.next()?)?;
        let (trace, span) = (Id::parse(parts.next()?)?, Id::parse(parts.next()?)?);
        let [flags] = hex(parts.next()?)?;
        // A later version may have more after another dash; the first one has not.
        let fits = version != 0xff && (version != 0 || parts.next().is_none());
        fits.then_some(Self {
            trace,
            span,
            sampled: flags & SAMPLED != 0,
        })
    }
}

/// The header for a call within a recorded span.
pub(super) fn traceparent(trace: TraceId, span: SpanId) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("00-{trace}-{span}-{SAMPLED:02x}")).ok()
}

fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = pair.iter().try_fold(0_u8, |high, character| {
            Some((high << 4) | digit(*character)?)
        })?;
    }
    Some(bytes)
}

/// Lower case only, as the standard has it.
fn digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        _ => None,
    }
}

/// Which traces are recorded (`OTEL_TRACES_SAMPLER`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sampler {
    /// Whether the caller decides, where there is one.
    pub by_parent: bool,
    /// Decides otherwise.
    pub root: RootSampler,
}

/// Which traces are recorded where no caller decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RootSampler {
    /// All.
    Always,
    /// None.
    Never,
    /// A share of them.
    Share(Share),
}

/// A share of all traces. The id decides, as in other programs, so all of them record the same
/// traces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Of the 63 bits that count, all numbers below this one.
    below: u64,
}

impl Share {
    /// From 0 to 1, both included.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "from 0 to 2^63, which a float holds exactly"
    )]
    pub fn new(share: f64) -> Option<Self> {
        (0.0..=1.0).contains(&share).then_some(Self {
            below: (share * (1_u64 << 63) as f64) as u64,
        })
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the lower half is what counts"
    )]
    fn has(self, trace: TraceId) -> bool {
        // The random part of an id is its end, and the top bit is left out so that languages
        // without unsigned numbers agree.
        u128::from_be_bytes(trace.0) as u64 >> 1 < self.below
    }
}

impl Default for Sampler {
    /// The default of OpenTelemetry.
    fn default() -> Self {
        Self {
            by_parent: true,
            root: RootSampler::Always,
        }
    }
}

impl Sampler {
    /// The trace to record into: the caller's, or a new one; `None` where nothing is recorded.
    pub(super) fn sample(self, parent: Option<&Parent>) -> Option<TraceId> {
        if let Some(parent) = parent.filter(|_| self.by_parent) {
            return parent.sampled.then_some(parent.trace);
        }
        let trace = || parent.map_or_else(TraceId::random, |parent| parent.trace);
        match self.root {
            RootSampler::Always => Some(trace()),
            RootSampler::Never => None,
            RootSampler::Share(share) => Some(trace()).filter(|trace| share.has(*trace)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    fn parent(values: &[&str]) -> Option<Parent> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(TRACEPARENT, HeaderValue::from_str(value).unwrap());
        }
        Parent::of(&headers)
    }

    #[test]
    fn a_callers_trace_is_read_exactly() {
        let good = format!("00-{TRACE}-b7ad6b7169203331-01");
        let read = parent(&[&good]).unwrap();
        assert_eq!(
            (read.trace.to_string(), read.span.to_string(), read.sampled),
            (TRACE.to_owned(), "b7ad6b7169203331".to_owned(), true)
        );
        assert_eq!(traceparent(read.trace, read.span).unwrap(), good);
        assert!(
            !parent(&[&format!("00-{TRACE}-b7ad6b7169203331-02")])
                .unwrap()
                .sampled
        );
        assert!(parent(&[&format!("cc-{TRACE}-b7ad6b7169203331-01-what-comes-later")]).is_some());
    }

    #[test]
    fn a_malformed_trace_is_ignored() {
        for bad in [
            String::new(),
            "00".to_owned(),
            format!("ff-{TRACE}-b7ad6b7169203331-01"),
            format!("00-{TRACE}-b7ad6b7169203331-01-"),
            format!("cc-{TRACE}-b7ad6b7169203331-01x"),
            format!("00-{}-b7ad6b7169203331-01", TRACE.to_uppercase()),
            format!("00-{}-b7ad6b7169203331-01", "0".repeat(32)),
            format!("00-{TRACE}-{}-01", "0".repeat(16)),
            format!("00-{TRACE}-b7ad6b7169203331-0g"),
            format!("00-{TRACE}_b7ad6b7169203331-01"),
            format!("00_{TRACE}-b7ad6b7169203331-01"),
        ] {
            assert_eq!(parent(&[&bad]), None, "{bad}");
        }
        let good = format!("00-{TRACE}-b7ad6b7169203331-01");
        assert_eq!(
            parent(&[&good, &good]),
            None,
            "which of two counts would be a guess"
        );
    }

    #[test]
    fn the_caller_decides_where_the_sampler_says_so() {
        let [yes, no] = ["01", "00"]
            .map(|flags| parent(&[&format!("00-{TRACE}-b7ad6b7169203331-{flags}")]).unwrap());
        let sampler = |by_parent, root| Sampler { by_parent, root };
        for (sampler, expected) in [
            (Sampler::default(), [true, true, false]),
            (sampler(true, RootSampler::Never), [false, true, false]),
            (sampler(false, RootSampler::Always), [true, true, true]),
            (sampler(false, RootSampler::Never), [false, false, false]),
            (
                sampler(true, RootSampler::Share(Share::new(0.0).unwrap())),
                [false, true, false],
            ),
        ] {
            let found =
                [None, Some(&yes), Some(&no)].map(|parent| sampler.sample(parent).is_some());
            assert_eq!(found, expected, "{sampler:?}");
        }
        assert_eq!(Sampler::default().sample(Some(&yes)), Some(yes.trace));
    }

    #[test]
    fn a_share_is_chosen_by_the_traces_id() {
        let id = |byte| Id([[0xff; 8], [byte; 8]].concat().try_into().unwrap());
        let half = Share::new(0.5).unwrap();
        assert!(half.has(id(0x7f)) && !half.has(id(0x80)));
        assert!(Share::new(1.0).unwrap().has(id(0xff)) && !Share::new(0.0).unwrap().has(id(0)));
        for none in [-0.1, 1.1, f64::NAN] {
            assert_eq!(Share::new(none), None);
        }
        let kept = (0..2_000).filter(|_| half.has(TraceId::random())).count();
        assert!((700..1_300).contains(&kept), "{kept}");
    }
}
