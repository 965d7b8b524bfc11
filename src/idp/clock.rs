//! What time it is at an identity provider: tokens are judged by its clock and ours, and a wrong one refuses them all.

use super::{FETCH, Idp, IdpError, MAX_DISCOVERY_BYTES, What};
use crate::clock::Timestamp;
use http::{HeaderMap, header};

impl Idp {
    /// What its server says the time is, to the second, and what our clock says at that moment. `None` where it says nothing.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn time(&self) -> Result<Option<(Timestamp, Timestamp)>, IdpError> {
        let uri = match self.issuer().discovery() {
            Ok(uri) => uri,
            Err(_) => self.endpoint(What::Keys, FETCH).await?,
        };
        let answer = self.get(What::Discovery, &uri, HeaderMap::new(), FETCH, MAX_DISCOVERY_BYTES).await?;
        Ok(date(&answer.headers).map(|theirs| (theirs, self.0.clock.now())))
    }
}

fn date(headers: &HeaderMap) -> Option<Timestamp> {
    let text = headers.get(header::DATE)?.to_str().ok()?;
    let moment = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    u64::try_from(moment.as_millisecond()).ok().map(Timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn a_date_is_read_as_http_writes_it() {
        let of = |text: &'static str| date(&HeaderMap::from_iter([(header::DATE, HeaderValue::from_static(text))]));
        assert_eq!(of("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Timestamp(784_111_777_000)));
        for other in ["", "yesterday", "1994-11-06"] {
            assert_eq!(of(other), None);
        }
    }
}
