//! Back-channel logout (OpenID Connect Back-Channel Logout 1.0): the provider says that a session,
//! or all sessions of a subject, have ended.
//!
//! A signed token stays signed, so forgetting what is remembered would not be enough: the revoked
//! sessions are stored, and their tokens are refused. Where the provider itself is asked about a
//! token, forgetting the answer is enough.

use super::{
    policy::{id, present, time},
    refused::RefusedToken,
};
use crate::{clock::Timestamp, identity::types::Statement, idp::Verified, model::Shown};
use quick_cache::sync::Cache;
use serde_json::Value;
use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// Revoked sessions that are stored for each provider. Beyond it the oldest are forgotten, and
/// their tokens are accepted until they expire.
const MAX_REVOKED: usize = 20_000;
/// How long. Access tokens live minutes to hours; one that lives longer than a day cannot be
/// revoked.
const KEPT: Duration = Duration::from_hours(24);
/// Logout tokens of one provider that are alive at one time. They live two minutes, and only the
/// provider can make them.
const MAX_ALIVE: usize = 50_000;
/// The longest life of a logout token. The standard recommends two minutes.
const LONGEST_LIFE: Duration = Duration::from_hours(1);

/// The revoked sessions of one provider.
#[derive(Debug)]
pub(super) struct Revoked {
    /// Notices so far.
    notices: AtomicU64,
    sessions: Cache<Box<str>, End>,
    subjects: Cache<Box<str>, End>,
    /// Subjects of which a session has ended: a token that names no session may be of that one.
    without_session: Cache<Box<str>, End>,
    seen: Mutex<HashMap<Box<str>, Timestamp>>,
    leeway: Duration,
}

#[derive(Debug, Clone, Copy)]
struct End {
    /// Which notice it was. An answer of the provider that was asked for before it is older than
    /// it, whatever clocks say.
    number: u64,
    /// By our clock.
    received: Timestamp,
    /// By the provider's: tokens issued later belong to a new session.
    issued: Timestamp,
}

/// An accepted logout token.
#[derive(Debug)]
pub(super) struct LogoutNotice {
    subject: Option<Box<str>>,
    session: Option<Box<str>>,
    issued_at: Timestamp,
    until: Timestamp,
    id: Box<str>,
}

impl LogoutNotice {
    /// Judges the claims of a token whose signature is right.
    pub(super) fn read(
        verified: &Verified,
        issuer: &str,
        client_id: &str,
        leeway: Duration,
        now: Timestamp,
    ) -> Result<Self, RefusedToken> {
        let claims = verified.claims();
        if !matches!(verified.kind(), None | Some("logout+jwt" | "jwt")) {
            return Err(RefusedToken::HeaderType);
        }
        if present(claims, "typ").is_some_and(|kind| {
            kind.as_str()
                .is_none_or(|kind| !kind.eq_ignore_ascii_case("logout"))
        }) {
            return Err(RefusedToken::ClaimType);
        }
        if !present(claims, "events")
            .and_then(|events| events.get(EVENT))
            .is_some_and(Value::is_object)
        {
            return Err(RefusedToken::Events);
        }
        // With a nonce it could be an ID token in disguise.
        if claims.contains_key("nonce") {
            return Err(RefusedToken::Nonce);
        }
        if claims.get("iss").and_then(Value::as_str) != Some(issuer) {
            let found = [("iss", claims.get("iss"))];
            return Err(RefusedToken::Issuer(Shown::mismatch(&found, [issuer])));
        }
        let for_us = match claims.get("aud") {
            Some(Value::String(one)) => one == client_id,
            Some(Value::Array(all)) => all.iter().any(|one| one == client_id),
            _ => false,
        };
        if !for_us {
            let found = [("aud", claims.get("aud"))];
            return Err(RefusedToken::Audience(Shown::mismatch(&found, [client_id])));
        }
        let issued_at = time(claims, "iat", RefusedToken::Times)?.ok_or(RefusedToken::Times)?;
        let until = time(claims, "exp", RefusedToken::ExpiryMissing)?
            .ok_or(RefusedToken::ExpiryMissing)?
            .after(leeway);
        if now >= until {
            return Err(RefusedToken::Expired);
        }
        if issued_at > now.after(leeway) {
            return Err(RefusedToken::IssuedAhead);
        }
        if until > now.after(LONGEST_LIFE) {
            return Err(RefusedToken::Times);
        }
        let (subject, session) = (id(claims, "sub")?, id(claims, "sid")?);
        if subject.is_none() && session.is_none() {
            return Err(RefusedToken::NoSession);
        }
        let id = id(claims, "jti")?.ok_or(RefusedToken::Id("jti"))?;
        Ok(Self {
            subject,
            session,
            issued_at,
            until,
            id,
        })
    }
}

