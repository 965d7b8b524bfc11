//! From a decision to its answer.

mod body;
mod context;
mod grant;
mod page;
mod refusal;
mod table;

pub use body::Response;
pub(crate) use body::{empty, json, method_not_allowed, problem, whole};
pub use context::RefusalContext;
pub use grant::grant;
pub use refusal::refuse;
pub use table::Row;
