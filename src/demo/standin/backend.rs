//! The two kinds of cluster that a node can belong to, and what a call is to each.

use super::{
    answer::{ApiAnswer, Product},
    api::Caller,
    body,
    cluster::{Cluster, SERVICE_USER},
    fault::{self, Endpoint},
    opensearch::{self, OpenSearch},
    route::ApiCall,
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, request::Parts};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use std::sync::Arc;

/// What the nodes of one cluster share.
#[derive(Debug, Clone)]
pub(super) enum Backend {
    Elasticsearch(Arc<Cluster>),
    OpenSearch(Arc<OpenSearch>),
}

/// Who is calling, or why nobody is.
pub(super) enum Who {
    Elasticsearch(Result<Caller, ApiAnswer>),
    OpenSearch(Result<opensearch::Caller, ApiAnswer>),
}

impl Who {
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Elasticsearch(caller) => caller.as_ref().ok().map(Caller::name),
            Self::OpenSearch(caller) => caller.as_ref().ok().map(opensearch::Caller::name),
        }
    }

    /// The roles that count for this call.
    pub(super) fn roles(self) -> Option<Vec<String>> {
        match self {
            Self::Elasticsearch(caller) => Some(caller.ok()?.user.roles.clone()),
            Self::OpenSearch(caller) => Some(caller.ok()?.effective_roles()),
        }
    }

    fn by_key(&self) -> bool {
        match self {
            Self::Elasticsearch(caller) => caller.as_ref().is_ok_and(|caller| caller.by_key),
            Self::OpenSearch(_) => false,
        }
    }
}

/// A user is a few hundred bytes, and a group commit writes hundreds of them. A real cluster takes
/// 100 MB.
const MAX_BODY: usize = 4 * 1024 * 1024;
/// The limits of Elasticsearch, which OpenSearch has taken over.
const MAX_HEADERS: usize = 16_384;
const MAX_LINE: usize = 4_096;

impl Backend {
    pub(super) fn product(&self) -> Product {
        match self {
            Self::Elasticsearch(_) => Product::Elasticsearch,
            Self::OpenSearch(_) => Product::OpenSearch,
        }
    }

    pub(super) fn identify(&self, headers: &HeaderMap, path: &str) -> Who {
        match self {
            Self::Elasticsearch(cluster) => Who::Elasticsearch(cluster.identify(headers, path)),
            Self::OpenSearch(cluster) => Who::OpenSearch(cluster.identify(headers)),
        }
    }

    /// What the request asks for. What is refused here is refused before any fault applies.
    pub(super) async fn call(
        &self,
        head: &Parts,
        who: Who,
        body: Incoming,
    ) -> Result<Call, ApiAnswer> {
        within_limits(head)?;
        let context = Context {
            service: who.name() == Some(SERVICE_USER),
            by_key: who.by_key(),
            caller: who.name().unwrap_or_default().to_owned(),
            path: head.uri.path().to_owned(),
            backend: self.clone(),
        };
        match (self, who) {
            (Self::Elasticsearch(cluster), Who::Elasticsearch(caller)) => {
                let call = ApiCall::of(&head.method, &head.uri, cluster.version)?;
                let body = whole(body).await?;
                body::check_content_type(&head.headers, &body)?;
                let carries_hash = matches!(call, ApiCall::Write(_))
                    && String::from_utf8_lossy(&body).contains("\"password_hash\"");
                let endpoint = match call.facts().0 {
                    Some(Endpoint::Authenticate) if context.service => Some(Endpoint::Check),
                    at => at,
                };
                Ok(Call {
                    endpoint,
                    users: call.user().map(str::to_owned).into_iter().collect(),
                    carries_hash,
                    context,
                    work: Work::Elasticsearch(Arc::clone(cluster), caller, call, body),
                })
            }
            (Self::OpenSearch(cluster), Who::OpenSearch(caller)) => {
                let call = opensearch::ApiCall::of(&head.method, &head.uri)?;
                let body = whole(body).await?;
                let call = call.with_body(&body)?;
                let endpoint = match call.endpoint() {
                    Some(Endpoint::Authenticate) if context.service => Some(Endpoint::Check),
                    at => at,
                };
                Ok(Call {
                    endpoint,
                    users: call.users(),
                    carries_hash: false,
                    context,
                    work: Work::OpenSearch(Arc::clone(cluster), caller, call),
                })
            }
            // A caller is made by the backend itself.
            (_, _) => Err(ApiAnswer::bare(
                StatusCode::INTERNAL_SERVER_ERROR,
                "another backend's caller",
            )),
        }
    }
}