impl Revoked {
    pub(super) fn new(leeway: Duration) -> Self {
        Self {
            notices: AtomicU64::new(0),
            sessions: Cache::new(MAX_REVOKED),
            subjects: Cache::new(MAX_REVOKED),
            without_session: Cache::new(MAX_REVOKED),
            seen: Mutex::default(),
            leeway,
        }
    }

    /// Notices so far. Taken before the provider is asked, for [`Self::outdates`].
    pub(super) fn notices(&self) -> u64 {
        self.notices.load(Ordering::Acquire)
    }

    /// Takes a notice, once.
    pub(super) fn revoke(&self, notice: LogoutNotice, now: Timestamp) -> Result<(), RefusedToken> {
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            // No notice is valid for longer: an entry beyond that is of a clock that was set back.
            let longest = now.after(LONGEST_LIFE);
            let valid = |until: Timestamp| now < until && until <= longest;
            if seen.get(&notice.id).is_some_and(|until| valid(*until)) {
                return Err(RefusedToken::Replayed);
            }
            if seen.len() >= MAX_ALIVE {
                seen.retain(|_, until| valid(*until));
            }
            if seen.len() >= MAX_ALIVE {
                return Err(RefusedToken::TooManyNotices);
            }
            seen.insert(notice.id, notice.until);
        }
        let end = End {
            number: self.notices() + 1,
            received: now,
            issued: notice.issued_at,
        };
        // The standard: with a `sid` it is this session, without it all of the subject's.
        match (notice.session, notice.subject) {
            (Some(session), subject) => {
                self.sessions.insert(session, end);
                if let Some(subject) = subject {
                    self.end(&self.without_session, subject, end);
                }
            }
            (None, Some(subject)) => self.end(&self.subjects, subject, end),
            (None, None) => {}
        }
        self.notices.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    /// An older notice that comes late does not bring back what a newer one has ended.
    fn end(&self, all: &Cache<Box<str>, End>, subject: Box<str>, end: End) {
        let earlier = all.get(&subject).map(|earlier| earlier.issued);
        let earlier = earlier.filter(|issued| self.is_believed(*issued, end.received));
        let issued = earlier.map_or(end.issued, |earlier| earlier.max(end.issued));
        all.insert(subject, End { issued, ..end });
    }

    /// Whether the session of a signed token was revoked.
    ///
    /// A session that has ended never begins again, so its notice counts whatever the clock says.
    /// What a subject's notice has ended depends on times: one that is dated ahead of now (a clock
    /// was set back) would refuse all that is issued until then, and does not count.
    pub(super) fn is_revoked(&self, token: &Statement, now: Timestamp) -> bool {
        let kept = |end: &End| now.since(end.received).is_none_or(|past| past < KEPT);
        let (session, subject) = self.ends(token);
        session.is_some_and(|end| kept(&end))
            || subject.into_iter().flatten().any(|end| {
                kept(&end)
                    && self.is_believed(end.issued, now)
                    && token.issued_at.is_none_or(|issued| issued <= end.issued)
            })
    }

    /// Whether a notice that an answer of the provider falls under has come since this many
    /// notices.
    pub(super) fn outdates(&self, answer: &Statement, notices: u64) -> bool {
        let (session, subject) = self.ends(answer);
        let mut ends = session.into_iter().chain(subject.into_iter().flatten());
        ends.any(|end| end.number > notices)
    }

    /// The rule for a notice that comes holds as long as it is stored.
    fn is_believed(&self, issued: Timestamp, now: Timestamp) -> bool {
        issued <= now.after(self.leeway)
    }

    /// When the session was revoked, and when those of the subject were.
    fn ends(&self, of: &Statement) -> (Option<End>, [Option<End>; 2]) {
        if self.notices() == 0 {
            return (None, [None, None]);
        }
        let end = |all: &Cache<Box<str>, End>, id: &Option<Box<str>>| all.get(id.as_deref()?);
        let without_session = match of.session {
            Some(_) => None,
            None => end(&self.without_session, &of.subject),
        };
        (
            end(&self.sessions, &of.session),
            [end(&self.subjects, &of.subject), without_session],
        )
    }
}
