//! The order of the steps: the cluster, then identity, roles and a credential. It is written down
//! here and nowhere else.

mod decision;

pub(crate) use decision::Decision;
pub use decision::{AuthError, Grant, RefusedRequest};

use crate::{
    broker::{BrokerError, Plan},
    identity::{Identity, Providers},
    request::Request,
    roles::{Entitled, Given, Mapping, Remark},
    upstream::{Upstream, Upstreams},
};
use std::sync::Arc;

/// The steps, ready to be taken.
#[derive(Debug)]
pub struct Flow {
    pub(crate) providers: Providers,
    upstreams: Upstreams,
}

impl Flow {
    /// Puts the steps together.
    #[must_use]
    pub fn new(providers: Providers, upstreams: Upstreams) -> Self {
        Self {
            providers,
            upstreams,
        }
    }

    /// The clusters.
    #[must_use]
    pub fn upstreams(&self) -> &Upstreams {
        &self.upstreams
    }

    /// The step before the others: which cluster the request is for.
    ///
    /// # Errors
    /// [`AuthError::NoCluster`] if it is for none.
    pub fn choose(&self, request: &Request) -> Result<&Upstream, AuthError> {
        self.upstreams.choose(request).map_err(AuthError::NoCluster)
    }

    /// Decides about one request. A known user is answered without waiting for anything.
    ///
    /// # Errors
    /// The first step that refuses.
    pub async fn decide(
        &self,
        upstream: &Upstream,
        request: &Request,
    ) -> Result<Grant, RefusedRequest> {
        match self.decide_once(upstream, request).await {
            // What a provider said about this token a while ago is outdated; it can be asked again.
            // Boxed, as it is rare.
            Err(RefusedRequest {
                why: AuthError::Broker(BrokerError::Outdated { .. }),
                ..
            }) if self.providers.forget(request) => {
                Box::pin(self.decide_once(upstream, request)).await
            }
            decided => decided,
        }
    }

    async fn decide_once(
        &self,
        upstream: &Upstream,
        request: &Request,
    ) -> Result<Grant, RefusedRequest> {
        let entitled = self.entitle(upstream, request).await?;
        match upstream.broker().credential(&entitled).await {
            Ok(credential) => Ok(Grant {
                entitled,
                credential,
            }),
            Err(why) => Err(refused(&entitled, why)),
        }
    }

    /// Takes the same steps as [`Self::decide`], but ends with a look at what the broker would do.
    /// Nothing is written; the cluster is asked only if `online`.
    pub async fn explain(
        &self,
        upstream: &Upstream,
        request: &Request,
        online: bool,
    ) -> Explanation {
        let broker = upstream.broker();
        let (mut document, mut plan) = (None, None);
        let mut result = self.entitle(upstream, request).await;
        if let Ok(entitled) = &result {
            document = Some(broker.would_write(entitled));
            let permitted = match broker.permits(entitled) {
                Ok(()) if online => broker.foresee(entitled).await.and_then(|foreseen| {
                    let write = foreseen.write.clone();
                    plan = Some(foreseen);
                    write.map(drop)
                }),
                permitted => permitted,
            };
            if let Err(why) = permitted {
                result = Err(refused(entitled, why));
            }
        }
        Explanation {
            mapping: upstream.mapping(),
            document,
            plan,
            result,
        }
    }

    /// Who asks, and with which roles.
    async fn entitle(
        &self,
        upstream: &Upstream,
        request: &Request,
    ) -> Result<Entitled, RefusedRequest> {
        let identity = match self.providers.identify(request).await {
            Ok(Some(identity)) => identity,
            Ok(None) => return Err(AuthError::NobodyAsks.into()),
            Err(why) => return Err(AuthError::Identity(why).into()),
        };
        upstream.entitle(identity.clone()).map_err(|why| {
            // The broker has to see this token too: one that gives no role makes older ones
            // outdated.
            let outdated = upstream.broker().without_role(&identity).err();
            RefusedRequest {
                remarks: upstream.mapping().remarks(&identity),
                identity: Some(identity),
                why: outdated.map_or(AuthError::Roles(why), AuthError::Broker),
            }
        })
    }
}

fn refused(entitled: &Entitled, why: BrokerError) -> RefusedRequest {
    RefusedRequest {
        identity: Some(entitled.identity().clone()),
        why: AuthError::Broker(why),
        remarks: Vec::new(),
    }
}

/// The steps of one request, as far as they went. What is `None` was not reached.
#[derive(Debug)]
pub struct Explanation {
    mapping: Arc<Mapping>,
    /// The user that a write would put into the cluster, without its password.
    pub document: Option<serde_json::Value>,
    /// What the cluster has now and what the next request would do there.
    pub plan: Option<Plan>,
    /// How it would end.
    pub result: Result<Entitled, RefusedRequest>,
}

impl Explanation {
    /// Who asks.
    #[must_use]
    pub fn identity(&self) -> Option<&Identity> {
        match &self.result {
            Ok(entitled) => Some(entitled.identity()),
            Err(refused) => refused.identity.as_ref(),
        }
    }

    /// What refused nobody and is probably not meant, in words.
    #[must_use]
    pub(crate) fn hints(&self) -> Vec<String> {
        let Some(identity) = self.identity() else {
            return Vec::new();
        };
        let notes = identity.notes().iter().map(ToString::to_string);
        let remarks = self.mapping.remarks(identity);
        notes.chain(remarks.iter().map(Remark::to_string)).collect()
    }

    /// Every role, with the rule that gives it.
    #[must_use]
    pub fn given(&self) -> Vec<Given<'_>> {
        self.identity()
            .map(|identity| self.mapping.given(identity))
            .unwrap_or_default()
    }
}