fn within_limits(head: &Parts) -> Result<(), ApiAnswer> {
    let sizes = head.headers.iter();
    let size: usize = sizes
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    if size > MAX_HEADERS {
        return Err(ApiAnswer::bad(
            "too_long_http_header_exception",
            "HTTP header is larger than 16384 bytes.",
        ));
    }
    if head.uri.to_string().len() > MAX_LINE {
        return Err(ApiAnswer::bad(
            "too_long_http_line_exception",
            "An HTTP line is larger than 4096 bytes.",
        ));
    }
    Ok(())
}

async fn whole(body: Incoming) -> Result<Bytes, ApiAnswer> {
    let body = Limited::new(body, MAX_BODY).collect().await;
    Ok(body.map_err(|_| ApiAnswer::too_large())?.to_bytes())
}

/// A call that its backend understands.
pub(super) struct Call {
    pub(super) endpoint: Option<Endpoint>,
    /// Who is read or written; several in a group commit.
    pub(super) users: Vec<String>,
    pub(super) carries_hash: bool,
    pub(super) context: Context,
    pub(super) work: Work,
}

/// What a fault's answer needs to know.
#[derive(Debug, Clone)]
pub(super) struct Context {
    caller: String,
    service: bool,
    by_key: bool,
    path: String,
    backend: Backend,
}

impl Context {
    /// The answer of a real cluster with this status.
    pub(super) fn status(&self, status: StatusCode) -> ApiAnswer {
        match self.backend {
            Backend::Elasticsearch(_) => fault::envelope(status, &self.caller, &self.path),
            Backend::OpenSearch(_) => opensearch::refusal(status, &self.caller),
        }
    }

    /// While the security index is not there.
    pub(super) fn unavailable(&self) -> ApiAnswer {
        match self.backend {
            Backend::OpenSearch(_) => opensearch::not_initialized(),
            // As the reserved `elastic` on a real cluster; the service account takes its part.
            Backend::Elasticsearch(_) if self.service && !self.by_key => ApiAnswer::error(
                StatusCode::SERVICE_UNAVAILABLE,
                "authentication_processing_error",
                &format!(
                    "failed to retrieve password hash for reserved user [{}]",
                    self.caller
                ),
            ),
            Backend::Elasticsearch(_) => self.status(StatusCode::UNAUTHORIZED),
        }
    }

    pub(super) fn blocked(&self) -> ApiAnswer {
        let index = match self.backend {
            Backend::Elasticsearch(_) => ".security-7",
            Backend::OpenSearch(_) => ".opendistro_security",
        };
        ApiAnswer::error(
            StatusCode::FORBIDDEN,
            "cluster_block_exception",
            &format!("index [{index}] blocked by: [FORBIDDEN/8/index write (api)];"),
        )
    }
}

/// What a call does, once.
pub(super) enum Work {
    Elasticsearch(Arc<Cluster>, Result<Caller, ApiAnswer>, ApiCall, Bytes),
    OpenSearch(
        Arc<OpenSearch>,
        Result<opensearch::Caller, ApiAnswer>,
        opensearch::ApiCall,
    ),
}

impl Work {
    /// `keeps` leaves a replaced login of OpenSearch in its cache.
    pub(super) async fn perform(self, keeps: bool) -> ApiAnswer {
        match self {
            Self::Elasticsearch(cluster, caller, call, body) => caller
                .and_then(|caller| cluster.perform(&call, &caller, &body))
                .unwrap_or_else(|refusal| refusal),
            Self::OpenSearch(cluster, caller, call) => match caller {
                Ok(caller) => {
                    (cluster.perform(call, &caller, keeps).await).unwrap_or_else(|refusal| refusal)
                }
                Err(refusal) => refusal,
            },
        }
    }
}
