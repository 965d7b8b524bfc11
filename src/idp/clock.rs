//! What time it is at an identity provider: tokens are judged by its clock and ours, and a wrong
//! one refuses them all.

use super::{FETCH, Idp, IdpError, MAX_DISCOVERY_BYTES, What};
use crate::clock::Timestamp;
use http::{HeaderMap, header};

impl Idp {
    /// What its server says the time is, to the second, and what our clock says at that moment.
    /// `None` where it says nothing.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn time(&self) -> Result<Option<(Timestamp, Timestamp)>, IdpError> {
        let uri = match self.issuer().discovery() {
            Ok(uri) => uri,
            Err(_) => self.endpoint(What::Keys, FETCH).await?,
        };
        let answer = self
            .get(
                What::Discovery,
                &uri,
                HeaderMap::new(),
                FETCH,
                MAX_DISCOVERY_BYTES,
            )
            .await?;
        let date = answer
            .headers
            .get(header::DATE)
            .and_then(Timestamp::of_http_date);
        Ok(date.map(|theirs| (theirs, self.0.clock.now())))
    }
}
