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
    upstream::{Chosen, Opened, TenantLabel, Tenants, Upstream, Upstreams},
};
use arc_swap::ArcSwap;
use std::sync::Arc;

/// The steps, ready to be taken.
#[derive(Debug)]
pub struct Flow {
    pub(crate) providers: Providers,
    upstreams: ArcSwap<Upstreams>,
}

impl Flow {
    /// Puts the steps together.
    #[must_use]
    pub fn new(providers: Providers, upstreams: Upstreams) -> Self {
        Self {
            providers,
            upstreams: ArcSwap::from_pointee(upstreams),
        }
    }

    /// The clusters.
    #[must_use]
    pub fn upstreams(&self) -> Arc<Upstreams> {
        self.upstreams.load_full()
    }

    /// Requests are for one of these from now on. Those in hand keep what they were for.
    pub(crate) fn replace_upstreams(&self, upstreams: Upstreams) {
        self.upstreams.store(Arc::new(upstreams));
    }

    /// The step before the others: which cluster the request is for.
    ///
    /// # Errors
    /// [`AuthError::NoCluster`] if it is for none.
    pub fn choose(&self, request: &Request) -> Result<Chosen, AuthError> {
        let upstreams = self.upstreams.load();
        upstreams.choose(request).map_err(AuthError::NoCluster)
    }

    /// Decides about one request. A known user is answered without waiting for anything.
    ///
    /// # Errors
    /// The first step that refuses.
    pub async fn decide(
        &self,
        chosen: &Chosen,
        request: &Request,
    ) -> Result<Grant, RefusedRequest> {
        match self.decide_once(chosen, request).await {
            // What a provider said about this token a while ago is outdated; it can be asked again.
            // Boxed, as it is rare.
            Err(RefusedRequest {
                why: AuthError::Broker(BrokerError::Outdated { .. }),
                ..
            }) if self.providers.forget(request) => {
                Box::pin(self.decide_once(chosen, request)).await
            }
            decided => decided,
        }
    }

    async fn decide_once(
        &self,
        chosen: &Chosen,
        request: &Request,
    ) -> Result<Grant, RefusedRequest> {
        let identity = self.identify(request).await?;
        let opened;
        let (upstream, mapping) = match chosen {
            Chosen::Cluster(upstream) => (upstream, upstream.mapping()),
            Chosen::Tenant(tenants, label) => {
                opened = open(tenants, label, &identity).await?;
                let own = opened.mapping.clone();
                let mapping = own.unwrap_or_else(|| opened.upstream.mapping());
                (&opened.upstream, mapping)
            }
        };
        let entitled = entitle(upstream, &mapping, identity)?;
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
    ///
    /// # Errors
    /// If the request is for a tenant whose cluster cannot be set up.
    pub async fn explain(
        &self,
        chosen: &Chosen,
        request: &Request,
        online: bool,
    ) -> Result<Explanation, AuthError> {
        let (upstream, mapping) = match chosen {
            Chosen::Cluster(upstream) => (Arc::clone(upstream), None),
            Chosen::Tenant(tenants, label) => {
                let opened = tenants.open(label, None).await;
                let opened = opened.map_err(AuthError::Tenant)?;
                (opened.upstream, opened.mapping)
            }
        };
        let mapping = mapping.unwrap_or_else(|| upstream.mapping());
        let broker = upstream.broker();
        let (mut document, mut plan) = (None, None);
        let identity = self.identify(request).await;
        let mut result = identity.and_then(|identity| entitle(&upstream, &mapping, identity));
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
        Ok(Explanation {
            mapping,
            document,
            plan,
            result,
        })
    }

    /// Who asks.
    async fn identify(&self, request: &Request) -> Result<Identity, RefusedRequest> {
        match self.providers.identify(request).await {
            Ok(Some(identity)) => Ok(identity),
            Ok(None) => Err(AuthError::NobodyAsks.into()),
            Err(why) => Err(AuthError::Identity(why).into()),
        }
    }
}

/// A tenant's cluster, for somebody who has a role there: whoever has none opens nothing.
async fn open(
    tenants: &Tenants,
    label: &TenantLabel,
    identity: &Identity,
) -> Result<Opened, RefusedRequest> {
    if let Some(opened) = tenants.get(label) {
        return Ok(opened);
    }
    let refused = |why, remarks| RefusedRequest {
        identity: Some(identity.clone()),
        why,
        remarks,
    };
    let refused_tenant = |why| refused(AuthError::Tenant(why), Vec::new());
    let mapping = tenants.mapping(label).map_err(refused_tenant)?;
    if let Err(why) = mapping.entitle(identity.clone()) {
        return Err(refused(AuthError::Roles(why), mapping.remarks(identity)));
    }
    let opened = tenants.open(label, Some(identity.user())).await;
    opened.map_err(refused_tenant)
}

/// With which roles somebody asks.
fn entitle(
    upstream: &Upstream,
    mapping: &Mapping,
    identity: Identity,
) -> Result<Entitled, RefusedRequest> {
    mapping.entitle(identity.clone()).map_err(|why| {
        // The broker has to see this token too: one that gives no role makes older ones outdated.
        let outdated = upstream.broker().without_role(&identity).err();
        RefusedRequest {
            remarks: mapping.remarks(&identity),
            identity: Some(identity),
            why: outdated.map_or(AuthError::Roles(why), AuthError::Broker),
        }
    })
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
