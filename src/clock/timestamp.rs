//! A time, to the millisecond.

use http::HeaderValue;
use std::{fmt, time::Duration};

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// How long ago `earlier` was; `None` if it is in the future, as after a clock was set back.
    #[must_use]
    pub fn since(self, earlier: Self) -> Option<Duration> {
        self.0.checked_sub(earlier.0).map(Duration::from_millis)
    }

    /// The time `wait` later.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
        )
    }

    /// The time in a `Date` header, to the second; `None` if it is not a date, or before 1970.
    #[must_use]
    pub fn of_http_date(date: &HeaderValue) -> Option<Self> {
        let time = jiff::fmt::rfc2822::parse(date.to_str().ok()?)
            .ok()?
            .timestamp();
        u64::try_from(time.as_millisecond()).ok().map(Self)
    }
}

/// RFC 3339 in UTC with milliseconds, as error bodies and health answers carry it.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = i64::try_from(self.0)
            .ok()
            .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
            .unwrap_or(jiff::Timestamp::MAX);
        write!(f, "{time:.3}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_written_as_rfc_3339() {
        assert_eq!(
            Timestamp(1_700_000_000_123).to_string(),
            "2023-11-14T22:13:20.123Z"
        );
        assert_eq!(Timestamp(0).to_string(), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn a_time_in_the_future_has_no_age() {
        assert_eq!(
            Timestamp(5).since(Timestamp(3)),
            Some(Duration::from_millis(2))
        );
        assert_eq!(Timestamp(3).since(Timestamp(5)), None);
    }

    #[test]
    fn a_date_is_read_as_http_writes_it() {
        let of = |text: &'static str| Timestamp::of_http_date(&HeaderValue::from_static(text));
        assert_eq!(
            of("Sun, 06 Nov 1994 08:49:37 GMT"),
            Some(Timestamp(784_111_777_000))
        );
        for other in ["", "yesterday", "1994-11-06"] {
            assert_eq!(of(other), None);
        }
    }
}
