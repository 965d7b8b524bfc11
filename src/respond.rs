//! From a decision to its answer.

mod body;
mod context;
mod grant;
mod page;
mod refusal;
mod table;

pub(crate) use body::{
    Body, Response, Watch, empty, json, method_not_allowed, passed, problem, whole,
};
pub(crate) use context::RefusalContext;
pub(crate) use grant::grant;
pub(crate) use refusal::refuse;
pub use table::Row;
