//! Of which identity providers a gateway may bring credentials.

use std::sync::Arc;

/// Of which identity providers a gateway may bring credentials: of all, or of these names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedProviders(Option<Arc<[Box<str>]>>);

impl AllowedProviders {
    /// Those of these names.
    #[must_use]
    pub fn named(names: impl IntoIterator<Item = String>) -> Self {
        Self(Some(names.into_iter().map(Into::into).collect()))
    }

    /// Whether the provider of this name is one of them.
    #[must_use]
    pub fn allow(&self, name: &str) -> bool {
        let names = self.0.as_deref();
        names.is_none_or(|names| names.iter().any(|known| **known == *name))
    }

    /// The names, where not all are allowed.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .flat_map(|names| names.iter().map(|name| &**name))
    }

    /// Those that both allow.
    pub(super) fn and(self, other: Self) -> Self {
        match (&self.0, &other.0) {
            (_, None) => self,
            (None, Some(_)) => other,
            (Some(_), Some(_)) => {
                let both = self.names().filter(|name| other.allow(name));
                Self::named(both.map(str::to_owned))
            }
        }
    }

    /// Whether all are allowed.
    pub(super) fn are_all(&self) -> bool {
        self.0.is_none()
    }

    pub(super) fn has_more_than(&self, before: &Self) -> bool {
        match (&self.0, &before.0) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(_), Some(_)) => self.names().any(|name| !before.allow(name)),
        }
    }
}
