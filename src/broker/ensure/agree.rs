//! One attempt to make the cluster agree, in twelve numbered steps.
//!
//! The order of the steps is the proof of what elastauth promises about writes:
//!
//! - Nobody is written who may not be: every write (step 11) comes after a read (6) and a verdict
//!   (7). So a disabled user stays disabled and a foreign user is left alone.
//! - No queue is between the read and the write, or a change that an administrator makes in that
//!   time would be overwritten. Places are queued for before the read (3, 5), and the password is
//!   hashed during it (6). What is left are short waits with a deadline: other nodes (8), the store
//!   (11).
//! - The usual case costs one call without any privilege (4). Reading and writing come after it.
//! - No write begins shortly before a password boundary (9): it could end after another replica's
//!   write for the next period.
//! - From before the write leaves until it is known to have ended, this replica does not answer the
//!   user from memory, nor do others, as far as the store can report it in time (11, in
//!   `broker::write`).

use super::{
    confirm,
    fresh_logins::FreshLogins,
    limits::Limits,
    look::Look,
    patience::Patience,
    plan::plan,
    report::Report,
    types::{AttemptResult, LoginResult, Plan},
};
use crate::{
    broker::{
        config::{Config, WriteLimits},
        document::Document,
        error::BrokerError,
        places::{Class, Places, WritePlaces},
        product::Product,
        rotation::Period,
        state::State,
        write::{WriteResult, write},
    },
    cluster::{Account, SecurityApi},
    telemetry::ClusterTelemetry,
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Updates that ask the cluster at once, and how many of them for new users. Enough to hide its
/// latency, too few to crowd out its other work.
const LOGINS_AT_ONCE: usize = 64;
const QUESTIONS_OF_NEW_USERS: usize = 48;

#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) state: Arc<State>,
    pub(super) cluster: SecurityApi,
    pub(super) look: Look,
    limits: Limits,
    login_permits: Places,
    pub(super) writes: Arc<WritePlaces>,
    pub(super) report: Report,
    fresh_logins: FreshLogins,
    /// Whether the cluster has accepted the service account since the start.
    knows_account: AtomicBool,
}

impl Attempt {
    pub(super) fn new(
        state: Arc<State>,
        cluster: SecurityApi,
        writes: Arc<WritePlaces>,
        config: &Config,
        telemetry: &ClusterTelemetry,
    ) -> Self {
        Self {
            look: Look::new(cluster.clone(), Arc::clone(&state), config.adopt),
            limits: Limits::new(config.writes_per_minute, config.new_per_minute),
            login_permits: Places::new(LOGINS_AT_ONCE, QUESTIONS_OF_NEW_USERS),
            writes,
            report: Report::new(telemetry),
            fresh_logins: FreshLogins::new(),
            knows_account: AtomicBool::new(false),
            state,
            cluster,
        }
    }

    /// Writes within these limits from now on.
    pub(super) fn replace_limits(&self, limits: WriteLimits) {
        let WriteLimits {
            writes_per_minute,
            new_per_minute,
            writes_at_once,
        } = limits;
        self.limits.replace(writes_per_minute, new_per_minute);
        self.writes.replace(writes_at_once);
    }

    /// What an attempt would find and do now.
    pub(super) async fn plan(&self, document: &Document) -> Result<Plan, BrokerError> {
        let password = self.state.password(&document.login(), document.target.key);
        plan(&self.look, document, &password).await
    }

    /// Makes the cluster agree; says what that took.
    pub(super) async fn attempt(
        &self,
        document: &Document,
        class: Class,
        period: Period,
        patience: &mut Patience,
    ) -> Result<AttemptResult, BrokerError> {
        let agreed = self.steps(document, class, period, patience).await;
        self.report.ended(document, &agreed);
        agreed
    }

    /// Whether a moment later the same may succeed. A cluster without its security index refuses
    /// every account, but one that it has never accepted is more likely a wrong one.
    pub(super) fn may_pass(&self, error: &BrokerError) -> bool {
        match error {
            BrokerError::Cluster(error) => error.may_pass(),
            BrokerError::ServiceAccount(_) => self.knows_account.load(Ordering::Relaxed),
            BrokerError::LoginRefused => true,
            BrokerError::ReservedName(_)
            | BrokerError::Disabled
            | BrokerError::Foreign
            | BrokerError::SomebodyElses { .. }
            | BrokerError::Outdated { .. }
            | BrokerError::WriteBudget
            | BrokerError::NewUsers
            | BrokerError::Late
            | BrokerError::Busy
            | BrokerError::Crashed => false,
        }
    }

