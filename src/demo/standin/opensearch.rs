//! OpenSearch with its security plugin, as a real 2.19.4 answered: all internal users are one
//! document with compare-and-set, each write empties the cache of verified logins, direct roles
//! have to exist, and values of attributes are text.

mod api;
mod caller;
mod changes;
mod password;
mod patch;
mod refusals;
mod route;
mod store;
mod user;

pub(super) use caller::Caller;
pub(super) use refusals::{not_initialized, refusal};
pub(super) use route::ApiCall;
pub(super) use store::OpenSearch;
pub use user::InternalUser;
