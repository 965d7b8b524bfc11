//! What depends on whether the cluster is Elasticsearch or OpenSearch.

use crate::cluster::{Kind, SecurityApi};

/// Which of the two the cluster is, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Product {
    Elasticsearch,
    OpenSearch,
}

impl Product {
    /// Until a node has said what it is, Elasticsearch is assumed. No user of OpenSearch has a
    /// login of that form, so nobody is answered on the assumption before the cluster was asked.
    pub(super) fn of(cluster: &SecurityApi) -> Self {
        match cluster.kind() {
            Kind::Opensearch => Self::OpenSearch,
            Kind::Auto | Kind::Elasticsearch => Self::Elasticsearch,
        }
    }

    /// Whether a login follows from the user's roles too. OpenSearch may keep a replaced login in
    /// its cache, with the roles of its time: then that is not the login of the present roles.
    pub(super) fn binds_roles(self) -> bool {
        self == Self::OpenSearch
    }
}

/// One of something for each of the two.
#[derive(Debug, Clone, Copy)]
pub(super) struct PerProduct<T> {
    pub(super) elasticsearch: T,
    pub(super) opensearch: T,
}

impl<T> PerProduct<T> {
    pub(super) fn of(&self, product: Product) -> &T {
        match product {
            Product::Elasticsearch => &self.elasticsearch,
            Product::OpenSearch => &self.opensearch,
        }
    }
}