    async fn steps(
        &self,
        document: &Document,
        class: Class,
        period: Period,
        patience: &mut Patience,
    ) -> Result<AttemptResult, BrokerError> {
        let identity = &document.identity;

        // 1. Open an update in the ledger. From here on it notices what other replicas say about
        //    this user. If an uncertain write may still change the user, what is learned now is
        //    for this process alone.
        let mut update = confirm::begin(&self.state, document).await;

        // 2. Another replica, or this one before its restart, has asked recently: nothing to ask.
        //    Or it has written the user with a later login, because this one was revoked.
        if let Some(generation) = update.higher_generation() {
            self.state
                .ledger
                .learn_generation(&document.target.user, generation);
            return Ok(AttemptResult::OtherGeneration(generation));
        }
        if confirm::use_stored(&self.state, &update) {
            return Ok(AttemptResult::Confirmed);
        }

        // 3. Queue for a place to ask. It is free again before step 5: writes that hang must not
        //    hold up those who have only to be confirmed.
        let password = self.state.password(&document.login(), document.target.key);
        let login = if class == Class::New && period.product == Product::OpenSearch {
            // It has to be read first there, and most who are new here are new there: step 6 reads
            // them, and step 8 asks as those who are as they should be.
            LoginResult::Refused
        } else {
            let question = self.login_permits.queue(class).await?;

            // 4. Ask as the user: does the login work, and is the user as it should be? In the
            //    usual case yes, and the update is done.
            let login = self.look.log_in(document, &password).await?;
            drop(question);
            login
        };
        if !matches!(login, LoginResult::Refused) {
            self.fresh_logins.accepted();
        }
        if let LoginResult::Agrees(found) = &login {
            self.note_details(document, &found.account, period);
            confirm::confirm(&self.state, document, update).await;
            return Ok(AttemptResult::Confirmed);
        }
        let login_works = matches!(login, LoginResult::Differs);

        // 5. Queue for a place to write, before the user is read: see the top of this file.
        let _place = self.writes.queue(class, period.product).await?;

        // 6. Read the user with the service account. Hash the password meanwhile, unless a limit
        //    is going to refuse the write.
        let keys = self.state.credential_keys(document.target.key);
        let new_password = password.to_write(keys, &document.login());
        let prepared = async {
            if patience.has_taken || self.limits.allow(identity, class, self.state.clock.now()) {
                self.cluster.prepare(new_password).await
            } else {
                new_password
            }
        };
        let (read, new_password) = tokio::join!(self.look.read(document, login_works), prepared);
        let (found, verdict) = read?;
        self.knows_account.store(true, Ordering::Relaxed);

        // 7. May this user be written, and why? If not, this is the end. A login that was revoked
        //    is not written again: that is asked with the later one. A lower generation than ours
        //    is written over, for it comes from a late write or an old copy of the index. Whatever
        //    becomes of the update, the generation that was found is remembered: the user may be
        //    deleted next.
        let generation = found
            .as_ref()
            .map(|found| self.state.generation_in(&found.account))
            .inspect(|found| {
                self.state
                    .ledger
                    .learn_generation(&document.target.user, *found);
            });
        let reason = verdict?;
        if let Some(found) = &found {
            let (keys, now) = (&self.state.keys, self.state.clock.now());
            self.report
                .other_writer(document, &found.account, |id| keys.knows(id), now);
        }
        if let Some(generation) = generation
            && generation > document.target.generation
        {
            return Ok(AttemptResult::OtherGeneration(generation));
        }
        // Older tokens may give no role any more that this one does not, even if the write fails.
        let roles: Vec<&str> = document.account.roles.iter().map(String::as_str).collect();
        let now = self.state.clock.now();
        self.state.order.judged(identity, &roles, now);

        // 8. The user that was read is as it should be, but a node has refused the login: a node
        //    without its security index refuses everybody. Ask the other nodes, and write nothing
        //    if one of them accepts the login.
        if !login_works
            && self
                .look
                .agrees_elsewhere(document, &password, found.as_ref())
                .await?
        {
            self.fresh_logins.accepted();
            confirm::confirm(&self.state, document, update).await;
            return Ok(AttemptResult::Confirmed);
        }
        // A second write would change nothing where the cluster refuses what was just written.
        if !login_works
            && self.fresh_logins.are_refused()
            && found.as_ref().is_some_and(|found| document.agrees(found))
        {
            return Err(BrokerError::LoginRefused);
        }

        // 9. Is there time for a write before the password changes? And is the cluster of the kind
        //    for which the login was made?
        if !self.state.may_write(period) {
            return Ok(AttemptResult::TooLate);
        }

        // 10. Take the write from the limits.
        if !patience.has_taken {
            self.limits
                .take(identity, reason, self.state.clock.now())
                .inspect_err(|error| self.report.over_write_budget(error))?;
            patience.has_taken = true;
        }

        // 11. Write. The ledger knows of it before the request leaves.
        let written = write(
            &self.state,
            &self.cluster,
            &document.account,
            found.as_ref(),
            &mut update,
            &new_password,
            self.state.latest_write(period),
        )
        .await
        .map_err(BrokerError::of_admin_call)
        .inspect_err(|error| {
            // Overtaken, nothing has failed: the next attempt finds what somebody else has written.
            if !matches!(error, BrokerError::Cluster(why) if why.is_overtaken()) {
                self.report.write_failed(document, error);
            }
        })?;
        if let WriteResult::LaterLogin(generation) = written {
            return Ok(AttemptResult::OtherGeneration(generation));
        }

        // 12. Log in once after the first write of this process: see `fresh_logins`.
        if self.fresh_logins.need_proof() {
            let login = self.look.log_in_anywhere(document, &password).await?;
            // Refused, or another replica has written the user meanwhile: then the update begins
            // again.
            if !matches!(login, LoginResult::Agrees(_)) {
                let _reported = self.state.ledger.forget(identity.user());
            }
            if let LoginResult::Refused = login {
                self.fresh_logins.refused();
                return Err(BrokerError::LoginRefused);
            }
            self.fresh_logins.accepted();
        }
        let differs = found.map(|found| document.differences(&found.account));
        Ok(AttemptResult::Written(reason, differs.unwrap_or_default()))
    }

    /// Names, mail and groups that differ are written when the requests are answered, and so is
    /// that the user was seen, where nothing else writes it.
    fn note_details(&self, document: &Document, found: &Account, period: Period) {
        let (state, now) = (&self.state, self.state.clock.now());
        let noted = found.origin.marker().and_then(|marker| marker.seen);
        let differ = !document.describes(found) && !document.is_older_than(found);
        if differ || state.last_seen.of(period.product).is_due(noted, now) {
            state.details.differ(&document.target.user, now);
        }
    }
}
