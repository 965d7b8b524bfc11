//! A request with several tokens: which of them counts.
//!
//! Browsers send cookies of the same name that belong to other applications or to the past. So the
//! first token that is accepted counts, and what is refused beside it is passed over. Nobody is
//! guessed: two tokens that are accepted and name different users are refused.

use super::{
    presented::{TokenPlace, Tokens},
    refused::RefusedToken,
    tokens::Oidc,
};
use crate::{
    identity::{rejected::Rejected, types::Identity},
    model::Shown,
    net::trust::AllowedProviders,
    telemetry::chain,
};

impl Oidc {
    pub(super) async fn judge_several(
        &self,
        tokens: Tokens<'_>,
        allowed: &AllowedProviders,
    ) -> Result<Identity, Rejected> {
        if tokens.others.is_empty() {
            return self.judge(tokens.first.into(), allowed).await;
        }
        let mut accepted: Option<(Identity, TokenPlace)> = None;
        let mut refused: Option<Rejected> = None;
        for presented in tokens.all() {
            let is_below = (accepted.as_ref()).is_some_and(|(_, slot)| *slot < presented.slot);
            // A provider is not asked about what would not count: the cookie of another application
            // would cost a call each time.
            if is_below && self.provider_asked(presented.token, allowed) == Some(true) {
                continue;
            }
            match (self.judge(presented.into(), allowed).await, &accepted) {
                (Ok(identity), None) => accepted = Some((identity, presented.slot)),
                (Ok(identity), Some((first, _))) if !is_same_user(first, &identity) => {
                    let user = |one: &Identity| Shown::text(one.user().as_str());
                    return Err(RefusedToken::DifferentUsers(user(first), user(&identity)).into());
                }
                (Ok(_), Some(_)) => {}
                // It might be the one that counts, or name another user.
                (Err(why @ Rejected::Idp { .. }), _) if !is_below => return Err(why),
                (Err(why), _) => {
                    tracing::debug!(
                        place = ?presented.slot,
                        reason = chain(&why),
                        "passed over a token beside others"
                    );
                    refused.get_or_insert(why);
                }
            }
        }
        match (accepted, refused) {
            (Some((identity, _)), _) => Ok(identity),
            (None, why) => Err(why.unwrap_or(RefusedToken::Ambiguous.into())),
        }
    }
}

fn is_same_user(one: &Identity, other: &Identity) -> bool {
    let is_same_subject = match (one.subject(), other.subject()) {
        (Some(one), Some(other)) => one == other,
        (None, _) | (_, None) => true,
    };
    one.user() == other.user()
        && one.provider().name() == other.provider().name()
        && is_same_subject
}
